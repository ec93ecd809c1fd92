"""SQL over Milvus: PostgreSQL's grammar with pgvector's operators; texts are embedded by the server.

A statement goes through ``parse`` → ``bind`` → ``plan`` → ``execute``, each a folder of short files. The
steps of the last yield the calls of Milvus (``nestvec.milvus.steps``); the others are pure. ``statements``
has a file per kind of statement.
"""

from __future__ import annotations

from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql.bind.params import ParameterValues
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import execute_steps

__all__ = ["Session", "SessionSettings", "StatementResult", "execute"]


def execute(
    client: MilvusClient,
    statement: str,
    params: ParameterValues | None = None,
    *,
    session: Session | None = None,
) -> StatementResult:
    """Run one statement. ``params`` are the values of ``:name`` by name, or of ``$1`` in order.

    Raises SqlError for a wrong statement, StoreError for an error of Milvus, ServiceError where a text cannot
    be embedded.
    """
    return drive(client, execute_steps(session or Session(), statement, params))
