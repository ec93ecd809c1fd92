"""SQLAlchemy's dialect: ``create_engine("nestvec:///demo.db")``, ``create_engine("nestvec://host:19530/db")``.

It reflects collections, columns, primary keys and indexes, and runs ``text()`` with named parameters.
"""

from nestvec.sqlalchemy.dialect import NestvecDialect

__all__ = ["NestvecDialect"]
