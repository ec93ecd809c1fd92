"""``rank(v) WITHIN GROUP (ORDER BY x)`` and its like: the place that a row would have."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.names import function_label

HYPOTHETICAL: Final = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)


def write_hypothetical_sets(tree: exp.Expr) -> None:
    """Replace such aggregates, each by counts of the rows before its own. The tree is changed."""
    for node in list(tree.find_all(exp.WithinGroup)):
        if not isinstance(node.this, HYPOTHETICAL):
            continue
        filter_ = node.parent if isinstance(node.parent, exp.Filter) else None
        condition = filter_.expression.this if filter_ is not None else None
        place = _place(node.this, node.expression.expressions, condition)
        outer = node if filter_ is None else filter_
        if isinstance(outer.parent, exp.Select) and outer.arg_key == "expressions":
            place = exp.alias_(place, function_label(node.this).lower())
        outer.replace(place)


def _place(aggregate: exp.Expr, keys: list[exp.Expr], condition: exp.Expr | None) -> exp.Expr:
    values = aggregate.expressions
    before, same = _comparisons(keys, values)
    if isinstance(aggregate, exp.DenseRank):
        key = keys[0].this
        is_null = exp.Is(this=key.copy(), expression=exp.Null())
        distinct = exp.Count(this=exp.Distinct(expressions=[key.copy()]))
        nulls = exp.GT(this=_count(exp.and_(before, is_null), condition), expression=_number(0))
        numbers = [_number(1), _filtered(distinct, before, condition), exp.cast(exp.paren(nulls), "int")]
        return _sum(*numbers)
    if isinstance(aggregate, exp.Rank):
        return _sum(_number(1), _count(before, condition))
    if isinstance(aggregate, exp.CumeDist):
        here = _sum(_number(1), _count(exp.or_(before, same), condition))
        return _fraction(here, _sum(_number(1), _count(None, condition)))
    rows = _count(None, condition)
    share = _fraction(_count(before, condition), exp.Nullif(this=rows, expression=_number(0)))
    return exp.Coalesce(this=share, expressions=[exp.cast(_number(0), "double")])


def _comparisons(keys: list[exp.Expr], values: list[exp.Expr]) -> tuple[exp.Expr, exp.Expr]:
    """Whether a row comes before the values in the order of the keys, and whether it has the same ones."""
    befores, sames = list[exp.Expr](), list[exp.Expr]()
    for ordered, value in zip(keys, values, strict=True):
        key, operator = ordered.this, exp.GT if ordered.args.get("desc") else exp.LT
        first, second = (key, value) if ordered.args.get("nulls_first") else (value, key)
        nulls = exp.and_(_is_null(first), exp.not_(_is_null(second)))
        comes = exp.or_(operator(this=key.copy(), expression=value.copy()), nulls)
        befores.append(exp.and_(*(same.copy() for same in sames), comes))
        sames.append(exp.NullSafeEQ(this=key.copy(), expression=value.copy()))
    return exp.paren(exp.or_(*befores)), exp.paren(exp.and_(*sames))


def _is_null(node: exp.Expr) -> exp.Expr:
    return exp.Is(this=node.copy(), expression=exp.Null())


def _count(test: exp.Expr | None, condition: exp.Expr | None) -> exp.Expr:
    return _filtered(exp.Count(this=exp.Star(), big_int=True), test, condition)


def _filtered(aggregate: exp.Expr, test: exp.Expr | None, condition: exp.Expr | None) -> exp.Expr:
    tests = [exp.paren(each.copy()) for each in (test, condition) if each is not None]
    return exp.Filter(this=aggregate, expression=exp.Where(this=exp.and_(*tests))) if tests else aggregate


def _sum(*numbers: exp.Expr) -> exp.Expr:
    total = numbers[0]
    for number in numbers[1:]:
        total = exp.Add(this=total, expression=number)
    return exp.paren(total)


def _fraction(part: exp.Expr, all_rows: exp.Expr) -> exp.Expr:
    doubles = (exp.cast(number, "double") for number in (part, all_rows))
    return exp.paren(exp.Div(this=next(doubles), expression=next(doubles)))


def _number(number: int) -> exp.Expr:
    return exp.Literal.number(number)
