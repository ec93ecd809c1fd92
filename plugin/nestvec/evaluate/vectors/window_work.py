"""The encoding of a window of inputs, by the encoder of this process or of another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from nestvec.datasets.beir import PAIRS, Side
from nestvec.engines.contract import Batch
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import RunBatch, answer_window, encode_window
from nestvec.images import ImagePolicy
from nestvec.service.batching.outputs import SPARSE_DTYPE
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import ModelInput as Input
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import DatasetUnusable, NestvecError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS
from nestvec_schemas.towers import Modality
from nestvec_schemas.vectors import Vectors

_LOCAL_FILES: Final = ImagePolicy(schemes=frozenset({"file"}), roots=(Path("/"),))
"""Evaluation runs with the rights of its user, and may read any local image."""

OpenEncoder = Callable[[EncoderVariant], RunBatch]


@dataclass(frozen=True)
class WindowWork:
    """What is encoded: one side of a dataset, by one encoder. It pickles."""

    dataset: str
    """Its name."""

    side: Side
    tower: Modality
    variant: EncoderVariant
    exit: int

    @property
    def prompt(self) -> str:
        """The text that is put before each input."""
        return self.variant.prompt(self.side) if self.tower == "text" else ""

    @property
    def part(self) -> str:
        """The part of the encoder that the inputs pass."""
        manifest = self.variant.manifest
        queries = manifest.query_expert if self.side == "query" and self.tower == "text" else None
        return manifest.part(self.tower, queries)

    @property
    def is_sparse(self) -> bool:
        """Whether the encoder gives weights by token instead of vectors."""
        return self.variant.manifest.kind == "sparse"

    def rows(self, encoder: LoadedEncoder, inputs: Sequence[str]) -> list[Input]:
        """The inputs as the encoder takes them. Raises DatasetUnusable for images that cannot be read."""
        preparing = prepare_inputs(
            encoder, self.tower, inputs, Truncation(), _LOCAL_FILES, part=self.part, role=self.side
        )
        prepared = asyncio.run(preparing)
        rows = [row for row in prepared if not isinstance(row, NestvecError)]
        if len(rows) < len(prepared):
            first = next(row for row in prepared if isinstance(row, NestvecError))
            raise DatasetUnusable(
                f"{len(prepared) - len(rows)} images of {self.dataset} cannot be embedded; the first one: "
                f"{first.cause}",
                value=first.value,
                next_step=f"Repair it, or remove its line from {PAIRS}.",
            ) from first
        return rows

    def encode(
        self, encoder: LoadedEncoder, run: RunBatch, inputs: Sequence[str], advance: Callable[[int], None]
    ) -> tuple[Any, float]:
        """A window's vectors, (n, dim) float32, or ``weights`` and ``lengths`` of a sparse encoder; and the
        seconds of ``run``.

        Raises EngineError, DatasetUnusable.
        """
        rows = self.rows(encoder, inputs)
        if not self.is_sparse:
            return encode_window(rows, run, self.exit, self.part, advance)
        by_text, seconds = answer_window(rows, run, self.variant.manifest, self.part, advance)
        return {
            "weights": np.concatenate([*by_text, np.empty(0, SPARSE_DTYPE)]),
            "lengths": np.array([len(values) for values in by_text], np.int64),
        }, seconds


class RunWindows(Protocol):
    """Encodes windows, here or elsewhere."""

    def __call__(
        self,
        work: WindowWork,
        advance: Callable[[int], None],
        encode: Callable[[Sequence[str]], tuple[Any, float]],
        windows: Iterator[list[str]],
    ) -> Iterator[tuple[Any, float]]:
        """What ``encode`` returns for each window, in order; ``advance`` is called with the inputs done."""
        ...


def run_here(
    work: WindowWork,
    advance: Callable[[int], None],
    encode: Callable[[Sequence[str]], tuple[Any, float]],
    windows: Iterator[list[str]],
) -> Iterator[tuple[Any, float]]:
    """Window after window in this process."""
    return map(encode, windows)


def open_lazily(open_encoder: OpenEncoder, variant: EncoderVariant) -> RunBatch:
    """The encoder, opened with the first batch: cached vectors do not need it."""
    opened: list[RunBatch] = []

    def run(batch: Batch) -> Vectors:
        if not opened:
            opened.append(open_encoder(variant))
        return own_output(opened[0](batch), variant.manifest)

    return run


def own_output(output: Vectors, manifest: Manifest) -> Vectors:
    """The vectors of the encoder itself, of what its graph returns."""
    if manifest.outputs:
        # Of several outputs, the first row begins with the vector of the text.
        return output[:, 0, :-EXTRA_COLUMNS]
    # A bridge's vectors may be longer than the encoder's own, and rows are as long as the longest.
    return output if manifest.bridges is None else output[:, : manifest.dim]
