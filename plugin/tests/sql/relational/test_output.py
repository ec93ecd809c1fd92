from datetime import UTC, datetime

from nestvec.sql.relational.engine import open_engine
from nestvec.sql.relational.output import read_result
from nestvec.sql.relational.relations import RelationalPlan


def test_a_time_with_a_zone_is_in_utc_as_without_duckdb() -> None:
    moment = "TIMESTAMPTZ '2024-01-01 01:00:00+01'"
    plan = RelationalPlan(sql=f"SELECT {moment} AS at UNION ALL SELECT NULL", columns=("at",), relations=())
    with open_engine() as connection:
        result = read_result(connection, plan, {})
    assert result.types == ("TIMESTAMPTZ",)
    assert result.rows == ((datetime(2024, 1, 1, tzinfo=UTC),), (None,))
    assert result.rows[0][0].tzinfo is UTC
