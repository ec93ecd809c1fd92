"""FROM, LIMIT and OFFSET; and whether all that is in the text got into the tree."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sqlglot import TokenType, exp

from nestvec.sql.bind.params import NODES, Params
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.parse import explaining
from nestvec.sql.parse.source import Source, folded, stray_parts

MAX_ROWS: Final = 16_384
"""Milvus's bound on limit + offset (``quotaAndLimits.limits.maxQueryResultWindow``)."""

MOST_ROWS: Final = 1_000_000
"""Rows that are read without a ranking, in pages beyond MAX_ROWS: they are all in memory."""

_PARTS: Final[dict[str, tuple[str, TokenType | None]]] = {
    "with_": ("WITH (a common table expression)", TokenType.WITH),
    "into": ("SELECT INTO", TokenType.INTO),
    "joins": ("JOIN", TokenType.JOIN),
    "laterals": ("LATERAL", TokenType.LATERAL),
    "windows": ("WINDOW", TokenType.WINDOW),
    "qualify": ("QUALIFY", TokenType.QUALIFY),
    "locks": ("a row lock (FOR UPDATE)", TokenType.FOR),
    "sample": ("TABLESAMPLE", TokenType.TABLE_SAMPLE),
    "hint": ("a hint", TokenType.HINT),
    "pivots": ("PIVOT", None),
}
"""Parts of a SELECT that are refused, in SQL's words; any other is refused by its own name."""

_CARRIERS: Final = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER}
_NOISE: Final = {"ROW", "ROWS", "NULLS", "FIRST", "LAST", "BOTH", "LEADING", "TRAILING"}
"""Words that change nothing, or that the tree holds without their place: OFFSET 2 ROWS, NULLS FIRST."""

_READ: Final = "read"
"""Noted at a tree that was looked through: it is bound once an execution, and stays the same."""

_FORGETFUL: Final = {
    TokenType.DOT, TokenType.COLON, TokenType.PARAMETER, TokenType.ARROW, TokenType.DARROW,
}  # fmt: skip
"""After these, sqlglot forgets where a thing stood: .5, :name, $1, -> 'key', ->> 'key'."""

_LEAVE_OUT: Final = (
    "nestvec runs SELECT … FROM one collection WHERE … GROUP BY … ORDER BY … LIMIT n OFFSET m."
)
_KNOWN: Final = (
    "expressions", "from_", "where", "order", "limit", "offset", "distinct", "group", "having",
)  # fmt: skip


def table_node(source: Source, select: exp.Select) -> exp.Table | None:
    """The one table in FROM, None without it. Raises SqlNotSupported for several, or for more than a name."""
    for part in stray_parts(select, _KNOWN):
        construct, token = _PARTS.get(part, (part.strip("_").replace("_", " ").upper(), None))
        value = select.args[part]
        inside = value[0] if isinstance(value, list) else value
        at = token if source.position(token) is not None else inside
        if part == "joins" and source.position(TokenType.JOIN) is None:
            construct = "more than one table in FROM"
        raise source.not_supported(construct, at if isinstance(at, (exp.Expr, TokenType)) else 0, _LEAVE_OUT)
    from_ = select.args.get("from_")
    return None if from_ is None else _checked(source, from_.this)


def _checked(source: Source, table: exp.Expr) -> exp.Table:
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise source.not_supported(f"{words(table)} in FROM", table, "Name one collection.")
    stray = stray_parts(table, ("this", "alias"))
    if stray:
        named = {"db": "a schema-qualified table", "joins": "JOIN", "only": "ONLY", "sample": "TABLESAMPLE"}
        construct = named.get(stray[0], stray[0].upper())
        raise source.not_supported(construct, table, "Name one collection.")
    alias = table.args.get("alias")
    if alias is not None and not isinstance(alias.this, exp.Identifier):
        raise source.not_supported("this alias", alias, "Write a name.")
    if alias is not None and stray_parts(alias, ("this",)):
        raise source.not_supported("column names after a table's alias", alias, "Use AS in the select list.")
    return table


def called(node: exp.Table | None) -> str:
    """What the statement calls its table by; empty without FROM."""
    if node is None:
        return ""
    alias = node.args.get("alias")
    # A collection's alias is a name for it too.
    return folded(alias.this) if alias is not None else folded(node.this)


def bind_window(source: Source, select: exp.Select, params: Params) -> tuple[int | None, int]:
    """LIMIT (None without it) and OFFSET. Raises SqlTypeMismatch, SqlNotSupported."""
    limit = _count(source, select.args.get("limit"), "LIMIT", params)
    offset = _count(source, select.args.get("offset"), "OFFSET", params) or 0
    if offset and source.position(TokenType.OFFSET) is None:
        raise source.syntax_error("LIMIT takes one number", TokenType.LIMIT, "Write LIMIT n OFFSET m.")
    return limit, offset


def check_window(source: Source, select: exp.Select, limit: int | None, offset: int) -> None:
    """LIMIT and OFFSET of a ranking. Raises SqlTypeMismatch beyond Milvus's window, SqlNotSupported."""
    if limit is None:
        raise source.not_supported(
            "ORDER BY a distance without LIMIT", TokenType.ORDER_BY, f"Add LIMIT n, at most {MAX_ROWS:,}."
        )
    if limit + offset > MAX_ROWS:
        raise source.type_mismatch(
            f"LIMIT and OFFSET of a ranking together go beyond Milvus's {MAX_ROWS:,}",
            limit + offset,
            select.args.get("limit") or select.args.get("offset"),
            "Narrow the answer with WHERE, or leave the distance out of ORDER BY.",
        )


def _count(source: Source, node: exp.Expr | None, name: str, params: Params) -> int | None:
    """The number after LIMIT or OFFSET."""
    if node is None:
        return None
    if isinstance(node, exp.Fetch):
        raise source.not_supported("FETCH FIRST", TokenType.FETCH, "Write LIMIT n.")
    if stray_parts(node, ("expression",)):
        raise source.not_supported(f"{name} with more than a number", node, f"Write {name} n.")
    value = node.args["expression"]
    if isinstance(value, NODES):
        given = params.value(source, value)
        if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
            return given
        raise source.type_mismatch(f"{name} takes a whole number from 0", str(given)[:40], value, "Give one.")
    if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
        raise source.type_mismatch(
            f"{name} takes a whole number that is written out, or a parameter",
            value.sql()[:40],
            value,
            f"Write {name} 10.",
        )
    return min(int(str(value.this)[:18]), 1 << 62)


def check_all_is_read(source: Source, tree: exp.Expr) -> None:
    """Refuse a name or a constant that is in the text and not in the tree, whatever became of it."""
    if _READ in tree.meta:
        return
    read = {node.meta.get("start") for node in tree.walk()}
    tokens = source.tokens[explaining(source) :]
    for before, token in pairwise(tokens):
        unread = token.token_type in _CARRIERS and token.start not in read
        if unread and before.token_type not in _FORGETFUL and token.text.upper() not in _NOISE:
            raise source.syntax_error(f"'{token.text[:40]}' has no place here", token.start, "Remove it.")
    tree.meta[_READ] = True
