"""``FROM (VALUES ('a'), ('b')) AS q(text) CROSS JOIN LATERAL (SELECT …) AS p``: one SELECT for each query.

The rows of the left side are in the statement or in a parameter; the SELECT on the right refers to their
columns (``q.text``) wherever a parameter is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlglot import Token, TokenType, exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.select_list import OutputColumn
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec_schemas.errors import nearest

MAX_QUERIES: Final = 1_000

_WRITE = "Write FROM (VALUES ('a'), ('b')) AS q(text) CROSS JOIN LATERAL (SELECT … LIMIT 5) AS p."


@dataclass(frozen=True)
class Lateral:
    """A statement with LATERAL: the rows of its left side, and the SELECT that runs for each of them."""

    left: str
    """The name of the left side, whose rows are the queries."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    """The rows of the left side, with one value per column."""
    right: str
    """The name of the right side."""
    outer: bool
    """Whether a row of the left side is kept if the right side has none for it (LEFT JOIN)."""
    source: SourceText
    """The statement, with the tokens of the right side only."""
    select: exp.Select
    """The right side, with a parameter in place of each column of the left side."""

    def params(self, outer: Params, row: Sequence[Any]) -> Params:
        """The parameters of the right side for one row of the left."""
        named = {
            _parameter(self.left, column): value for column, value in zip(self.columns, row, strict=True)
        }
        return replace(outer, values={**outer.values, **named})


def is_lateral(select: exp.Select) -> bool:
    """Whether FROM starts with VALUES or unnest."""
    from_ = select.args.get("from_")
    return from_ is not None and isinstance(from_.this, (exp.Values, exp.Unnest))


def bind_lateral(source: SourceText, select: exp.Select, params: Params) -> Lateral:
    """Bind the left side. Raises SqlNotSupported, SqlSyntaxError, SqlTypeMismatch."""
    for part in stray_parts(select, ("expressions", "from_", "joins")):
        part_node = select.args[part]
        raise source.not_supported(
            f"{part.strip('_').upper()} outside LATERAL",
            part_node if isinstance(part_node, exp.Expr) else 0,
            "Move it inside the parentheses of LATERAL.",
        )
    left = select.args["from_"].this
    join, lateral = _lateral(source, select)
    inner = lateral.this.this
    name, columns, rows = _rows(source, left, params)
    if not rows:
        raise source.type_mismatch("there are no queries", "none", left, "Pass at least one.")
    if len(rows) > MAX_QUERIES:
        raise source.type_mismatch(
            f"one statement has at most {MAX_QUERIES:,} queries",
            len(rows),
            left,
            "Split them into several statements.",
        )
    alias = lateral.args.get("alias")
    if alias is None or stray_parts(alias, ("this",)):
        raise source.syntax_error(
            "LATERAL (…) needs a name, without column names", lateral, "Write LATERAL (…) AS p."
        )
    return Lateral(
        left=name,
        columns=columns,
        rows=rows,
        right=identifier_name(alias.this),
        outer=str(join.args.get("side") or "").upper() == "LEFT",
        source=SourceText(source.text, _inner_tokens(source)),
        select=_parametrised(source, inner, name, columns),
    )


def _lateral(source: SourceText, select: exp.Select) -> tuple[exp.Join, exp.Lateral]:
    joins = select.args.get("joins") or []
    if len(joins) != 1 or not isinstance(joins[0].this, exp.Lateral):
        raise source.not_supported("VALUES or unnest in FROM without exactly one LATERAL", 0, _WRITE)
    join = joins[0]
    lateral = join.this
    if stray_parts(join, ("this", "kind", "side", "on")) or str(join.args.get("kind") or "").upper() not in (
        "",
        "CROSS",
        "INNER",
        "OUTER",
    ):
        raise source.not_supported("this join", TokenType.JOIN, _WRITE)
    if str(join.args.get("side") or "").upper() not in ("", "LEFT"):
        raise source.not_supported(
            "this side of a join with LATERAL", TokenType.JOIN, "Write LEFT JOIN LATERAL."
        )
    on = join.args.get("on")
    if on is not None and not (isinstance(on, exp.Boolean) and on.this):
        raise source.not_supported("LATERAL with a condition", on, "Write ON TRUE, and WHERE inside.")
    if not isinstance(lateral.this, exp.Subquery) or not isinstance(lateral.this.this, exp.Select):
        raise source.not_supported(f"LATERAL {construct_name(lateral.this)}", lateral, _WRITE)
    if stray_parts(lateral, ("this", "alias")) or stray_parts(lateral.this, ("this",)):
        raise source.not_supported("this LATERAL", lateral, _WRITE)
    return join, lateral


def _inner_tokens(source: SourceText) -> tuple[Token, ...]:
    """The tokens inside the parentheses of LATERAL."""
    start = next(n for n, token in enumerate(source.tokens) if token.token_type == TokenType.LATERAL) + 2
    depth, end = 1, start
    while depth and end < len(source.tokens):
        kind = source.tokens[end].token_type
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
        end += 1
    return source.tokens[start : end - 1]


def _rows(
    source: SourceText, left: exp.Expr, params: Params
) -> tuple[str, tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    """The name, the columns and the rows of the left side."""
    alias = left.args.get("alias")
    if alias is None or not isinstance(alias.this, exp.Identifier):
        raise source.syntax_error("the queries have no name", left, "Add AS q(text).")
    name = identifier_name(alias.this)
    named = tuple(identifier_name(item) for item in alias.args.get("columns") or ())
    if isinstance(left, exp.Values):
        if stray_parts(left, ("expressions", "alias")):
            raise source.not_supported("VALUES with anything but rows", left, _WRITE)
        rows = tuple(
            tuple(_value(source, cell, params) for cell in item.expressions)
            for item in left.expressions
            if isinstance(item, exp.Tuple)
        )
        columns = named or tuple(f"column{number}" for number in range(1, len(rows[0]) + 1))
    else:
        rows = _unnested(source, left, params)
        columns = named or (name,)
        ordinal = left.args.get("offset")
        if isinstance(ordinal, exp.Identifier):
            rows = tuple((*row, number) for number, row in enumerate(rows, 1))
            columns = (*columns, identifier_name(ordinal))
    wrong = next((item for item in rows if len(item) != len(columns)), None)
    if wrong is not None:
        raise source.syntax_error(
            f"a row has {len(wrong)} values for {len(columns)} columns", left, f"Name them: AS {name}(…)."
        )
    return name, columns, rows


def _unnested(source: SourceText, left: exp.Expr, params: Params) -> tuple[tuple[Any, ...], ...]:
    if len(left.expressions) != 1 or stray_parts(left, ("expressions", "alias", "offset")):
        raise source.not_supported("unnest of several arrays", left, "Pass one, or write VALUES.")
    array = left.expressions[0]
    if isinstance(array, exp.Array):
        return tuple((_value(source, item, params),) for item in array.expressions)
    if isinstance(array, PARAMETER_NODES):
        values = params.value(source, array)
        if isinstance(values, (list, tuple)):
            return tuple((tuple(item) if isinstance(item, list) else item,) for item in values)
    raise source.type_mismatch(
        "unnest takes an array", construct_name(array), array, "Pass ARRAY['a'] or a list."
    )


def _value(source: SourceText, node: exp.Expr, params: Params) -> Any:
    """One value: a constant, or any value of a parameter, for example a vector."""
    if isinstance(node, PARAMETER_NODES):
        value = params.value(source, node)
        return tuple(value) if isinstance(value, list) else value
    return Scope(source, Table("", ()), "", params).constant(node)


def _parameter(left: str, column: str) -> str:
    # The name of a parameter in a statement never contains a dot.
    return f"{left}.{column}"


def _parametrised(source: SourceText, select: exp.Select, left: str, columns: Sequence[str]) -> exp.Select:
    """A copy with a parameter in place of each column of the left side."""
    copied = select.copy()
    for node in list(copied.find_all(exp.Column)):
        table = node.args.get("table")
        if table is None or identifier_name(table) != left:
            continue
        column = identifier_name(node.this)
        if column not in columns:
            raise source.unknown_name(
                f"{left} has no such column", column, node, f"Available: {', '.join(columns)}."
            )
        placeholder = exp.Placeholder(this=_parameter(left, column))
        placeholder.meta.update(table.meta)
        node.replace(placeholder)
    return copied


Sides = Mapping[str, Mapping[str, str]]
"""The columns of each side by name, with their types."""


def side_column(side: str, column: str) -> str:
    """The name of a column of one side in the joined rows."""
    return f"{side}.{column}"


def bind_lateral_outputs(source: SourceText, select: exp.Select, sides: Sides) -> tuple[OutputColumn, ...]:
    """The columns of the result. Raises SqlUnknownName, and SqlNotSupported for expressions."""
    outputs: dict[str, OutputColumn] = {}
    for node in select.expressions:
        inner = node.this if isinstance(node, exp.Alias) else node
        alias = identifier_name(node.args["alias"]) if isinstance(node, exp.Alias) else ""
        for side, column in _columns(source, inner, sides):
            name = alias or column
            if name in outputs:
                raise source.not_supported(
                    f"a second output column named {name}", node, "Rename one with AS."
                )
            outputs[name] = OutputColumn(name, ColumnRef(side_column(side, column)), sides[side][column])
    return tuple(outputs.values())


def _columns(source: SourceText, node: exp.Expr, sides: Sides) -> Iterator[tuple[str, str]]:
    star = node.this if isinstance(node, exp.Column) else node
    if isinstance(star, exp.Star):
        if stray_parts(star, ()):
            raise source.not_supported("* with more than a table name", node, "Name the columns.")
        selected = [_side(source, node, sides)] if node.args.get("table") else list(sides)
        yield from ((side, column) for side in selected for column in sides[side])
        return
    if not isinstance(node, exp.Column) or stray_parts(node, ("this", "table")):
        raise source.not_supported(
            f"{construct_name(node)} in the select list above LATERAL",
            node,
            "Compute it inside LATERAL, and name it there.",
        )
    name = identifier_name(node.this)
    searched = [_side(source, node, sides)] if node.args.get("table") else list(sides)
    matching = [side for side in searched if name in sides[side]]
    if len(matching) > 1:
        raise source.unknown_name("this name is ambiguous", name, node, f"Write {matching[0]}.{name}.")
    if not matching:
        names = [column for side in searched for column in sides[side]]
        raise source.unknown_name(
            f"there is no such column in {' or '.join(searched)}",
            name,
            node,
            f"Available: {', '.join(names)}.{nearest(name, names)}",
        )
    yield matching[0], name


def _side(source: SourceText, node: exp.Expr, sides: Sides) -> str:
    name = identifier_name(node.args["table"])
    if name not in sides:
        raise source.unknown_name(
            "FROM has no such table", name, node, f"Available: {', '.join(sides)}.{nearest(name, sides)}"
        )
    return name
