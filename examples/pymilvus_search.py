"""Text in, text out: Milvus embeds what it stores and what it searches for.

python pymilvus_search.py [SERVICE]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pymilvus import DataType, MilvusClient

import nestvec

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
PAPERS = Path(__file__).with_name("papers.jsonl")

client = MilvusClient("examples.db")
client.drop_collection("papers")

schema = client.create_schema()
schema.add_field("id", DataType.INT64, is_primary=True)
schema.add_field("year", DataType.INT64)
schema.add_field("abstract", DataType.VARCHAR, max_length=8192)
nestvec.add_embedding(schema, "abstract", encoder="minilm", dims=[64, 384], service=SERVICE)
client.create_collection("papers", schema=schema, index_params=nestvec.index_params(schema))

client.insert("papers", [json.loads(line) for line in PAPERS.read_text().splitlines()])

for field in ("abstract_64", "abstract_384"):
    hits = client.search(
        "papers",
        data=["insects that talk to each other"],
        anns_field=field,
        filter="year > 1980",
        limit=2,
        output_fields=["abstract"],
    )
    print(f"{field}:")
    for hit in hits[0]:
        print(f"  {hit['distance']:.2f}  {hit['entity']['abstract']}")

client.close()
