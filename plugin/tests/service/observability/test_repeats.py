from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from nestvec.service.observability.logs import JsonFormatter, TextFormatter
from nestvec.service.observability.repeats import RepeatFilter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def handler(clock: Clock) -> logging.StreamHandler[io.StringIO]:
    stream = logging.StreamHandler(io.StringIO())
    stream.setFormatter(TextFormatter())
    stream.addFilter(RepeatFilter(stream, clock))
    return stream


@pytest.fixture
def logger(handler: logging.Handler) -> Iterator[logging.Logger]:
    logger = logging.getLogger("nestvec.test.repeats")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    for part in handler.filters:
        assert isinstance(part, RepeatFilter)
        part.flush()
    logger.removeHandler(handler)


def lines(handler: logging.StreamHandler[io.StringIO]) -> list[str]:
    return handler.stream.getvalue().splitlines()


def test_one_line_a_second_for_a_cause(
    clock: Clock, handler: logging.StreamHandler[io.StringIO], logger: logging.Logger
) -> None:
    for number in range(1000):
        logger.warning("client %d is gone", number)
    logger.warning("another cause")
    logger.error("client %d is gone", 7)
    clock.now = 1.0
    logger.warning("client %d is gone", 1000)
    assert lines(handler) == [
        "WARNING nestvec.test.repeats: client 0 is gone",
        "WARNING nestvec.test.repeats: another cause",
        "ERROR nestvec.test.repeats: client 7 is gone",
        "WARNING nestvec.test.repeats: client 1000 is gone (999 more like it were left out)",
    ]


def test_numbers_in_a_message_make_no_other_cause(
    handler: logging.StreamHandler[io.StringIO], logger: logging.Logger
) -> None:
    for number in range(10):
        logger.warning(f"task 0x{number:04x} of client {number} failed")
    assert len(lines(handler)) == 1


def test_messages_that_differ_in_a_value_are_five_a_second(
    clock: Clock, handler: logging.StreamHandler[io.StringIO], logger: logging.Logger
) -> None:
    for name in "abcdefghij" * 3:
        logger.warning("the encoder %s failed", name)
    assert [line[-8] for line in lines(handler)[:5]] == list("abcde")
    assert len(lines(handler)) == 6, "five, and the first of all others"
    clock.now = 1.0
    logger.warning("the encoder %s failed", "a")
    assert lines(handler)[-1].endswith("the encoder a failed (2 more like it were left out)")


def test_what_was_left_out_is_said_even_if_nothing_follows(
    handler: logging.StreamHandler[io.StringIO], logger: logging.Logger
) -> None:
    handler.setFormatter(JsonFormatter())
    for _ in range(3):
        try:
            raise OSError("out of files")
        except OSError:
            logger.exception("accepting failed")
    (part,) = handler.filters
    assert isinstance(part, RepeatFilter)
    part.flush()
    part.flush()
    first, summary = map(orjson.loads, lines(handler))
    assert "out of files" in first["exception"]
    assert summary["message"] == "accepting failed (2 more like it were left out)"
    assert summary["repeats"] == 2
    assert "exception" not in summary


def test_below_a_warning_nothing_is_left_out(
    handler: logging.StreamHandler[io.StringIO], logger: logging.Logger
) -> None:
    for _ in range(5):
        logger.info("POST /embed 200")
    assert len(lines(handler)) == 5


def test_causes_are_forgotten_beyond_a_number(
    handler: logging.StreamHandler[io.StringIO], logger: logging.Logger
) -> None:
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}" for n in range(600)]
    for word in words:
        logger.warning(f"cause {word}")
    (part,) = handler.filters
    assert isinstance(part, RepeatFilter)
    assert len(part._causes) <= 256
