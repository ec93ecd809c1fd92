"""LangChain's Milvus store over a collection that Milvus embeds: text in, documents out.

python langchain_store.py [SERVICE]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_milvus import BM25BuiltInFunction, Milvus, TextEmbeddingBuiltInFunction
from langchain_milvus.function import BaseMilvusBuiltInFunction
from pymilvus import Function, FunctionType, MilvusClient

import nestvec

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
PAPERS = Path(__file__).with_name("papers.jsonl")
QUESTION = "insects that talk to each other"

CREATE = f"""
    CREATE TABLE papers (
      id VARCHAR(64) PRIMARY KEY,
      year BIGINT NOT NULL,
      abstract VARCHAR(8192) NOT NULL,
      abstract_64   VECTOR(64)  GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED,
      abstract_384  VECTOR(384) GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED,
      abstract_bm25 SPARSEVEC   GENERATED ALWAYS AS (BM25(abstract)) STORED
    ) WITH (service = '{SERVICE}')
"""


def functions(collection: str) -> dict[str, BaseMilvusBuiltInFunction]:
    """LangChain's objects for what Milvus fills in a collection, by the vector field."""
    client = MilvusClient("examples.db")
    described = client.describe_collection(collection)
    client.close()
    dims = {field["name"]: field["params"].get("dim") for field in described["fields"]}
    built_in: dict[str, BaseMilvusBuiltInFunction] = {}
    for function in described["functions"]:
        (source,), (field,) = function["input_field_names"], function["output_field_names"]
        if function["type"] == FunctionType.BM25:
            built_in[field] = BM25BuiltInFunction(input_field_names=source, output_field_names=field)
        else:
            built_in[field] = TextEmbeddingBuiltInFunction(
                input_field_names=source,
                output_field_names=field,
                dim=dims[field],
                params=function["params"],
            )
    return built_in


def store(*fields: str) -> Milvus:
    """A store that searches by these fields, by several together."""
    return Milvus(
        embedding_function=None,
        builtin_function=[FUNCTIONS[field] for field in fields],
        vector_field=list(fields),
        collection_name="papers",
        primary_field="id",
        text_field="abstract",
        # Without it LangChain reads the vectors too, and Milvus does not return those of BM25.
        enable_dynamic_field=True,
        # Without them LangChain sends the parameters that indexes are built with.
        search_params=[{} for _ in fields],
        connection_args={"uri": "examples.db"},
    )


with nestvec.connect("examples.db") as connection:
    connection.execute("DROP TABLE IF EXISTS papers")
    connection.execute(CREATE)

FUNCTIONS = functions("papers")
papers = [json.loads(line) for line in PAPERS.read_text().splitlines()]
documents = [Document(paper["abstract"], metadata={"year": paper["year"]}) for paper in papers]
store(*FUNCTIONS).add_documents(documents, ids=[str(paper["id"]) for paper in papers])

for dims in (64, 384):
    print(f"abstract_{dims}:")
    hits = store(f"abstract_{dims}").similarity_search_with_score(QUESTION, k=2, expr="year > 1980")
    for document, score in hits:
        print(f"  {score:.2f}  {document.page_content} ({document.metadata['year']})")

print("abstract_384 and abstract_bm25:")
ranks = Function("rrf", FunctionType.RERANK, [], params={"reranker": "rrf", "k": 60})
hybrid = store("abstract_384", "abstract_bm25")
for document in hybrid.similarity_search("thin wings in flight", k=2, reranker=ranks):
    print(f"  {document.page_content}")
