"""CREATE INDEX in pgvector's syntax, bound to a column and an index of Milvus."""

from __future__ import annotations

import re
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
from nestvec.sqltypes import sql_type_of
from nestvec.sqltypes.kinds import BFLOAT16
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
_SPELLINGS = {"efconstruction": "ef_construction", "nlist": "lists"}
"""pgvector's names of options that Milvus's names stand for, too."""
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
    "gin": IndexMethod("INVERTED", {}, for_vectors=False),
    "hash": IndexMethod("INVERTED", {}, for_vectors=False),
}
"""A row for each method. INVERTED is the one scalar index of Milvus Lite, so btree maps to it."""

_OPTION_RANGES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "HNSW": {"m": (2, 100), "ef_construction": (4, 1000)},
    "IVF_FLAT": {"lists": (1, 32_768)},
}
"""pgvector's bounds of the options of its methods."""

_DEFAULT_M: Final = 16
_DEFAULT_EF_CONSTRUCTION: Final = 64

_DENSE_METRICS: Final = {"cosine": "COSINE", "l2": "L2", "ip": "IP"}
_DENSE: Final = ("vector", "halfvec")
OPERATOR_CLASSES: Final[Mapping[str, Mapping[str, str]]] = {
    "vector": {f"vector_{name}_ops": metric for name, metric in _DENSE_METRICS.items()},
    "halfvec": {f"halfvec_{name}_ops": metric for name, metric in _DENSE_METRICS.items()},
    BFLOAT16: {f"{kind}_{name}_ops": metric for kind in _DENSE for name, metric in _DENSE_METRICS.items()},
    "bit": {"bit_hamming_ops": "HAMMING", "bit_jaccard_ops": "JACCARD"},
    "sparsevec": {"sparsevec_ip_ops": "IP"},
}
"""Milvus's metrics by pgvector's operator classes, for each type of vector."""

_NOT_IN_MILVUS: Final = ("sparsevec_l2_ops", "sparsevec_cosine_ops", "l1_ops")
_BINARY_TYPES: Final = {"HNSW": "BIN_FLAT", "FLAT": "BIN_FLAT", "IVF_FLAT": "BIN_IVF_FLAT"}
"""Milvus's indexes of bit vectors: it has no graph for them, so hnsw is searched exactly."""


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
        if part == "where":
            raise source.not_supported(
                "a partial index",
                at,
                "Milvus indexes every row: omit WHERE. Searches with the condition use the index, too.",
            )
        raise source.not_supported(f"{part.upper()} in CREATE INDEX", at, _WRITE)
    column, class_ = _column(scope, chosen)
    using = chosen.args.get("using")
    method = _method(source, using, column)
    filled = {*table.generated, *(lexical.column for lexical in table.lexical)}
    if column.type == "SPARSE_FLOAT_VECTOR" and column.name in filled:
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
    is_named = isinstance(inner.this, exp.Identifier)
    name = identifier_name(inner.this) if is_named else f"{table.name}_{column.name}_idx"
    index = _stored_index(column, Index(method.type, metric, values))
    return IndexDefinition(table, column, name, index)


def _stored_index(column: Column, index: Index) -> Index:
    """The index of Milvus for a column of bits or of sparse vectors."""
    if column.type == "SPARSE_FLOAT_VECTOR":
        return Index("SPARSE_INVERTED_INDEX", index.metric, {})
    if column.type == "BINARY_VECTOR":
        return Index(_BINARY_TYPES.get(index.type, "BIN_FLAT"), index.metric, {})
    if index.metric in ("HAMMING", "JACCARD"):
        # Bits in Milvus Lite are numbers, whose squared Euclidean distance is Hamming's.
        return Index(index.type, "L2", index.params)
    return index


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
        raise scope.source.not_supported(
            "an index on an expression",
            node,
            "Milvus indexes columns: add a column of the type, and write the expression into it.",
        )
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
    offered = OPERATOR_CLASSES[_vector_kind(column)] if column.is_vector else {}
    if name.endswith(_NOT_IN_MILVUS) and column.is_vector:
        raise source.not_supported(
            f"an index by {name}", class_,
            "Milvus has no index of this metric for these vectors: they are compared exactly without one.",
        )  # fmt: skip
    if name not in offered:
        raise source.unknown_name(
            "there is no such operator class for this column", name, class_,
            f"It takes {', '.join(offered) or 'none'}.{nearest(name, offered)}",
        )  # fmt: skip
    return offered[name]


def _vector_kind(column: Column) -> str:
    """pgvector's name of the type of a vector column."""
    sql_type = sql_type_of(column)
    if sql_type is not None:
        return sql_type.name
    return {"BINARY_VECTOR": "bit", "SPARSE_FLOAT_VECTOR": "sparsevec"}.get(column.type, "vector")


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
        values[method.params[name]] = _in_range(scope, method, name, option.args["value"])
    if method.type == "HNSW" and values:
        width, m = values.get("efConstruction", _DEFAULT_EF_CONSTRUCTION), values.get("M", _DEFAULT_M)
        if width < 2 * m:
            raise scope.source.type_mismatch(
                "ef_construction must be greater than or equal to 2 * m",
                width,
                nodes[0],
                f"Write ef_construction = {2 * m} or more, or a smaller m.",
            )
    return values


def _in_range(scope: Scope, method: IndexMethod, name: str, node: exp.Expr) -> Any:
    """The value of an option, an integer within pgvector's bounds where pgvector has it."""
    value = scope.constant(node)
    bounds = _OPTION_RANGES.get(method.type, {}).get(_SPELLINGS.get(name, name))
    if bounds is None:
        return value
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise scope.source.type_mismatch(
            f'invalid value for integer option "{name}"', value, node, "Write an integer."
        )
    number, (least, most) = int(text), bounds
    if not least <= number <= most:
        raise scope.source.type_mismatch(
            f'the value is out of bounds for option "{name}"',
            number,
            node,
            f"Write one between {least} and {most}.",
        )
    return number
