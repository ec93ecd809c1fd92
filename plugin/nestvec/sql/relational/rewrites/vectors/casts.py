"""Casts to vectors and from them."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.vectors.kinds import DENSE, SPARSE, type_kind, vector_dims, vector_kind
from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, TEXT_TYPES, call, is_text_constant
from nestvec.sql.relational.rewrites.vectors.values import as_kind, as_list, with_kind
from nestvec.sqltypes.arrays import parse_array

_NUMBERS = (exp.DType.FLOAT, exp.DType.DOUBLE)


def rewrite_cast(source: SourceText, node: exp.Cast) -> exp.Expr:
    """A cast to a vector, to an array of vectors, or from one. Raises SqlDataError, SqlTypeMismatch."""
    to, value = node.args["to"], node.this
    target_kind, own = type_kind(to), vector_kind(value)
    if target_kind and to.this != exp.DType.ARRAY:
        return _sized(source, node, as_kind(source, value, target_kind, explicit=True), target_kind)
    element = to.expressions[0] if to.this == exp.DType.ARRAY and to.expressions else None
    if element is not None and type_kind(element):
        return _array(source, node, type_kind(element))
    if not own or to.this in TEXT_TYPES or to.this in JSON_TYPES:
        return node
    if own in DENSE and element is not None and element.this in _NUMBERS:
        node.set("this", as_list(value).copy())
        return node
    name = to.sql("postgres").lower()
    raise source.type_mismatch(
        f"cannot cast type {own} to {name}", name, node, "Cast it to real[] or text, or to another vector."
    )


def _item(array: exp.Expr, text: str | None) -> exp.Expr:
    """An item of an array in quotes."""
    item: exp.Expr = exp.null() if text is None else exp.Literal.string(text)
    item.meta.update(array.meta)
    return item


def _sized(source: SourceText, node: exp.Cast, vector: exp.Expr, target_kind: str) -> exp.Expr:
    """The vector, if it has as many dimensions as the type that it is cast to."""
    sizes = [size.name for size in node.args["to"].expressions]
    if sizes and (len(sizes) > 1 or not sizes[0].isdecimal() or not int(sizes[0])):
        raise source.type_mismatch(
            f"invalid size of {target_kind}", ",".join(sizes), node, f"Write {target_kind}(3)."
        )
    dims, own = vector_dims(node.args["to"]), vector_dims(vector.unnest().type)
    if dims is None or dims == own:
        return vector
    if own is not None and is_text_constant(node.this.unnest()):
        raise source.data_error(
            f"expected {dims} dimensions, not {own}",
            node.this.unnest().name[:60],
            node.this,
            f"Write {dims} numbers.",
        )
    name = "pg_sparse_check_dims" if target_kind == SPARSE else "pg_check_dims"
    return with_kind(call(name, vector, exp.Literal.number(dims)), target_kind, dims)


def _array(source: SourceText, node: exp.Cast, target_kind: str) -> exp.Expr:
    """``ARRAY['[1,2]', '[3,4]']::vector[]``."""
    items = node.this.unnest()
    if is_text_constant(items) and (texts := parse_array(items.name)) is not None:
        items = exp.Array(expressions=[_item(items, text) for text in texts])
    if not isinstance(items, exp.Array):
        raise source.not_supported(
            f"a cast to {target_kind}[]", node, f"Write ARRAY['…', '…']::{target_kind}[]."
        )
    element, name = node.args["to"].expressions[0], "text[]" if target_kind == SPARSE else "float[][]"
    casts = [exp.Cast(this=item.copy(), to=element.copy()) for item in items.expressions]
    values = [
        _sized(source, cast, as_kind(source, cast.this, target_kind, explicit=True), target_kind)
        for cast in casts
    ]
    array = exp.cast(exp.Array(expressions=[value.copy() for value in values]), name)
    array.type = node.args["to"].copy()
    return array
