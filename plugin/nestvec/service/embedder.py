"""Texts to full-length vectors: each distinct text once, in batches with whatever else waits."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nestvec.engines.contract import Engine
from nestvec.service.encoders import Encoder
from nestvec.service.memory import Memory, Remembered
from nestvec.service.pool import Pool, Waiting, pad
from nestvec.service.settings import Settings
from nestvec.service.tokens import Direction, Tokens
from nestvec_schemas.errors import BodyInvalid, EmptyInput, EngineError, InputTooLong, NestvecError
from nestvec_schemas.vectors import Vectors

logger = logging.getLogger(__name__)

Input = str | Sequence[int]
_Key = tuple[str, str, bytes]


@dataclass(frozen=True)
class Cut:
    """What becomes of a text longer than the encoder takes: cut on one side, or refused."""

    allowed: bool = True
    direction: Direction = "right"


@dataclass(frozen=True)
class Embedded:
    """(n, dim) float32 at full length, the tokens they took, and how many texts were cut."""

    vectors: Vectors
    tokens: int
    truncated: int


class Embedder:
    """Embeds for all requests of a service. Lives on one event loop, between ``start`` and ``close``."""

    def __init__(self, encoders: Mapping[str, Encoder], engine: Engine, settings: Settings) -> None:
        self.encoders, self.engine, self.settings = encoders, engine, settings
        self._memory: Memory[_Key] = Memory(settings.remember_bytes, settings.remember_seconds)
        self._running: dict[_Key, asyncio.Future[Remembered]] = {}
        self._pools = {name: Pool(settings.batch_tokens, settings.batch_texts) for name in encoders}
        self._wake = {name: asyncio.Event() for name in encoders}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to work through the pools."""
        for name in self.encoders:
            self._spawn(name)

    async def close(self) -> None:
        """Stop working and let go of the engine; requests still waiting are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.close()

    async def embed(self, encoder: str, inputs: Sequence[Input], cut: Cut) -> Embedded:
        """Embed texts (or ids that the client made) with one encoder.

        Raises EmptyInput, InputTooLong, BodyInvalid (ids the encoder does not know), EngineError.
        """
        keys = [_key(encoder, one, cut) for one in inputs]
        found = {key: self._memory.get(key) or self._running.get(key) for key in keys}
        new = {key: one for key, one in zip(keys, inputs, strict=True) if found[key] is None}
        if new:
            tokens = await asyncio.to_thread(self._tokenise, encoder, list(new.values()), cut)
            for one in tokens:
                _check_length(one.whole, self.encoders[encoder], cut)
            # Another request may have begun the same text while this one was in the tokenizer.
            waiting = {key: self._running.get(key) or self._memory.get(key) for key in new}
            fresh = {key: one for key, one in zip(new, tokens, strict=True) if waiting[key] is None}
            found |= waiting | self._begin(encoder, fresh, len(inputs))
        entries = {key: await _settled(one) for key, one in found.items() if one is not None}
        for entry in entries.values():
            _check_length(entry.whole, self.encoders[encoder], cut)
        return Embedded(
            np.stack([entries[key].vector for key in keys]),
            sum(entries[key].tokens for key in keys),
            sum(entries[key].whole > entries[key].tokens for key in keys),
        )

    def _tokenise(self, encoder: str, inputs: Sequence[Input], cut: Cut) -> list[Tokens]:
        tokeniser = self.encoders[encoder].tokeniser
        texts = [one for one in inputs if isinstance(one, str)]
        encoded = iter(tokeniser.encode(texts, cut.direction))
        tokens = []
        for one in inputs:
            if isinstance(one, str):
                tokens.append(next(encoded))
            else:
                _check_ids(one, len(tokeniser))
                tokens.append(tokeniser.take(one, cut.direction))
        return tokens

    def _begin(
        self, encoder: str, fresh: Mapping[_Key, Tokens], texts: int
    ) -> dict[_Key, asyncio.Future[Remembered]]:
        loop = asyncio.get_running_loop()
        begun: dict[_Key, asyncio.Future[Remembered]] = {}
        waiting = []
        for key, tokens in fresh.items():
            vector: asyncio.Future[Vectors] = loop.create_future()
            shared: asyncio.Future[Remembered] = loop.create_future()
            shared.add_done_callback(_seen)
            vector.add_done_callback(partial(self._finish, key, tokens))
            self._running[key] = begun[key] = shared
            waiting.append(Waiting(tokens.ids, vector))
        self._pools[encoder].add(waiting, texts=texts)
        self._wake[encoder].set()
        return begun

    def _finish(self, key: _Key, tokens: Tokens, done: asyncio.Future[Vectors]) -> None:
        shared = self._running.pop(key)
        if done.cancelled():
            shared.cancel()
        elif error := done.exception():
            shared.set_exception(error)
        else:
            entry = Remembered(done.result(), len(tokens.ids), tokens.whole)
            self._memory.put(key, entry)
            shared.set_result(entry)

    def _spawn(self, name: str) -> None:
        task = asyncio.create_task(self._work(name), name=f"nestvec-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, name: str) -> None:
        pool, wake = self._pools[name], self._wake[name]
        while True:
            await wake.wait()
            while pool:
                await self._run(name, pool.take())
            wake.clear()

    async def _run(self, name: str, batch: Sequence[Waiting]) -> None:
        try:
            vectors = await self.engine.run(name, pad([one.ids for one in batch]))
            _check_vectors(vectors, len(batch), self.encoders[name].manifest.dim)
        except asyncio.CancelledError:
            for one in batch:
                one.future.cancel()
            raise
        except Exception as error:
            logger.warning("batch of %d texts failed: %s", len(batch), error)
            for one in batch:
                one.future.set_exception(_as_ours(error))
        else:
            for one, vector in zip(batch, vectors, strict=True):
                one.future.set_result(vector.copy())


def _key(encoder: str, one: Input, cut: Cut) -> _Key:
    data = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else np.asarray(one, "<i8").tobytes()
    if not data:
        raise EmptyInput("a text is empty", next_step="Send at least one character or token.")
    kind = "t" if isinstance(one, str) else "i"
    return encoder, kind + cut.direction, hashlib.blake2b(data, digest_size=16).digest()


async def _settled(one: Remembered | asyncio.Future[Remembered]) -> Remembered:
    """Wait for a shared future without cancelling it when this request goes away."""
    return one if isinstance(one, Remembered) else await asyncio.shield(one)


def _seen(done: asyncio.Future[Remembered]) -> None:
    """Mark an error as seen: every request that waited may have gone away."""
    if not done.cancelled():
        done.exception()


def _as_ours(error: Exception) -> NestvecError:
    if isinstance(error, NestvecError):
        return error
    return EngineError("the engine failed", value=repr(error), next_step="Look at the service's log.")


def _check_length(whole: int, encoder: Encoder, cut: Cut) -> None:
    limit = encoder.tokeniser.max_tokens
    if whole > limit and not cut.allowed:
        raise InputTooLong(
            f"a text has more tokens than {encoder.manifest.name} takes, {limit}, and truncation is off",
            value=whole,
            next_step="Shorten it, or ask with truncate true.",
        )


def _check_ids(ids: Sequence[int], known: int) -> None:
    wrong = next((one for one in ids if not 0 <= one < known), None)
    if wrong is not None:
        raise BodyInvalid(
            "a token id is not one of the encoder's",
            value=wrong,
            next_step=f"Send ids from 0 to {known - 1}, or send the text.",
        )


def _check_vectors(vectors: Vectors, count: int, dim: int) -> None:
    if vectors.shape != (count, dim):
        raise EngineError(
            "the engine's answer has the wrong shape",
            value=vectors.shape,
            next_step=f"It must be {(count, dim)}: export the encoder again.",
        )
    if not np.isfinite(vectors).all():
        raise EngineError(
            "the engine answered with numbers that are not finite",
            next_step="Export the encoder again, in fp32 if it was not.",
        )
