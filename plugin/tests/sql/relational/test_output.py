import stat
from datetime import UTC, datetime
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
