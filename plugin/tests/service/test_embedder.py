from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.service.embedder import Cut, Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.settings import Settings
from nestvec_schemas.errors import BodyInvalid, EmptyInput, EngineError, InputTooLong
from nestvec_schemas.vectors import Vectors

T = TypeVar("T")

LONG = " ".join(f"w{n}" for n in range(20))


def during(embedder: Embedder, work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        embedder.start()
        try:
            return await asyncio.wait_for(work(), 20)
        finally:
            await embedder.close()

    return asyncio.run(main())


def test_vectors_come_back_in_the_order_of_the_texts(embedder: Embedder) -> None:
    texts = [f"w{n} " * (n % 5 + 1) for n in range(50)]
    result = during(embedder, lambda: embedder.embed("tiny", texts, Cut()))
    tokeniser = embedder.encoders["tiny"].tokeniser
    expected = [fake_vector(one.ids, 16) for one in tokeniser.encode(texts)]
    assert np.array_equal(result.vectors, np.stack(expected))


def test_the_same_text_passes_the_encoder_once(embedder: Embedder, engine: FakeEngine) -> None:
    async def work() -> None:
        engine.seconds = 0.02
        await asyncio.gather(*(embedder.embed("tiny", ["w1", "w2", "w1"], Cut()) for _ in range(4)))
        await embedder.embed("tiny", ["w2", "w3"], Cut())

    during(embedder, work)
    assert sum(texts for _, texts, _ in engine.batches) == 3


def test_both_sides_of_a_long_text_are_different_work(embedder: Embedder) -> None:
    async def work() -> tuple[Vectors, Vectors]:
        right = await embedder.embed("tiny", [LONG], Cut())
        left = await embedder.embed("tiny", [LONG], Cut(direction="left"))
        return right.vectors, left.vectors

    right, left = during(embedder, work)
    assert not np.array_equal(right, left)


def test_a_long_text_is_counted_or_refused(embedder: Embedder) -> None:
    async def work() -> None:
        assert (await embedder.embed("tiny", [LONG, "w1"], Cut())).truncated == 1
        with pytest.raises(InputTooLong, match=r"tiny takes, 8, and truncation is off: 22\. Shorten it"):
            await embedder.embed("tiny", [LONG], Cut(allowed=False))

    during(embedder, work)


def test_a_long_text_is_refused_before_the_engine_sees_it(embedder: Embedder, engine: FakeEngine) -> None:
    with pytest.raises(InputTooLong):
        during(embedder, lambda: embedder.embed("tiny", ["w1", LONG], Cut(allowed=False)))
    assert engine.batches == []


def test_an_empty_text_is_refused(embedder: Embedder) -> None:
    with pytest.raises(EmptyInput, match=r"a text is empty"):
        during(embedder, lambda: embedder.embed("tiny", ["w1", ""], Cut()))


def test_ids_and_text_of_the_same_tokens_agree(embedder: Embedder) -> None:
    result = during(embedder, lambda: embedder.embed("tiny", ["w0 w1", [2, 4, 5, 3]], Cut()))
    assert np.array_equal(result.vectors[0], result.vectors[1])


def test_an_id_that_the_encoder_does_not_know(embedder: Embedder) -> None:
    with pytest.raises(BodyInvalid, match=r"not one of the encoder's: 1004\. Send ids from 0 to 1003"):
        during(embedder, lambda: embedder.embed("tiny", [[2, 1004, 3]], Cut()))


def test_a_failure_reaches_everyone_who_waits_and_is_not_remembered(
    embedder: Embedder, engine: FakeEngine
) -> None:
    async def work() -> Vectors:
        engine.failure = EngineError("the engine is out", next_step="Wait.")
        both = (embedder.embed("tiny", ["w1"], Cut()) for _ in range(2))
        errors = await asyncio.gather(*both, return_exceptions=True)
        assert [type(error) for error in errors] == [EngineError, EngineError]
        engine.failure = None
        return (await embedder.embed("tiny", ["w1"], Cut())).vectors

    assert during(embedder, work).shape == (1, 16)


def test_an_unforeseen_failure_of_the_engine_is_told_as_ours(embedder: Embedder, engine: FakeEngine) -> None:
    engine.failure = ValueError("secret path")
    with pytest.raises(EngineError, match=r"the engine failed"):
        during(embedder, lambda: embedder.embed("tiny", ["w1"], Cut()))


def test_a_request_that_goes_away_does_not_take_others_along(embedder: Embedder, engine: FakeEngine) -> None:
    async def work() -> Vectors:
        engine.seconds = 0.05
        first = asyncio.create_task(embedder.embed("tiny", ["w1"], Cut()))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(embedder.embed("tiny", ["w1"], Cut()))
        await asyncio.sleep(0.01)
        first.cancel()
        return (await second).vectors

    assert during(embedder, work).shape == (1, 16)


class BrokenEngine(FakeEngine):
    """Answers with what it was given."""

    answer: Vectors

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.full((1, 16), np.nan, np.float32), "not finite"),
        (np.ones((1, 15), np.float32), r"wrong shape: \(1, 15\)"),
        (np.ones((2, 16), np.float32), r"wrong shape: \(2, 16\)"),
    ],
)
def test_an_unusable_answer_never_leaves(models_folder: Path, answer: Vectors, message: str) -> None:
    engine = BrokenEngine({"tiny": 16})
    engine.answer = answer
    embedder = Embedder(open_encoders(models_folder), engine, Settings())
    with pytest.raises(EngineError, match=message):
        during(embedder, lambda: embedder.embed("tiny", ["w1"], Cut()))
