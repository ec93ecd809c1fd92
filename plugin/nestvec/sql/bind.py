"""Tree and table to a bound query: names are columns, constants have their types, nothing is left over."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sqlglot import TokenType, exp

from nestvec.catalog import Table
from nestvec.sql.conditions import Condition, bind_condition
from nestvec.sql.nearest import Nearest, bind_order
from nestvec.sql.outputs import Output, bind_outputs
from nestvec.sql.parse import Parsed
from nestvec.sql.scope import Scope
from nestvec.sql.source import Source, folded, stray_parts
from nestvec.sql.words import words

MAX_ROWS = 16_384
"""Milvus's bound on limit + offset (``quotaAndLimits.limits.maxQueryResultWindow``)."""

_PARTS: dict[str, tuple[str, TokenType | None]] = {
    "with_": ("WITH (a common table expression)", TokenType.WITH),
    "distinct": ("DISTINCT", TokenType.DISTINCT),
    "into": ("SELECT INTO", TokenType.INTO),
    "joins": ("JOIN", TokenType.JOIN),
    "laterals": ("LATERAL", TokenType.LATERAL),
    "group": ("GROUP BY", TokenType.GROUP_BY),
    "having": ("HAVING", TokenType.HAVING),
    "windows": ("WINDOW", TokenType.WINDOW),
    "qualify": ("QUALIFY", TokenType.QUALIFY),
    "locks": ("a row lock (FOR UPDATE)", TokenType.FOR),
    "sample": ("TABLESAMPLE", TokenType.TABLE_SAMPLE),
    "hint": ("a hint", TokenType.HINT),
    "pivots": ("PIVOT", None),
}
"""Parts of a SELECT that are refused, in SQL's words; any other is refused by its own name."""

_CARRIERS = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER}
_NOISE = {"ROW", "ROWS", "NULLS", "LAST"}
"""Words that change nothing: OFFSET 2 ROWS, NULLS LAST."""

_LEAVE_OUT = "nestvec runs SELECT … FROM one collection WHERE … ORDER BY distance LIMIT n OFFSET m."
_KNOWN = ("expressions", "from_", "where", "order", "limit", "offset")


@dataclass(frozen=True)
class Query:
    """A bound query. Without ``limit`` every row is wanted."""

    table: Table
    outputs: tuple[Output, ...]
    where: Condition | None
    nearest: Nearest | None
    limit: int | None
    offset: int


def table_node(parsed: Parsed) -> exp.Table:
    """The one table in FROM. Raises SqlNotSupported where there is none, several, or more than a name."""
    source, select = parsed.source, parsed.select
    for part in stray_parts(select, _KNOWN):
        construct, token = _PARTS.get(part, (part.strip("_").replace("_", " ").upper(), None))
        value = select.args[part]
        inside = value[0] if isinstance(value, list) else value
        at = token if source.position(token) is not None else inside
        if part == "joins" and source.position(TokenType.JOIN) is None:
            construct = "more than one table in FROM"
        raise source.not_supported(construct, at if isinstance(at, (exp.Expr, TokenType)) else 0, _LEAVE_OUT)
    from_ = select.args.get("from_")
    if from_ is None:
        raise source.not_supported("SELECT without FROM", 0, "Name a collection: SELECT … FROM collection.")
    table = from_.this
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


def bind_query(parsed: Parsed, table: Table) -> Query:
    """Bind a SELECT to its table.

    Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported or SqlSyntaxError, each with a position.
    """
    node, source, select = table_node(parsed), parsed.source, parsed.select
    alias = node.args.get("alias")
    scope = Scope(source, table, folded(alias.this) if alias is not None else table.name)
    where = select.args.get("where")
    condition = bind_condition(scope, where.this) if where is not None else None
    limit = _count(source, select.args.get("limit"), "LIMIT")
    offset = _count(source, select.args.get("offset"), "OFFSET") or 0
    if offset and source.position(TokenType.OFFSET) is None:
        raise source.syntax_error("LIMIT takes one number", TokenType.LIMIT, "Write LIMIT n OFFSET m.")
    if (1 if limit is None else limit) + offset > MAX_ROWS:
        raise source.type_mismatch(
            f"LIMIT and OFFSET together go beyond Milvus's {MAX_ROWS:,}",
            (limit or 0) + offset,
            select.args.get("limit") or select.args.get("offset"),
            "Narrow the answer with WHERE, or page by primary key (WHERE id > last).",
        )
    nearest = bind_order(scope, select)
    if nearest is not None and limit is None:
        raise source.not_supported(
            "ORDER BY a distance without LIMIT", TokenType.ORDER_BY, f"Add LIMIT n, at most {MAX_ROWS:,}."
        )
    outputs = bind_outputs(scope, select, nearest)
    _check_all_is_read(parsed)
    return Query(table, outputs, condition, nearest, limit, offset)


def _check_all_is_read(parsed: Parsed) -> None:
    """Refuse a name or a constant that is in the text and not in the tree, whatever became of it."""
    read = {node.meta.get("start") for node in parsed.select.walk()}
    tokens = parsed.source.tokens
    for before, token in pairwise(tokens):
        unread = token.token_type in _CARRIERS and token.start not in read
        # sqlglot makes .5 of a point and a number, and forgets where it stood.
        if unread and before.token_type != TokenType.DOT and token.text.upper() not in _NOISE:
            raise parsed.source.syntax_error(
                f"'{token.text[:40]}' has no place here", token.start, "Remove it."
            )


def _count(source: Source, node: exp.Expr | None, name: str) -> int | None:
    """The number after LIMIT or OFFSET."""
    if node is None:
        return None
    if isinstance(node, exp.Fetch):
        raise source.not_supported("FETCH FIRST", TokenType.FETCH, "Write LIMIT n.")
    if stray_parts(node, ("expression",)):
        raise source.not_supported(f"{name} with more than a number", node, f"Write {name} n.")
    value = node.args["expression"]
    if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdecimal():
        raise source.type_mismatch(
            f"{name} takes a whole number that is written out", value.sql()[:40], value, f"Write {name} 10."
        )
    return min(int(str(value.this)[:18]), 1 << 62)
