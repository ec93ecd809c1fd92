"""Values that a query computes, as PostgreSQL assigns them to columns."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.dml.literals import is_default
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.parse.source import without_parens
from nestvec.sql.session import Session
from nestvec.sqltypes import is_mapped
from nestvec.sqltypes.documents import parse_document, parse_exact
from nestvec.sqltypes.texts import any_text
from nestvec_schemas.errors import RowRejected


def assigned(scope: Scope, value: Any, column: Column | None, node: exp.Expr, kind: str = "") -> Any:
    """A value in Python's types as a column takes it: numbers are rounded, other types become texts.

    ``kind`` is the type of the query's column: a string of JSON is no document, whatever its text. Raises
    SqlDataError for a text that is not JSON, or no vector.
    """
    if value is None or column is None or is_mapped(column.type_params.sql_type):
        return value
    if column.type in INTEGERS and isinstance(value, (float, Decimal)) and math.isfinite(value):
        if isinstance(value, float):
            return round(value)
        return int(value.to_integral_value(ROUND_HALF_UP)) if abs(value) < 1 << 70 else value
    if column.type in FLOATS and isinstance(value, Decimal):
        return float(value)
    if column.type in STRINGS and not isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return list(value)
    if column.type in ("JSON", "FLOAT_VECTOR") and isinstance(value, str) and kind != "JSON":
        try:
            return parse_document(value) if column.type == "JSON" else parse_exact(value)
        except RowRejected as error:
            raise scope.source.data_error(error.cause, error.value, node, error.next_step) from error
        except orjson.JSONDecodeError as error:
            raise scope.source.data_error(
                f"column {column.name} is {column.type}", value[:60], node, "Cast the value to its type."
            ) from error
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return any_text(value).decode()


def list_items(query: exp.Expr, width: int) -> list[exp.Expr]:
    """What a query selects as each of its columns; exp.Null for columns of a star, and of other queries."""
    is_list = isinstance(query, exp.Select) and not query.args.get("distinct")
    items = list(query.expressions) if is_list else []
    stars = [at for at, item in enumerate(items) if item.is_star]
    first, last = (stars[0], stars[-1]) if stars else (len(items), len(items) - 1)
    before, after = items[:first], items[last + 1 :]
    return [*before, *[exp.Null()] * (width - len(before) - len(after)), *after]


def is_untyped(node: exp.Expr) -> bool:
    """Whether a value takes the type of the column that it is written into: a text in quotes, a parameter."""
    node = without_parens(node.unalias())
    return isinstance(node, PARAMETER_NODES) or (isinstance(node, exp.Literal) and bool(node.is_string))


def without_untyped(values: exp.Values) -> exp.Values:
    """VALUES with NULL for what no query computes: each value takes its column's type by itself."""
    computed = values.copy()
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in computed.expressions]
    for cell in [cell for row in rows for cell in row]:
        if is_default(cell) or is_untyped(cell):
            cell.replace(exp.Null())
    return computed


def strong(session: Session) -> Session:
    """The session with reads that see every earlier write, for rows that are about to be changed."""
    reading = copy.copy(session)
    reading.settings = replace(session.settings, consistency="Strong")
    return reading


def source_query(
    tree: exp.Expr, target: exp.Table, others: list[exp.Expr], outputs: Mapping[str, exp.Expr]
) -> exp.Select:
    """The query for the rows that an UPDATE or DELETE changes: ``outputs`` by their names.

    ``others`` are the tables of FROM or USING.
    """
    select = exp.Select(
        expressions=[exp.alias_(node.copy(), name, quoted=True) for name, node in outputs.items()]
    )
    select.set("from_", exp.From(this=target.copy()))
    joins = list[exp.Expr]()
    for other in [entry.copy() for entry in others]:
        # In a list of FROM, sqlglot has the joins of an entry behind it.
        joined = other.args.pop("joins", None) or ()
        joins += [exp.Join(this=other), *joined]
    if joins:
        select.set("joins", joins)
    where = tree.args.get("where")
    if where is not None:
        select.set("where", where.copy())
    if tree.args.get("with_") is not None:
        select.set("with_", tree.args["with_"].copy())
    return select


def target_column(target: exp.Table, name: str) -> exp.Column:
    """A column of the target of an UPDATE or DELETE, under the name that the statement gives the table."""
    alias = target.args.get("alias")
    identifier = alias.this if alias is not None else target.this
    column = exp.column(exp.to_identifier(name, quoted=True))
    column.set("table", identifier.copy())
    return column
