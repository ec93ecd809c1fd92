"""Names and texts as parts of SQL."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from nestvec.sqltypes.values import bytea_bytes
from nestvec_schemas.errors import RowRejected

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
_KEYWORDS: Final = frozenset(
    """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
case cast char character check coalesce collate collation column concurrently constraint create cross
current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
freeze from full grant greatest group grouping having ilike in initially inner inout int integer
intersect interval into is isnull join json_array json_arrayagg json_object json_objectagg lateral
leading least left like limit localtime localtimestamp national natural nchar none normalize not notnull
null nullif numeric offset on only or order out outer overlaps overlay placing position precision primary
real references returning right row select session_user setof similar smallint some substring symmetric
system_user table tablesample then time timestamp to trailing treat trim true union unique user using
values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists
xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
    """.split()  # noqa: SIM905 - a list of words
)
"""Words of PostgreSQL 16 that are no names without quotes."""


def quote_ident(name: str) -> str:
    """A name as SQL has it, in quotes if it needs them."""
    if _PLAIN.fullmatch(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def read_bytea(text: str) -> bytes:
    """A text as bytes. Raises ValueError in PostgreSQL's words."""
    try:
        return bytea_bytes(text)
    except RowRejected:
        raise ValueError(f"invalid input syntax for type bytea: '{text[:40]}'") from None


def normalize_text(text: str, form: str) -> str:
    """A text in a normal form of Unicode."""
    return unicodedata.normalize(form, text)  # type: ignore[arg-type]  # one of four, checked before
