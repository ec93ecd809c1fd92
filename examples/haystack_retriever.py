"""A Haystack pipeline whose retriever is a collection: Milvus embeds, so the pipeline needs no embedder.

python haystack_retriever.py [SERVICE]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")

from haystack import Document, Pipeline, component
from haystack.components.builders import PromptBuilder

import nestvec

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
PAPERS = Path(__file__).with_name("papers.jsonl")
QUESTION = "Which animals tell one another where food is?"

CREATE = f"""
    CREATE TABLE papers (
      id BIGINT PRIMARY KEY,
      year BIGINT NOT NULL,
      abstract VARCHAR(8192) NOT NULL,
      abstract_64  VECTOR(64)  GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED,
      abstract_384 VECTOR(384) GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED
    ) WITH (service = '{SERVICE}')
"""
NEAREST = """
    SELECT id, year, abstract, 1 - (abstract <=> :question) AS score
    FROM papers ORDER BY abstract <=> :question LIMIT :limit
"""
PROMPT = """Answer from these abstracts.
{% for document in documents %}
- {{ document.content }} ({{ document.meta.year }})
{%- endfor %}

Question: {{ question }}"""


@component
class NestvecRetriever:
    """The nearest rows of ``papers`` as documents."""

    def __init__(self, connection: nestvec.dbapi.Connection, limit: int = 3) -> None:
        self.connection, self.limit = connection, limit

    @component.output_types(documents=list[Document])
    def run(self, question: str) -> dict[str, list[Document]]:
        rows = self.connection.execute(NEAREST, {"question": question, "limit": self.limit})
        return {
            "documents": [
                Document(id=str(key), content=abstract, meta={"year": year}, score=score)
                for key, year, abstract, score in rows
            ]
        }


with nestvec.connect("examples.db") as connection:
    connection.execute("DROP TABLE IF EXISTS papers")
    connection.execute(CREATE)
    connection.execute(f"COPY papers FROM '{PAPERS}'")

    pipeline = Pipeline()
    pipeline.add_component("retriever", NestvecRetriever(connection))
    pipeline.add_component("prompt", PromptBuilder(template=PROMPT, required_variables="*"))
    pipeline.connect("retriever.documents", "prompt.documents")
    answer = pipeline.run({"retriever": {"question": QUESTION}, "prompt": {"question": QUESTION}})

# Connect a generator to the prompt for an answer; this is what it would read.
print(answer["prompt"]["prompt"])
