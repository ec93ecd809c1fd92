"""ORDER BY a distance: to which text or vector, of which column, by which metric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from nestvec.catalog import Column
from nestvec.sql.dialect import VectorDistance
from nestvec.sql.scope import Scope
from nestvec.sql.source import folded, stray_parts
from nestvec.sql.words import words

METRICS = {"<=>": "COSINE", "<->": "L2", "<#>": "IP"}
"""pgvector's operators and the metric that answers each."""

Kind = Literal["distance", "similarity"]

_ORDER = "Order by one distance: ORDER BY vector_column <=> 'text' LIMIT 10."


@dataclass(frozen=True)
class Nearest:
    """What the rows are ordered by: the distance of ``column`` to a text, or to a vector of its dim."""

    column: str
    metric: str
    target: str | tuple[float, ...]


@dataclass(frozen=True)
class Measure:
    """A distance in the statement, or its similarity: one minus the distance."""

    kind: Kind
    node: VectorDistance


def measure(node: exp.Expr) -> Measure | None:
    """What ``node`` measures: ``v <=> 'text'`` or ``1 - (v <=> 'text')``; None for anything else."""
    node = _bare(node)
    if isinstance(node, VectorDistance):
        return Measure("distance", node)
    if isinstance(node, exp.Sub) and node.this == exp.Literal.number(1):
        right = _bare(node.args["expression"])
        return Measure("similarity", right) if isinstance(right, VectorDistance) else None
    return None


def bind_order(scope: Scope, select: exp.Select) -> Nearest | None:
    """The distance in ORDER BY; None without an ORDER BY. Raises the errors of ``bind_query``."""
    order = select.args.get("order")
    if order is None:
        return None
    source, keys = scope.source, order.expressions
    if stray_parts(order, ("expressions",)) or len(keys) > 1:
        raise source.not_supported("ORDER BY more than one key", keys[-1], _ORDER)
    # NULLS FIRST and LAST change nothing: no distance is NULL.
    if stray_parts(keys[0], ("this", "desc", "nulls_first")):
        raise source.not_supported("ORDER BY with more than a direction", keys[0], _ORDER)
    found = measure(_unaliased(keys[0].this, select))
    if found is None:
        raise source.not_supported(f"ORDER BY {_named(_bare(keys[0].this))}", keys[0], _ORDER)
    nearest = bind_measure(scope, found)
    if bool(keys[0].args.get("desc")) != (found.kind == "similarity"):
        wrong = "DESC on a distance" if found.kind == "distance" else "ASC on a similarity"
        raise source.not_supported(
            f"ORDER BY {wrong}",
            keys[0],
            "Milvus finds the nearest rows, not the farthest: turn the order round.",
        )
    return nearest


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _unaliased(key: exp.Expr, select: exp.Select) -> exp.Expr:
    """What a name in ORDER BY stands for: a column of the answer first, as in PostgreSQL."""
    key = _bare(key)
    if isinstance(key, exp.Column) and not key.args.get("table") and isinstance(key.this, exp.Identifier):
        for one in select.expressions:
            if isinstance(one, exp.Alias) and folded(one.args["alias"]) == folded(key.this):
                inner: exp.Expr = one.this
                return inner
    return key


def _named(key: exp.Expr) -> str:
    if isinstance(key, exp.Column):
        return "a column"
    return "a position in the select list" if isinstance(key, exp.Literal) else words(key)


def bind_measure(scope: Scope, found: Measure) -> Nearest:
    """Check the column, the operator and the target. Raises the errors of ``bind_query``."""
    node, source = found.node, scope.source
    operator = str(node.args["operator"])
    left, right = _bare(node.this), _bare(node.args["expression"])
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right = right, left
    if operator not in METRICS:
        offered = ", ".join(METRICS)
        raise source.not_supported(f"the operator {operator}", node.meta["start"], f"There are {offered}.")
    if not isinstance(left, exp.Column):
        raise source.not_supported(f"a distance of {words(left)}", left, _ORDER)
    column = scope.column(left)
    _check_metric(scope, column, node, operator)
    if found.kind == "similarity" and operator != "<=>":
        raise source.not_supported(
            f"arithmetic on {operator}", node.meta["start"], "Only 1 - (column <=> 'text') is there."
        )
    return Nearest(column.name, METRICS[operator], _target(scope, column, right))


def _check_metric(scope: Scope, column: Column, node: VectorDistance, operator: str) -> None:
    source, at = scope.source, node.meta["start"]
    if not column.is_vector:
        vectors = [one.name for one in scope.table.columns if one.is_vector]
        raise source.type_mismatch(
            f"column {column.name} is {column.type}, not a vector",
            operator,
            node.this,
            f"Vector columns: {', '.join(vectors) or 'none'}.",
        )
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


def _target(scope: Scope, column: Column, node: exp.Expr) -> str | tuple[float, ...]:
    source = scope.source
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise source.not_supported(f"a distance to {words(node)}", node, "Write a text in single quotes.")
    text = str(node.this)
    vector = read_vector(text)
    if vector is not None and column.type == "FLOAT_VECTOR":
        if len(vector) != column.dim:
            raise source.type_mismatch(
                f"column {column.name} has {column.dim} dims", f"{len(vector)} numbers", node, "Give as many."
            )
        return vector
    if scope.table.embedding(column.name) is None:
        filled = ", ".join(one.column for one in scope.table.embeddings) or "none"
        raise source.type_mismatch(
            f"no nestvec service embeds texts for column {column.name}",
            text,
            node,
            f"Give a vector ('[0.1, 0.2, …]'), or a column that is embedded: {filled}.",
        )
    if not text.strip():
        raise source.type_mismatch("there is nothing to embed", repr(text), node, "Write a text.")
    return text


def read_vector(text: str) -> tuple[float, ...] | None:
    """A vector as pgvector writes it (``[0.1, 0.2]``); None where the text is anything else."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not found:
        return None
    if not all(type(one) in (int, float) and abs(one) <= 3.4028234e38 for one in found):
        return None
    return tuple(float(one) for one in found)
