"""LlamaIndex's Milvus store over a collection that Milvus embeds; the service embeds the questions.

python llamaindex_store.py [SERVICE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from llama_index.core import VectorStoreIndex
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.vector_stores.milvus import MilvusVectorStore
from llama_index.vector_stores.milvus.utils import BM25BuiltInFunction

import nestvec

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
PAPERS = Path(__file__).with_name("papers.jsonl")

CREATE = f"""
    CREATE TABLE papers (
      id BIGINT PRIMARY KEY,
      year BIGINT NOT NULL,
      abstract VARCHAR(8192) NOT NULL,
      abstract_64   VECTOR(64)  GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED,
      abstract_384  VECTOR(384) GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED,
      abstract_bm25 SPARSEVEC   GENERATED ALWAYS AS (BM25(abstract)) STORED
    ) WITH (service = '{SERVICE}')
"""


def index(dims: int) -> VectorStoreIndex:
    """An index over the vectors of this length, and over the words."""
    store = MilvusVectorStore(
        uri="examples.db",
        collection_name="papers",
        embedding_field=f"abstract_{dims}",
        similarity_metric="cosine",
        enable_sparse=True,
        sparse_embedding_field="abstract_bm25",
        sparse_embedding_function=BM25BuiltInFunction(
            input_field_names="abstract", output_field_names="abstract_bm25"
        ),
        text_key="abstract",
        output_fields=["abstract", "year"],
        use_async_client=False,
    )
    # Milvus Lite opens with no collection loaded.
    store.client.load_collection("papers")
    # The client requires a key; a service without --api-keys ignores it.
    questions = OpenAILikeEmbedding("minilm", api_base=f"{SERVICE}/v1", api_key="unused", dimensions=dims)
    return VectorStoreIndex.from_vector_store(store, embed_model=questions)


with nestvec.connect("examples.db") as connection:
    connection.execute("DROP TABLE IF EXISTS papers")
    connection.execute(CREATE)
    connection.execute(f"COPY papers FROM '{PAPERS}'")

recent = MetadataFilters(filters=[MetadataFilter(key="year", value=1980, operator=FilterOperator.GT)])
for dims in (64, 384):
    print(f"abstract_{dims}:")
    retriever = index(dims).as_retriever(similarity_top_k=2, filters=recent)
    for hit in retriever.retrieve("insects that talk to each other"):
        print(f"  {hit.score:.2f}  {hit.text} ({hit.metadata['year']})")

print("abstract_384 and abstract_bm25:")
hybrid = index(384).as_retriever(similarity_top_k=2, vector_store_query_mode="hybrid")
for hit in hybrid.retrieve("thin wings in flight"):
    print(f"  {hit.text}")
