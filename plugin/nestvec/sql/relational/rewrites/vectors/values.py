"""Values as vectors of a kind: constants, arrays, and vectors of another kind."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.vectors.kinds import (
    DENSE,
    SPARSE,
    type_kind,
    vector_dims,
    vector_kind,
    vector_type,
)
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, call, is_text_constant, kind
from nestvec.sqltypes.kinds import BFLOAT16
from nestvec.sqltypes.vector_texts import Floats, read_sparse, read_vector
from nestvec_schemas.errors import SqlError

_EXAMPLES: Final = {SPARSE: "'{1:0.5,3:2}/5'"}


def as_kind(source: SourceText, node: exp.Expr, target_kind: str, *, explicit: bool = False) -> exp.Expr:
    """A value as a vector of a kind; ``explicit`` in a cast, which takes texts. Raises SqlTypeMismatch."""
    own, inner = vector_kind(node), node.unnest()
    if isinstance(inner, exp.Null):
        return with_kind(exp.cast(exp.null(), "text" if target_kind == SPARSE else "float[]"), target_kind)
    if own:
        return _converted(node, own, target_kind)
    if is_text_constant(inner):
        return constant(source, inner, target_kind)
    if kind(node) == exp.DType.ARRAY:
        numbers = exp.cast(node.copy(), "double[]")
        vector = call("pg_vector_of_numbers", numbers, exp.Literal.string(target_kind))
        return with_kind(
            call("pg_sparse_of_vector", vector) if target_kind == SPARSE else vector, target_kind
        )
    if explicit and kind(node) in TEXT_TYPES:
        if target_kind == SPARSE:
            return with_kind(call("pg_sparse_read", node), SPARSE)
        return with_kind(call("pg_vector_of_text", node, exp.Literal.string(target_kind)), target_kind)
    if kind(node) is None and not isinstance(inner, exp.Literal):
        # A type that is not known here, of a parameter or of another's table.
        return with_kind(exp.cast(node.copy(), "text" if target_kind == SPARSE else "float[]"), target_kind)
    raise mismatch(source, node, target_kind)


def mismatch(source: SourceText, node: exp.Expr, target_kind: str) -> SqlError:
    """The error for a value that stands where a vector does."""
    name = str(getattr(kind(node), "value", "")).lower() or construct_name(node)
    example = _EXAMPLES.get(target_kind, "'[0.1, 0.2]'")
    return source.type_mismatch(
        f"a {target_kind} is expected, not {name}", name, node, f"Write a {target_kind}: {example}."
    )


def constant(source: SourceText, node: exp.Expr, target_kind: str) -> exp.Expr:
    """A constant in quotes as a vector. Raises SqlDataError in pgvector's words."""
    try:
        if target_kind == SPARSE:
            vector = read_sparse(node.name)
            return with_kind(exp.cast(exp.Literal.string(str(vector)), "text"), SPARSE, vector.dims)
        return _dense_constant(read_vector(node.name, target_kind), target_kind)
    except ValueError as error:
        example = _EXAMPLES.get(target_kind, "'[0.1, 0.2]'")
        shown = None if "syntax" in str(error) else node.name[:60]
        raise source.data_error(str(error), shown, node, f"Write it as {example}.") from None


def _dense_constant(numbers: Floats, target_kind: str) -> exp.Expr:
    text = f"[{','.join(map(str, numbers))}]" if len(numbers) else "[]"
    return with_kind(exp.cast(exp.Literal.string(text), "float[]"), target_kind, len(numbers))


def with_kind(node: exp.Expr, name: str, dims: int | None = None) -> exp.Expr:
    """The node with the type of a vector."""
    node.type = vector_type(name, dims)
    return node


def as_list(node: exp.Expr) -> exp.Expr:
    """A dense vector as DuckDB's list; one of a file may be an array of a fixed length, which has no CASE."""
    type_ = node.unnest().type
    if type_ is not None and type_.this == exp.DType.ARRAY and type_.args.get("values"):
        return with_kind(exp.cast(node.copy(), "float[]"), type_kind(type_), vector_dims(type_))
    return node


def _converted(node: exp.Expr, own: str, target_kind: str) -> exp.Expr:
    dims = vector_dims(node.unnest().type)
    if own in DENSE:
        node = as_list(node)
    if own == target_kind or (own in DENSE and target_kind == "vector"):
        return node if own == target_kind else with_kind(exp.paren(node.copy()), target_kind, dims)
    if target_kind == SPARSE:
        return with_kind(call("pg_sparse_of_vector", node), SPARSE, dims)
    name = "pg_vector_of_sparse" if own == SPARSE else "pg_vector_as"
    return with_kind(call(name, node, exp.Literal.string(target_kind)), target_kind, dims)


def computed_kind(name: str) -> str:
    """The kind of what is computed of vectors: there is no arithmetic of BFLOAT16."""
    return "vector" if name == BFLOAT16 else name
