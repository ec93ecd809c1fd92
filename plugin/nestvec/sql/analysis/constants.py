"""Constants in quotes, which PostgreSQL reads as the type of their place."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.analysis.nodes import shown_type
from nestvec.sql.parse.source import SourceText
from nestvec.sqltypes.arrays import is_array_text
from nestvec_schemas.base_error import ABSENT

_SPACES: Final = " \t\n\r\f\v"
_INTEGER: Final = re.compile(
    r"([+-]?)(\d+(?:_\d+)*|0[xX](?:_?[\da-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)"
)
_BITS: Final = {"int2": 15, "int4": 31, "int8": 63}
_BOOLEANS: Final = ("true", "false", "yes", "no", "on", "off", "1", "0")
_CAST: Final = "Write a value of this type."


def check_constant(source: SourceText, node: exp.Literal, type_: str) -> None:
    """Raise SqlTypeMismatch for a text that is no integer or boolean, where PostgreSQL takes one."""
    text = node.name.strip(_SPACES)
    if type_ in _BITS:
        match = _INTEGER.fullmatch(text)
        if match is None:
            raise _invalid(source, node, type_)
        number = int(match[1] + match[2].replace("_", ""), 10 if match[2].replace("_", "").isdecimal() else 0)
        if not -1 << _BITS[type_] <= number < 1 << _BITS[type_]:
            cause = f'value "{node.name[:40]}" is out of range for type {shown_type(type_)}'
            raise source.type_mismatch(cause, ABSENT, node, "Write a smaller number.")
    elif type_ == "bool" and not _is_boolean(text.lower()):
        raise _invalid(source, node, type_)
    elif type_.startswith("_") and not text.startswith("[") and not is_array_text(node.name):
        cause = f'malformed array literal: "{node.name[:40]}"'
        raise source.type_mismatch(cause, ABSENT, node, "Write it as '{1,2}'.")


def _is_boolean(text: str) -> bool:
    """Whether a text is a word of a boolean, or the beginning of only one of them."""
    words = {word in ("true", "yes", "on", "1") for word in _BOOLEANS if text and word.startswith(text)}
    return len(words) == 1


def _invalid(source: SourceText, node: exp.Literal, type_: str) -> Exception:
    cause = f"invalid input syntax for type {shown_type(type_)}: {node.name[:40]!r}"
    return source.type_mismatch(cause, ABSENT, node, _CAST)
