from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import open_encoders
from nestvec.service.observability.observer import BatchRun, CompositeObserver, NullObserver
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.request_context import RequestContext, set_current_context
from nestvec.service.settings import BatchLimits, LoadLimits, ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    BodyInvalid,
    BodyTooLarge,
    DeadlineExceeded,
    EmptyInput,
    EngineError,
    ExitNotOffered,
    InputTooLong,
    Overloaded,
)
from nestvec_schemas.vectors import Vectors

T = TypeVar("T")

LONG = " ".join(f"w{n}" for n in range(20))


def during(embedder: Embedder, work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        embedder.start()
        try:
            return await asyncio.wait_for(work(), 120)
        finally:
            await embedder.close()

    return asyncio.run(main())


def test_vectors_come_back_in_the_order_of_the_texts(embedder: Embedder) -> None:
    texts = [f"w{n} " * (n % 5 + 1) for n in range(50)]
    result = during(embedder, lambda: embedder.embed("tiny", texts))
    tokenizer = embedder.encoders["tiny"].required_tokenizer
    expected = [fake_vector(one.ids, 16) for one in tokenizer.encode(texts)]
    assert np.array_equal(result.vectors, np.stack(expected))


def test_the_same_text_passes_the_encoder_once(embedder: Embedder, engine: FakeEngine) -> None:
    async def work() -> None:
        engine.seconds = 0.02
        await asyncio.gather(*(embedder.embed("tiny", ["w1", "w2", "w1"]) for _ in range(4)))
        await embedder.embed("tiny", ["w2", "w3"])

    during(embedder, work)
    assert sum(texts for _, texts, _ in engine.batches) == 3


def test_both_sides_of_a_long_text_are_different_work(embedder: Embedder) -> None:
    async def work() -> tuple[Vectors, Vectors]:
        right = await embedder.embed("tiny", [LONG])
        left = await embedder.embed("tiny", [LONG], EmbedOptions(truncation=Truncation(direction="left")))
        return right.vectors, left.vectors

    right, left = during(embedder, work)
    assert not np.array_equal(right, left)


def test_a_request_that_names_no_side_follows_the_encoder(embedder: Embedder) -> None:
    loaded = embedder.encoders["tiny"]
    tower = loaded.manifest.towers["text"].model_copy(update={"truncation_side": "left"})
    manifest = loaded.manifest.model_copy(update={"towers": {"text": tower}})
    embedder.encoders.replace([EncoderInstance({"tiny": replace(loaded, manifest=manifest)})], {})

    async def work() -> list[Vectors]:
        sides = (Truncation(), Truncation(direction="left"), Truncation(direction="right"))
        calls = (embedder.embed("tiny", [LONG], EmbedOptions(truncation=side)) for side in sides)
        return [(await call).vectors for call in calls]

    unnamed, left, right = during(embedder, work)
    assert np.array_equal(unnamed, left)
    assert not np.array_equal(unnamed, right)


def test_a_request_that_names_no_side_follows_the_expert(write_encoder: Callable[..., Path]) -> None:
    """One that then names the other side does not get what is cached of the first."""
    encoder = open_encoders(write_encoder(experts={"bio": "a"}).parent)["tiny"]
    tower = encoder.manifest.towers["text"].model_copy(update={"truncation_side": "left"})
    manifest = encoder.manifest.model_copy(update={"expert_towers": {"bio": tower}})
    embedder = Embedder(
        {"tiny": replace(encoder, manifest=manifest)}, FakeEngine({"tiny": 16}), ServiceSettings()
    )

    async def work() -> list[Vectors]:
        config = EmbeddingConfig("tiny", expert="bio")
        sides = (Truncation(), Truncation(direction="left"), Truncation(direction="right"))
        options = [EmbedOptions(config, side) for side in sides]
        return [(await embedder.embed("tiny", [LONG], each)).vectors for each in options]

    unnamed, left, right = during(embedder, work)
    assert np.array_equal(unnamed, left)
    assert not np.array_equal(unnamed, right)


def test_each_exit_is_work_of_its_own_and_the_deepest_has_one_name(
    embedder: Embedder, engine: FakeEngine
) -> None:
    async def work() -> list[Vectors]:
        asked = [None, 4, 2, 2]
        return [
            (await embedder.embed("tiny", ["w1"], EmbedOptions(EmbeddingConfig(exit=exit)))).vectors
            for exit in asked
        ]

    deepest, named, second, again = during(embedder, work)
    assert np.array_equal(deepest, named)
    assert np.array_equal(second, again)
    assert not np.array_equal(deepest, second)
    assert engine.exits == [0, 2]


def test_requests_for_several_exits_at_once(embedder: Embedder, engine: FakeEngine) -> None:
    texts = [f"w{n}" for n in range(20)]

    async def work() -> list[EmbeddingResult]:
        engine.seconds = 0.01
        asked = (
            embedder.embed("tiny", texts, EmbedOptions(EmbeddingConfig(exit=exit)))
            for exit in (2, None, 2, 4)
        )
        return await asyncio.gather(*asked)

    results = [one.vectors for one in during(embedder, work)]
    tokens = embedder.encoders["tiny"].required_tokenizer.encode(texts)
    for exit, vectors in zip((2, 0, 2, 0), results, strict=True):
        assert np.array_equal(vectors, np.stack([fake_vector(one.ids, 16, exit) for one in tokens]))
    assert sum(count for _, count, _ in engine.batches) == 2 * len(texts)


def test_an_exit_that_is_not_there_is_refused_before_any_work(embedder: Embedder, engine: FakeEngine) -> None:
    with pytest.raises(ExitNotOffered, match=r"tiny has no exit after this layer: 3\. Available: 2, 4"):
        during(embedder, lambda: embedder.embed("tiny", ["w1"], EmbedOptions(EmbeddingConfig(exit=3))))
    assert engine.batches == []


def test_a_long_text_is_counted_or_refused(embedder: Embedder) -> None:
    async def work() -> None:
        assert (await embedder.embed("tiny", [LONG, "w1"])).truncated == 1
        with pytest.raises(
            InputTooLong, match=r"8 tokens that tiny takes, and truncation is off: 22\. Shorten it"
        ):
            await embedder.embed("tiny", [LONG], EmbedOptions(truncation=Truncation("error")))

    during(embedder, work)


def test_a_long_text_is_refused_before_the_engine_sees_it(embedder: Embedder, engine: FakeEngine) -> None:
    with pytest.raises(InputTooLong):
        during(
            embedder,
            lambda: embedder.embed("tiny", ["w1", LONG], EmbedOptions(truncation=Truncation("error"))),
        )
    assert engine.batches == []


def test_an_empty_text_is_refused(embedder: Embedder) -> None:
    with pytest.raises(EmptyInput, match=r"a text is empty"):
        during(embedder, lambda: embedder.embed("tiny", ["w1", ""]))


def test_ids_and_text_of_the_same_tokens_agree(embedder: Embedder) -> None:
    result = during(embedder, lambda: embedder.embed("tiny", ["w0 w1", [2, 4, 5, 3]]))
    assert np.array_equal(result.vectors[0], result.vectors[1])


def test_an_id_that_the_encoder_does_not_know(embedder: Embedder) -> None:
    with pytest.raises(BodyInvalid, match=r"not in the encoder's vocabulary: 1004\. Send ids from 0 to 1003"):
        during(embedder, lambda: embedder.embed("tiny", [[2, 1004, 3]]))


def test_a_failure_reaches_everyone_who_waits_and_is_not_remembered(
    embedder: Embedder, engine: FakeEngine
) -> None:
    async def work() -> Vectors:
        engine.failure = EngineError("the engine is out", next_step="Wait.")
        both = (embedder.embed("tiny", ["w1"]) for _ in range(2))
        errors = await asyncio.gather(*both, return_exceptions=True)
        assert [type(error) for error in errors] == [EngineError, EngineError]
        engine.failure = None
        return (await embedder.embed("tiny", ["w1"])).vectors

    assert during(embedder, work).shape == (1, 16)


def test_an_unforeseen_failure_of_the_engine_is_told_as_ours(embedder: Embedder, engine: FakeEngine) -> None:
    engine.failure = ValueError("secret path")
    with pytest.raises(EngineError, match=r"the engine failed"):
        during(embedder, lambda: embedder.embed("tiny", ["w1"]))


def test_a_request_that_goes_away_does_not_take_others_along(embedder: Embedder, engine: FakeEngine) -> None:
    async def work() -> Vectors:
        engine.seconds = 0.05
        first = asyncio.create_task(embedder.embed("tiny", ["w1"]))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(embedder.embed("tiny", ["w1"]))
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
    embedder = Embedder(open_encoders(models_folder), engine, ServiceSettings())
    with pytest.raises(EngineError, match=message):
        during(embedder, lambda: embedder.embed("tiny", ["w1"]))


def loaded(models_folder: Path, engine: FakeEngine, **load: float) -> Embedder:
    settings = ServiceSettings(batches=BatchLimits(texts=2), load=LoadLimits(**load))  # type: ignore[arg-type]
    return Embedder(open_encoders(models_folder), engine, settings)


def test_a_slow_engine_meets_the_deadline_and_what_it_did_is_kept(
    models_folder: Path, engine: FakeEngine
) -> None:
    embedder = loaded(models_folder, engine, deadline_seconds=0.25)
    texts = [f"w{n}" for n in range(12)]

    async def work() -> EmbeddingResult:
        engine.seconds = 0.1
        with pytest.raises(DeadlineExceeded, match=r"tiny did not embed \d+ of the texts within 0.25 s"):
            await embedder.embed("tiny", texts)
        await asyncio.sleep(0.2)
        engine.seconds = 0.0
        set_current_context(RequestContext("", 0.0, math.inf))  # a busy machine takes longer than 0.25 s
        return await embedder.embed("tiny", texts)

    assert during(embedder, work).vectors.shape == (12, 16)
    assert sum(count for _, count, _ in engine.batches) == 12


def test_the_queue_is_bounded_in_tokens(models_folder: Path, engine: FakeEngine) -> None:
    embedder = loaded(models_folder, engine, queue_tokens=30)

    async def work() -> None:
        engine.gate = asyncio.Event()
        taken = asyncio.create_task(embedder.embed("tiny", [f"w{n}" for n in range(9)]))
        while not engine.batches:
            await asyncio.sleep(0.001)
        with pytest.raises(Overloaded, match=r"tokens waiting\. Try again in \d+ s") as refused:
            await embedder.embed("tiny", [f"w{n}" for n in range(9, 18)])
        assert refused.value.retry_after >= 1
        engine.gate.set()
        assert (await taken).vectors.shape == (9, 16)
        assert (await embedder.embed("tiny", ["w99"])).vectors.shape == (1, 16)

    during(embedder, work)


def test_a_request_larger_than_the_queue_is_refused_for_good(models_folder: Path, engine: FakeEngine) -> None:
    embedder = loaded(models_folder, engine, queue_tokens=26)

    async def work() -> EmbeddingResult:
        with pytest.raises(BodyTooLarge, match="more tokens than the 26 of a client that may wait: 27"):
            await embedder.embed("tiny", [f"w{n}" for n in range(9)])
        return await embedder.embed("tiny", [f"w{n}" for n in range(8)])

    assert during(embedder, work).vectors.shape == (8, 16)


def test_a_client_may_have_half_of_the_queue(models_folder: Path, engine: FakeEngine) -> None:
    embedder = loaded(models_folder, engine, queue_tokens=60)

    async def embed(client: str, numbers: range) -> EmbeddingResult:
        set_current_context(RequestContext(client, 0.0, math.inf))
        return await embedder.embed("tiny", [f"w{number}" for number in numbers])

    async def work() -> list[object]:
        engine.gate = asyncio.Event()
        first = asyncio.create_task(embed("a", range(9)))
        while not engine.batches:
            await asyncio.sleep(0.001)
        more = [embed("a", range(10 * n, 10 * n + 9)) for n in (1, 2)]
        refused = await asyncio.gather(*more, return_exceptions=True)
        other = asyncio.create_task(embed("b", range(40, 45)))
        engine.gate.set()
        return [await first, *refused, await other]

    kinds = [type(result) for result in during(embedder, work)]
    assert kinds == [EmbeddingResult, Overloaded, Overloaded, EmbeddingResult]


def test_a_request_that_goes_away_frees_its_place(models_folder: Path, engine: FakeEngine) -> None:
    embedder = loaded(models_folder, engine, queue_tokens=40)

    async def work() -> None:
        engine.seconds = 0.05
        gone = asyncio.create_task(embedder.embed("tiny", [f"w{n}" for n in range(10)]))
        while not engine.batches:
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.sleep(0)
        await embedder.embed("tiny", [f"w{n}" for n in range(20, 30)])

    during(embedder, work)
    assert sum(count for _, count, _ in engine.batches) == 2 + 10


def test_what_two_wait_for_stays_when_one_goes_away(models_folder: Path, engine: FakeEngine) -> None:
    embedder = loaded(models_folder, engine)
    texts = [f"w{n}" for n in range(6)]

    async def work() -> EmbeddingResult:
        engine.seconds = 0.02
        gone = asyncio.create_task(embedder.embed("tiny", texts))
        while not engine.batches:
            await asyncio.sleep(0.001)
        kept = asyncio.create_task(embedder.embed("tiny", texts[2:]))
        await asyncio.sleep(0.01)
        gone.cancel()
        return await kept

    assert during(embedder, work).vectors.shape == (4, 16)
    assert sum(count for _, count, _ in engine.batches) == 6


class Listener(NullObserver):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def batch_finished(self, run: BatchRun) -> None:
        self.heard.append((run.texts, run.tokens, run.padded, run.failed))

    def texts_requested(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        self.heard.append((encoder, fresh, shared, remembered))


def test_several_observers_hear_the_same() -> None:
    listeners = Listener(), Listener()
    CompositeObserver([listeners[0], NullObserver(), listeners[1]]).texts_requested(
        "tiny", fresh=1, shared=2, remembered=3
    )
    assert [listener.heard for listener in listeners] == [[("tiny", 1, 2, 3)]] * 2


def test_the_observer_hears_what_is_done(models_folder: Path, engine: FakeEngine) -> None:
    listener = Listener()
    embedder = Embedder(open_encoders(models_folder), engine, ServiceSettings(), listener)

    async def work() -> None:
        await embedder.embed("tiny", ["w1", "w2 w3", "w1"])
        await embedder.embed("tiny", ["w1", "w4"])

    during(embedder, work)
    assert listener.heard == [("tiny", 2, 0, 0), (2, 7, 8, False), ("tiny", 1, 0, 1), (1, 3, 3, False)]


def test_waiting_requests_end_when_the_service_does(embedder: Embedder, engine: FakeEngine) -> None:
    async def main() -> list[object]:
        engine.seconds = 30
        embedder.start()
        asked = [asyncio.create_task(embedder.embed("tiny", [f"w{n}"])) for n in range(3)]
        await asyncio.sleep(0.05)
        await embedder.close()
        return list(await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 120))

    assert all(isinstance(one, asyncio.CancelledError) for one in asyncio.run(main()))


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_as_many_batches_run_at_once_as_the_engine_takes(models_folder: Path, parallel: int) -> None:
    class Watched(FakeEngine):
        inside = most = 0

        async def run(self, encoder: str, batch: Batch) -> Vectors:
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                return await super().run(encoder, batch)
            finally:
                self.inside -= 1

    engine = Watched({"tiny": 16}, seconds=0.005, parallel=parallel)
    embedder = loaded(models_folder, engine)
    during(embedder, lambda: embedder.embed("tiny", [f"w{n}" for n in range(20)]))
    assert engine.most == parallel
