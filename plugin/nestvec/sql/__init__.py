"""SQL over Milvus: PostgreSQL's grammar with pgvector's operators; texts are embedded by the server.

A statement goes through ``parse`` → ``bind`` → ``plan`` → ``execute``, each a folder of short files. The
steps of the last yield the calls of Milvus (``nestvec.milvus.steps``); the others are pure. ``statements``
has a file per kind of statement.
"""

from __future__ import annotations

from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import execute

__all__ = ["Session", "SessionSettings", "StatementResult", "execute"]
