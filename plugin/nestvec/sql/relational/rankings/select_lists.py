"""Ranked SELECTs whose lists have expressions: Milvus ranks and cuts the rows, DuckDB computes the list.

What the expressions read becomes the list of the search: stored columns, and the value that ranks the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from nestvec.sql.bind.order import list_sort_keys, resolve_select_item
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.select_list import SelectItem, list_select_items
from nestvec.sql.bind.values import check_depth
from nestvec.sql.bind.vectors.ranking import as_measure
from nestvec.sql.parse.source import without_parens
from nestvec_schemas.errors import SqlNotSupported

RANK = "__distance"
"""The column of a search's rows that holds the value they are ranked by."""

_SEVERAL_ROWS = (exp.AggFunc, exp.Window, exp.Query, exp.Unnest, exp.Explode)


@dataclass
class SplitSelect:
    """A SELECT in two: the search, and the list over its rows."""

    search: exp.Select
    """Ranks and cuts the rows; its list has the columns that ``items`` read."""
    items: list[exp.Expr] = field(default_factory=list)
    """The list, over the columns of the search by their names."""


def split_select(scope: Scope, select: exp.Select) -> SplitSelect:
    """Split a ranked SELECT. Raises SqlNotSupported for a list that reads several rows, SqlUnknownName."""
    entries = list_select_items(scope, select)
    search = select.copy()
    # The copy's nodes, so that the statement's own tree stays as it is.
    copies = list_select_items(scope, search)
    grouped = select.args.get("group") is not None
    search_columns: dict[str, exp.Expr] = {}
    split = SplitSelect(search)
    for item in entries:
        expression = _over_search(scope, item, search_columns, grouped=grouped)
        split.items.append(exp.alias_(expression, item.name, quoted=True))
    _resolve_keys(scope, search, copies)
    search.set("expressions", [exp.alias_(node, name, quoted=True) for name, node in search_columns.items()])
    return split


def _over_search(
    scope: Scope, item: SelectItem, search_columns: dict[str, exp.Expr], *, grouped: bool
) -> exp.Expr:
    """An entry of the list over the rows of the search, whose columns are added to ``search_columns``."""
    if item.column is not None:
        search_columns[item.column.name] = exp.column(item.column.name, quoted=True)
        return exp.column(item.column.name, quoted=True)
    check_depth(scope.source, item.node)
    holder = exp.Paren(this=item.node.copy())
    for node in list(holder.walk(prune=_is_read)):
        if isinstance(node, exp.Column):
            column = scope.column(node)
            _replace_read(node, column.name, search_columns)
        elif _is_rank(node) or (grouped and _is_read(node)):
            _replace_read(node, RANK, search_columns)
        elif isinstance(node, _SEVERAL_ROWS):
            raise SqlNotSupported("an expression over several rows is not supported here", next_step="")
    result: exp.Expr = holder.this
    return result


def _is_rank(node: exp.Expr | None) -> bool:
    measured = as_measure(node) if node is not None and not isinstance(node, exp.Paren) else None
    return measured is not None and measured.kind != "similarity"


def _is_read(node: exp.Expr) -> bool:
    """Whether a node is a column, or ranks the rows: what is below it is the search's."""
    best = isinstance(node, (exp.Min, exp.Max)) and _is_rank(without_parens(node.this))
    return isinstance(node, exp.Column) or best or _is_rank(node)


def _replace_read(node: exp.Expr, name: str, search_columns: dict[str, exp.Expr]) -> None:
    same = search_columns.get(name)
    if same is not None and name == RANK and same != node:
        raise SqlNotSupported("a list with several distances is not supported here", next_step="")
    if same is None:
        search_columns[name] = node.copy()
    replacement = exp.column(name, quoted=True)
    replacement.meta.update(node.meta)
    node.replace(replacement)


def _resolve_keys(scope: Scope, search: exp.Select, items: Sequence[SelectItem]) -> None:
    """Write the keys of ORDER BY and GROUP BY without the names and positions of the list."""
    keys = list_sort_keys(scope, search, items)
    for key in keys:
        key.ordered.set("this", key.node.copy())
    group = search.args.get("group")
    for node in list(group.expressions) if group is not None else ():
        node.replace(resolve_select_item(scope, node, items, "GROUP BY", columns_first=True).copy())
