"""A distance: its column, its operator and metric, and the text or vector to measure to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.bind.sql_constants import sql_constant
from nestvec.sql.bind.vectors.arithmetic import bind_vector_expression, is_vector_cast, is_vector_expression
from nestvec.sql.bind.vectors.embed import (
    bind_embed,
    is_embed,
    query_request,
    request_for,
    server_embedded_text,
)
from nestvec.sql.bind.vectors.family import resolve_family
from nestvec.sql.bind.vectors.targets import (
    FLOAT_VECTORS,
    EmbeddedText,
    SparseLiteral,
    Target,
    check_text,
    column_vector,
    parse_vector,
    text_constant,
)
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import without_parens
from nestvec.sqltypes import sql_type_of
from nestvec.sqltypes.vectors import pack_bits, to_bits, to_sparse
from nestvec_schemas.errors import RowRejected, SqlTypeMismatch

OPERATOR_METRICS: Final = {
    "<=>": "COSINE",
    "<->": "L2",
    "<#>": "IP",
    "<@>": "BM25",
    "<~>": "HAMMING",
    "<%>": "JACCARD",
}
"""The operators of pgvector, and that of pg_textsearch for BM25, with Milvus's metrics for them."""

_BIT_OPERATORS: Final = ("<~>", "<%>")
_ORDER_BY_FORM = "Order by one distance: ORDER BY vector_column <=> 'text' LIMIT 10."


@dataclass(frozen=True)
class DistanceRanking:
    """Ranks the rows by the distance of ``column`` to ``target``."""

    column: str
    metric: str
    target: Target
    shorter: tuple[str, ...] = ()
    """The columns with shorter vectors of the same text, by dim, which the planner may search first.

    Empty unless the statement names the text column.
    """


class IndexMismatch(SqlTypeMismatch):
    """A distance that the column's index does not search by; computed row by row it has a value."""


def bind_distance(scope: Scope, node: VectorDistance) -> DistanceRanking:
    """Check the column, the operator and the target. Raises the errors of ``bind_query``."""
    source, operator = scope.source, str(node.args["operator"])
    left, right = without_parens(node.this), without_parens(node.args["expression"])
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right = right, left
    if operator not in OPERATOR_METRICS:
        offered = ", ".join(OPERATOR_METRICS)
        raise source.not_supported(f"the operator {operator}", node.meta["start"], f"Available: {offered}.")
    if not isinstance(left, exp.Column):
        raise source.not_supported(f"a distance of {construct_name(left)}", left, _ORDER_BY_FORM)
    metric = OPERATOR_METRICS[operator]
    if metric == "BM25":
        return _bind_bm25(scope, left, right, node)
    column, shorter = resolve_family(scope, left, metric)
    _check_metric(scope, column, node, operator)
    return DistanceRanking(column.name, metric, bind_target(scope, column, right), shorter)


def _bind_bm25(scope: Scope, left: exp.Column, right: exp.Expr, node: VectorDistance) -> DistanceRanking:
    """``body <@> 'words'``, where ``body`` is a text column or the sparse column of its BM25 function."""
    column = scope.column(left)
    lexical = next(
        (entry for entry in scope.table.lexical if column.name in (entry.source, entry.column)), None
    )
    if lexical is None:
        available = ", ".join(entry.source for entry in scope.table.lexical) or "none"
        raise scope.source.type_mismatch(
            f"no BM25 function reads column {column.name}", "<@>", left, f"Columns for <@>: {available}."
        )
    sparse = scope.table.column(lexical.column) or column
    _check_metric(scope, sparse, node, "<@>")
    return DistanceRanking(sparse.name, "BM25", _bm25_query(scope, right))


def _bm25_query(scope: Scope, node: exp.Expr) -> str:
    """The words that BM25 searches for."""
    text = text_constant(scope, node)
    if text is None:
        raise scope.source.not_supported(
            f"<@> with {construct_name(node)}", node, "Write words in single quotes, or a parameter."
        )
    return check_text(scope, text, node)


def rebind_distance(scope: Scope, ranking: DistanceRanking, node: exp.Expr) -> DistanceRanking:
    """A distance that is already bound, with the current value of ``node``, its parameter."""
    column = scope.table.column(ranking.column)
    if ranking.metric == "BM25" or column is None:
        target: Target = _bm25_query(scope, node)
    elif isinstance(ranking.target, tuple) and isinstance(node, PARAMETER_NODES):
        # As before, a vector or a text: not bits or a sum.
        target = _constant(scope, column, node)
    else:
        target = bind_target(scope, column, node)
    return DistanceRanking(ranking.column, ranking.metric, target, ranking.shorter)


def _check_metric(scope: Scope, column: Column, node: VectorDistance, operator: str) -> None:
    source, position = scope.source, int(node.meta["start"])
    if not column.is_vector:
        raise _not_a_vector(scope, column, node, operator)
    if holds_bits(column) != (operator in _BIT_OPERATORS):
        kind = "bits" if operator in _BIT_OPERATORS else "numbers"
        raise source.type_mismatch(
            f"{operator} measures {kind}, and column {column.name} is {type_sql(column)}",
            operator,
            position,
            "Use <~> or <%> for bits, and <=>, <->, <#> or <+> for numbers.",
        )
    metric = scope.table.metrics.get(column.name)
    if metric is None:
        raise IndexMismatch(
            f"column {column.name} has no index",
            value=operator,
            next_step="Create an index with a metric on it.",
            statement=source.text,
            position=position,
        )
    if metric != OPERATOR_METRICS[operator]:
        correct = next((symbol for symbol, answered in OPERATOR_METRICS.items() if answered == metric), None)
        next_step = f"Write {column.name} {correct} …" if correct else "No SQL operator supports this metric."
        raise IndexMismatch(
            f"column {column.name} is indexed by {metric}, and {operator} needs {OPERATOR_METRICS[operator]}",
            value=operator,
            next_step=next_step,
            statement=source.text,
            position=position,
        )


def _not_a_vector(scope: Scope, column: Column, node: VectorDistance, operator: str) -> SqlTypeMismatch:
    """The error for a column that is not a vector, and for a text column without an embedding."""
    vectors = ", ".join(entry.name for entry in scope.table.columns if entry.is_vector) or "none"
    cause, next_step = f"column {column.name} is {column.type}, not a vector", f"Vector columns: {vectors}."
    if column.type in STRINGS:
        texts = ", ".join(dict.fromkeys(entry.source for entry in scope.table.embeddings)) or "none"
        cause = f"column {column.name} is text that no EMBED function embeds"
        next_step = f"Embedded text columns: {texts}. {next_step}"
    return scope.source.type_mismatch(cause, operator, node.this, next_step)


def bind_target(scope: Scope, column: Column, node: exp.Expr) -> Target:
    """The text or vector to measure to. Raises the errors of ``bind_query``."""
    if holds_bits(column):
        return bind_bits(scope, column, node)
    if column.type == "SPARSE_FLOAT_VECTOR":
        return bind_sparse(scope, column, node)
    if is_vector_cast(node):
        literal = without_parens(node.this)
        return _constant(scope, column, literal, vector=True)
    if is_vector_expression(node):
        text = server_embedded_text(scope, column, node)
        return text if text is not None else bind_vector_expression(scope, column, node)
    return _constant(scope, column, node)


def _constant(scope: Scope, column: Column, node: exp.Expr, vector: bool = False) -> Target:
    """A text or a vector in the statement or its parameters; only a vector if it is cast to one."""
    source = scope.source
    if isinstance(node, PARAMETER_NODES):
        value = scope.params.value(source, node)
        if isinstance(value, (list, tuple)):
            return column_vector(scope, column, value, node)
    text = text_constant(scope, node)
    if text is None:
        raise source.not_supported(
            f"a distance to {construct_name(node)}",
            node,
            "Write text in single quotes, a parameter, or EMBED('text').",
        )
    parsed = parse_vector(text)
    if parsed is not None and column.type in FLOAT_VECTORS:
        return column_vector(scope, column, parsed, node)
    if vector:
        raise source.type_mismatch("this is not a vector", text[:40], node, "Write '[0.1, 0.2, …]'.")
    embedding = scope.table.embedding(column.name)
    if embedding is None:
        filled = ", ".join(embedding.column for embedding in scope.table.embeddings) or "none"
        raise source.type_mismatch(
            f"no nestvec service embeds text for column {column.name}",
            text,
            node,
            f"Write '[0.1, 0.2, …]' or EMBED('text', 'encoder'), or use an embedded column: {filled}.",
        )
    checked = check_text(scope, text, node)
    return checked if embedding.query_bridge is None else EmbeddedText(checked, request_for(embedding))


_CODE = re.compile("[01]+")


def holds_bits(column: Column) -> bool:
    """Whether a vector column holds bits, whatever stores them."""
    sql_type = sql_type_of(column)
    return column.type == "BINARY_VECTOR" or (sql_type is not None and sql_type.name == "bit")


def bind_bits(scope: Scope, column: Column, node: exp.Expr) -> bytes | EmbeddedText:
    """Bits (``'0110…'``), bytes in a parameter, or a text that the column's service turns into bits.

    Raises SqlTypeMismatch, SqlNotSupported.
    """
    source, dim = scope.source, column.dim or 0
    if is_embed(node):
        return bind_embed(scope, column, node)
    sql_type = sql_type_of(column)
    if sql_type is not None and scope.table.embedding(column.name) is None:
        return _plain_bits(scope, sql_type.sizes[0], node)
    if isinstance(node, PARAMETER_NODES):
        value = scope.params.value(source, node)
        if isinstance(value, (bytes, bytearray)):
            if len(value) * 8 != dim:
                raise source.type_mismatch(
                    f"column {column.name} has {dim} bits",
                    f"{len(value) * 8} bits",
                    node,
                    f"Pass {dim} bits.",
                )
            return bytes(value)
    text = text_constant(scope, node)
    if text is None:
        raise source.not_supported(
            f"a bit-vector distance to {construct_name(node)}", node, "Write text, or '0110…'."
        )
    if _CODE.fullmatch(text) and len(text) == dim:
        return int(text, 2).to_bytes(dim // 8, "big")
    return EmbeddedText(check_text(scope, text, node), query_request(scope, column, node))


def _plain_bits(scope: Scope, length: int, node: exp.Expr) -> bytes:
    """The bits of a column that no service fills, as whole bytes."""
    value = sql_constant(scope, node)
    if isinstance(value, bytes) and len(value) == -(-length // 8):
        return value
    try:
        return pack_bits(to_bits(value, length))
    except RowRejected as error:
        raise scope.source.data_error(error.cause, error.value, node, error.next_step) from error


def bind_sparse(scope: Scope, column: Column, node: exp.Expr) -> EmbeddedText | SparseLiteral:
    """A sparse vector, or a text whose words the column's service weights.

    Raises SqlTypeMismatch, SqlNotSupported.
    """
    if is_embed(node):
        return bind_embed(scope, column, node)
    if scope.table.embedding(column.name) is None:
        sql_type = sql_type_of(column)
        dims = sql_type.sizes[0] if sql_type is not None and sql_type.sizes else None
        try:
            return SparseLiteral(tuple(to_sparse(sql_constant(scope, node), dims).items()))
        except RowRejected as error:
            raise scope.source.data_error(error.cause, error.value, node, error.next_step) from error
    text = text_constant(scope, node)
    if text is None:
        raise scope.source.not_supported(
            f"a sparse-vector distance to {construct_name(node)}", node, "Write text in single quotes."
        )
    return EmbeddedText(check_text(scope, text, node), query_request(scope, column, node))
