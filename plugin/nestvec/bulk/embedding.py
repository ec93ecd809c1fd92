"""The vectors of texts for every column: one pass of an encoder for all of its dims and forms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from nestvec.client.http import REQUEST_TEXTS, EmbeddingRequest
from nestvec.client.service_client import EMPTY_WEIGHTS, embed, find_unreadable
from nestvec.client.service_key import environment_api_key
from nestvec.engines.contract import Batch, BlockingEngine
from nestvec.engines.factory import EngineOptions, open_engine
from nestvec.evaluate.vectors.encode import run_batches
from nestvec.images import ImagePolicy
from nestvec.service.batching.outputs import (
    OUTPUT_SPECS,
    PACKED,
    check_engine_output,
    top_weights,
    zero_output,
)
from nestvec.service.encoders import LoadedEncoder, open_encoders, resolve_encoder
from nestvec.service.engine_probe import probe_batches
from nestvec.service.preprocess.inputs import EmbedInput
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.prompts import PromptChoice, choose_prompt, put_prompt
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.bridges.bridge import split_bridged_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError, NotOffered
from nestvec_schemas.fingerprint import check_fingerprint
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import encoder_names
from nestvec_schemas.vectors import Vectors, nest, to_int8

_SERVICE_REQUESTS: Final = 4
"""Requests to a service at once."""


@dataclass(frozen=True)
class VectorOutput:
    """One vector column, and how it is embedded."""

    name: str
    config: EmbeddingConfig

    has_role: bool = True
    """Whether texts are documents, behind the encoder's prompt for them."""

    @property
    def family(self) -> tuple[object, ...]:
        """What columns have in common that one pass serves."""
        config = self.config
        return config.encoder, config.exit, config.expert, config.prompt, self.has_role


@dataclass
class EmbeddedTexts:
    """The vectors of n texts."""

    columns: dict[str, Any] = field(default_factory=dict)
    """By column: (n, dim) float32 or int8, (n, dim / 8) uint8 of sign bits, or n mappings of ids to
    weights."""

    failed: dict[int, NestvecError] = field(default_factory=dict)
    """Texts without vectors, by position: images that cannot be read."""

    tokens: int = 0
    tokenize_seconds: float = 0.0
    engine_seconds: float = 0.0


class TextEmbedding(Protocol):
    """Embeds texts for several columns."""

    def embed(self, texts: Sequence[str], outputs: Sequence[VectorOutput]) -> EmbeddedTexts:
        """The vectors of texts in each of ``outputs``. Raises NestvecError."""
        ...


class EngineEmbedding:
    """An engine in this process, on texts sorted by their length; or Triton, by its address."""

    def __init__(
        self,
        models: Path,
        encoders: Iterable[str] = (),
        options: EngineOptions | None = None,
        images: ImagePolicy | None = None,
    ) -> None:
        """Open the named encoders of a model repository, or all. Raises EncoderNotFound, EngineError, …"""
        names = base_names(models, encoders)
        self.encoders = open_encoders(models, names)
        self.images = images or ImagePolicy()
        folders = {name: models / name for name in names or encoder_names(models)}
        self.engine = open_engine(folders, options or EngineOptions(), probe_batches)
        self._runner = asyncio.Runner()

    def embed(self, texts: Sequence[str], outputs: Sequence[VectorOutput]) -> EmbeddedTexts:
        """See ``TextEmbedding``."""
        embedded = EmbeddedTexts()
        families: dict[tuple[object, ...], list[VectorOutput]] = {}
        for output in outputs:
            families.setdefault(output.family, []).append(output)
        for members in families.values():
            config = members[0].config
            loaded = self.encoders[resolve_encoder(self.encoders, config.encoder)]
            check_fingerprint(loaded.manifest, config.fingerprint)
            rows = self._pass(loaded, config, texts, embedded, has_role=members[0].has_role)
            for member in members:
                embedded.columns[member.name] = in_form(rows, member.config, loaded.manifest)
        return embedded

    def _pass(
        self,
        loaded: LoadedEncoder,
        config: EmbeddingConfig,
        texts: Sequence[str],
        embedded: EmbeddedTexts,
        *,
        has_role: bool,
    ) -> list[Array]:
        """The encoder's output of each text; those that fail are noted in ``embedded``, and zero."""
        started = time.perf_counter()
        choice = choose_prompt(loaded.manifest, "document" if has_role else None, config)
        inputs = prompted_inputs(loaded, texts, choice)
        parts: dict[str, dict[EmbedInput, None]] = {}
        places = [loaded.part_of(value, config.expert, choice.role) for value in inputs]
        for part, value in zip(places, inputs, strict=True):
            parts.setdefault(part, {})[value] = None
        embedded.tokenize_seconds += time.perf_counter() - started
        computed: dict[tuple[str, EmbedInput], Array | NestvecError] = {}
        for part, values in parts.items():
            distinct = list(values)
            results = self._run_part(loaded, config, part, distinct, choice, embedded)
            computed |= {(part, value): row for value, row in zip(distinct, results, strict=True)}
        zero = zero_output(loaded.manifest.kind, loaded.manifest.dim)
        rows: list[Array] = []
        for position, key in enumerate(zip(places, inputs, strict=True)):
            row = computed[key]
            if isinstance(row, NestvecError):
                embedded.failed.setdefault(position, row)
                row = zero
            rows.append(row)
        return rows

    def _run_part(
        self,
        loaded: LoadedEncoder,
        config: EmbeddingConfig,
        part: str,
        values: Sequence[EmbedInput],
        choice: PromptChoice,
        embedded: EmbeddedTexts,
    ) -> list[Array | NestvecError]:
        started = time.perf_counter()
        tower = loaded.tower_of(values[0])
        preparing = prepare_inputs(
            loaded, tower, values, Truncation(), self.images, part=part, role=choice.role
        )
        prepared = self._runner.run(preparing)
        embedded.tokenize_seconds += time.perf_counter() - started
        readable = [row for row in prepared if not isinstance(row, NestvecError)]
        embedded.tokens += sum(row.length for row in readable)
        manifest = loaded.manifest
        layer = manifest.resolve_exit(config.exit)
        exit = loaded.graph_exit(choice.role) or (0 if layer == manifest.depth else layer)
        spec = PACKED if loaded.packed else OUTPUT_SPECS[manifest.kind]
        dim = manifest.dim + EXTRA_COLUMNS if loaded.packed else loaded.graph_dim(part)
        name = loaded.base or manifest.name
        rows: dict[int, Array] = {}
        for at, output, seconds in run_batches(
            readable, lambda batch: self._run(name, batch), exit, part, lambda count: None
        ):
            check_engine_output(output, spec, len(at), dim)
            rows |= {place: loaded.output(spec.extract(row)) for place, row in zip(at, output, strict=True)}
            embedded.engine_seconds += seconds
        computed = iter(rows[place] for place in range(len(readable)))
        return [row if isinstance(row, NestvecError) else next(computed) for row in prepared]

    def _run(self, encoder: str, batch: Batch) -> Vectors:
        if isinstance(self.engine, BlockingEngine):
            return self.engine.run_now(encoder, batch)
        return self._runner.run(self.engine.run(encoder, batch))


class ServiceEmbedding:
    """A service by its address, whose cache shares a text's pass among the columns."""

    def __init__(self, service: str) -> None:
        self.service, self._key = service, environment_api_key()

    def embed(self, texts: Sequence[str], outputs: Sequence[VectorOutput]) -> EmbeddedTexts:
        """See ``TextEmbedding``. Raises ServiceUnreachable, ServiceRefused."""
        started = time.perf_counter()
        chunks = [texts[start : start + REQUEST_TEXTS] for start in range(0, len(texts), REQUEST_TEXTS)]
        embedded = EmbeddedTexts()
        with ThreadPoolExecutor(_SERVICE_REQUESTS) as pool:
            parts = list(pool.map(lambda chunk: self._chunk(chunk, outputs), chunks))
        for output in outputs:
            values = [part[output.name] for part in parts]
            sparse = output.config.form == "sparse"
            embedded.columns[output.name] = (
                [row for part in values for row in part] if sparse else np.concatenate(values)
            )
        embedded.engine_seconds = time.perf_counter() - started
        return embedded

    def _chunk(self, texts: Sequence[str], outputs: Sequence[VectorOutput]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for output in outputs:
            request = EmbeddingRequest(self.service, output.config, output.has_role)
            values = embed(request, texts, self._key)
            form = output.config.form
            if form == "sparse":
                columns[output.name] = list(values)
            elif form == "binary":
                columns[output.name] = np.stack([np.frombuffer(row, np.uint8) for row in values])
            else:
                vectors = np.asarray(values, np.float32)
                columns[output.name] = to_int8(vectors) if form == "int8" else vectors
        return columns

    def unreadable(self, texts: Sequence[str], output: VectorOutput) -> Mapping[int, NestvecError]:
        """The images among ``texts`` that cannot be embedded, by position."""
        request = EmbeddingRequest(self.service, output.config, output.has_role)
        return find_unreadable(request, texts, self._key)


def base_names(models: Path, encoders: Iterable[str]) -> tuple[str, ...]:
    """The folders of a model repository that hold ``encoders``, which may be bridges; empty for all of them,
    also where a name is that of an encoder's other output."""
    present, names = set(encoder_names(models)), []
    for encoder in encoders:
        parts = split_bridged_name(encoder)
        name = parts[0] if parts else encoder
        if name not in present:
            return ()
        names.append(name)
    return tuple(dict.fromkeys(names))


def prompted_inputs(loaded: LoadedEncoder, texts: Sequence[str], choice: PromptChoice) -> list[EmbedInput]:
    """The texts as the service prepares those of a request. Raises BodyInvalid, PromptNotOffered."""
    return put_prompt([loaded.without_prompt(text) for text in texts], choice, loaded)


def in_form(rows: Sequence[Array], config: EmbeddingConfig, manifest: Manifest) -> Any:
    """An encoder's outputs as a column of the config's form stores them, see ``EmbeddedTexts``.

    Raises NotOffered for an encoder whose vectors are not of one kind with the column, DimNotOffered.
    """
    sparse = config.form == "sparse"
    if manifest.kind != ("sparse" if sparse else "dense"):
        raise NotOffered(
            f"{manifest.name} is a {manifest.kind} encoder",
            value=f"a {config.form} vector",
            next_step="Name an encoder of the kind of the column.",
        )
    if sparse:
        largest = (top_weights(row, config.top) for row in rows)
        return [
            dict(zip(row["index"].tolist(), row["value"].tolist(), strict=True)) or dict(EMPTY_WEIGHTS)
            for row in largest
        ]
    stacked = np.stack(rows) if rows else np.empty((0, manifest.dim), np.float32)
    vectors = nest(stacked, config.dim or manifest.dim, normalised=manifest.normalised)
    if config.form == "int8":
        return to_int8(vectors)
    return sign_bits(vectors) if config.form == "binary" else vectors
