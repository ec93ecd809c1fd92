"""SET name = value, SHOW name | ALL, RESET name | ALL."""

from __future__ import annotations

import re

from sqlglot import TokenType, exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.settings import SETTINGS, UNUSED_SETTINGS, format_setting, with_default, with_setting
from nestvec_schemas.errors import SqlUnknownName, nearest

_SET = "Write SET name = value."


def run_set(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """SET: one setting of this connection, with LOCAL until COMMIT or ROLLBACK.

    Raises SqlSyntaxError, SqlUnknownName, SqlTypeMismatch.
    """
    yield from ()
    source, node, item = parsed.source, parsed.tree, _assignment(parsed.tree)
    if item is None:
        raise source.syntax_error("SET takes one name and one value", _second_token_position(source), _SET)
    kind = str(node.expressions[0].args.get("kind") or "SESSION").upper()
    if kind not in ("SESSION", "LOCAL"):
        raise source.not_supported(
            f"SET {kind}",
            _second_token_position(source),
            "Settings belong to the connection: write SET name = value.",
        )
    name = ".".join(identifier_name(part) for part in item.this.parts)
    if name in UNUSED_SETTINGS:
        return StatementResult(tag="SET")
    if name not in SETTINGS:
        raise _unknown_setting(source, name, item.this)
    if name == "nestvec.models" and not session.caller.files:
        raise source.not_supported(
            "SET nestvec.models on a server, whose files clients may not read",
            _second_token_position(source),
            "Start the server with --models.",
        )
    value = item.args["expression"]
    if kind == "LOCAL" and session.writes.settings_before_local is None:
        session.writes.settings_before_local = session.settings
    if isinstance(value, exp.Var) and value.name.upper() == "DEFAULT":
        session.settings = with_default(session.settings, session.defaults, name)
        return StatementResult(tag="SET")
    text = _value_text(source, value, params)
    try:
        session.settings = with_setting(session.settings, name, text)
    except ValueError as error:
        raise source.type_mismatch(f"invalid value for {name}", text, value, str(error)) from None
    return StatementResult(tag="SET")


def show_setting(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """SHOW: the value of one setting, or the name, value and description of all. Raises SqlUnknownName."""
    yield from ()
    name = _parse_name(parsed.source, "SHOW")
    if name == "all":
        rows = tuple(
            (setting_name, format_setting(session.settings, setting_name), row.description)
            for setting_name, row in SETTINGS.items()
        )
        types = ("VARCHAR",) * 3
        return StatementResult(("name", "value", "description"), types, rows, f"SHOW {len(rows)}", len(rows))
    return StatementResult((name,), ("VARCHAR",), ((format_setting(session.settings, name),),), "SHOW", 1)


def run_reset(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """RESET: one setting, or all, to the initial value. Raises SqlUnknownName."""
    yield from ()
    name = _parse_name(parsed.source, "RESET")
    if name == "all":
        session.settings = session.defaults
    elif name in SETTINGS:
        session.settings = with_default(session.settings, session.defaults, name)
    return StatementResult(tag="RESET")


def _assignment(tree: exp.Expr) -> exp.EQ | None:
    """``name = value`` of a SET with a single assignment."""
    if not isinstance(tree, exp.Set) or stray_parts(tree, ("expressions",)) or len(tree.expressions) != 1:
        return None
    item = tree.expressions[0]
    is_plain = isinstance(item, exp.SetItem) and not stray_parts(item, ("this", "kind"))
    assignment = item.this if is_plain else None
    return assignment if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column) else None


def _value_text(source: SourceText, value: exp.Expr, params: Params) -> str:
    if isinstance(value, PARAMETER_NODES):
        parameter = params.value(source, value)
        return ",".join(map(str, parameter)) if isinstance(parameter, (list, tuple)) else str(parameter)
    if isinstance(value, (exp.Literal, exp.Var)):
        return value.name
    if isinstance(value, exp.Column) and len(value.parts) == 1:
        return value.name
    if isinstance(value, exp.Boolean):
        return "on" if value.this else "off"
    if isinstance(value, exp.Neg) and isinstance(value.this, exp.Literal):
        return f"-{value.this.name}"
    raise source.syntax_error("SET takes one value", value, "Write it in single quotes, or as a parameter.")


def _parse_name(source: SourceText, word: str) -> str:
    """The name after SHOW or RESET, which may be ALL. sqlglot leaves what follows them as one token."""
    rest = " ".join(
        token.text for token in source.tokens[1:] if token.token_type != TokenType.SEMICOLON
    ).strip()
    after = source.tokens[0].end + 1
    if not rest:
        raise source.syntax_error(f"{word} takes a name", after, f"Write {word} ALL.")
    at = max(source.text.find(rest, after), after)
    name = rest.lower()
    if not re.fullmatch(r"[a-z_]\w*(\.[a-z_]\w*)*", name):
        raise source.syntax_error(f"{word} takes one name", at, f"Write {word} ALL for every setting.")
    if name == "all" or name in SETTINGS or (word == "RESET" and name in UNUSED_SETTINGS):
        return name
    raise _unknown_setting(source, name, at)


def _second_token_position(source: SourceText) -> int:
    return source.tokens[1].start if len(source.tokens) > 1 else len(source.text.rstrip())


def _unknown_setting(source: SourceText, name: str, at: exp.Expr | int) -> SqlUnknownName:
    near = nearest(name, SETTINGS) or nearest(f"nestvec.{name}", SETTINGS)
    return source.unknown_name("there is no setting of this name", name, at, f"SHOW ALL lists them.{near}")
