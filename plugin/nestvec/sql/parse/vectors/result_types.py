"""The types of expressions over vectors, as pgvector gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.function_types import annotator_entry
from nestvec.sql.parse.vectors.kinds import (
    common_type,
    type_kind,
    vector_dims,
    vector_kind,
    vector_type,
)
from nestvec.sqltypes.kinds import BFLOAT16

_Type = exp.DataType | exp.DType | None


def with_vector_types(metadata: Mapping[type[exp.Expr], Any]) -> dict[type[exp.Expr], Any]:
    """A table of the types of nodes, with those of vectors before it."""
    return {**metadata, **{node: annotator_entry(rule, metadata.get(node)) for node, rule in _RULES.items()}}


def chosen_values(node: exp.Expr) -> list[exp.Expr]:
    """The values one of which CASE, coalesce(), nullif() and their like give."""
    if isinstance(node, exp.Case):
        values = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    else:
        values = [node.this, *node.expressions]
    if isinstance(node, exp.Nullif):
        values = [node.this, node.expression]
    return [value for value in values if isinstance(value, exp.Expr)]


def _computed(nodes: list[exp.Expr]) -> exp.DataType | None:
    type_ = common_type(nodes)
    if type_kind(type_) == BFLOAT16:
        # There is no arithmetic of 16 bits for them.
        return vector_type("vector", vector_dims(type_))
    return type_


def _of_arithmetic(node: exp.Binary) -> _Type:
    return _computed([node.this, node.expression])


def is_array(node: exp.Expr) -> bool:
    """Whether a node is an array, as a list in a parameter, which beside a vector is one."""
    return node.type is not None and node.type.this == exp.DType.ARRAY


def _joined(node: exp.Binary) -> _Type:
    sides = (node.this, node.expression)
    kinds = [vector_kind(side) or is_array(side) for side in sides]
    if not all(
        kind or isinstance(side.unnest(), exp.Literal) for kind, side in zip(kinds, sides, strict=True)
    ):
        return exp.DType.VARCHAR if any(map(vector_kind, sides)) else None
    type_ = _computed([*sides])
    dims = [vector_dims(side.unnest().type) for side in sides]
    total = None if None in dims else sum(size or 0 for size in dims)
    return None if type_ is None else vector_type(type_kind(type_), total)


def _averaged(node: exp.AggFunc) -> _Type:
    argument = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    return _computed([argument.this if isinstance(argument, exp.Order) else argument])


def _array(node: exp.Array) -> _Type:
    element = common_type(node.expressions)
    if element is None:
        return None
    return exp.DataType(this=exp.DType.ARRAY, expressions=[element], nested=True)


def _called(node: exp.Anonymous) -> _Type:
    name = node.name.upper()
    argument = node.expressions[0] if node.expressions else None
    if name not in ("L2_NORMALIZE", "SUBVECTOR") or argument is None:
        return None
    type_ = _computed([argument]) or vector_type("vector")
    if name == "L2_NORMALIZE":
        return type_
    return vector_type(type_kind(type_), _part_size(vector_dims(argument.type), node.expressions[1:]))


def _part_size(size: int | None, bounds: Sequence[exp.Expr]) -> int | None:
    """The numbers that subvector() takes: fewer than it is asked for where the vector ends."""
    numbers = [node.to_py() for node in bounds if node.is_int]
    if size is None or len(numbers) != 2:
        return None
    start, count = numbers
    return max(min(start + count, size + 1) - max(start, 1), 0) or None


_RULES: Final[dict[type[exp.Expr], Callable[[Any], _Type]]] = {
    **dict.fromkeys(
        (exp.Case, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least),
        lambda node: common_type(chosen_values(node)),
    ),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _of_arithmetic),
    exp.DPipe: _joined,
    **dict.fromkeys((exp.Avg, exp.Sum), _averaged),
    exp.Anonymous: _called,
    exp.Array: _array,
}
