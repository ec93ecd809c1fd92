"""SQL over Milvus: PostgreSQL's grammar with pgvector's operators; texts are embedded by the server.

Statement → ``parse_select`` → ``bind_query`` → ``make_plan`` → ``run_plan``. Each step is a pure function of
the one before and of the collection's columns, up to the last, which asks Milvus once.
"""

from __future__ import annotations

from pymilvus import MilvusClient

from nestvec.catalog import read_table
from nestvec.milvus import milvus_errors
from nestvec.sql.bind import bind_query, table_node
from nestvec.sql.parse import Parsed, parse_select
from nestvec.sql.plan import Plan, make_plan
from nestvec.sql.run import Answer, run_plan
from nestvec.sql.source import folded
from nestvec_schemas.errors import nearest

__all__ = ["Answer", "Plan", "execute", "prepare", "run_plan"]


def execute(client: MilvusClient, statement: str) -> Answer:
    """Run one SELECT. Raises SqlError where the statement is wrong, StoreError where Milvus is."""
    return run_plan(client, prepare(client, statement))


def prepare(client: MilvusClient, statement: str) -> Plan:
    """Read the collection and plan the statement, without running it. Raises SqlError, StoreError."""
    parsed = parse_select(statement)
    return make_plan(bind_query(parsed, read_table(client, _collection(client, parsed))))


def _collection(client: MilvusClient, parsed: Parsed) -> str:
    node = table_node(parsed)
    written, lower = str(node.this.this), folded(node.this)
    with milvus_errors("listing the collections"):
        names = sorted(client.list_collections())
    for name in (lower, written):
        if name in names:
            return name
    there = f"There: {', '.join(names)}." if names else "The database is empty."
    raise parsed.source.unknown_name(
        "there is no collection of this name", lower, node, there + nearest(lower, names)
    )
