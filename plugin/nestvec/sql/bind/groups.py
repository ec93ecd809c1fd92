"""GROUP BY, aggregates and HAVING; and the best row of each group of a ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlglot import TokenType, exp

from nestvec.sql.bind.expressions.binder import Reader
from nestvec.sql.bind.expressions.expressions import Apply, Expression, Field, Summary, parts, written
from nestvec.sql.bind.order import named_item
from nestvec.sql.bind.outputs import Item
from nestvec.sql.bind.scope import INTEGERS, STRINGS
from nestvec.sql.bind.vectors.direction import worse
from nestvec.sql.bind.vectors.nearest import Fused, Ranking
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.source import Source
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch

_GROUPED = INTEGERS | STRINGS | {"BOOL"}
"""What Milvus's grouping search groups by."""

_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)


@dataclass(frozen=True)
class Group:
    """One expression of GROUP BY, with the type of its values and where it is written."""

    expression: Expression
    type: str
    node: exp.Expr


def bind_groups(reader: Reader, select: exp.Select, items: Sequence[Item]) -> tuple[Group, ...] | None:
    """What GROUP BY names: a column of the table, one of the answer, or an expression; None without it."""
    clause, source = select.args.get("group"), reader.scope.source
    if clause is None:
        return None
    if clause.args.get("all") or not clause.expressions:
        raise source.not_supported("GROUP BY ALL", TokenType.GROUP_BY, "Name the columns.")
    found: list[Group] = []
    for node in clause.expressions:
        if isinstance(node, _SETS):
            raise source.not_supported("GROUP BY of several sets", node, "Run one statement a set.")
        meant = named_item(reader.scope, node, items, "GROUP BY", columns_first=True)
        typed = reader.bind(meant)
        found.append(Group(typed.expression, typed.type, node))
    return tuple(found)


def summaries(expressions: Iterable[Expression]) -> tuple[Summary, ...]:
    """The aggregates in expressions, each once."""
    found = (part for one in expressions for part in parts(one) if isinstance(part, Summary))
    return tuple(dict.fromkeys(found))


def over_groups(source: Source, expression: Expression, keys: Sequence[Expression]) -> Expression:
    """An expression of a group's row, which has what is grouped by and aggregates. Raises SqlTypeMismatch."""

    def read(one: Expression) -> Expression | None:
        if one in keys:
            return Field(written(one))
        if isinstance(one, Summary):
            return one
        if isinstance(one, Field):
            raise SqlTypeMismatch(
                f"column {one.name} is neither in GROUP BY nor in an aggregate",
                value=one.name,
                next_step=f"Add it to GROUP BY, or write min({one.name}).",
                statement=source.text,
                position=one.mark.position if one.mark is not None else None,
            )
        return None

    return _rewritten(expression, read)


def best_group(reader: Reader, groups: Sequence[Group]) -> str:
    """The column that Milvus groups a ranking by. Raises SqlNotSupported where it cannot."""
    source, first = reader.scope.source, groups[0]
    if len(groups) > 1:
        raise source.not_supported(
            "GROUP BY of more than one column beside ORDER BY a distance",
            groups[1].node,
            "Milvus groups a search by one column.",
        )
    if isinstance(reader.nearest, Fused):
        raise source.not_supported(
            "GROUP BY beside ORDER BY a score of several", first.node, "Order by one distance."
        )
    if not isinstance(first.expression, Field) or first.type not in _GROUPED:
        kind = words(first.node) if not isinstance(first.expression, Field) else f"a {first.type} column"
        raise source.not_supported(
            f"GROUP BY {kind} beside ORDER BY a distance",
            first.node,
            "Milvus groups a search by a column of whole numbers, texts or booleans.",
        )
    return first.expression.name


def of_best(source: Source, expression: Expression, ranking: Ranking, at: exp.Expr) -> Expression:
    """An expression of the best row of a group: ``min`` of a distance is that row's own distance."""

    def read(one: Expression) -> Expression | None:
        if not isinstance(one, Summary):
            return None
        how = worse(one.argument, ranking) if one.argument is not None else 0
        if one.argument is not None and (one.name, how > 0) in (("min", True), ("max", False)) and how:
            return one.argument
        raise SqlNotSupported(
            f"the aggregate {one.name}() of groups whose best rows are ranked is not supported yet",
            next_step="Take min() of the distance, or columns of the best row.",
            statement=source.text,
            position=source.position(at),
        )

    return _rewritten(expression, read)


def _rewritten(expression: Expression, read: Callable[[Expression], Expression | None]) -> Expression:
    found = read(expression)
    if found is not None:
        return found
    if isinstance(expression, Apply):
        return replace(expression, arguments=tuple(_rewritten(one, read) for one in expression.arguments))
    return expression
