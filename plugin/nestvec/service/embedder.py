"""Inputs to what an encoder answers: each distinct one once, in batches with whatever else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from nestvec.engines.contract import Engine
from nestvec.service.batching.admission import Admission
from nestvec.service.batching.cache import CachedEmbedding
from nestvec.service.batching.runner import BatchRunner, CacheKey, PartSpec, PendingEmbedding
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.observability.observer import NullObserver, Observer
from nestvec.service.preprocess.inputs import Cut, EmbedInput, input_digest, with_position
from nestvec.service.preprocess.prepare import prepare
from nestvec.service.preprocess.rows import ModelInput
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import InputTooLong, NestvecError
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors

_Lookup = CachedEmbedding | PendingEmbedding | NestvecError


@dataclass(frozen=True)
class Variant:
    """Which of an encoder's vectors: up to which exit (None: the deepest), and of which expert."""

    exit: int | None = None
    expert: str | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds that the slowest input of a request waited for the engine, and was in it."""

    queued: float = 0.0
    ran: float = 0.0


NO_TIME = Timing()
_AS_IT_IS = Variant()


@dataclass(frozen=True)
class EmbeddingResult:
    """An answer an input (``answers``), the tokens they took, how many texts were cut, and which inputs, by
    place, have none because they could not be read."""

    answers: list[Array]
    tokens: int
    truncated: int
    timing: Timing = NO_TIME
    failed: Mapping[int, NestvecError] = field(default_factory=dict)

    @cached_property
    def vectors(self) -> Vectors:
        """(n, dim) float32 at full length, of an encoder that gives a vector an input."""
        return np.stack(self.answers)


class Embedder:
    """Embeds for all requests of a service. Lives on one event loop, between ``start`` and ``close``."""

    def __init__(
        self,
        encoders: Mapping[str, LoadedEncoder],
        engine: Engine,
        settings: ServiceSettings,
        observer: Observer | None = None,
    ) -> None:
        self.encoders, self.engine, self.settings = encoders, engine, settings
        self.observer = observer or NullObserver()
        self._runners: dict[tuple[str, str], BatchRunner] = {}
        self._requests = Admission(settings.load)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work. To be called on the event loop that ``embed`` is called on."""
        for name, encoder in self.encoders.items():
            for part in encoder.manifest.parts:
                alone = encoder.manifest.towers[encoder.manifest.parts[part]].alone
                self._runners[name, part] = BatchRunner(
                    PartSpec(name, part, encoder.manifest.kind, encoder.manifest.dim),
                    self.engine,
                    replace(self.settings, batch_texts=1) if alone else self.settings,
                    Admission(self.settings.load),
                    self.observer,
                )
        self._tasks = [
            asyncio.create_task(runner.work(), name=f"nestvec-{'-'.join(filter(None, key))}")
            for key, runner in self._runners.items()
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
        self, encoder: str, inputs: Sequence[EmbedInput], cut: Cut, variant: Variant = _AS_IT_IS
    ) -> EmbeddingResult:
        """Embed texts (or ids that the client made), pictures and pairs with one encoder.

        Raises ExitNotOffered, ExpertNotOffered, EmptyInput, InputTooLong, BodyInvalid (ids the encoder does
        not know), NotOffered (inputs it does not take), Overloaded, DeadlineExceeded, EngineError.
        A caller that is cancelled gives up its place.
        """
        with self._requests.request():
            keys = [self._key(encoder, one, cut, variant) for one in inputs]
            found = await self._find(encoder, keys, dict(zip(keys, inputs, strict=True)), cut)
            entries = await self._collect(encoder, found)
        failed = {place: one for place, key in enumerate(keys) if isinstance(one := found[key], NestvecError)}
        return self._embedded(encoder, [entries.get(key) for key in keys], failed, _timing(found.values()))

    def _key(self, encoder: str, one: EmbedInput, cut: Cut, variant: Variant) -> CacheKey:
        holder = self.encoders[encoder]
        layer = holder.manifest.exit(variant.exit)
        kind, data = input_digest(one)
        part = holder.manifest.part(holder.tower(one), variant.expert)
        # The deepest exit is the same work, whether a request names it or none.
        return CacheKey(part, 0 if layer == holder.manifest.depth else layer, f"{kind} {cut.direction}", data)

    async def _find(
        self, encoder: str, keys: Sequence[CacheKey], asked: Mapping[CacheKey, EmbedInput], cut: Cut
    ) -> dict[CacheKey, _Lookup]:
        """Each distinct input's answer or job, or its error; what nobody has asked for yet is begun.

        ``keys`` are those of all inputs, in their order.
        """
        rows: dict[CacheKey, ModelInput | NestvecError] = {}
        # Another request may begin the same input while this one is prepared, and what was remembered may
        # be too old by then: there is no row of it yet.
        while lost := [key for key in asked if key not in rows and self._known(encoder, key) is None]:
            rows |= await self._rows(encoder, {key: asked[key] for key in lost}, cut)
        known = {key: one for key in asked if (one := self._known(encoder, key)) is not None}
        new = {key: row for key, row in rows.items() if key not in known}
        fresh = {key: row for key, row in new.items() if isinstance(row, ModelInput)}
        unread = {key: row for key, row in new.items() if isinstance(row, NestvecError)}
        if unread and cut.on_error == "error":
            key, error = next(iter(unread.items()))
            raise with_position(error, keys.index(key), len(keys))
        for kept in (*known.values(), *fresh.values()):
            self._check_length(kept, encoder, cut)
        shared = sum(isinstance(one, PendingEmbedding) for one in known.values())
        self.observer.texts_asked(encoder, fresh=len(fresh), shared=shared, remembered=len(known) - shared)
        begun: dict[CacheKey, PendingEmbedding] = {}
        for part in _distinct_parts(fresh):
            its = {key: row for key, row in fresh.items() if key.part == part}
            begun |= self._runners[encoder, part].begin(its, len(keys))
        return {**known, **unread, **begun}

    def _known(self, encoder: str, key: CacheKey) -> CachedEmbedding | PendingEmbedding | None:
        return self._runners[encoder, key.part].known(key)

    async def _rows(
        self, encoder: str, asked: Mapping[CacheKey, EmbedInput], cut: Cut
    ) -> dict[CacheKey, ModelInput | NestvecError]:
        holder = self.encoders[encoder]
        rows: dict[CacheKey, ModelInput | NestvecError] = {}
        for part in _distinct_parts(asked):
            its = {key: one for key, one in asked.items() if key.part == part}
            prepared = await prepare(
                holder, holder.manifest.parts[part], list(its.values()), cut, self.settings.images
            )
            rows |= dict(zip(its, prepared, strict=True))
        return rows

    async def _collect(
        self, encoder: str, found: Mapping[CacheKey, _Lookup]
    ) -> dict[CacheKey, CachedEmbedding]:
        """Wait for what is on its way in every part."""
        sound = {key: one for key, one in found.items() if not isinstance(one, NestvecError)}
        waits = [
            self._runners[encoder, part].collect({key: one for key, one in sound.items() if key.part == part})
            for part in _distinct_parts(sound)
        ]
        if len(waits) == 1:
            return await waits[0]
        entries: dict[CacheKey, CachedEmbedding] = {}
        for some in await asyncio.gather(*waits):
            entries |= some
        return entries

    def _embedded(
        self,
        encoder: str,
        entries: Sequence[CachedEmbedding | None],
        failed: Mapping[int, NestvecError],
        timing: Timing,
    ) -> EmbeddingResult:
        read = [one for one in entries if one is not None]
        truncated = sum(one.whole > one.tokens for one in read)
        if truncated:
            self.observer.truncated(encoder, truncated)
        nothing = np.zeros(self.encoders[encoder].manifest.dim, np.float32)
        answers = [nothing if one is None else one.answer for one in entries]
        return EmbeddingResult(answers, sum(one.tokens for one in read), truncated, timing, failed)

    def _check_length(
        self, one: CachedEmbedding | PendingEmbedding | ModelInput, encoder: str, cut: Cut
    ) -> None:
        if cut.allowed:
            return
        whole, length = _token_counts(one)
        if whole > length:
            raise InputTooLong(
                f"a text has more tokens than {encoder} takes, {length}, and truncation is off",
                value=whole,
                next_step="Shorten it, or ask with truncate true.",
            )


def _distinct_parts(keys: Mapping[CacheKey, object]) -> list[str]:
    return list(dict.fromkeys(key.part for key in keys))


def _token_counts(one: CachedEmbedding | PendingEmbedding | ModelInput) -> tuple[int, int]:
    """Tokens before it was cut, and after."""
    if isinstance(one, CachedEmbedding):
        return one.whole, one.tokens
    row = one.row if isinstance(one, PendingEmbedding) else one
    return row.whole, row.length


def _timing(found: Iterable[_Lookup]) -> Timing:
    jobs = [one for one in found if isinstance(one, PendingEmbedding)]
    queued = max((job.started - job.arrived for job in jobs), default=0.0)
    return Timing(queued, max((job.ended - job.started for job in jobs), default=0.0))
