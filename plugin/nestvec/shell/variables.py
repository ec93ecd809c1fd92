"""Variables of the shell: ``:NAME``, ``:'NAME'`` and ``:"NAME"`` in statements and arguments of commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from nestvec.shell.value_texts import value_text
from nestvec_schemas.errors import SqlSyntaxError

_NAMED: Final = r""":'(?P<literal>\w+)'|:"(?P<identifier>\w+)"|:\{\?(?P<defined>\w+)\}"""
_IN_STATEMENT: Final = re.compile(
    rf"""::|{_NAMED}|[eE]'(?:\\.|''|[^'\\])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/"""
    r"""|(?P<dollar>\$(?:[^\W\d]\w*)?\$).*?(?P=dollar)""",
    re.S,
)
"""What stands for a value, and the texts, names and comments in which nothing does."""
_IN_ARGUMENT: Final = re.compile(
    rf"""(?P<blank>\s+)|{_NAMED}|:(?P<plain>\w+)|'(?P<text>(?:[^'\\]|\\.|'')*)'|"(?P<name>[^"]*)"|.""", re.S
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "b": "\b", "r": "\r", "f": "\f"}
_ESCAPE: Final = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)|''", re.S)

BOOLEANS: Final = {
    **dict.fromkeys(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"), True),
    **dict.fromkeys(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"), False),
}
"""What psql reads as a boolean."""


def parse_params(options: Iterable[str]) -> dict[str, Any]:
    """Values by name: JSON if they are valid JSON (1, true, [1, 2], "text"), else the text itself.

    Raises click.BadParameter for an option without a name.
    """
    params = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.isidentifier():
            context = click.get_current_context(silent=True)
            raise click.BadParameter(f"'{option}' is not name=value.", context, param_hint="--param")
        params[name] = _value(text)
    return params


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def interpolate(statement: str, values: Mapping[str, Any]) -> str:
    """A statement with ``:'NAME'`` as a literal and ``:"NAME"`` as an identifier; other texts stay.

    ``:NAME`` stays, too: it is a parameter, whose value never becomes SQL.
    """
    if ":" not in statement or not values:
        return statement

    def replaced(match: re.Match[str]) -> str:
        text = _quoted(match, values)
        return match[0] if text is None else text

    return _IN_STATEMENT.sub(replaced, statement)


def words(argument: str, values: Mapping[str, Any]) -> list[str]:
    """The words of an argument, without the quotes around them, and with the values of variables."""
    parts, word = list[str](), None
    for match in _IN_ARGUMENT.finditer(argument):
        if match["blank"]:
            parts += [] if word is None else [word]
            word = None
            continue
        word = (word or "") + _argument_text(match, values)
    return parts if word is None else [*parts, word]


def parse_boolean(text: str, what: str) -> bool:
    """A boolean as psql reads it. Raises SqlSyntaxError."""
    value = BOOLEANS.get(text.strip().lower())
    if value is None:
        raise SqlSyntaxError(f"{what} takes a boolean", value=text, next_step="Write on, off, true or false.")
    return value


def variable_text(value: Any) -> str:
    """The value of a variable as ``\\echo :NAME`` prints it."""
    if isinstance(value, (list, tuple)) and not all(isinstance(item, float) for item in value):
        return value_text(value, "ARRAY") or ""
    return value_text(value) or ""


def _argument_text(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match["text"] is not None:
        return _ESCAPE.sub(_unescaped, match["text"])
    if match["name"] is not None:
        return match["name"]
    if match["plain"]:
        return variable_text(values[match["plain"]]) if match["plain"] in values else match[0]
    text = _quoted(match, values)
    return match[0] if text is None else text


def _quoted(match: re.Match[str], values: Mapping[str, Any]) -> str | None:
    """The literal or name that a variable stands for; None for anything else."""
    if match["defined"]:
        return "TRUE" if match["defined"] in values else "FALSE"
    name = match["literal"] or match["identifier"]
    if not name or name not in values:
        return None
    quote = "'" if match["literal"] else '"'
    text = variable_text(values[name]).replace(quote, quote * 2)
    # psql marks a literal with a backslash as one with escapes.
    if match["literal"] and "\\" in text:
        return " E'" + text.replace("\\", "\\\\") + "'"
    return f"{quote}{text}{quote}"


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "'"
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPES.get(code, code)
