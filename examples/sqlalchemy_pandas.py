"""The same collection through SQLAlchemy, with the answers in pandas.

python sqlalchemy_pandas.py [SERVICE]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas
from sqlalchemy import create_engine, text

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
NEAREST = text("""
    SELECT id, year, 1 - (abstract <=> :question) AS score, abstract
    FROM papers WHERE year BETWEEN :first AND :last
    ORDER BY abstract <=> :question LIMIT 3
""")
HYBRID = text("""
    SELECT id, abstract FROM papers
    ORDER BY RRF(abstract_384 <=> :question, abstract_bm25 <@> :question) DESC LIMIT 3
""")

engine = create_engine("nestvec:///examples.db")
with engine.connect() as connection:
    connection.execute(text("DROP TABLE IF EXISTS papers"))
    connection.execute(text(CREATE))
    rows = [json.loads(line) for line in PAPERS.read_text().splitlines()]
    insert = text("INSERT INTO papers (id, year, abstract) VALUES (:id, :year, :abstract)")
    connection.execute(insert, rows)
    connection.commit()

    question = {"question": "supersonic flight"}
    nearest = pandas.read_sql_query(NEAREST, connection, params={**question, "first": 1950, "last": 1970})
    print(nearest.round(2).to_string(index=False))

    hybrid = pandas.read_sql_query(HYBRID, connection, params=question)
    print(hybrid.to_string(index=False))
engine.dispose()
