"""Tables of PostgreSQL servers, which DuckDB reads by its extension ``postgres``."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nestvec_schemas.errors import SqlNotSupported

if TYPE_CHECKING:
    import duckdb

_PACKAGE: Final = "duckdb_extension_postgres_scanner"
"""The package of PyPI that carries the extension."""
_FILE: Final = "postgres_scanner.duckdb_extension"


@dataclass(frozen=True)
class PostgresTable:
    """A table of a server that the caller attached."""

    server: str
    """The name that it is attached by."""
    address: str = field(repr=False)
    """Its connection string, which may have a password."""
    schema: str
    table: str

    @property
    def label(self) -> str:
        """Its name in statements."""
        return f"{self.server}.{self.schema}.{self.table}"

    @property
    def call(self) -> str:
        """DuckDB's function that reads it: filters run in PostgreSQL, and nothing is written."""
        arguments = ", ".join(text_literal(text) for text in (self.address, self.schema, self.table))
        return f"postgres_scan_pushdown({arguments})"


def text_literal(text: str) -> str:
    """A text as a constant of SQL."""
    return "'" + text.replace("'", "''") + "'"


def load_extension(database: duckdb.DuckDBPyConnection) -> None:
    """Load the extension, which is never downloaded. Raises SqlNotSupported where it is not installed."""
    import duckdb  # noqa: PLC0415 - plans name tables without loading it

    try:
        database.execute("LOAD postgres")
    except duckdb.Error:
        packaged = _packaged(duckdb.__version__)
        if packaged is None:
            raise _not_installed(duckdb.__version__) from None
        try:
            # DuckDB checks its signature, as of any other.
            database.execute(f"LOAD {text_literal(str(packaged))}")
        except duckdb.Error:
            raise _not_installed(duckdb.__version__) from None


def _packaged(version: str) -> Path | None:
    """The extension for a version of DuckDB, in a package of PyPI."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "extensions" / f"v{version}" / _FILE
    return path if path.is_file() else None


def _not_installed(version: str) -> SqlNotSupported:
    return SqlNotSupported(
        f"reading PostgreSQL without DuckDB's extension postgres for {version} is not supported",
        next_step="Install it: python -c \"import duckdb; duckdb.execute('INSTALL postgres')\".",
    )
