"""The select list: which columns the answer has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC, Column
from nestvec.sql.bind.expressions.binder import Reader, check_readable
from nestvec.sql.bind.expressions.expressions import Expression, Field
from nestvec.sql.bind.expressions.naming import name_of
from nestvec.sql.bind.expressions.typing import NULL, mark
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.nearest import Ranking
from nestvec.sql.parse.source import folded, stray_parts


@dataclass(frozen=True)
class Output:
    """One column of the answer. ``type`` is Milvus's name for what it holds, ``ANY`` where nobody knows."""

    name: str
    expression: Expression
    type: str = "ANY"


@dataclass(frozen=True)
class Item:
    """One column of the answer, named and not bound yet: an expression, or a column that * stands for."""

    name: str
    node: exp.Expr
    column: Column | None = None


def list_items(scope: Scope, select: exp.Select) -> tuple[Item, ...]:
    """The answer's columns; ``*`` is every column, vectors too. Raises the errors of ``bind_query``.

    Two columns that are called by one name are refused; names that nobody wrote are numbered.
    """
    if not select.expressions:
        raise scope.source.syntax_error("the select list is empty", 0, "Name the columns, or write *.")
    found = [(item, given, node) for node in select.expressions for item, given in _items(scope, node)]
    taken: set[str] = set()
    for item, given, node in found:
        if given and item.name in taken:
            raise scope.source.not_supported(
                f"a second column of the answer named {item.name}", node, "Rename one with AS."
            )
        taken |= {item.name} if given else set()
    return tuple(item if given else _numbered(item, taken) for item, given, _ in found)


def _numbered(item: Item, taken: set[str]) -> Item:
    """The item by the first name that is free; it is ``taken`` then."""
    name, number = item.name, 2
    while name in taken:
        name, number = f"{item.name}_{number}", number + 1
    taken.add(name)
    return Item(name, item.node, item.column)


def _items(scope: Scope, node: exp.Expr) -> Iterator[tuple[Item, bool]]:
    """What one place in the list stands for, and whether its name was written there."""
    inner = node.this if isinstance(node, exp.Alias) else node
    star = inner.this if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star) else inner
    if isinstance(star, exp.Star) and inner is node:
        for column in _star(scope, inner, star):
            yield Item(column.name, inner, column), True
    elif isinstance(node, exp.Alias):
        yield Item(folded(node.args["alias"]), inner), True
    else:
        while isinstance(inner, exp.Paren):
            inner = inner.this
        if isinstance(inner, exp.Column):
            yield Item(scope.column(inner).name, inner), True
        else:
            yield Item(name_of(scope.source, inner), inner), False


def _star(scope: Scope, node: exp.Expr, star: exp.Star) -> Sequence[Column]:
    if stray_parts(star, ()) or (isinstance(node, exp.Column) and stray_parts(node, ("this", "table"))):
        raise scope.source.not_supported("* with more than a table's name", node, "Name the columns.")
    if isinstance(node, exp.Column):
        scope.check_qualifier(node)
    if not scope.table.columns:
        raise scope.source.syntax_error("* stands for a table's columns", node, "Add FROM collection.")
    # Milvus keeps the words of a BM25 column to itself: such a column is one to search by alone.
    hidden = {one.column for one in scope.table.lexical}
    shown = [column for column in scope.table.columns if column.name not in hidden]
    for column in shown:
        check_readable(scope, column, node)
    return [*shown, DYNAMIC] if scope.table.dynamic else shown


def bind_outputs(scope: Scope, select: exp.Select, nearest: Ranking | None) -> tuple[Output, ...]:
    """The columns of a select list without aggregates, bound. Raises the errors of ``bind_query``."""
    return bind_items(Reader(scope, "the select list", nearest), list_items(scope, select))


def bind_items(reader: Reader, items: Sequence[Item]) -> tuple[Output, ...]:
    """Bind what each column is made of. Raises the errors of ``bind_query``."""
    return tuple(_bound(reader, item) for item in items)


def _bound(reader: Reader, item: Item) -> Output:
    if item.column is not None:
        at = mark(reader.scope.source, item.node)
        return Output(item.name, Field(item.column.name, at), item.column.type)
    typed = reader.bind(item.node)
    return Output(item.name, typed.expression, "ANY" if typed.type == NULL else typed.type)
