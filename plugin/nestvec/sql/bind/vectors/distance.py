"""A distance of a column: by which operator, so by which metric, to which text or vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.params import NODES
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.bind.vectors.arithmetic import bind_sum, is_sum, is_vector_cast
from nestvec.sql.bind.vectors.bits import bind_bits
from nestvec.sql.bind.vectors.embed import own_text
from nestvec.sql.bind.vectors.family import in_family
from nestvec.sql.bind.vectors.sparse import bind_words
from nestvec.sql.bind.vectors.targets import Target, bare, check_text, given_text, numbers, read_vector
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.dialect import VectorDistance
from nestvec_schemas.errors import SqlTypeMismatch

METRICS: Final = {
    "<=>": "COSINE",
    "<->": "L2",
    "<#>": "IP",
    "<@>": "BM25",
    "<~>": "HAMMING",
    "<%>": "JACCARD",
}
"""pgvector's operators, and pg_textsearch's for BM25, and the metric that answers each."""

_BITS: Final = ("HAMMING", "JACCARD")

_ORDER = "Order by one distance: ORDER BY vector_column <=> 'text' LIMIT 10."


@dataclass(frozen=True)
class Nearest:
    """What the rows are ordered by: the distance of ``column`` to ``target``.

    ``shorter`` are columns of the same text's shorter vectors, by their dims, that the planner may search
    first: where the text column was named.
    """

    column: str
    metric: str
    target: Target
    shorter: tuple[str, ...] = ()


def bind_distance(scope: Scope, node: VectorDistance) -> Nearest:
    """Check the column, the operator and the target. Raises the errors of ``bind_query``."""
    source, operator = scope.source, str(node.args["operator"])
    left, right = bare(node.this), bare(node.args["expression"])
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right = right, left
    if operator not in METRICS:
        offered = ", ".join(METRICS)
        raise source.not_supported(f"the operator {operator}", node.meta["start"], f"There are {offered}.")
    if not isinstance(left, exp.Column):
        raise source.not_supported(f"a distance of {words(left)}", left, _ORDER)
    metric = METRICS[operator]
    if metric == "BM25":
        return _lexical(scope, left, right, node)
    column, shorter = in_family(scope, left, metric)
    _check_metric(scope, column, node, operator)
    return Nearest(column.name, metric, _target(scope, column, right), shorter)


def _lexical(scope: Scope, left: exp.Column, right: exp.Expr, node: VectorDistance) -> Nearest:
    """``body <@> 'words'``: of a text column, or of the sparse column that Milvus makes of its words."""
    column = scope.column(left)
    found = next((one for one in scope.table.lexical if column.name in (one.source, one.column)), None)
    if found is None:
        there = ", ".join(one.source for one in scope.table.lexical) or "none"
        raise scope.source.type_mismatch(
            f"no BM25 function reads column {column.name}", "<@>", left, f"Columns for <@>: {there}."
        )
    sparse = scope.table.column(found.column) or column
    _check_metric(scope, sparse, node, "<@>")
    return Nearest(sparse.name, "BM25", _words(scope, right))


def _words(scope: Scope, node: exp.Expr) -> str:
    """What BM25 looks for."""
    text = given_text(scope, node)
    if text is None:
        raise scope.source.not_supported(
            f"<@> with {words(node)}", node, "Write words in single quotes, or a parameter."
        )
    return check_text(scope, text, node)


def bind_again(scope: Scope, nearest: Nearest, node: exp.Expr) -> Nearest:
    """A distance that was bound in the same table, to what ``node``, its parameter, is now."""
    column = scope.table.column(nearest.column)
    if nearest.metric == "BM25" or column is None:
        target: Target = _words(scope, node)
    else:
        target = _target(scope, column, node)
    return Nearest(nearest.column, nearest.metric, target, nearest.shorter)


def _check_metric(scope: Scope, column: Column, node: VectorDistance, operator: str) -> None:
    source, at = scope.source, node.meta["start"]
    if not column.is_vector:
        raise _no_vector(scope, column, node, operator)
    metric = scope.table.metrics.get(column.name)
    if metric is None:
        raise source.type_mismatch(
            f"column {column.name} has no index", operator, at, "Create an index on it, with a metric."
        )
    if metric != METRICS[operator]:
        right = next((one for one, of in METRICS.items() if of == metric), None)
        next_step = f"Write {column.name} {right} …" if right else "No operator of SQL answers this metric."
        raise source.type_mismatch(
            f"the index on column {column.name} is for {metric}, and {operator} for {METRICS[operator]}",
            operator,
            at,
            next_step,
        )


def _no_vector(scope: Scope, column: Column, node: VectorDistance, operator: str) -> SqlTypeMismatch:
    """The error of a column that holds no vector, and of a text that has none by a function either."""
    vectors = ", ".join(one.name for one in scope.table.columns if one.is_vector) or "none"
    cause, next_step = f"column {column.name} is {column.type}, not a vector", f"Vector columns: {vectors}."
    if column.type in STRINGS:
        texts = ", ".join(dict.fromkeys(one.source for one in scope.table.embeddings)) or "none"
        cause = f"column {column.name} is a text that no EMBED function makes a vector of"
        next_step = f"Texts that have one: {texts}. {next_step}"
    return scope.source.type_mismatch(cause, operator, node.this, next_step)


def _target(scope: Scope, column: Column, node: exp.Expr) -> Target:
    if column.type == "BINARY_VECTOR":
        return bind_bits(scope, column, node)
    if column.type == "SPARSE_FLOAT_VECTOR":
        return bind_words(scope, column, node)
    if is_vector_cast(node):
        node_of = bare(node.this)
        return _constant(scope, column, node_of, vector=True)
    if is_sum(node):
        own = own_text(scope, column, node)
        return own if own is not None else bind_sum(scope, column, node)
    return _constant(scope, column, node)


def _constant(scope: Scope, column: Column, node: exp.Expr, vector: bool = False) -> Target:
    """A text or a vector that stands in the statement; a vector alone where it is cast to one."""
    source = scope.source
    if isinstance(node, NODES):
        given = scope.params.value(source, node)
        if isinstance(given, (list, tuple)):
            return numbers(scope, column, given, node)
    text = given_text(scope, node)
    if text is None:
        raise source.not_supported(
            f"a distance to {words(node)}",
            node,
            "Write a text in single quotes, a parameter, or EMBED('text').",
        )
    found = read_vector(text)
    if found is not None and column.type == "FLOAT_VECTOR":
        return numbers(scope, column, found, node)
    if vector:
        raise source.type_mismatch("this is no vector", text[:40], node, "Write '[0.1, 0.2, …]'.")
    if scope.table.embedding(column.name) is None:
        filled = ", ".join(one.column for one in scope.table.embeddings) or "none"
        raise source.type_mismatch(
            f"no nestvec service embeds texts for column {column.name}",
            text,
            node,
            f"Give a vector ('[0.1, 0.2, …]'), EMBED('text', 'encoder'), or an embedded column: {filled}.",
        )
    return check_text(scope, text, node)
