"""Averages and deviations of exact numbers: texts that PostgreSQL 16 printed."""

from __future__ import annotations

import pytest

from nestvec.sql.relational.functions.averages import average, spread, spread_of_sums


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        ("3", 2, "1.5000000000000000"),
        ("2", 2, "1.00000000000000000000"),
        ("7", 3, "2.3333333333333333"),
        ("-3", 2, "-1.5000000000000000"),
        ("0", 3, "0.00000000000000000000"),
        ("1", 3, "0.33333333333333333333"),
        ("20001", 2, "10000.5000000000000000"),
        ("1234567890125", 2, "617283945062.50000000"),
        ("3.750000000000000", 2, "1.8750000000000000"),
    ],
)
def test_average(total: str, count: int, expected: str) -> None:
    assert average(total, count) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("stddev_samp", "1.5275252316519467"),
        ("var_samp", "2.3333333333333333"),
        ("var_pop", "1.5555555555555556"),
        ("stddev_pop", "1.2472191289246471"),
    ],
)
def test_spread(kind: str, expected: str) -> None:
    assert spread(["1", None, "2", "4"], kind) == expected
    assert spread_of_sums(7, 21, 3, kind) == expected


def test_the_spread_of_few_numbers_is_null_or_zero() -> None:
    assert spread(["3"], "stddev_samp") == ""
    assert spread([], "var_pop") == ""
    assert spread(["3"], "var_pop") == "0"
    assert spread_of_sums(6, 18, 2, "var_samp") == "0"
