"""A real PostgreSQL for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration_tests.fixtures.postgres import PostgresServer, run_postgres
from integration_tests.fixtures.reports import report

__all__ = ["postgresql", "report"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A PostgreSQL 16 with pgvector, for the whole run."""
    with run_postgres() as server:
        yield server
