"""CREATE INDEX, bound to a column and an index of Milvus's; pgvector's words for it are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.indexes import Index
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.types import written
from nestvec.sql.parse.source import Source, folded, stray_parts
from nestvec_schemas.errors import nearest

_WRITE = "Write CREATE INDEX ON t USING hnsw (v vector_cosine_ops) WITH (m = 16)."


@dataclass(frozen=True)
class Method:
    """An index type of Milvus, and its build parameters by the names they go by here."""

    type: str
    params: Mapping[str, str]
    vectors: bool = True


_GRAPH = {"m": "M", "ef_construction": "efConstruction", "efconstruction": "efConstruction"}
_LISTS = {"lists": "nlist", "nlist": "nlist"}
_REFINED = {"refine": "refine", "refine_type": "refine_type"}

METHODS: Final[dict[str, Method]] = {
    "hnsw": Method("HNSW", _GRAPH),
    "hnsw_sq": Method("HNSW_SQ", _GRAPH | _REFINED | {"sq_type": "sq_type"}),
    "ivfflat": Method("IVF_FLAT", _LISTS),
    "ivf_flat": Method("IVF_FLAT", _LISTS),
    "ivf_sq8": Method("IVF_SQ8", _LISTS),
    "ivf_pq": Method("IVF_PQ", _LISTS | {"m": "m", "nbits": "nbits"}),
    "ivf_rabitq": Method("IVF_RABITQ", _LISTS | _REFINED | {"rbq_query_bits": "rbq_query_bits"}),
    "scann": Method("SCANN", _LISTS | {"with_raw_data": "with_raw_data"}),
    "diskann": Method("DISKANN", {"max_degree": "max_degree", "search_list_size": "search_list_size"}),
    "flat": Method("FLAT", {}),
    "autoindex": Method("AUTOINDEX", {}),
    "btree": Method("INVERTED", {}, vectors=False),
    "inverted": Method("INVERTED", {}, vectors=False),
    "bitmap": Method("BITMAP", {}, vectors=False),
}
"""A row a method. Milvus Lite has one index of scalars, INVERTED, and so has every Milvus: btree is that."""

CLASSES: Final = {"vector_cosine_ops": "COSINE", "vector_l2_ops": "L2", "vector_ip_ops": "IP"}
"""pgvector's classes of operators, and Milvus's metrics."""


@dataclass(frozen=True)
class Declared:
    """An index to make. ``metric`` of ``index`` is empty for a scalar's."""

    table: Table
    column: Column
    name: str
    index: Index


def bind_index(source: Source, tree: exp.Expr, table: Table, params: Params) -> Declared:
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
            "another index on a BM25 column",
            using if using is not None else inner,
            "Milvus has this one alone.",
        )
    if column.is_vector != method.vectors:
        right = [name for name, one in METHODS.items() if one.vectors == column.is_vector]
        raise source.type_mismatch(
            f"{method.type} does not index {written(column)}", column.name,
            using if using is not None else inner, f"Choose {', '.join(right)}.",
        )  # fmt: skip
    metric = _metric(source, table, column, class_)
    values = _params(scope, method, chosen.args.get("with_storage") or ())
    name = folded(inner.this) if isinstance(inner.this, exp.Identifier) else column.name
    return Declared(table, column, name, Index(method.type, metric, values))


def _column(scope: Scope, chosen: exp.Expr) -> tuple[Column, exp.Expr | None]:
    nodes = chosen.args.get("columns") or []
    if len(nodes) != 1:
        raise scope.source.not_supported(
            "an index on several columns" if nodes else "an index on no column",
            nodes[1] if nodes else chosen, "Make one for each column.",
        )  # fmt: skip
    node, class_ = nodes[0], None
    if isinstance(node, exp.Ordered):
        if node.args.get("desc"):
            raise scope.source.not_supported("an index in an order", node, _WRITE)
        node = node.this
    if isinstance(node, exp.Opclass):
        node, class_ = node.this, node.args["expression"]
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported("an index on an expression", node, "Name a column.")
    return scope.column(node), class_


def _method(source: Source, using: exp.Expr | None, column: Column) -> Method:
    if using is None:
        return METHODS["autoindex" if column.is_vector else "btree"]
    name = str(using.name).lower()
    if name not in METHODS:
        raise source.unknown_name(
            "there is no kind of index of this name", name, using,
            f"Kinds: {', '.join(METHODS)}.{nearest(name, METHODS)}",
        )  # fmt: skip
    return METHODS[name]


def _metric(source: Source, table: Table, column: Column, class_: exp.Expr | None) -> str:
    if class_ is None:
        return table.metrics.get(column.name, "COSINE") if column.is_vector else ""
    inner = class_.this if isinstance(class_, exp.Table) else class_
    name = str(inner.name).lower()
    if name not in CLASSES or not column.is_vector:
        raise source.unknown_name(
            "there is no class of operators of this name for this column", name, class_,
            f"Vectors have {', '.join(CLASSES)}.{nearest(name, CLASSES)}",
        )  # fmt: skip
    return CLASSES[name]


def _params(scope: Scope, method: Method, nodes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in nodes:
        name = str(one.this.name).lower()
        if name not in method.params:
            offered = f"It has {', '.join(method.params)}." if method.params else "It has none."
            raise scope.source.unknown_name(
                f"{method.type} has no parameter of this name",
                name,
                one.this,
                f"{offered}{nearest(name, method.params)}",
            )
        found[method.params[name]] = scope.constant(one.args["value"])
    return found
