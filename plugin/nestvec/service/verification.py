"""An encoder as this service runs it, opened for an export to compare with the checkpoint's library."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image

from nestvec.engines.factory import EngineOptions
from nestvec.images import ImagePolicy
from nestvec.service.batching.outputs import SPARSE_DTYPE
from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.preprocess.inputs import EmbedInput, QueryDocument
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.prompts import NO_PROMPT, choose_prompt, put_prompt
from nestvec.service.server import open_embedder
from nestvec.service.settings import BatchLimits, CacheLimits, LoadLimits, ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.prompt_roles import role_of
from nestvec_schemas.vectors import nest

_SECONDS: Final = 1800.0
"""For one request: a text of thousands of tokens takes minutes on a CPU."""

_SETTINGS: Final = ServiceSettings(
    # The engine that other engines are compared with.
    engine=EngineOptions(name="onnx", share_cores=True),
    load=LoadLimits(deadline_seconds=_SECONDS, queue_tokens=1 << 24),
    batches=BatchLimits(tokens=1 << 14, texts=64),
    # Each request must reach the engine.
    cache=CacheLimits(max_bytes=0, seconds=0.0),
    images=ImagePolicy(schemes=frozenset({"data"})),
)


class ProbeInput(Protocol):
    """An input to compare; the exporters have the class."""

    @property
    def value(self) -> Any:
        """A text, token ids, a query with a document, an image, several of them in their order, or an image
        with a text."""

    @property
    def prompt(self) -> str | None:
        """Name of the prompt before the text."""


class InProcessEncoder:
    """One encoder behind the service's own code, without HTTP."""

    def __init__(self, embedder: Embedder, runner: asyncio.Runner, name: str | None = None) -> None:
        """``name`` is the encoder's, or that of a bridge or another output of it; None for the encoder's."""
        self.embedder, self.runner = embedder, runner
        self.name = name or next(iter(embedder.encoders))
        self.encoder = embedder.encoders[self.name]

    def embed(
        self, probes: Sequence[ProbeInput], *, dim: int | None = None, expert: str | None = None
    ) -> list[Array]:
        """What the service gives for each probe, all of them in one request; see ``ServedEncoder``."""
        outputs = self.runner.run(self._outputs(probes, EmbeddingConfig(self.name, expert=expert)))
        manifest = self.encoder.manifest
        if manifest.kind == "dense":
            return list(nest(np.asarray(outputs), dim or manifest.dim, normalised=manifest.normalised))
        if manifest.kind == "sparse":
            return [_dense_weights(weights, manifest.dim) for weights in outputs]
        return [np.asarray(output, np.float32) for output in outputs]

    async def _outputs(self, probes: Sequence[ProbeInput], config: EmbeddingConfig) -> list[Array]:
        """The encoder's outputs: queries, documents and other texts are a request each, at once."""
        names: list[Any] = [probe.prompt for probe in probes]
        roles = [role_of(name) if name else None for name in names]
        places = {
            role: [at for at, other in enumerate(roles) if other == role] for role in dict.fromkeys(roles)
        }
        results = await asyncio.gather(
            *(
                self.embedder.embed(
                    self.name,
                    [self._input(probes[at]) for at in chosen],
                    EmbedOptions(config, role=role),
                )
                for role, chosen in places.items()
            )
        )
        outputs: dict[int, Array] = {}
        for chosen, result in zip(places.values(), results, strict=True):
            outputs |= dict(zip(chosen, result.outputs, strict=True))
        return [outputs[at] for at in range(len(probes))]

    def token_ids(self, probes: Sequence[ProbeInput]) -> list[list[int]]:
        """The ids of each probe's tokens, as the encoder's graph receives them, for an encoder that reads
        tokens. Raises the error of a probe that is unreadable."""
        rows = []
        for probe in probes:
            role = role_of(probe.prompt) if probe.prompt else None
            inputs = prepare_inputs(
                self.encoder, "text", [self._input(probe)], Truncation(), _SETTINGS.images, role=role
            )
            (prepared,) = self.runner.run(inputs)
            if isinstance(prepared, NestvecError):
                raise prepared
            rows.append([int(token) for token in prepared.arrays["input_ids"]])
        return rows

    def _input(self, probe: ProbeInput) -> EmbedInput:
        value = probe.value
        if isinstance(value, str):
            return self._prompted(value, probe)
        if isinstance(value, Image.Image):
            return self._prompted(_address(value), probe)
        first, second = value[0], value[-1]
        if isinstance(first, int):
            return list(value)
        if isinstance(first, str):
            return QueryDocument(first, second)
        if isinstance(second, str):
            return self._prompted(json.dumps({"image": _address(first), "text": second}), probe)
        return json.dumps([_address(image) for image in value])

    def _prompted(self, value: str, probe: ProbeInput) -> EmbedInput:
        choice = choose_prompt(self.encoder.manifest, probe.prompt or NO_PROMPT, EmbeddingConfig(self.name))
        return put_prompt([value], choice, self.encoder)[0]


@contextmanager
def open_served(folder: Path, name: str | None = None) -> Iterator[InProcessEncoder]:
    """The encoder in ``folder`` of a model repository, in this process; with ``name``, a bridge of it."""
    with asyncio.Runner() as runner:
        embedder = open_embedder(folder.parent, (folder.name,), _SETTINGS)
        embedder.measures_speed = False

        async def start() -> None:
            embedder.start()

        runner.run(start())
        try:
            yield InProcessEncoder(embedder, runner, name)
        finally:
            runner.run(embedder.close())


def _dense_weights(weights: Array, dim: int) -> Array:
    """(k,) SPARSE_DTYPE to (dim,) float32."""
    assert weights.dtype == SPARSE_DTYPE  # noqa: S101 - what sparse encoders give
    dense = np.zeros(dim, np.float32)
    dense[weights["index"]] = weights["value"]
    return dense


def _address(image: Image.Image) -> str:
    """An image as a data: URL, in PNG, with its palette, its transparency and a camera's rotation."""
    data = io.BytesIO()
    image.save(data, "PNG", exif=image.getexif())
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
