"""What DBeaver and Grafana ask of the catalogs, and Grafana's macros: PostgreSQL and ``nestvec pg``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer

import nestvec

QUERIES = dict(
    re.findall(
        r"^-- (\w+: [^\n]+)\n(.*?);$",
        Path(__file__).with_name("client_queries.sql").read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
)
TABLE = "CREATE TABLE t (id BIGINT PRIMARY KEY, n INT, s TEXT NOT NULL, made TIMESTAMPTZ, v VECTOR(2))"
ROWS = (
    "INSERT INTO t VALUES (1, 10, 'a', '2024-05-01 10:01:00+00', '[1,2]'), "
    "(2, 20, 'b', '2024-05-01 10:04:00+00', '[2,1]'), (3, 30, 'a', '2024-05-01 10:06:00+00', '[0,1]')"
)
INDEX = "CREATE INDEX t_v_idx ON t USING hnsw (v vector_l2_ops)"

PARAMETERS = {
    "schema": "SELECT oid FROM pg_namespace WHERE nspname = 'public'",
    "table": "SELECT oid FROM pg_class WHERE relname = 't'",
    "type": "SELECT oid FROM pg_type WHERE typname = 'int8'",
    "database": "SELECT oid FROM pg_database WHERE datname = current_database()",
    "name": "SELECT 't'",
}
SAME_ROWS = (
    "grafana: version", "grafana: timescale", "grafana: schemas", "grafana: tables of a schema",
    "grafana: tables", "grafana: columns", "grafana: columns with the schema",
    "dbeaver: has pg_enum", "dbeaver: enum labels", "dbeaver: inheritance", "dbeaver: policies",
    "dbeaver: triggers", "dbeaver: comment of a table", "dbeaver: foreign servers",
)  # fmt: skip
"""Queries whose rows say nothing of what differs between the servers."""

ACL, TEXTS, ANYARRAY, TEXT, INET, NAME = 1034, 1009, 2277, 25, 869, 19
OTHER_TYPES = {(ACL, TEXTS), (ANYARRAY, TEXT), (INET, TEXT), (NAME, TEXT)}
"""PostgreSQL's types of columns, with those that nestvec gives them."""

MACROS = (
    "SELECT made AS \"time\", n FROM t WHERE made BETWEEN '2024-05-01T10:00:00Z' AND '2024-05-01T10:05:00Z' "
    "ORDER BY 1",
    'SELECT floor(extract(epoch from made)/300)*300 AS "time", avg(n) AS value FROM t '
    "WHERE made BETWEEN '2024-05-01T10:00:00Z' AND '2024-05-01T11:00:00Z' GROUP BY 1 ORDER BY 1",
    'SELECT floor(extract(epoch from made)/300)*300 AS "time", s AS metric, count(*) FROM t GROUP BY 1, 2 '
    "ORDER BY 1, 2",
    'SELECT extract(epoch from made) AS "time", n FROM t WHERE id >= 1 AND id <= 1714557600 ORDER BY 1',
    "SELECT s, max(n) FROM t WHERE made >= '2024-05-01T10:02:00Z' GROUP BY s ORDER BY s LIMIT 50",
    "SELECT DISTINCT s FROM t ORDER BY s",
    "SELECT count(n) FROM t WHERE s IN ('a','b')",
)
"""What Grafana sends for $__time, $__timeFilter, $__timeGroupAlias, $__timeEpoch and $__unixEpochFilter."""


@dataclass(frozen=True)
class Twins:
    """A table by ``nestvec pg`` and by PostgreSQL, both with psycopg."""

    nestvec: psycopg.Connection
    postgresql: psycopg.Connection


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path = tmp_path_factory.mktemp("screens") / "t.db"
    with nestvec.connect(str(path)) as connection:
        for statement in (TABLE, ROWS, INDEX):
            connection.execute(statement)
    with (
        run_pg(path) as server,
        psycopg.connect(server.address, autocommit=True) as wire,
        postgresql.connect() as oracle,
    ):
        oracle.execute("CREATE EXTENSION IF NOT EXISTS vector")
        oracle.execute("SET TimeZone = 'UTC'")
        for statement in (TABLE, ROWS, INDEX):
            oracle.execute(statement)
        yield Twins(wire, oracle)
        oracle.execute("DROP TABLE t")


def ask(connection: psycopg.Connection, query: str) -> psycopg.Cursor[Any]:
    """The answer, with the parameters as DBeaver's driver sends them."""
    values = []
    for name in re.findall(r"\{(\w+)\}", query):
        row = connection.execute(PARAMETERS[name]).fetchone()
        assert row is not None
        values.append(row[0])
    return connection.execute(re.sub(r"\{\w+\}", "%s", query.replace("%", "%%")), values)


@pytest.mark.parametrize("purpose", QUERIES)
def test_columns_and_types_are_postgresqls(twins: Twins, purpose: str) -> None:
    theirs, ours = (ask(side, QUERIES[purpose]) for side in (twins.postgresql, twins.nestvec))
    assert theirs.description and ours.description
    assert [column.name for column in ours.description] == [column.name for column in theirs.description]
    for other, own in zip(theirs.description, ours.description, strict=True):
        same = other.type_code == own.type_code or (other.type_code, own.type_code) in OTHER_TYPES
        assert same, f"{own.name}: {own.type_code} instead of {other.type_code}"
    if purpose in SAME_ROWS:
        assert sorted(ours.fetchall()) == sorted(theirs.fetchall())


@pytest.mark.parametrize("query", MACROS)
def test_grafanas_macros(twins: Twins, query: str) -> None:
    assert twins.nestvec.execute(query).fetchall() == twins.postgresql.execute(query).fetchall()


def test_the_table_its_key_and_index_are_shown(twins: Twins) -> None:
    tables = ask(twins.nestvec, QUERIES["dbeaver: tables"])
    assert tables.description
    at = [column.name for column in tables.description].index("relname")
    assert [row[at] for row in tables.fetchall()] == ["t"]
    columns = ask(twins.nestvec, QUERIES["dbeaver: columns"]).fetchall()
    assert [row[2] for row in columns] == ["id", "n", "s", "made", "v"]
    indexes = ask(twins.nestvec, QUERIES["dbeaver: indexes"])
    assert indexes.description
    names = [column.name for column in indexes.description]
    keys = {row[names.index("relname")]: row[names.index("keys")] for row in indexes.fetchall()}
    assert keys == {"t_pkey": "1", "t_v_idx": "5"}


COMPUTED = {
    "'[1,2]'::vector": "[1,2]",
    "'[1,2]'::vector(2) + '[1,1]'::vector": "[2,3]",
    "'{1:1.5}/3'::sparsevec": "{1:1.5}/3",
    "'{2:1,1:2}/30000'::sparsevec(30000)": "{1:2,2:1}/30000",
    "'[1,2]'::halfvec(2)": "[1,2]",
}
"""The PostgreSQL of the tests has an older pgvector, without the last two types."""


@pytest.mark.parametrize("expression", COMPUTED)
def test_computed_vectors_have_pgvectors_types(twins: Twins, expression: str) -> None:
    answer = twins.nestvec.execute(f"SELECT {expression}")
    assert answer.description
    name = twins.nestvec.execute(
        "SELECT typname FROM pg_type WHERE oid = %s", (answer.description[0].type_code,)
    ).fetchone()
    kind = re.search(r"(halfvec|sparsevec)", expression)
    assert name == (kind[1] if kind else "vector",)
    assert answer.fetchone() == (COMPUTED[expression],)


def test_a_client_starts_with_settings(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with nestvec.connect(str(path)) as connection:
        connection.execute(TABLE)
    with run_pg(path) as server:
        options = "-c nestvec.rollback=ignore -c hnsw.ef_search=77"
        with psycopg.connect(server.address, options=options) as client:
            assert client.execute("SHOW nestvec.rollback").fetchone() == ("ignore",)
            assert client.execute("SHOW hnsw.ef_search").fetchone() == ("77",)
            client.execute("CREATE EXTENSION IF NOT EXISTS vector")
            client.rollback()
        with pytest.raises(psycopg.OperationalError, match="invalid value"):
            psycopg.connect(server.address, options="-c nestvec.rollback=perhaps")
