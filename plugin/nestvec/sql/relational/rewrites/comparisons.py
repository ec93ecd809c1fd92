"""Comparisons: of rows, with ANY and ALL, IS DISTINCT FROM, BETWEEN SYMMETRIC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import type_arrays, typed_array
from nestvec.sql.relational.rewrites.bytes_and_times import BINARY_TYPES, BLANK_PADDED_TYPES, bytea_constant
from nestvec.sql.relational.rewrites.casts import blank_padded_constant, numeric_constant
from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES, datetime_of_text
from nestvec.sql.relational.rewrites.nodes import (
    JSON_TYPES,
    TEXT_TYPES,
    anonymous_name,
    call,
    is_text_constant,
    kind,
)
from nestvec_schemas.errors import SqlTypeMismatch

_STRICTER: dict[type[exp.Expr], type[exp.Binary]] = {exp.LTE: exp.LT, exp.GTE: exp.GT}


def _compare_rows(left: list[exp.Expr], right: list[exp.Expr], operator: type[exp.Binary]) -> exp.Expr:
    """A comparison of rows, element by element: DuckDB orders NULLs in rows as values."""
    first = operator(this=left[0].copy(), expression=right[0].copy())
    if len(left) == 1:
        return compare(first)
    rest = _compare_rows(left[1:], right[1:], operator)
    if operator is exp.EQ:
        return exp.and_(compare(first), rest)
    if operator is exp.NEQ:
        return exp.paren(exp.or_(compare(first), rest))
    strict = _STRICTER.get(operator, operator)(this=left[0].copy(), expression=right[0].copy())
    equal = exp.EQ(this=left[0].copy(), expression=right[0].copy())
    return exp.paren(exp.or_(compare(strict), exp.paren(exp.and_(compare(equal), rest))))


_TYPED_CONSTANTS: Final[dict[exp.DType, Callable[[exp.Expr], exp.Expr]]] = {
    **dict.fromkeys(BINARY_TYPES, bytea_constant),
    **dict.fromkeys(BLANK_PADDED_TYPES, blank_padded_constant),
    exp.DType.DECIMAL: numeric_constant,
    **{each: partial(datetime_of_text, type_=each) for each in DATETIME_TYPES},
}
"""What makes values of constants in quotes that DuckDB would convert otherwise, beside these types."""


def membership(node: exp.In) -> exp.Expr:
    """``(a, b) IN ((1, 2), (3, 4))``, and REAL in a list of numbers."""
    row = node.this
    if kind(row) in JSON_TYPES and node.expressions:
        return exp.paren(
            exp.or_(*(compare(exp.EQ(this=row.copy(), expression=item.copy())) for item in node.expressions))
        )
    if kind(row) == exp.DType.FLOAT:
        if node.args.get("query") is None and not isinstance(node.expressions[0], (exp.Values, exp.Query)):
            return _real_in(node)
        node.set("this", exp.cast(row.copy(), "double"))
        return node
    convert = _TYPED_CONSTANTS.get(kind(row))
    if convert is not None:
        for item in list(filter(is_text_constant, node.expressions)):
            item.replace(convert(item))
    items, query = _row_items(row), node.args.get("query")
    if items is not None and query is not None:
        return _row_in_query(items, query)
    rows = [_row_items(item) for item in node.expressions]
    if items is None or not rows or not all(rows):
        return node
    return exp.paren(exp.or_(*(_compare_rows(items, listed, exp.EQ) for listed in rows if listed)))


def _row_items(node: exp.Expr) -> list[exp.Expr] | None:
    """The values of ``(a, b)`` or ``ROW(a, b)``; None for another node, and for one without values."""
    while isinstance(node, exp.Paren):
        node = node.this
    is_row = isinstance(node, exp.Tuple) or anonymous_name(node) == "ROW"
    return (list(node.expressions) or None) if is_row else None


def _row_in_query(row: list[exp.Expr], query: exp.Expr) -> exp.Expr:
    """``(a, b) IN (SELECT …)``: DuckDB takes NULL in a row for a value."""
    names = [f"pg_column_{number}" for number in range(len(row))]
    columns: list[exp.Expr] = [exp.column(name, "pg_rows") for name in names]
    alias = exp.TableAlias(
        this=exp.to_identifier("pg_rows"), columns=[exp.to_identifier(name) for name in names]
    )
    rows = exp.Subquery(this=query.unnest().copy(), alias=alias)
    for column, item in zip(columns, rows.selects, strict=False):
        if kind(item) in JSON_TYPES:
            column.type = item.unalias().type
    same = _compare_rows(row, columns, exp.EQ)
    equal, unclear = (
        exp.Exists(this=exp.select("1").from_(rows.copy()).where(test))
        for test in (same, exp.Is(this=exp.paren(same.copy()), expression=exp.null()))
    )
    ifs = [exp.If(this=equal, true=exp.true()), exp.If(this=unclear, true=exp.null())]
    return exp.Case(ifs=ifs, default=exp.false())


def _real_in(node: exp.In) -> exp.Expr:
    """PostgreSQL makes an array of several constants, of their common type with REAL, and compares others."""
    constants = [item for item in node.expressions if item.find(exp.Column) is None]
    others = [item for item in node.expressions if item.find(exp.Column) is not None]
    if len(constants) < 2:
        constants, others = [], node.expressions
    tests: list[exp.Expr] = [
        compare(exp.EQ(this=node.this.copy(), expression=item.copy())) for item in others
    ]
    if constants:
        wide = any(kind(item) == exp.DType.DOUBLE for item in constants)
        name = "double" if wide else "real"
        items = [exp.cast(item.copy(), name) for item in constants]
        tests.append(exp.In(this=exp.cast(node.this.copy(), name), expressions=items))
    return exp.paren(exp.or_(*tests))


def real_choice(node: exp.Expr) -> exp.Expr:
    """``CASE r WHEN 3.1`` and ``nullif(r, 3.1)`` of a REAL: compared with other numbers, it is a double."""
    tested = node.this
    if not isinstance(node, (exp.Case, exp.Nullif)) or tested is None or kind(tested) != exp.DType.FLOAT:
        return node
    wide = exp.cast(tested.copy(), "double")
    if isinstance(node, exp.Nullif):
        if kind(node.expression) in (None, exp.DType.FLOAT) or is_text_constant(node.expression):
            return node
        equal = exp.EQ(this=wide, expression=node.expression.copy())
        return exp.Case(ifs=[exp.If(this=equal, true=exp.null())], default=tested.copy())
    for branch in node.args["ifs"]:
        if is_text_constant(branch.this):
            branch.set("this", exp.cast(branch.this.copy(), "real"))
    node.set("this", wide)
    return node


def compare(node: exp.Binary) -> exp.Expr:
    left, right = node.this, node.expression
    rows = _row_items(left), _row_items(right)
    if rows[0] and rows[1] and len(rows[0]) == len(rows[1]):
        return exp.paren(_compare_rows(rows[0], rows[1], type(node)))
    type_arrays(node)
    if _quantifier(node.expression) is not None:
        return _quantified(node)
    if JSON_TYPES & {kind(left), kind(right)}:
        return _compare_documents(node)
    for name, other in (("this", node.expression), ("expression", node.this)):
        side = node.args[name]
        if kind(other) == exp.DType.BOOLEAN and is_text_constant(side):
            node.set(name, call("pg_boolean", side))
        elif kind(other) in _TYPED_CONSTANTS and is_text_constant(side):
            node.set(name, _TYPED_CONSTANTS[kind(other)](side))
        elif is_text_constant(other):
            continue  # it takes the type of the other side
        elif kind(side) == exp.DType.FLOAT and kind(other) not in (None, exp.DType.FLOAT):
            node.set(name, exp.cast(side.copy(), "double"))
    return node


def _compare_documents(node: exp.Binary) -> exp.Binary:
    """Documents are equal whatever the order of their keys; DuckDB compares their texts."""
    macro = "pg_json_normal" if isinstance(node, (exp.EQ, exp.NEQ)) else "pg_json_sort_key"
    for name in ("this", "expression"):
        side = node.args[name]
        if isinstance(side, exp.Literal) and side.is_string:
            side = exp.cast(side.copy(), "json")
        elif kind(side) not in JSON_TYPES:
            return node
        node.set(name, call(macro, side))
    return node


def ordered_documents(node: exp.Ordered) -> exp.Expr:
    """ORDER BY documents, which DuckDB orders as texts.

    Of DISTINCT rows and of UNION, it takes no other expressions than those of the select list.
    """
    if kind(node.this) == exp.DType.JSON:
        raise SqlTypeMismatch("values of the type json have no order", next_step="Cast them to jsonb.")
    # The order of a window or an aggregate is not that of the rows.
    query = node.parent.parent if node.parent is not None else None
    listed = isinstance(query, exp.SetOperation) or (
        isinstance(query, exp.Select) and query.args.get("distinct")
    )
    if listed or kind(node.this) not in JSON_TYPES:
        return node
    node.set("this", call("pg_json_sort_key", node.this))
    return node


def between(node: exp.Between) -> exp.Expr:
    """BETWEEN SYMMETRIC, which DuckDB lacks, and types whose constants DuckDB takes otherwise."""
    value, low, high = node.this, node.args["low"], node.args["high"]
    symmetric = bool(node.args.get("symmetric"))
    kinds = {kind(value), kind(low), kind(high)}
    stated_kinds = {kind(side) for side in (value, low, high) if not is_text_constant(side)}
    # A constant is of the value's type, and not of the other bound's.
    mixed = len(stated_kinds) > 1 and any(map(is_text_constant, (low, high)))
    if not symmetric and not mixed and not kinds & {exp.DType.FLOAT, *JSON_TYPES, *_TYPED_CONSTANTS}:
        return node
    # Not least() and greatest(), which pass over NULL.
    ranges = ((low, high), (high, low)) if symmetric else ((low, high),)
    tests = [
        exp.and_(
            compare(exp.GTE(this=value.copy(), expression=first.copy())),
            compare(exp.LTE(this=value.copy(), expression=last.copy())),
        )
        for first, last in ranges
    ]
    return exp.paren(exp.or_(*tests))


def _quantified(node: exp.Binary) -> exp.Expr:
    """``x < ANY('{1,2}')``: the constant is an array of the other side's type."""
    inner = _quantifier(node.expression)
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if inner is None or isinstance(inner, exp.Query):
        if kind(node.this) == exp.DType.FLOAT:
            node.set("this", exp.cast(node.this.copy(), "double"))
        return node
    values = inner.copy()
    if isinstance(inner, exp.Literal) and inner.is_string:
        values = typed_array(inner, kind(node.this))
    if node.this.find(exp.Query) is None:
        return _holds(node, node.this, values)
    # DuckDB takes no subquery inside a lambda, nor columns of two levels.
    sides = [exp.alias_(node.this.copy(), "pg_value"), exp.alias_(values, "pg_values")]
    row = exp.select(*sides).subquery("pg_compared")
    holds = _holds(node, *(exp.column(side.alias, "pg_compared") for side in sides))
    return exp.select(holds).from_(row).subquery()


def _holds(node: exp.Binary, value: exp.Expr, values: exp.Expr) -> exp.Expr:
    """Whether a comparison with ANY or ALL holds. DuckDB's own are subqueries, not allowed everywhere."""
    element = exp.to_identifier("pg_item")
    compared: exp.Binary = type(node)(this=value.copy(), expression=element.copy())
    if kind(node.this) in JSON_TYPES:
        for side in (compared.this, compared.expression):
            side.type = node.this.type
        compared = _compare_documents(compared)
    transformed = call("list_transform", values, exp.Lambda(this=compared, expressions=[element]))
    return call("pg_any" if isinstance(node.expression, exp.Any) else "pg_all", transformed)


def _quantifier(node: exp.Expr) -> exp.Expr | None:
    """What is inside ANY(…) or ALL(…), the latter of which may parse as a function; None for another node."""
    if isinstance(node, (exp.Any, exp.All)):
        inner: exp.Expr = node.this
        return inner
    is_call = isinstance(node, exp.Anonymous) and anonymous_name(node) == "ALL" and len(node.expressions) == 1
    return node.expressions[0] if is_call else None


_MAX_REPEATED: Final = 50
"""Nodes of an operand from which it is not written twice: operands of operands would grow exponentially."""


def is_distinct(node: exp.Binary) -> exp.Expr:
    """IS DISTINCT FROM a constant: DuckDB cannot push an OR of such into the scan of an Arrow table."""
    left, right = node.this, node.expression
    sides = (left, right)
    if all(side.find(exp.Column) for side in sides) or any(map(_row_items, sides)):
        return node
    if any(len(list(islice(side.walk(), _MAX_REPEATED))) == _MAX_REPEATED for side in sides):
        return node
    unequal = compare(exp.NEQ(this=left.copy(), expression=right.copy()))
    nulls = exp.NEQ(this=exp.paren(left.is_(exp.null())), expression=exp.paren(right.is_(exp.null())))
    distinct = exp.Coalesce(this=unequal, expressions=[nulls])
    return exp.Not(this=distinct) if isinstance(node, exp.NullSafeEQ) else distinct


def _json_test(node: exp.Is) -> exp.Expr:
    """``text IS JSON OBJECT WITH UNIQUE KEYS``."""
    if not is_text_constant(node.this) and kind(node.this) not in {*TEXT_TYPES, *JSON_TYPES}:
        raise SqlTypeMismatch("IS JSON takes a text or JSON", next_step="Cast the operand to text.")
    word = exp.Literal.string(node.expression.this.expressions[0].name)
    unique = exp.Boolean(this=bool(node.expression.args.get("unique")))
    return call("pg_is_json", exp.cast(node.this.copy(), "text"), word, unique)


def is_boolean(node: exp.Is) -> exp.Expr:
    """IS TRUE and IS FALSE, for the same reason; and IS [NOT] NULL of a row, which means all its values."""
    if isinstance(node.expression, exp.JSON):
        return _json_test(node)
    items = _row_items(node.this)
    if items and isinstance(node.expression, exp.Null):
        tests = (
            exp.Is(this=item.copy(), expression=exp.null(), negate=node.args.get("negate")) for item in items
        )
        return exp.paren(exp.and_(*tests))
    if not isinstance(node.expression, exp.Boolean) or node.args.get("negate"):
        return node
    condition = node.this.copy()
    holds = condition if node.expression.this else exp.Not(this=exp.paren(condition))
    return exp.Coalesce(this=holds, expressions=[exp.false()])
