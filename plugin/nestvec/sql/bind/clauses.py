"""FROM, LIMIT and OFFSET; and whether all that is in the text got into the tree."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sqlglot import TokenType, exp

from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.parse import explain_token_count
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts

MAX_WINDOW: Final = 16_384
"""Milvus's bound on limit + offset (``quotaAndLimits.limits.maxQueryResultWindow``)."""

MAX_SCAN_ROWS: Final = 1_000_000
"""Rows that are read without a ranking, in pages beyond MAX_ROWS: they are all in memory."""

_REFUSED_PARTS: Final[dict[str, tuple[str, TokenType | None]]] = {
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

_CHECKED: Final = "read"
"""Noted at a tree that was looked through: it is bound once an execution, and stays the same."""

_POSITION_LOST_AFTER: Final = {
    TokenType.DOT, TokenType.COLON, TokenType.PARAMETER, TokenType.ARROW, TokenType.DARROW,
}  # fmt: skip
"""After these, sqlglot forgets where a thing stood: .5, :name, $1, -> 'key', ->> 'key'."""

_SUPPORTED_FORM: Final = (
    "nestvec runs SELECT … FROM one collection WHERE … GROUP BY … ORDER BY … LIMIT n OFFSET m."
)
_SUPPORTED_PARTS: Final = (
    "expressions", "from_", "where", "order", "limit", "offset", "distinct", "group", "having",
)  # fmt: skip


def table_node(source: SourceText, select: exp.Select) -> exp.Table | None:
    """The one table in FROM, None without it. Raises SqlNotSupported for several, or for more than a name."""
    for part in stray_parts(select, _SUPPORTED_PARTS):
        construct, token = _REFUSED_PARTS.get(part, (part.strip("_").replace("_", " ").upper(), None))
        value = select.args[part]
        part_node = value[0] if isinstance(value, list) else value
        at = token if source.position(token) is not None else part_node
        if part == "joins" and source.position(TokenType.JOIN) is None:
            construct = "more than one table in FROM"
        raise source.not_supported(
            construct, at if isinstance(at, (exp.Expr, TokenType)) else 0, _SUPPORTED_FORM
        )
    from_ = select.args.get("from_")
    return None if from_ is None else _check_table(source, from_.this)


def _check_table(source: SourceText, table: exp.Expr) -> exp.Table:
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise source.not_supported(f"{construct_name(table)} in FROM", table, "Name one collection.")
    stray = stray_parts(table, ("this", "alias"))
    if stray:
        constructs = {
            "db": "a schema-qualified table",
            "joins": "JOIN",
            "only": "ONLY",
            "sample": "TABLESAMPLE",
        }
        construct = constructs.get(stray[0], stray[0].upper())
        raise source.not_supported(construct, table, "Name one collection.")
    alias = table.args.get("alias")
    if alias is not None and not isinstance(alias.this, exp.Identifier):
        raise source.not_supported("this alias", alias, "Write a name.")
    if alias is not None and stray_parts(alias, ("this",)):
        raise source.not_supported("column names after a table's alias", alias, "Use AS in the select list.")
    return table


def table_name(node: exp.Table | None) -> str:
    """What the statement calls its table by; empty without FROM."""
    if node is None:
        return ""
    alias = node.args.get("alias")
    # A collection's alias is a name for it too.
    return identifier_name(alias.this) if alias is not None else identifier_name(node.this)


def bind_window(source: SourceText, select: exp.Select, params: Params) -> tuple[int | None, int]:
    """LIMIT (None without it) and OFFSET. Raises SqlTypeMismatch, SqlNotSupported."""
    limit = _count(source, select.args.get("limit"), "LIMIT", params)
    offset = _count(source, select.args.get("offset"), "OFFSET", params) or 0
    if offset and source.position(TokenType.OFFSET) is None:
        raise source.syntax_error("LIMIT takes one number", TokenType.LIMIT, "Write LIMIT n OFFSET m.")
    return limit, offset


def check_window(source: SourceText, select: exp.Select, limit: int | None, offset: int) -> None:
    """LIMIT and OFFSET of a ranking. Raises SqlTypeMismatch beyond Milvus's window, SqlNotSupported."""
    if limit is None:
        raise source.not_supported(
            "ORDER BY a distance without LIMIT", TokenType.ORDER_BY, f"Add LIMIT n, at most {MAX_WINDOW:,}."
        )
    if limit + offset > MAX_WINDOW:
        raise source.type_mismatch(
            f"LIMIT and OFFSET of a ranking together go beyond Milvus's {MAX_WINDOW:,}",
            limit + offset,
            select.args.get("limit") or select.args.get("offset"),
            "Narrow the answer with WHERE, or leave the distance out of ORDER BY.",
        )


def _count(source: SourceText, node: exp.Expr | None, name: str, params: Params) -> int | None:
    """The number after LIMIT or OFFSET."""
    if node is None:
        return None
    if isinstance(node, exp.Fetch):
        raise source.not_supported("FETCH FIRST", TokenType.FETCH, "Write LIMIT n.")
    if stray_parts(node, ("expression",)):
        raise source.not_supported(f"{name} with more than a number", node, f"Write {name} n.")
    value = node.args["expression"]
    if isinstance(value, PARAMETER_NODES):
        number = params.value(source, value)
        if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
            return number
        raise source.type_mismatch(
            f"{name} takes a whole number from 0", str(number)[:40], value, "Give one."
        )
    if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
        raise source.type_mismatch(
            f"{name} takes a whole number that is written out, or a parameter",
            value.sql()[:40],
            value,
            f"Write {name} 10.",
        )
    return min(int(str(value.this)[:18]), 1 << 62)


def check_select_consumed(source: SourceText, tree: exp.Expr) -> None:
    """Refuse a name or a constant that is in the text and not in the tree, whatever became of it."""
    if _CHECKED in tree.meta:
        return
    read = {node.meta.get("start") for node in tree.walk()}
    tokens = source.tokens[explain_token_count(source) :]
    for before, token in pairwise(tokens):
        unread = token.token_type in _CARRIERS and token.start not in read
        if unread and before.token_type not in _POSITION_LOST_AFTER and token.text.upper() not in _NOISE:
            raise source.syntax_error(f"'{token.text[:40]}' has no place here", token.start, "Remove it.")
    tree.meta[_CHECKED] = True
