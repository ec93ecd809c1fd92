"""What Alembic has to know of the dialect."""

from __future__ import annotations

from typing import Any, Literal

from alembic.ddl.impl import DefaultImpl
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table
from sqlalchemy.types import TypeEngine

from nestvec.sqlalchemy.types import Vector


class NestvecImpl(DefaultImpl):
    """Migrations without transactions: what a failed one has done stays."""

    __dialect__ = "nestvec"
    transactional_ddl = False

    def version_table_impl(
        self,
        *,
        version_table: str,
        version_table_schema: str | None,
        version_table_pk: bool,
        **kw: Any,
    ) -> Table:
        """The table of the current revision, with the key that Milvus requires."""
        return Table(
            version_table,
            MetaData(),
            Column("row_id", BigInteger, primary_key=True, autoincrement=True),
            Column("version_num", String(32), nullable=False),
            schema=version_table_schema,
        )

    def compare_type(self, inspector_column: Column[Any], metadata_column: Column[Any]) -> bool:
        """Whether a type changed. Keys that Milvus generates have 64 bits, whatever was declared."""
        generated = metadata_column.primary_key and inspector_column.autoincrement is True
        if generated and isinstance(metadata_column.type, Integer):
            return False
        return bool(super().compare_type(inspector_column, metadata_column))

    def render_type(self, type_: TypeEngine[Any], autogen_context: Any) -> str | Literal[False]:
        """Vectors by their own names, with the import that a migration needs."""
        if type(type_).__module__ != Vector.__module__:
            return False
        autogen_context.imports.add("import nestvec.sqlalchemy")
        return f"nestvec.sqlalchemy.{type_!r}"
