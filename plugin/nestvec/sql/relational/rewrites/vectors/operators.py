"""Operators and functions over vectors, whose operands are converted to one kind as in pgvector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText, select_lists
from nestvec.sql.parse.vectors.kinds import DENSE, SPARSE, common_kind, vector_dims, vector_kind
from nestvec.sql.parse.vectors.result_types import chosen_values, is_array
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.vectors.values import as_kind, computed_kind, with_kind

_Rule = Callable[[SourceText, Any], exp.Expr]

_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_EQUALITIES: Final = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)
_SIGNS: Final = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.DPipe: "||"}


def _replace(source: SourceText, items: list[exp.Expr], target_kind: str) -> None:
    """Make values in a tree vectors of a kind, where they stand."""
    for item in items:
        converted = as_kind(source, item, target_kind)
        if converted is not item:
            item.replace(converted.copy())


def _arithmetic(source: SourceText, node: exp.Binary) -> exp.Expr:
    sides = [node.this, node.expression]
    target_kind = computed_kind(common_kind(sides))
    if isinstance(node, exp.DPipe) and not all(
        vector_kind(side) or is_array(side) or isinstance(side.unnest(), (exp.Literal, exp.Null))
        for side in sides
    ):
        return text_operands(source, node)
    if target_kind == SPARSE:
        raise source.type_mismatch(
            f"operator does not exist: sparsevec {_SIGNS[type(node)]} sparsevec",
            "sparsevec",
            node,
            "Cast to vector.",
        )
    operands = [as_kind(source, side, target_kind) for side in sides]
    words = map(exp.Literal.string, (_SIGNS[type(node)], target_kind))
    result = call("pg_vector_combine", *operands, *words)
    result.type = node.type if vector_kind(node) else None
    return result if result.type is not None else with_kind(result, target_kind)


def _comparison(source: SourceText, node: exp.Binary) -> exp.Expr:
    left, right = node.this, node.expression
    quantified = right if isinstance(right, (exp.Any, exp.All)) else None
    if quantified is not None:
        array = quantified.this.unnest()
        items = list(array.expressions) if isinstance(array, exp.Array) else []
        target_kind = common_kind([left, *items])
        _replace(source, [left, *items], target_kind)
        return node
    target_kind = common_kind((left, right))
    if target_kind == SPARSE and not isinstance(node, _EQUALITIES):
        for name in ("this", "expression"):
            node.set(name, _sort_key(as_kind(source, node.args[name], SPARSE)))
        return node
    _replace(source, [left, right], target_kind)
    if isinstance(node, _EQUALITIES):
        return node
    # DuckDB makes BETWEEN of two such comparisons, which it does not have of lists.
    ordered = call("coalesce", node, exp.null())
    ordered.type = exp.DataType(this=exp.DType.BOOLEAN)
    return ordered


def _sort_key(vector: exp.Expr) -> exp.Expr:
    """What orders sparse vectors, which are texts in DuckDB."""
    key = call("pg_sparse_sort_key", vector)
    key.type = exp.DataType(this=exp.DType.VARBINARY)
    return key


def _membership(source: SourceText, node: exp.In) -> exp.Expr:
    if node.args.get("query") is None and node.args.get("unnest") is None:
        items = [node.this, *node.expressions]
        _replace(source, items, common_kind(items))
    return node


def _between(source: SourceText, node: exp.Between) -> exp.Expr:
    """Both bounds, since DuckDB has no BETWEEN of lists."""
    items = [node.this, node.args["low"], node.args["high"]]
    target_kind = common_kind(items)
    value, low, high = (as_kind(source, item, target_kind) for item in items)
    bounds = (exp.GTE(this=value.copy(), expression=low), exp.LTE(this=value.copy(), expression=high))
    return exp.paren(exp.and_(*(_comparison(source, bound) for bound in bounds)))


def _choice(source: SourceText, node: exp.Expr) -> exp.Expr:
    """CASE, coalesce(), nullif(), greatest() and least()."""
    values = chosen_values(node)
    target_kind = common_kind(values)
    if target_kind:
        _replace(source, values, target_kind)
    if isinstance(node, exp.Case) and node.this is not None:
        tested = [node.this, *(branch.this for branch in node.args["ifs"])]
        if common_kind(tested):
            _replace(source, tested, common_kind(tested))
    if target_kind == SPARSE and isinstance(node, (exp.Greatest, exp.Least)):
        word = exp.Literal.string("greatest" if isinstance(node, exp.Greatest) else "least")
        texts = exp.Array(expressions=[value.copy() for value in chosen_values(node)])
        chosen = exp.Nullif(this=call("pg_sparse_extreme", texts, word), expression=exp.Literal.string(""))
        return with_kind(chosen, SPARSE)
    return node


def _items(source: SourceText, node: exp.Array) -> exp.Expr:
    """``ARRAY['[1,2]'::vector, '[3,4]']``."""
    _replace(source, list(node.expressions), common_kind(node.expressions))
    return node


def _ordered(source: SourceText, node: exp.Ordered) -> exp.Expr:
    query = node.parent.parent if node.parent is not None else None
    listed = isinstance(query, exp.SetOperation) or (
        isinstance(query, exp.Select) and query.args.get("distinct")
    )
    if vector_kind(node.this) == SPARSE and not listed:
        node.set("this", _sort_key(node.this))
    return node


def _set_operation(source: SourceText, node: exp.SetOperation) -> exp.Expr:
    """The columns of UNION, INTERSECT and EXCEPT have one type."""
    if isinstance(node.parent, exp.SetOperation):
        return node
    for column in zip(*(query.expressions for query in select_lists(node)), strict=False):
        values = [item.unalias() for item in column]
        target_kind = common_kind(values)
        if target_kind:
            _replace(source, values, target_kind)
    return node


def text_operands(source: SourceText, node: exp.Expr) -> exp.Expr:
    """Vectors as texts, in what joins texts."""
    for value in list(node.iter_expressions()):
        if vector_kind(value) in DENSE:
            text = call("pg_vector_text", value)
            text.type = exp.DataType(this=exp.DType.TEXT)
            value.replace(text)
    return node


def _normalized(source: SourceText, node: exp.Anonymous) -> exp.Expr:
    target_kind = computed_kind(vector_kind(node.expressions[0])) or "vector"
    vector = as_kind(source, node.expressions[0], target_kind)
    if target_kind == SPARSE:
        return with_kind(call("pg_sparse_normalize", vector), SPARSE, vector_dims(vector.unnest().type))
    result = call("pg_vector_normalize", vector, exp.Literal.string(target_kind))
    return with_kind(result, target_kind, vector_dims(vector.unnest().type))


def _norm(source: SourceText, node: exp.Anonymous) -> exp.Expr:
    vector = node.expressions[0]
    name = "pg_sparse_norm" if vector_kind(vector) == SPARSE else "l2_norm"
    target_kind = SPARSE if vector_kind(vector) == SPARSE else computed_kind(vector_kind(vector)) or "vector"
    result = call(name, as_kind(source, vector, target_kind))
    result.type = exp.DataType(this=exp.DType.DOUBLE)
    return result


def _of_dense(source: SourceText, node: exp.Anonymous) -> exp.Expr:
    """subvector(), binary_quantize() and vector_dims()."""
    target_kind = computed_kind(vector_kind(node.expressions[0])) or "vector"
    if target_kind == SPARSE:
        raise source.type_mismatch(
            f"function {node.name.lower()}(sparsevec) does not exist", "sparsevec", node, "Cast it: ::vector."
        )
    node.expressions[0].replace(as_kind(source, node.expressions[0], target_kind).copy())
    if node.name.upper() == "SUBVECTOR":
        node.append("expressions", exp.Literal.string(target_kind))
    return node


def _distance(metric: str) -> _Rule:
    def measured(source: SourceText, node: exp.Anonymous) -> exp.Expr:
        target_kind = common_kind(node.expressions) or "vector"
        operands = [as_kind(source, side, target_kind) for side in node.expressions]
        if target_kind == SPARSE:
            result = call("pg_sparse_measure", *operands, exp.Literal.string(metric))
            result.type = exp.DataType(this=exp.DType.DOUBLE)
            return result
        node.set("expressions", [*(operand.copy() for operand in operands), exp.Literal.string(target_kind)])
        return node

    return measured


CALLS: Final[dict[str, _Rule]] = {
    "L2_NORMALIZE": _normalized,
    **dict.fromkeys(("L2_NORM", "VECTOR_NORM"), _norm),
    **dict.fromkeys(("SUBVECTOR", "BINARY_QUANTIZE", "VECTOR_DIMS"), _of_dense),
    **{f"VECTOR_{metric}": _distance(metric) for metric in ("COSINE", "L2", "IP", "L1")},
    "FORMAT": text_operands,
}
"""Functions by their names; those of distances stand for operators."""

RULES: Final[dict[type[exp.Expr], _Rule]] = {
    exp.Array: _items,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.DPipe), _arithmetic),
    **dict.fromkeys((*_COMPARISONS, exp.NullSafeEQ, exp.NullSafeNEQ), _comparison),
    exp.In: _membership,
    exp.Between: _between,
    **dict.fromkeys((exp.Case, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least), _choice),
    exp.Ordered: _ordered,
    **dict.fromkeys((exp.Union, exp.Intersect, exp.Except), _set_operation),
    **dict.fromkeys((exp.Concat, exp.ConcatWs, exp.Format), text_operands),
}
