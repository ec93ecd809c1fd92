"""A collection as Milvus describes it: columns, embeddings, metrics."""

from nestvec.milvus.catalog.columns import DYNAMIC_COLUMN, ROW_ID, Column, TypeParams, described_columns
from nestvec.milvus.catalog.embedding_columns import EmbeddingColumn, described_embeddings
from nestvec.milvus.catalog.table import (
    LOCKS_COLLECTION,
    LexicalColumn,
    Table,
    read_table,
    table_steps,
)

__all__ = [
    "DYNAMIC_COLUMN",
    "LOCKS_COLLECTION",
    "ROW_ID",
    "Column",
    "EmbeddingColumn",
    "LexicalColumn",
    "Table",
    "TypeParams",
    "described_columns",
    "described_embeddings",
    "read_table",
    "table_steps",
]
