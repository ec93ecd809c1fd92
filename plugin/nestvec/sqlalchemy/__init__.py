"""SQLAlchemy's dialect: ``create_engine("nestvec:///demo.db")``, ``create_engine("nestvec://host:19530/db")``.

Statements are PostgreSQL's, and vectors have pgvector's types and comparisons:
``select(Paper).order_by(Paper.v.cosine_distance("heat flow")).limit(5)``. Alembic finds the dialect, too.
"""

from importlib.util import find_spec

from nestvec.sqlalchemy.dialect import NestvecDialect
from nestvec.sqlalchemy.types import BFloat16Vector, Bit, Bm25, HalfVec, SparseVec, Vector

if find_spec("alembic") is not None:
    # Alembic knows a dialect by a class of its own, which has to be defined before a migration runs.
    import nestvec.sqlalchemy.migrations  # noqa: F401

__all__ = ["BFloat16Vector", "Bit", "Bm25", "HalfVec", "NestvecDialect", "SparseVec", "Vector"]
