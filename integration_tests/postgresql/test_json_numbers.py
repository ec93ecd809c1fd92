"""Numbers of JSON files in NUMERIC columns: every digit, as PostgreSQL reads the same text."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration_tests.fixtures.postgres import PostgresServer

import nestvec

_NUMBERS = (
    "0.12345678901234567890123", "12345678901234567890.5", "1234567890123456.78", "1e-25", "-0.1", "1.5E+3",
    "0.1000000000000000000001", "12345678901234567890123", "7", "0.30000000000000004",
)  # fmt: skip


@pytest.mark.parametrize(("format_", "options"), [("jsonl", ""), ("json", "MAP ('amount=n'), ")])
def test_a_numeric_column_has_every_digit_of_a_file(
    postgresql: PostgresServer, tmp_path: Path, format_: str, options: str
) -> None:
    name = "amount" if options else "n"
    rows = [f'{{"id": {at}, "{name}": {text}, "d": {text}, "v": [0, 1]}}' for at, text in enumerate(_NUMBERS)]
    path = tmp_path / f"rows.{format_}"
    path.write_text("\n".join(rows) if format_ == "jsonl" else f"[{', '.join(rows)}]")
    with postgresql.connect() as oracle, nestvec.connect(str(tmp_path / "rows.db")) as connection:
        connection.execute(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, n NUMERIC, d DOUBLE PRECISION, v VECTOR(2))"
        )
        connection.execute(f"COPY t FROM '{path}' WITH ({options}FORMAT {format_})")
        stored = connection.execute("SELECT n, d FROM t ORDER BY id").fetchall()
        expected = [
            oracle.execute(f"SELECT '{text}'::numeric, '{text}'::float8".encode()).fetchone()
            for text in _NUMBERS
        ]
    assert stored == expected
