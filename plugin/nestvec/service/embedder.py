"""Texts to full-length vectors: each distinct text once, in batches with whatever else waits."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nestvec.engines.contract import Engine
from nestvec.service.admission import Admission
from nestvec.service.encoders import Encoder
from nestvec.service.memory import Remembered
from nestvec.service.observer import Observer, Silent
from nestvec.service.pool import LONE
from nestvec.service.runner import Job, Key, Name, Runner
from nestvec.service.settings import Settings
from nestvec.service.tokens import Direction, Tokens
from nestvec_schemas.errors import BodyInvalid, EmptyInput, InputTooLong
from nestvec_schemas.vectors import Vectors

Input = str | Sequence[int]

_SHORT = 4096
"""Characters that are tokenised at once: a thread's hand-over takes longer."""


@dataclass(frozen=True)
class Cut:
    """What becomes of a text longer than the encoder takes: cut on one side, or refused."""

    allowed: bool = True
    direction: Direction = "right"


@dataclass(frozen=True)
class Timing:
    """Seconds that the slowest text of a request waited for the engine, and was in it."""

    queued: float = 0.0
    ran: float = 0.0


NO_TIME = Timing()


@dataclass(frozen=True)
class Embedded:
    """(n, dim) float32 at full length, the tokens they took, and how many texts were cut."""

    vectors: Vectors
    tokens: int
    truncated: int
    timing: Timing = NO_TIME


class Embedder:
    """Embeds for all requests of a service. Lives on one event loop, between ``start`` and ``close``."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        engine: Engine,
        settings: Settings,
        observer: Observer | None = None,
    ) -> None:
        self.encoders, self.engine, self.settings = encoders, engine, settings
        self.observer = observer or Silent()
        self._runners: dict[str, Runner] = {}
        self._requests = Admission(settings.load)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work. To be called on the event loop that ``embed`` is called on."""
        for name, encoder in self.encoders.items():
            self._runners[name] = Runner(
                Name(name, encoder.manifest.dim),
                self.engine,
                self.settings,
                Admission(self.settings.load),
                self.observer,
            )
        self._tasks = [
            asyncio.create_task(runner.work(), name=f"nestvec-{name}")
            for name, runner in self._runners.items()
        ]

    async def close(self) -> None:
        """Stop working and let go of the engine; requests still waiting are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for runner in self._runners.values():
            runner.abandon()
        await self.engine.close()

    async def embed(
        self, encoder: str, inputs: Sequence[Input], cut: Cut, exit: int | None = None
    ) -> Embedded:
        """Embed texts (or ids that the client made) with one encoder, up to one of its exits.

        Raises ExitNotOffered, EmptyInput, InputTooLong, BodyInvalid (ids the encoder does not know),
        Overloaded, DeadlineExceeded, EngineError. A caller that is cancelled gives up its place.
        """
        manifest = self.encoders[encoder].manifest
        layer = manifest.exit(exit)
        # The deepest exit is the same work, whether a request names it or none.
        layer = 0 if layer == manifest.depth else layer
        with self._requests.request():
            keys = [_key(one, cut, layer) for one in inputs]
            found = await self._find(encoder, dict(zip(keys, inputs, strict=True)), len(inputs), cut)
            for one in found.values():
                _check_length(_whole(one), self.encoders[encoder], cut)
            entries = await self._runners[encoder].collect(found)
        truncated = sum(entries[key].whole > entries[key].tokens for key in keys)
        if truncated:
            self.observer.truncated(encoder, truncated)
        vectors = np.stack([entries[key].vector for key in keys])
        return Embedded(vectors, sum(entries[key].tokens for key in keys), truncated, _timing(found.values()))

    async def _find(
        self, encoder: str, asked: Mapping[Key, Input], texts: int, cut: Cut
    ) -> dict[Key, Remembered | Job]:
        """Each distinct text's vector or job; what nobody has asked for yet is begun."""
        runner = self._runners[encoder]
        new = {key: one for key, one in asked.items() if runner.known(key) is None}
        tokens = dict(zip(new, await self._tokens(encoder, list(new.values()), cut), strict=True))
        for one in tokens.values():
            _check_length(one.whole, self.encoders[encoder], cut)
        # Another request may have begun the same text while this one was in the tokenizer, and what was
        # remembered may be too old by now: then there are no tokens of it yet.
        found = {key: runner.known(key) for key in asked}
        lost = {key: one for key, one in asked.items() if found[key] is None and key not in tokens}
        tokens |= dict(zip(lost, self._tokenise(encoder, list(lost.values()), cut), strict=True))
        known = {key: one for key, one in found.items() if one is not None}
        fresh = {key: tokens[key] for key in asked if key not in known}
        shared = sum(isinstance(one, Job) for one in known.values())
        self.observer.texts_asked(encoder, fresh=len(fresh), shared=shared, remembered=len(known) - shared)
        return {**known, **runner.begin(fresh, texts)}

    async def _tokens(self, encoder: str, inputs: Sequence[Input], cut: Cut) -> list[Tokens]:
        if len(inputs) <= LONE and sum(map(len, inputs)) <= _SHORT:
            return self._tokenise(encoder, inputs, cut)
        return await asyncio.to_thread(self._tokenise, encoder, inputs, cut)

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


def _key(one: Input, cut: Cut, exit: int) -> Key:
    data = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else np.asarray(one, "<i8").tobytes()
    if not data:
        raise EmptyInput("a text is empty", next_step="Send at least one character or token.")
    kind = "text" if isinstance(one, str) else "ids"
    return Key(exit, f"{kind} {cut.direction}", hashlib.blake2b(data, digest_size=16).digest())


def _timing(found: Iterable[Remembered | Job]) -> Timing:
    jobs = [one for one in found if isinstance(one, Job)]
    queued = max((job.started - job.arrived for job in jobs), default=0.0)
    return Timing(queued, max((job.ended - job.started for job in jobs), default=0.0))


def _whole(one: Remembered | Job) -> int:
    return one.tokens.whole if isinstance(one, Job) else one.whole


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
