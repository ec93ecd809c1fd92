"""SQL over Milvus: PostgreSQL's grammar with pgvector's operators; texts are embedded by the server.

Text → ``language.parse`` → ``bind`` → ``plan`` → ``run``. Each stage is a folder of short files, pure up to
the last, whose steps yield what Milvus is to be asked (``nestvec.milvus.steps``). ``statements`` has a file a kind.
"""

from __future__ import annotations

from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.params import Given
from nestvec.sql.session import Session
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import execute_steps as execute_steps

__all__ = ["Session", "SessionSettings", "StatementResult", "execute"]


def execute(
    client: MilvusClient, statement: str, params: Given | None = None, *, session: Session | None = None
) -> StatementResult:
    """Run one statement. ``params`` are the values of ``:name`` by name, or of ``$1`` in order.

    Raises SqlError where the statement is wrong, StoreError where Milvus is, ServiceError where a text
    cannot be embedded.
    """
    return drive(client, execute_steps(session or Session(), statement, params))
