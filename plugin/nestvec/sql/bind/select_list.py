"""The select list: the columns of the result and their names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.values import NULL, ColumnRef, Constant, Expression, ValueBinder, check_readable
from nestvec.sql.bind.vectors.ranking import as_measure
from nestvec.sql.parse.construct_names import function_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts, without_parens
from nestvec.sqltypes import result_type
from nestvec_schemas.errors import SqlSyntaxError

UNNAMED: Final = "?column?"
"""PostgreSQL's name for a result column without one."""

_CASTS: Final = {
    exp.DType.SMALLINT: "int2",
    exp.DType.INT: "int4",
    exp.DType.BIGINT: "int8",
    exp.DType.FLOAT: "float4",
    exp.DType.DOUBLE: "float8",
    exp.DType.DECIMAL: "numeric",
    exp.DType.BOOLEAN: "bool",
    **dict.fromkeys((exp.DType.BINARY, exp.DType.VARBINARY), "bytea"),
    **dict.fromkeys((exp.DType.CHAR, exp.DType.BPCHAR, exp.DType.NCHAR), "bpchar"),
}


_CONSTRUCTS: Final[dict[type[exp.Expr], str]] = {
    exp.Array: "array",
    exp.Exists: "exists",
    exp.Interval: "interval",
    exp.AtTimeZone: "timezone",
    exp.CurrentDate: "current_date",
    exp.CurrentTime: "current_time",
    exp.CurrentTimestamp: "current_timestamp",
    exp.Localtime: "localtime",
    exp.Localtimestamp: "localtimestamp",
}
"""Names of columns that are no function's."""


@dataclass(frozen=True)
class OutputColumn:
    """One column of the result."""

    name: str
    expression: Expression
    type: str = "ANY"
    """Milvus's name of the type; ``ANY`` if it is unknown."""


@dataclass(frozen=True)
class SelectItem:
    """One column of the result, not bound yet."""

    name: str
    node: exp.Expr
    """The expression, or the * that stands for ``column``."""
    column: Column | None = None


def list_select_items(scope: Scope, select: exp.Select) -> tuple[SelectItem, ...]:
    """The columns of the result; ``*`` is every column. Raises the errors of ``bind_query``.

    Two columns with the same written name are refused; derived names are numbered.
    """
    if not select.expressions:
        raise scope.source.syntax_error("the select list is empty", 0, "Name the columns, or write *.")
    entries = [
        (item, is_named, node) for node in select.expressions for item, is_named in _items(scope, node)
    ]
    used_names: set[str] = set()
    for item, is_named, node in entries:
        if is_named and item.name in used_names:
            raise scope.source.not_supported(
                f"a second output column named {item.name}", node, "Rename one with AS."
            )
        used_names |= {item.name} if is_named else set()
    return tuple(item if is_named else _numbered(item, used_names) for item, is_named, _ in entries)


def _numbered(item: SelectItem, used_names: set[str]) -> SelectItem:
    """The item under the first name that is free, which is added to ``used_names``."""
    name = distinct_name(item.name, used_names)
    used_names.add(name)
    return SelectItem(name, item.node, item.column)


_REPEATED: Final = "\x1f"
"""Stands before the number of a column whose name another one of the list has."""


def distinct_name(name: str, used_names: Collection[str]) -> str:
    """A name for a column of a list that has those before; ``output_label`` is the original again."""
    candidate, number = name, 2
    while candidate in used_names:
        candidate, number = f"{name}{_REPEATED}{number}", number + 1
    return candidate


def output_label(name: str) -> str:
    """The name of a column for the caller: as in PostgreSQL, several columns may have the same one."""
    return name.partition(_REPEATED)[0]


def ambiguous_output(source: SourceText, node: exp.Expr, name: str, clause: str) -> SqlSyntaxError:
    """The error for a name in ORDER BY or GROUP BY that different columns of the result have."""
    return source.syntax_error(
        f"{name[:60]} in {clause} is ambiguous: several columns of the result have this name",
        node,
        f"Rename one of them with AS, or write its position in {clause}.",
    )


def check_no_row_value(source: SourceText, item: exp.Expr) -> None:
    """Raise SqlNotSupported for ``(t.*)`` in a select list, a row as one value, and for an alias of ``*``."""
    if not item.is_star and without_parens(item.unalias()).is_star:
        raise source.not_supported("a row as one value", item, "Write * without () or AS.")


def _items(scope: Scope, node: exp.Expr) -> Iterator[tuple[SelectItem, bool]]:
    """The columns of one entry of the list, and whether their names are written there."""
    inner = node.this if isinstance(node, exp.Alias) else node
    check_no_row_value(scope.source, node)
    star = inner.this if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star) else inner
    if isinstance(star, exp.Star):
        for column in _star(scope, inner, star):
            yield SelectItem(column.name, inner, column), True
    elif isinstance(node, exp.Alias):
        yield SelectItem(identifier_name(node.args["alias"]), inner), True
    else:
        inner = without_parens(inner)
        if isinstance(inner, exp.Column):
            yield SelectItem(scope.column(inner).name, inner), True
        else:
            yield SelectItem(output_name(scope.source, inner), inner), False


def _star(scope: Scope, node: exp.Expr, star: exp.Star) -> Sequence[Column]:
    if stray_parts(star, ()) or (isinstance(node, exp.Column) and stray_parts(node, ("this", "table"))):
        raise scope.source.not_supported("* with more than a table name", node, "Name the columns.")
    if isinstance(node, exp.Column):
        scope.check_qualifier(node)
    if not scope.table.columns:
        raise scope.source.syntax_error("* needs a table", node, "Add FROM collection.")
    # Milvus does not return the words of a BM25 column: it can only be searched.
    hidden = {lexical.column for lexical in scope.table.lexical}
    shown = [column for column in scope.table.columns if column.name not in hidden]
    for column in shown:
        check_readable(scope, column, node)
    return [*shown, DYNAMIC_COLUMN] if scope.table.dynamic else shown


def bind_select_items(binder: ValueBinder, items: Sequence[SelectItem]) -> tuple[OutputColumn, ...]:
    """Bind the expression of each column. Raises the errors of ``bind_query``."""
    return tuple(_bound(binder, item) for item in items)


def _bound(binder: ValueBinder, item: SelectItem) -> OutputColumn:
    if item.column is not None:
        type_ = result_type(item.column.type, item.column.type_params.sql_type)
        return OutputColumn(item.name, ColumnRef(item.column.name), type_)
    bound = binder.bind(item.node)
    number = _fraction(item.node)
    if number is not None:
        return OutputColumn(item.name, Constant(number), "DECIMAL")
    return OutputColumn(item.name, bound.expression, "ANY" if bound.type == NULL else bound.type)


def _fraction(node: exp.Expr) -> Decimal | None:
    """A number that is written with a fraction, which is a NUMERIC; None for anything else."""
    inner = without_parens(node)
    literal = inner.this if isinstance(inner, exp.Neg) else inner
    if not isinstance(literal, exp.Literal) or literal.is_string or literal.is_int:
        return None
    number = Decimal(f"{Decimal(literal.name):f}")  # 1e3 is 1000
    return -number if isinstance(inner, exp.Neg) else number


def output_name(source: SourceText, node: exp.Expr) -> str:
    """The name of a result column without AS, as in PostgreSQL: that of the column or of the function.

    The value that ranks the rows is called ``distance``, ``similarity`` or ``score``.
    """
    node = without_parens(node)
    if isinstance(node, exp.Column):
        return str(node.this.this) if node.this.args.get("quoted") else identifier_name(node.this)
    measured = as_measure(node)
    if measured is not None:
        return measured.kind
    function = function_name(source, node)
    if function not in ("", "cast"):
        return function
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        return output_name(source, default) if isinstance(default, exp.Column) else "case"
    if isinstance(node, exp.Cast):
        value = without_parens(node.this)
        while isinstance(value, exp.Cast):
            value = without_parens(value.this)
        inner = output_name(source, value)
        type_ = node.args["to"]
        while type_.this == exp.DType.ARRAY and type_.expressions:
            type_ = type_.expressions[0]
        to, own = type_.this, type_.args.get("kind")
        if inner == UNNAMED and isinstance(own, exp.Identifier):
            return identifier_name(own)
        return inner if inner != UNNAMED else _CASTS.get(to, str(getattr(to, "value", to)).lower())
    if isinstance(node, (exp.Bracket, exp.Collate)):
        return output_name(source, node.this)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select) and len(node.this.selects) == 1:
        item = node.this.selects[0]
        return item.alias if isinstance(item, exp.Alias) else output_name(source, item)
    return _CONSTRUCTS.get(type(node), UNNAMED)
