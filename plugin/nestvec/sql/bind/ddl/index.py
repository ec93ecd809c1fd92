"""CREATE INDEX in pgvector's syntax, bound to a column and an index of Milvus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.indexes import Index
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec_schemas.errors import nearest

_WRITE = "Write CREATE INDEX ON t USING hnsw (v vector_cosine_ops) WITH (m = 16)."


@dataclass(frozen=True)
class IndexMethod:
    """An index method."""

    type: str
    """Milvus's name of the index type."""
    params: Mapping[str, str]
    """Milvus's names of the build parameters, by their names in SQL."""
    for_vectors: bool = True


_GRAPH = {"m": "M", "ef_construction": "efConstruction", "efconstruction": "efConstruction"}
_LISTS = {"lists": "nlist", "nlist": "nlist"}
_REFINED = {"refine": "refine", "refine_type": "refine_type"}

INDEX_METHODS: Final[dict[str, IndexMethod]] = {
    "hnsw": IndexMethod("HNSW", _GRAPH),
    "hnsw_sq": IndexMethod("HNSW_SQ", _GRAPH | _REFINED | {"sq_type": "sq_type"}),
    "ivfflat": IndexMethod("IVF_FLAT", _LISTS),
    "ivf_flat": IndexMethod("IVF_FLAT", _LISTS),
    "ivf_sq8": IndexMethod("IVF_SQ8", _LISTS),
    "ivf_pq": IndexMethod("IVF_PQ", _LISTS | {"m": "m", "nbits": "nbits"}),
    "ivf_rabitq": IndexMethod("IVF_RABITQ", _LISTS | _REFINED | {"rbq_query_bits": "rbq_query_bits"}),
    "scann": IndexMethod("SCANN", _LISTS | {"with_raw_data": "with_raw_data"}),
    "diskann": IndexMethod("DISKANN", {"max_degree": "max_degree", "search_list_size": "search_list_size"}),
    "flat": IndexMethod("FLAT", {}),
    "autoindex": IndexMethod("AUTOINDEX", {}),
    "btree": IndexMethod("INVERTED", {}, for_vectors=False),
    "inverted": IndexMethod("INVERTED", {}, for_vectors=False),
    "bitmap": IndexMethod("BITMAP", {}, for_vectors=False),
}
"""A row for each method. INVERTED is the one scalar index of Milvus Lite, so btree maps to it."""

OPERATOR_CLASSES: Final = {"vector_cosine_ops": "COSINE", "vector_l2_ops": "L2", "vector_ip_ops": "IP"}
"""Milvus's metrics by pgvector's operator classes."""


@dataclass(frozen=True)
class IndexDefinition:
    """An index to create. The metric of ``index`` is empty for a scalar column."""

    table: Table
    column: Column
    name: str
    index: Index


def bind_index(source: SourceText, tree: exp.Expr, table: Table, params: Params) -> IndexDefinition:
    """Bind a CREATE INDEX. Raises SqlError."""
    scope, inner = Scope(source, table, table.name, params), tree.this
    chosen = inner.args["params"]
    for part in stray_parts(chosen, ("using", "columns", "with_storage")):
        where = chosen.args[part]
        at = where if isinstance(where, exp.Expr) else 0
        raise source.not_supported(f"{part.upper()} in CREATE INDEX", at, _WRITE)
    column, class_ = _column(scope, chosen)
    using = chosen.args.get("using")
    method = _method(source, using, column)
    if column.type == "SPARSE_FLOAT_VECTOR":
        raise source.not_supported(
            "another index on a SPARSEVEC column",
            using if using is not None else inner,
            "Milvus supports only this one.",
        )
    if column.is_vector != method.for_vectors:
        suitable = [
            name for name, candidate in INDEX_METHODS.items() if candidate.for_vectors == column.is_vector
        ]
        raise source.type_mismatch(
            f"{method.type} does not index {type_sql(column)}", column.name,
            using if using is not None else inner, f"Choose {', '.join(suitable)}.",
        )  # fmt: skip
    metric = _metric(source, table, column, class_)
    values = _params(scope, method, chosen.args.get("with_storage") or ())
    name = identifier_name(inner.this) if isinstance(inner.this, exp.Identifier) else column.name
    return IndexDefinition(table, column, name, Index(method.type, metric, values))


def _column(scope: Scope, chosen: exp.Expr) -> tuple[Column, exp.Expr | None]:
    nodes = chosen.args.get("columns") or []
    if len(nodes) != 1:
        raise scope.source.not_supported(
            "an index on several columns" if nodes else "an index on no column",
            nodes[1] if nodes else chosen, "Create one index per column.",
        )  # fmt: skip
    node, class_ = nodes[0], None
    if isinstance(node, exp.Ordered):
        if node.args.get("desc"):
            raise scope.source.not_supported("an index with a sort order", node, _WRITE)
        node = node.this
    if isinstance(node, exp.Opclass):
        node, class_ = node.this, node.args["expression"]
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported("an index on an expression", node, "Name a column.")
    return scope.column(node), class_


def _method(source: SourceText, using: exp.Expr | None, column: Column) -> IndexMethod:
    if using is None:
        return INDEX_METHODS["autoindex" if column.is_vector else "btree"]
    name = str(using.name).lower()
    if name not in INDEX_METHODS:
        raise source.unknown_name(
            "there is no such index method", name, using,
            f"Available: {', '.join(INDEX_METHODS)}.{nearest(name, INDEX_METHODS)}",
        )  # fmt: skip
    return INDEX_METHODS[name]


def _metric(source: SourceText, table: Table, column: Column, class_: exp.Expr | None) -> str:
    if class_ is None:
        return table.metrics.get(column.name, "COSINE") if column.is_vector else ""
    inner = class_.this if isinstance(class_, exp.Table) else class_
    name = str(inner.name).lower()
    if name not in OPERATOR_CLASSES or not column.is_vector:
        raise source.unknown_name(
            "there is no such operator class for this column", name, class_,
            f"Vector columns take {', '.join(OPERATOR_CLASSES)}.{nearest(name, OPERATOR_CLASSES)}",
        )  # fmt: skip
    return OPERATOR_CLASSES[name]


def _params(scope: Scope, method: IndexMethod, nodes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option in nodes:
        name = str(option.this.name).lower()
        if name not in method.params:
            offered = f"Available: {', '.join(method.params)}." if method.params else "It takes none."
            raise scope.source.unknown_name(
                f"{method.type} has no such parameter",
                name,
                option.this,
                f"{offered}{nearest(name, method.params)}",
            )
        values[method.params[name]] = scope.constant(option.args["value"])
    return values
