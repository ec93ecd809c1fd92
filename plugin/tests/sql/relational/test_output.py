import os
import stat
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from nestvec.sql.relational.engine import open_engine
from nestvec.sql.relational.output import read_result
from nestvec.sql.relational.relations import OutputTypes, RelationalPlan
from nestvec_schemas.errors import SqlDataError


def test_a_time_with_a_zone_is_in_utc_as_without_duckdb() -> None:
    moment = "TIMESTAMPTZ '2024-01-01 01:00:00+01'"
    plan = RelationalPlan(sql=f"SELECT {moment} AS at UNION ALL SELECT NULL", columns=("at",), relations=())
    with open_engine() as connection:
        result = read_result(connection, plan, {})
    assert result.types == ("TIMESTAMPTZ",)
    assert result.rows == ((datetime(2024, 1, 1, tzinfo=UTC),), (None,))
    assert result.rows[0][0].tzinfo is UTC


def test_dates_that_python_does_not_have_are_as_postgresql_writes_them() -> None:
    values = "make_date(-43, 3, 15), make_timestamp(0, 1, 1, 2, 0, 0), make_timestamptz(10000, 1, 1, 0, 0, 0)"
    plan = RelationalPlan(sql=f"SELECT {values}", columns=("a", "b", "c"), relations=())
    with open_engine() as connection:
        result = read_result(connection, plan, {})
    assert result.rows == (("0044-03-15 BC", "0001-01-01 02:00:00 BC", "10000-01-01 00:00:00+00"),)


def test_an_infinite_date_in_a_result_is_an_error() -> None:
    plan = RelationalPlan(sql="SELECT '-infinity'::TIMESTAMPTZ", columns=("a",), relations=())
    with pytest.raises(SqlDataError, match="an infinite date"), open_engine() as connection:
        read_result(connection, plan, {})


def test_a_statement_whose_dates_may_be_infinite_is_run_once() -> None:
    sql = "SELECT nextval('runs') AS n, DATE '2024-01-31' AS day WHERE 'infinity' <> ''"
    plan = RelationalPlan(sql=sql, columns=("n", "day"), relations=())
    with open_engine() as connection:
        connection.execute("CREATE TEMPORARY SEQUENCE runs")
        result = read_result(connection, plan, {})
        connection.execute("DROP SEQUENCE runs")
    assert result.rows == ((1, date(2024, 1, 31)),)


def test_times_are_of_utc_whatever_the_zone_of_the_machine() -> None:
    program = (
        "from nestvec.sql.relational.engine import open_engine\n"
        "with open_engine() as connection:\n"
        "    print(*connection.execute(\"SELECT '2024-07-01'::TIMESTAMPTZ::VARCHAR\").fetchone())\n"
    )
    environment = {**os.environ, "TZ": "America/New_York"}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "2024-07-01 00:00:00+00"


@pytest.mark.parametrize(("decimals", "number"), [(False, 1.5), (True, Decimal("1.5"))])
def test_numbers_of_an_array_are_those_of_a_column(decimals: bool, number: float | Decimal) -> None:
    sql = "SELECT [1.5, NULL], [[1.5]], 1.5"
    plan = RelationalPlan(sql=sql, columns=("a", "b", "c"), relations=(), output=OutputTypes(decimals))
    with open_engine() as connection:
        result = read_result(connection, plan, {})
    assert result.types[:2] == ("ARRAY", "ARRAY")
    assert result.rows == (([number, None], [[number]], number),)
    assert {type(result.rows[0][2]), type(result.rows[0][0][0])} == {type(number)}


@pytest.mark.parametrize("error", [duckdb.InternalException, duckdb.FatalException])
def test_a_database_that_duckdb_has_given_up_is_not_used_again(error: type[duckdb.Error]) -> None:
    with pytest.raises(SqlDataError, match="a null pointer"), open_engine() as connection:
        connection.execute("CREATE TABLE main.left_over (a INT)")
        raise error("INTERNAL Error: a null pointer")
    with open_engine() as connection:
        connection.execute("CREATE TABLE main.left_over (a INT)")
        connection.execute("DROP TABLE main.left_over")


def test_nobody_else_reads_what_does_not_fit_into_memory() -> None:
    with open_engine() as connection:
        (folder,) = connection.execute("SELECT current_setting('temp_directory')").fetchone() or ("",)
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
