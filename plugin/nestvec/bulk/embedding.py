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
from nestvec.service.preprocess.inputs import EmbedInput, PreparedInputs
from nestvec.service.preprocess.prepare import prepare_inputs, slices, tokenize_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.prompts import PromptChoice, choose_prompt, put_prompt
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.bridges.bridge import split_bridged_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError, NotOffered, ServiceRefused
from nestvec_schemas.fingerprint import check_fingerprint
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import encoder_names
from nestvec_schemas.towers import Modality, Role
from nestvec_schemas.vectors import Vectors, nest, to_int8

_SERVICE_REQUESTS: Final = 4
"""Requests to a service at once."""


Outputs = Vectors | Sequence[Array]
"""What an encoder computed for each input: (n, dim) float32, or arrays of their own."""


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


_GraphPass = tuple[str, int | None]
"""A part of an encoder, and the exit that gives a bridge's vectors; None for the encoder's own vectors."""


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
    ) -> Outputs:
        """The encoder's output of each text; those that fail are noted in ``embedded``, and zero."""
        started = time.perf_counter()
        choice = choose_prompt(loaded.manifest, "document" if has_role else None, config)
        inputs = prompted_inputs(loaded, texts, choice)
        places = _places_by_pass(loaded, inputs, config.expert, choice.role)
        embedded.tokenize_seconds += time.perf_counter() - started
        rows: dict[int, Array] = {}
        for (part, graph_exit), positions in places.items():
            values = [inputs[position] for position in positions]
            numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
            outputs, failed = self._run_part(
                loaded, config, (part, graph_exit), list(numbers), choice.role, embedded
            )
            chosen = [numbers[value] for value in values]
            for position, number in zip(positions, chosen, strict=True) if failed else ():
                if number in failed:
                    embedded.failed.setdefault(position, failed[number])
            if len(places) > 1 or not isinstance(outputs, np.ndarray):
                rows |= {place: outputs[number] for place, number in zip(positions, chosen, strict=True)}
            else:
                return outputs if len(numbers) == len(values) else outputs[chosen]
        return [rows[position] for position in range(len(inputs))]

    def _run_part(
        self,
        loaded: LoadedEncoder,
        config: EmbeddingConfig,
        graph_pass: _GraphPass,
        values: Sequence[EmbedInput],
        role: Role | None,
        embedded: EmbeddedTexts,
    ) -> tuple[Outputs, dict[int, NestvecError]]:
        """The encoder's outputs of values for one of its parts, and the errors of those that are unreadable,
        whose outputs are zero."""
        started = time.perf_counter()
        part, graph_exit = graph_pass
        prepared = self._prepare(loaded, part, values, role)
        failed = {at: row for at, row in enumerate(prepared) if isinstance(row, NestvecError)}
        readable = [row for row in prepared if not isinstance(row, NestvecError)]
        embedded.tokenize_seconds += time.perf_counter() - started
        embedded.tokens += sum(row.length for row in readable)
        manifest = loaded.manifest
        layer = manifest.resolve_exit(config.exit)
        exit = graph_exit or (0 if layer == manifest.depth else layer)
        spec = PACKED if loaded.packed else OUTPUT_SPECS[manifest.kind]
        dim = manifest.dim + EXTRA_COLUMNS if loaded.packed else loaded.graph_dim(part)
        name = loaded.base or manifest.name
        places = [at for at in range(len(prepared)) if at not in failed]
        is_dense = manifest.kind == "dense" and not loaded.packed
        vectors = np.zeros((len(prepared), dim if is_dense else 0), np.float32)
        rows: dict[int, Array] = {}
        for at, output, seconds in run_batches(
            readable, lambda batch: self._run(name, batch), exit, part, lambda count: None
        ):
            check_engine_output(output, spec, len(at), dim)
            positions = [places[number] for number in at]
            if is_dense:
                vectors[positions] = output
            else:
                extracted = (loaded.output(spec.extract(row)) for row in output)
                rows |= dict(zip(positions, extracted, strict=True))
            embedded.engine_seconds += seconds
        if is_dense:
            # The rows of an encoder with bridges are as long as the longest of their vectors.
            return vectors[:, : manifest.dim], failed
        zero = zero_output(manifest.kind, manifest.dim)
        return [rows.get(at, zero) for at in range(len(prepared))], failed

    def _prepare(
        self, loaded: LoadedEncoder, part: str, values: Sequence[EmbedInput], role: Role | None
    ) -> PreparedInputs:
        tower = loaded.tower_of(values[0])
        if _has_plain_texts(loaded, tower):
            return [
                row
                for piece in slices(values)
                for row in tokenize_inputs(loaded, piece, Truncation(), part=part, role=role)
            ]
        return self._runner.run(
            prepare_inputs(loaded, tower, values, Truncation(), self.images, part=part, role=role)
        )

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
            parts = list(pool.map(lambda chunk: self._readable_chunk(chunk, outputs), chunks))
        for number, (_, failed) in enumerate(parts):
            embedded.failed |= {number * REQUEST_TEXTS + at: error for at, error in failed.items()}
        places = [at for at in range(len(texts)) if at not in embedded.failed]
        for output in outputs:
            values = [columns[output.name] for columns, _ in parts if columns]
            if output.config.form == "sparse":
                by_place = dict(zip(places, (row for part in values for row in part), strict=True))
                embedded.columns[output.name] = [by_place.get(at, {}) for at in range(len(texts))]
                continue
            empty = np.empty((0, output.config.dim or 0), np.float32)
            stacked = np.concatenate(values) if values else empty
            if embedded.failed:
                full = np.zeros((len(texts), stacked.shape[1]), stacked.dtype)
                full[places] = stacked
                stacked = full
            embedded.columns[output.name] = stacked
        embedded.engine_seconds = time.perf_counter() - started
        return embedded

    def _readable_chunk(
        self, texts: Sequence[str], outputs: Sequence[VectorOutput]
    ) -> tuple[dict[str, Any], Mapping[int, NestvecError]]:
        """The columns of the texts that can be embedded, and the errors of the others by position."""
        try:
            return self._chunk(texts, outputs), {}
        except ServiceRefused:
            failed = self.unreadable(texts, outputs[0])
            if not failed:
                raise
        readable = [text for at, text in enumerate(texts) if at not in failed]
        return self._chunk(readable, outputs) if readable else {}, failed

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
    unprompted = [loaded.without_prompt(text) for text in texts] if loaded.reads_images else texts
    return put_prompt(unprompted, choice, loaded)


def _has_plain_texts(loaded: LoadedEncoder, tower: Modality) -> bool:
    """Whether inputs of a tower are texts of which nothing is fetched or rendered."""
    return tower == "text" and loaded.chat is None and loaded.manifest.towers["text"].rendering is None


def _places_by_pass(
    loaded: LoadedEncoder, inputs: Sequence[EmbedInput], expert: str | None, role: Role | None
) -> dict[_GraphPass, Sequence[int]]:
    """Which of the inputs each pass embeds. Raises ExpertNotOffered.

    As in the service, the prompt that a text starts with says which of a bridge's maps it has, where the role
    does not.
    """
    by_prompt = role is None and loaded.has_query_head
    one_part = len(loaded.manifest.towers) == 1 and loaded.manifest.query_expert is None
    if inputs and one_part and not by_prompt:
        return {(loaded.part_of(inputs[0], expert, role), loaded.graph_exit(role)): range(len(inputs))}
    places: dict[_GraphPass, list[int]] = {}
    for position, value in enumerate(inputs):
        exit = loaded.graph_exit(loaded.role_of(value) if by_prompt else role)
        places.setdefault((loaded.part_of(value, expert, role), exit), []).append(position)
    return {**places}


def in_form(rows: Outputs, config: EmbeddingConfig, manifest: Manifest) -> Any:
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
    stacked = rows if isinstance(rows, np.ndarray) else _stack(rows, manifest.dim)
    vectors = nest(stacked, config.dim or manifest.dim, normalised=manifest.normalised)
    if config.form == "int8":
        return to_int8(vectors)
    return sign_bits(vectors) if config.form == "binary" else vectors


def _stack(rows: Sequence[Array], dim: int) -> Vectors:
    return np.stack(rows) if rows else np.empty((0, dim), np.float32)
