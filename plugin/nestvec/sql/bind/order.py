"""ORDER BY: a ranking first, with others for its ties, or values of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import TokenType, exp

from nestvec.sql.bind.expressions.binder import Reader
from nestvec.sql.bind.expressions.expressions import Distance, Expression, parts
from nestvec.sql.bind.expressions.typing import NULL
from nestvec.sql.bind.outputs import Item
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.bind.vectors.direction import STRICT, worse
from nestvec.sql.bind.vectors.nearest import Measure, Ranking, Reranked, bind_measure, measure
from nestvec.sql.parse.source import folded, stray_parts

_ORDERED = INTEGERS | FLOATS | STRINGS | {"BOOL", NULL}
_NEAREST_FIRST = "Milvus finds the nearest rows, not the farthest: turn the order round."


@dataclass(frozen=True)
class Key:
    """Rows by an expression; where NULLs stand is said by the statement, or by PostgreSQL's defaults."""

    expression: Expression
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True)
class Wanted:
    """A key not bound yet: what it is made of, and where it is written."""

    node: exp.Expr
    at: exp.Ordered


def list_keys(scope: Scope, select: exp.Select, items: Sequence[Item]) -> tuple[Wanted, ...]:
    """What ORDER BY names: a column of the answer by its name or its place, or an expression."""
    order = select.args.get("order")
    if order is None:
        return ()
    if stray_parts(order, ("expressions", "rerank")):
        raise scope.source.not_supported("ORDER SIBLINGS BY", TokenType.ORDER_BY, "Write ORDER BY.")
    for one in order.expressions:
        if stray_parts(one, ("this", "desc", "nulls_first")):
            raise scope.source.not_supported(
                "ORDER BY with more than a direction", one, "Write ASC, DESC, NULLS FIRST or NULLS LAST."
            )
    return tuple(Wanted(named_item(scope, one.this, items, "ORDER BY"), one) for one in order.expressions)


def named_item(
    scope: Scope, node: exp.Expr, items: Sequence[Item], place: str, columns_first: bool = False
) -> exp.Expr:
    """What a name or a number alone stands for: that column of the answer. Else ``node`` itself."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal):
        text = str(node.this)
        if node.is_string or not text.isdecimal():
            raise scope.source.type_mismatch(
                f"a constant in {place}", text[:40], node, "Name a column, or its place in the list."
            )
        if not 1 <= int(text[:9]) <= len(items):
            raise scope.source.type_mismatch(
                f"{place} names a place that the select list does not have",
                text[:40],
                node,
                f"It has {len(items)} columns.",
            )
        return _of(items[int(text) - 1])
    if isinstance(node, exp.Column) and not node.args.get("table") and isinstance(node.this, exp.Identifier):
        name = folded(node.this)
        if columns_first and scope.table.column(name) is not None:
            return node
        found = next((one for one in items if one.name == name), None)
        return node if found is None else _of(found)
    return node


def _of(item: Item) -> exp.Expr:
    if item.column is None:
        return item.node
    return exp.Column(this=exp.Identifier(this=item.column.name, quoted=True))


def ranked(node: exp.Expr) -> Measure | None:
    """The distance or the score that an expression holds; None where it holds none."""
    for one in node.walk():
        found = measure(one)
        if found is not None and found.kind != "similarity":
            return found
    return None


def bind_ranking(scope: Scope, keys: Sequence[Wanted]) -> Ranking | None:
    """What the first key ranks the rows by; None where no key does. Raises the errors of ``bind_query``."""
    found = [ranked(one.node) for one in keys]
    if not any(found):
        return None
    if found[0] is None:
        raise scope.source.not_supported(
            "ORDER BY a value before a distance", keys[0].at, "Write the distance first."
        )
    ranking = bind_measure(scope, found[0])
    if isinstance(ranking, Reranked):
        raise scope.source.not_supported(
            "ORDER BY RERANK_SCORE()", keys[0].at, "Order by a distance, then write RERANK BY 'encoder'."
        )
    return ranking


def bind_keys(reader: Reader, keys: Sequence[Wanted]) -> tuple[Key, ...]:
    """Bind the keys; each has an order. Raises the errors of ``bind_query``."""
    return tuple(_bind(reader, one) for one in keys)


def _bind(reader: Reader, wanted: Wanted) -> Key:
    typed = reader.bind(wanted.node)
    if typed.type not in _ORDERED:
        raise reader.scope.source.not_supported(
            f"ORDER BY a value of type {typed.type}", wanted.at, "Order by a number, a text or a condition."
        )
    return Key(typed.expression, bool(wanted.at.args.get("desc")), bool(wanted.at.args.get("nulls_first")))


def check_ranked(scope: Scope, ranking: Ranking, keys: Sequence[Key], at: Sequence[Wanted]) -> None:
    """Raise SqlNotSupported where the rows' ranking does not put them in the order of the first key."""
    first, wanted = keys[0], at[0]
    how = worse(first.expression, ranking) * (-1 if first.descending else 1)
    if how == 0:
        raise scope.source.not_supported(
            "ORDER BY a distance together with other values",
            wanted.at,
            "Order by the distance alone; take the rest into the select list.",
        )
    if how < 0:
        found = ranked(wanted.node)
        kind = found.kind if found is not None else "distance"
        if kind == "distance" and first.descending:
            wrong = "DESC on a distance"
        else:
            wrong = f"ASC on a {'score' if kind == 'score' else 'similarity'}"
        raise scope.source.not_supported(f"ORDER BY {wrong}", wanted.at, _NEAREST_FIRST)
    if len(keys) > 1 and how < STRICT:
        raise scope.source.not_supported(
            "a second key after a rounded distance", at[1].at, "Order by the distance as it is, then by it."
        )
    for key, other in zip(keys[1:], at[1:], strict=True):
        if any(isinstance(one, Distance) for one in parts(key.expression)):
            raise scope.source.not_supported("ORDER BY a distance twice", other.at, "Leave this one out.")
