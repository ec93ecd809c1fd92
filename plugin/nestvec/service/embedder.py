"""Embeds the inputs of requests: each distinct input once, in batches with whatever else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple, TypeVar

from nestvec.engines.contract import BlockingEngine, Engine, EngineInfo, RemoteEngine
from nestvec.service.batching.admission import RequestAdmission
from nestvec.service.batching.cache import CachedEmbedding, CacheKey
from nestvec.service.batching.engine_threads import EngineThreads
from nestvec.service.batching.loop_slices import SLICE_INPUTS, SMALL_INPUTS, LoopSlices, slices
from nestvec.service.batching.outputs import PartSpec
from nestvec.service.batching.pending import PendingEmbedding, check_lengths, share_keys
from nestvec.service.batching.runner import BatchRunner
from nestvec.service.batching.speed import EngineSpeed
from nestvec.service.batching.turns import turn_paused
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.catalog.instance import EncoderInstance, instances_of
from nestvec.service.catalog.reload import Reloader
from nestvec.service.catalog.residency import Residency
from nestvec.service.embedding_result import EmbeddingResult, assemble_result
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.engine_watch import watch_engine
from nestvec.service.observability.observer import NullObserver, Observer
from nestvec.service.operation.declared_options import DeclaredOptions, DeclaredSource
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput, with_position
from nestvec.service.preprocess.prepare import chunk_in_slices, prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.request_context import current_context
from nestvec.service.settings import ServiceSettings
from nestvec.service.speed_probe import measure_speed
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.fingerprint import check_fingerprint
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.on_error import OnError
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS
from nestvec_schemas.towers import MAIN_PART

T = TypeVar("T")


@dataclass(frozen=True)
class EmbedOptions:
    """How the inputs of one request are embedded."""

    config: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    """The exit and the expert."""
    truncation: Truncation = field(default_factory=Truncation)
    on_error: OnError = "reject"
    """What happens to the request if one of its images cannot be fetched."""
    role: Role | None = None
    """The side of a search that the texts are on; None leaves it to the prompts that they start with."""


_DEFAULTS = EmbedOptions()

_MAX_INLINE_LENGTH: Final = 1 << 18
"""Characters and token ids whose keys are made on the event loop: in a millisecond or two."""


class Embedder:
    """Embeds for all requests of a service. Belongs to one event loop, between ``start`` and ``close``."""

    def __init__(
        self,
        encoders: Mapping[str, LoadedEncoder],
        engine: Engine,
        settings: ServiceSettings,
        observer: Observer | None = None,
    ) -> None:
        self.engine, self.settings = engine, settings
        self.encoders = (
            encoders if isinstance(encoders, EncoderCatalog) else EncoderCatalog(instances_of(encoders))
        )
        self.observer = observer or NullObserver()
        self.residency = Residency(None, settings.engine.memory)
        """Which encoders are in memory; replaced before ``start`` where the engine can unload them."""
        self.reloader: Reloader | None = None
        """Rereads the model repository; None where the encoders never change."""
        self.declared: DeclaredSource = DeclaredOptions
        """Reads again what the command line and the config file declare."""
        self.admission = RequestAdmission(settings.load)
        self.measures_speed = False
        """Whether each encoder's speed is measured as it starts."""
        self.slices = LoopSlices()
        """Which large request works on the event loop."""
        self._threads: EngineThreads | None = None
        """What runs the batches of an engine in this process, from ``start`` to ``close``."""
        self._measuring: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def engine_info(self, encoder: str) -> EngineInfo:
        """What runs an encoder."""
        engine, name = self.residency.engine, self.encoders.instance(encoder).name
        return EngineInfo(self.engine.name) if engine is None else engine.encoder_info(name)

    def resident_encoders(self) -> list[str]:
        """The encoders that the engine must be able to run now; others are loaded when they are needed."""
        return [instance.name for instance in self.encoders.instances if instance.resident]

    def start(self) -> None:
        """Start the encoders' runners on the running event loop, the one that ``embed`` is called on."""
        if isinstance(self.engine, BlockingEngine):
            self._threads = EngineThreads(self.engine.parallel)
        for instance in self.encoders.instances:
            self.start_instance(instance)
        self.encoders.on_retired = self.retire
        self._tasks = [asyncio.create_task(self.residency.watch(), name="nestvec-residency")]
        if isinstance(self.residency.engine, RemoteEngine):
            watching = watch_engine(self.residency.engine, self.settings.engine.triton_url)
            self._tasks.append(asyncio.create_task(watching, name="nestvec-engine-watch"))

    def start_instance(self, instance: EncoderInstance, replaced: EncoderInstance | None = None) -> None:
        """Start the runners of an instance, before the catalog shows it to requests.

        It is assumed to be as fast as the one that it replaces, and measured if it replaces none.
        """
        for part in instance.own.manifest.parts:
            runner = instance.runners[part] = self._runner(instance, part)
            if replaced is not None and part in replaced.runners:
                runner.speed.start_from(replaced.runners[part].speed)
            name = "-".join(filter(None, ("nestvec", instance.name, part)))
            # In a context of its own, not that of a request in which it may be started.
            instance.tasks.append(asyncio.create_task(runner.run(), name=name, context=Context()))
        if self.measures_speed and instance.resident and replaced is None:
            measuring = asyncio.create_task(
                measure_speed(instance.own, instance.runners[MAIN_PART]),
                name=f"nestvec-speed-{instance.name}",
            )
            self._measuring.add(measuring)
            measuring.add_done_callback(self._measuring.discard)
            instance.tasks.append(measuring)

    async def wait_until_measured(self, seconds: float) -> None:
        """Wait until the speed of the encoders started so far is measured, at most ``seconds``."""
        if self._measuring:
            await asyncio.wait(self._measuring, timeout=seconds)

    def _runner(self, instance: EncoderInstance, part: str) -> BatchRunner:
        manifest, settings = instance.own.manifest, self.settings
        tower, packed = manifest.tower_of_part(part), bool(manifest.outputs)
        if tower.alone:
            settings = replace(settings, batches=replace(settings.batches, texts=1))
        dim = manifest.dim + EXTRA_COLUMNS if packed else instance.own.graph_dim(part)
        name, generation = instance.name, instance.generation
        spec = PartSpec(
            name, part, manifest.kind, dim, tower.max_tokens, packed=packed, generation=generation
        )
        return BatchRunner(spec, self.engine, settings, self.observer, self._threads)

    def retire(self, instance: EncoderInstance) -> None:
        """Stop an instance that no request can see any more, and release its memory."""
        for task in instance.tasks:
            task.cancel()
        for runner in instance.runners.values():
            runner.cancel_all()
        self.residency.retire(instance)

    def speed(self, encoder: str) -> EngineSpeed | None:
        """How fast the engine runs the encoder's main part; None before ``start``."""
        runner = self.encoders.instance(encoder).runners.get(MAIN_PART)
        return None if runner is None else runner.speed

    async def close(self) -> None:
        """Stop working and close the engine; requests that still wait are cancelled."""
        instances = self.encoders.instances
        tasks = [*self._tasks, *(task for instance in instances for task in instance.tasks)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for instance in instances:
            instance.tasks.clear()
            for runner in instance.runners.values():
                runner.cancel_all()
        if self._threads is not None:
            await asyncio.to_thread(self._threads.close)
        await self.engine.close()

    async def embed(
        self, encoder: str, inputs: Sequence[EmbedInput], options: EmbedOptions = _DEFAULTS
    ) -> EmbeddingResult:
        """Embed texts, token ids from the client, images and pairs with one encoder.

        If ``options`` ask for the mean of chunks and the encoder has none, overlong texts are truncated.
        Raises EncoderNotFound (another fingerprint), ExitNotOffered, ExpertNotOffered, EmptyInput,
        InputTooLong, BodyInvalid (unknown token ids), NotOffered, Overloaded, DeadlineExceeded, EngineError.
        A caller that is cancelled gives up its place.
        """
        with self.encoders.pinned():
            instance = self.encoders.instance(encoder)
            target = _Target(encoder, self.encoders[encoder], instance)
            async with self.residency.lease(instance):
                return await self._embed_or_average(target, inputs, options)

    async def _embed_or_average(
        self, target: _Target, inputs: Sequence[EmbedInput], options: EmbedOptions
    ) -> EmbeddingResult:
        loaded = target.loaded
        check_fingerprint(loaded.manifest, options.config.fingerprint)
        if options.truncation.overlong != "mean" or not loaded.averages_chunks:
            return await self._embed(target, inputs, options)
        is_text = [_is_chunkable(loaded, value, options) for value in inputs]
        admission, client = target.runners[MAIN_PART].admission, current_context().client
        chunked = await chunk_in_slices(
            loaded.required_tokenizer, inputs, is_text, partial(admission.check_size, client)
        )
        # What is not split into chunks may still be truncated.
        truncation = Truncation(direction=options.truncation.direction)
        result = await self._embed(target, chunked.inputs, replace(options, truncation=truncation))
        return replace(
            result,
            outputs=chunked.mean_vectors(result.vectors),
            chunked=chunked.chunked_texts,
            failed=chunked.failures(result.failed),
        )

    async def _embed(
        self, target: _Target, inputs: Sequence[EmbedInput], options: EmbedOptions
    ) -> EmbeddingResult:
        keys = await self._keys(target, inputs, options)
        entries = await self._look_up(target, keys, dict(zip(keys, inputs, strict=True)), options)
        if len(keys) > SLICE_INPUTS:
            keys, entries = share_keys(keys, entries)
        embeddings = await self._collect(target, entries)
        if len(keys) > SMALL_INPUTS:
            await self.slices.next(len(keys))
        result = assemble_result(target.name, target.loaded, keys, entries, embeddings)
        if result.truncated:
            self.observer.texts_truncated(target.name, result.truncated)
        return result

    async def _keys(
        self, target: _Target, inputs: Sequence[EmbedInput], options: EmbedOptions
    ) -> list[CacheKey]:
        """The key of each input; those of long ones are made on a thread. Raises EmptyInput."""
        key = target.instance.keys.of(target.loaded, options.config, options.truncation, options.role).key
        if sum(map(len, inputs)) > _MAX_INLINE_LENGTH:
            return await asyncio.to_thread(lambda: list(map(key, inputs)))
        if len(inputs) <= SMALL_INPUTS:
            return list(map(key, inputs))
        keys: list[CacheKey] = []
        for part in slices(inputs):
            await self.slices.next(len(inputs))
            keys += map(key, part)
        return keys

    async def _look_up(
        self,
        target: _Target,
        keys: Sequence[CacheKey],
        inputs: Mapping[CacheKey, EmbedInput],
        options: EmbedOptions,
    ) -> dict[CacheKey, CachedEmbedding | PendingEmbedding | NestvecError]:
        """The cached or pending embedding of each distinct input, or its error; new ones are submitted.

        ``keys`` are those of all inputs, in their order.
        """
        runners, prepared = target.runners, dict[CacheKey, ModelInput | NestvecError]()
        while True:
            if len(inputs) > SMALL_INPUTS:
                await self.slices.next(len(inputs))
            existing: dict[CacheKey, CachedEmbedding | PendingEmbedding] = {}
            missing: dict[CacheKey, EmbedInput] = {}
            for key, value in inputs.items():
                if (entry := runners[key.part].find(key)) is not None:
                    existing[key] = entry
                elif key not in prepared:
                    missing[key] = value
            if not missing:
                break
            # Meanwhile, another request may submit an input, and what was cached may expire, which is then
            # prepared as well.
            prepared |= await self._prepare(target, missing, options)
        fresh: dict[CacheKey, ModelInput] = {}
        unreadable: dict[CacheKey, NestvecError] = {}
        for key, model_input in prepared.items():
            if key in existing:
                continue
            if isinstance(model_input, NestvecError):
                unreadable[key] = model_input
            else:
                fresh[key] = model_input
        if unreadable and options.on_error == "reject":
            key, error = next(iter(unreadable.items()))
            raise with_position(error, keys.index(key), len(keys))
        if options.truncation.overlong == "error":
            check_lengths(target.name, [*existing.values(), *fresh.values()])
        pending = {key: entry for key, entry in existing.items() if isinstance(entry, PendingEmbedding)}
        self.observer.texts_requested(
            target.name, fresh=len(fresh), shared=len(pending), remembered=len(existing) - len(pending)
        )
        for key, shared in pending.items():
            runners[key.part].share(shared, len(keys))
        submitted: dict[CacheKey, PendingEmbedding] = {}
        for part, inputs_of_part in _by_part(fresh).items():
            submitted |= runners[part].submit(inputs_of_part, len(keys))
        return {**existing, **unreadable, **submitted}

    async def _prepare(
        self, target: _Target, inputs: Mapping[CacheKey, EmbedInput], options: EmbedOptions
    ) -> dict[CacheKey, ModelInput | NestvecError]:
        prepared: dict[CacheKey, ModelInput | NestvecError] = {}
        for part, values in _by_part(inputs).items():
            model_inputs = await prepare_inputs(
                target.loaded,
                target.loaded.parts[part],
                list(values.values()),
                options.truncation,
                self.settings.images,
                part=part,
                role=options.role,
            )
            prepared |= dict(zip(values, model_inputs, strict=True))
        return prepared

    async def _collect(
        self, target: _Target, entries: Mapping[CacheKey, CachedEmbedding | PendingEmbedding | NestvecError]
    ) -> dict[CacheKey, CachedEmbedding]:
        """Wait for the pending embeddings of every part."""
        by_part = _by_part(
            {key: entry for key, entry in entries.items() if not isinstance(entry, NestvecError)}
        )
        waits = [target.runners[part].collect(of_part) for part, of_part in by_part.items()]
        async with turn_paused(len(entries)):
            # A task takes time, and most requests have one part.
            if len(waits) == 1:
                return await waits[0]
            return {key: entry for part in await asyncio.gather(*waits) for key, entry in part.items()}


class _Target(NamedTuple):
    """What the inputs of a request are embedded with."""

    name: str
    loaded: LoadedEncoder
    instance: EncoderInstance

    @property
    def runners(self) -> Mapping[str, BatchRunner]:
        """By part; the pass may be another encoder's."""
        return self.instance.runners


def _is_chunkable(loaded: LoadedEncoder, value: EmbedInput, options: EmbedOptions) -> bool:
    """Whether the chunks of an input, which are token ids without its prompt, are embedded as it would be."""
    part = loaded.part_of(value, options.config.expert, options.role)
    part_of_ids = loaded.part_of([0], options.config.expert, options.role)
    exit = loaded.graph_exit(loaded.role_of(value, options.role))
    if part != part_of_ids or exit != loaded.graph_exit(options.role):
        return False
    return part not in loaded.expert_tokenizers


def _by_part(entries: Mapping[CacheKey, T]) -> dict[str, dict[CacheKey, T]]:
    by_part: dict[str, dict[CacheKey, T]] = {}
    for key, entry in entries.items():
        by_part.setdefault(key.part, {})[key] = entry
    return by_part
