"""Quotients of many rows at once have the digits that each has alone."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pyarrow as pa
import pytest

from nestvec.sql.relational.functions.numerics import numeric_text
from nestvec.sql.relational.functions.quotients import layout, quotient_parts, quotient_texts

WIDE = pa.decimal128(38, 0)


def _quotients(
    dividends: list[int], divisors: list[int], places: tuple[int, int], digits: int, type_: pa.DataType
) -> list[str]:
    """The quotients of integers with these places each, as texts."""
    convert = Decimal if type_ == WIDE else int
    columns = [pa.array([convert(number) for number in column], type_) for column in (dividends, divisors)]
    parts = quotient_parts(*columns, pa.array([layout(*places, digits)] * len(dividends))).to_pylist()
    texts = []
    for part in parts:
        units = (part["high"] * 10**18 + part["integral"]) * 10**digits
        units += part["head"] * 10 ** max(digits - 18, 0) + part["tail"]
        all_places = digits - places[1] + places[0]
        digits_of_all = f"{abs(units):0{all_places + 1}d}"
        point = len(digits_of_all) - all_places
        fraction = digits_of_all[point:]
        assert not fraction[part["scale"] :].strip("0")
        shown = f".{fraction[: part['scale']]}" if part["scale"] else ""
        texts.append(f"{'-' if units < 0 else ''}{digits_of_all[:point]}{shown}")
    return texts


def _random_integers(draw: Random, digits: int, number: int) -> list[int]:
    return [
        draw.choice([1, -1])
        * draw.choice(
            [
                draw.randrange(10 ** draw.randint(1, digits)),
                10 ** draw.randrange(digits) * draw.randint(1, 9),
                10 ** draw.randint(1, digits) - 1,
                0,
            ]
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize("sizes", [(10, 1), (10, 10), (18, 17), (5, 18), (28, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_the_parts_are_those_of_the_text(sizes: tuple[int, int], seed: int) -> None:
    draw, compared = Random(seed), 0
    type_ = WIDE if max(sizes) > 18 else pa.int64()
    for _ in range(60):
        places = (draw.randint(0, 8), draw.randint(0, 8))
        dividends = _random_integers(draw, sizes[0], 12)
        divisors = [number or 7 for number in _random_integers(draw, sizes[1], 12)]
        pairs = zip(dividends, divisors, strict=True)
        expected = [
            numeric_text("/", *(f"{Decimal(n).scaleb(-s):f}" for n, s in zip(pair, places, strict=True)))
            for pair in pairs
        ]
        digits = max(len(text.partition(".")[2]) for text in expected) + places[1] - places[0]
        if digits <= 36:
            assert _quotients(dividends, divisors, places, digits, type_) == expected
            compared += len(expected)
    assert compared > 300


@pytest.mark.parametrize("type_", [pa.int64(), WIDE])
def test_a_divisor_of_zero_is_an_error(type_: pa.DataType) -> None:
    with pytest.raises(ValueError, match="division by zero"):
        _quotients([10**17, 1], [1, 0], (2, 0), 18, type_)


def test_a_part_without_rows_is_empty() -> None:
    empty = pa.array([], pa.int64())
    assert len(quotient_parts(empty, empty, empty)) == 0


def test_texts_are_those_of_each_quotient_alone() -> None:
    draw = Random(5)
    dividends = [draw.choice([1, -1]) * draw.randrange(10 ** draw.randint(1, 27)) for _ in range(300)]
    divisors = [draw.randrange(1, 10 ** draw.randint(1, 9)) for _ in range(300)]
    columns = [pa.array(map(Decimal, column), WIDE) for column in (dividends, divisors)]
    texts = quotient_texts(*columns, pa.array([layout(2, 0, 0)] * 300)).to_pylist()
    pairs = zip(dividends, divisors, strict=True)
    assert texts == [numeric_text("/", f"{Decimal(a).scaleb(-2):f}", str(b)) for a, b in pairs]


def test_the_first_digits_of_a_long_number_are_not_rounded() -> None:
    # Of base 10,000 both begin with 9999, so that PostgreSQL takes the quotient for one below 1.
    assert numeric_text("/", "9" * 32, "9999" + "0" * 28) == f"1.{'00010001000100010001'}"
