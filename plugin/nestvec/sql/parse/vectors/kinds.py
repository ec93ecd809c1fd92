"""Types of vectors: ``vector``, ``halfvec``, ``sparsevec`` and BFLOAT16 vectors as sqlglot's types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlglot import exp

from nestvec.sqltypes.kinds import BFLOAT16

DENSE: Final = (BFLOAT16, "vector", "halfvec")
"""Types whose values are lists of numbers in DuckDB. Each is converted to those behind it, as in pgvector."""

SPARSE: Final = "sparsevec"
KINDS: Final = (*DENSE, SPARSE)
_TYPE = re.compile(r"(\w+)(?:\((\d+)\))?")
_FLOATS: Final = (exp.DType.FLOAT, exp.DType.DOUBLE)


def vector_type(kind: str, dims: int | None = None) -> exp.DataType:
    """The type of vectors of a kind, with their dimensions where they are known."""
    sizes = [] if dims is None else [exp.DataTypeParam(this=exp.Literal.number(dims))]
    if kind == "vector":
        return exp.DataType(this=exp.DType.VECTOR, expressions=sizes)
    return exp.DataType(this=exp.DType.USERDEFINED, kind=exp.to_identifier(kind), expressions=sizes)


def parse_vector_type(text: str) -> exp.DataType | None:
    """``vector(3)`` as a type; None for another type."""
    match = _TYPE.fullmatch(text)
    if match is None or match[1] not in KINDS:
        return None
    return vector_type(match[1], int(match[2]) if match[2] else None)


def type_kind(type_: Any) -> str:
    """The kind of vectors that a type is for; empty for another type."""
    if not isinstance(type_, exp.DataType):
        return ""
    if type_.this == exp.DType.VECTOR:
        return "vector"
    if type_.this == exp.DType.USERDEFINED:
        named = type_.args.get("kind")
        name = str(named.name if isinstance(named, exp.Expr) else named or "").lower()
        return name if name in KINDS else ""
    # Arrays of a fixed length are those of files and tables of the caller.
    is_fixed = type_.this == exp.DType.ARRAY and type_.args.get("values") and type_.expressions
    return "vector" if is_fixed and type_.expressions[0].this in _FLOATS else ""


def vector_kind(node: exp.Expr | None) -> str:
    """The kind of vector that a typed node is; empty for another value."""
    while isinstance(node, (exp.Paren, exp.Alias)):
        node = node.this
    return "" if node is None else type_kind(node.type)


def vector_dims(type_: exp.DataType | None) -> int | None:
    """The dimensions of a type of vectors; None where they are not known."""
    sizes = [] if type_ is None else [*type_.expressions, *(type_.args.get("values") or ())]
    names = [size.name for size in sizes if not isinstance(size, exp.DataType)]
    return int(names[0]) if names and names[0].isdecimal() else None


def common_kind(nodes: Iterable[exp.Expr | None]) -> str:
    """The kind that vectors of several are converted to; empty where none of the nodes is one."""
    kinds = {vector_kind(node) for node in nodes}
    return max((kind for kind in kinds if kind), key=KINDS.index, default="")


def common_type(nodes: Sequence[exp.Expr]) -> exp.DataType | None:
    """The type of one of several values, of which some are vectors; None where none is."""
    kind = common_kind(nodes)
    if not kind:
        return None
    dims = {vector_dims(node.unnest().type) for node in nodes if vector_kind(node)}
    return vector_type(kind, dims.pop() if len(dims) == 1 else None)
