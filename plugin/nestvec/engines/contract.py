"""The engine contract: everything that the service needs from what runs a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np

from nestvec_schemas.errors import EngineError
from nestvec_schemas.late_interaction import KEEP_INPUT
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.frames import FRAME_MASK
from nestvec_schemas.preprocessing.patches import PATCHES, SPATIAL_SHAPES
from nestvec_schemas.towers import EXIT_INPUT, MAIN_PART
from nestvec_schemas.vectors import Vectors

KNOWN_INPUTS: Final = frozenset(
    {
        "input_ids",
        "attention_mask",
        "token_type_ids",
        KEEP_INPUT,
        "pixels",
        FRAME_MASK,
        PATCHES,
        SPATIAL_SHAPES,
        EXIT_INPUT,
    }
)
"""The graph inputs that a batch can have."""


@dataclass(frozen=True)
class Batch:
    """n inputs as a graph takes them."""

    arrays: Arrays
    """The graph's inputs by name; the first axis of each has length n.

    Texts: ``input_ids`` and ``attention_mask``, (n, t) int64, padded on the right; the mask is 1 on tokens
    (COUNT_ALL on those of some texts, see ``Tower.omits_prompts``) and 0 on padding. Images: ``pixels``,
    (n, height, width, 3) uint8; frames, (n, frames, height, width, 3), with ``frame_mask``, (n, frames),
    where their order matters. Rendered texts: ``patches``, (n, p, height, width, 3) uint8, and their mask,
    (n, p); images in their own aspect ratio also their rows and columns, ``spatial_shapes``, (n, 2).
    """
    exit: int = 0
    """The layer to stop after, one of the manifest's ``layers``; 0 for the deepest."""
    part: str = MAIN_PART
    """Which of the encoder's graphs."""
    tokens: int = 0
    """Tokens of all inputs, without padding."""
    generation: int = 0
    """Which opening of the encoder, where an engine has its old version open beside the new one."""
    alone: bool = True
    """Whether no other batch runs or waits; see ``StreamingEngine``."""

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def padded(self) -> int:
        """Tokens with padding; for inputs without token ids, their cost in tokens."""
        ids = self.arrays.get("input_ids")
        return self.tokens if ids is None else ids.size

    def parts(self, size: int) -> Iterator[Batch]:
        """This batch in batches of at most ``size`` inputs."""
        for start in range(0, len(self), size):
            arrays = {name: array[start : start + size] for name, array in self.arrays.items()}
            yield replace(self, arrays=arrays)


@dataclass(frozen=True)
class GraphInputs:
    """The inputs of one graph."""

    names: Sequence[str]
    depth: int
    """The exit that a batch's 0 stands for."""

    def arrays(self, batch: Batch) -> dict[str, Array]:
        """The arrays of a batch by input name; ``exit`` is (n, 1) int64."""
        return {name: self._array(name, batch) for name in self.names}

    def _array(self, name: str, batch: Batch) -> Array:
        if name == EXIT_INPUT:
            return np.full((len(batch), 1), batch.exit or self.depth, np.int64)
        return batch.arrays[name]


def graph_inputs(manifest: Manifest) -> dict[str, GraphInputs]:
    """The graph inputs of each part of an encoder. Raises EngineError for one that no batch has."""
    by_part = {}
    for part in manifest.parts:
        inputs = manifest.tower_of_part(part).inputs
        unknown = [name for name in inputs if name not in KNOWN_INPUTS]
        if unknown:
            raise EngineError(
                f"the graph of {manifest.name} has an input that this version of nestvec does not know",
                value=", ".join(unknown),
                next_step="Export the encoder again with this version.",
            )
        by_part[part] = GraphInputs(inputs, manifest.depth)
    return by_part


class Engine(Protocol):
    """Runs batches of the encoders it was opened with."""

    @property
    def name(self) -> str:
        """The engine's name, as ``/info`` shows it."""
        ...

    @property
    def parallel(self) -> int:
        """How many batches of an encoder to run at the same time."""
        ...

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """The graph's output for a batch, float32: full-length vectors, (n, dim); for a sparse encoder a
        weight for each word, (n, dim); for a multi-vector encoder (n, t, dim); for a reranker (n, 1).

        Raises EngineError.
        """
        ...

    async def ready(self, encoder: str) -> bool:
        """Whether the engine can now run batches of every part of the encoder. Never raises."""
        ...

    async def close(self) -> None:
        """Release everything; no call follows this one."""
        ...


@runtime_checkable
class BlockingEngine(Engine, Protocol):
    """An engine in this process, which runs a batch on whatever thread calls it."""

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """``run`` on the calling thread, of which there are at most ``parallel`` at a time."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that runs a batch that is ``alone`` on all cores, and others at once on a part of them each:
    together those are faster, as no core waits for another within a batch."""

    def streams(self, encoder: str) -> int:
        """How many batches of an encoder it runs at once; 1 for one after the other. Never raises."""
        ...


@dataclass(frozen=True)
class EngineInfo:
    """What runs the encoders, as the service's start, ``/info`` and its metrics say."""

    name: str
    version: str = ""
    provider: str = ""
    """ONNX Runtime's execution provider, or OpenVINO's device; empty for Triton."""
    device: str = ""
    """``cpu`` or ``cuda:0``; empty for Triton."""
    precision: str = ""
    """What an encoder is computed in, where the engine chooses it; empty for as it was exported."""
    cosine: float | None = None
    """The smallest cosine to fp32 that was measured in this precision; None if it was not measured."""
    reason: str = ""
    """Why another engine or precision runs an encoder than the first choice; empty if that does."""
    streams: int = 1
    """See ``StreamingEngine``."""


ServingPrecision = Literal["auto", "bf16", "fp32"]
"""What an engine that can choose computes in; ``auto`` is the fastest that keeps the vectors."""

Probes = Mapping[str, Sequence[Batch]]
"""Batches to try the graphs of an encoder with, by part."""

ProbeSource = Callable[[Path, Manifest], Probes]
"""Makes the probes of an encoder from its folder. Raises NestvecError."""


class SessionEngine(Engine, Protocol):
    """An engine that opens and drops the graphs of encoders while it runs."""

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        ...

    def encoder_info(self, encoder: str) -> EngineInfo:
        """What runs an encoder, or ran it before it was unloaded."""
        ...

    def open(self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        """Verify and open the graphs in an encoder's folder, beside those of other generations.

        ``manifest`` is the one that they must agree with; None for that in the folder. Blocks, on any thread.
        Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew, EngineError.
        """
        ...

    def drop(self, encoder: str, generation: int = 0) -> None:
        """Release the graphs of one generation, if they are open."""
        ...


@runtime_checkable
class RemoteEngine(SessionEngine, Protocol):
    """An engine in another process, which has graphs of its own in memory."""

    async def load(self, encoder: str, generation: int = 0) -> None:
        """Have it load the encoder's graphs as they are on its disk now, in place of those it has.

        Raises EngineError, also if it takes no such requests.
        """
        ...

    async def unload(self, encoder: str, parts: Sequence[str]) -> None:
        """Have it release the graphs of an encoder's parts. Raises EngineError as ``load`` does."""
        ...

    async def answers(self) -> bool:
        """Whether it answers at all, whatever it has loaded. Never raises."""
        ...


@dataclass(frozen=True)
class ServerState:
    """What the metrics show of one server of a remote engine."""

    address: str
    is_up: bool
    in_flight: int
    """Calls."""
    outcomes: Mapping[str, int]
    """Calls that ended, or were given up: ``success``, ``cancelled``, or why they failed."""
    abandoned: int = 0
    """Calls that were given up and have not ended."""


@runtime_checkable
class PooledEngine(RemoteEngine, Protocol):
    """A remote engine of several servers."""

    @property
    def servers(self) -> Sequence[ServerState]:
        """The servers as they are now."""
        ...

    @property
    def hedges(self) -> Mapping[str, int]:
        """How many batches were given to a second server because the first was late: ``won`` by that, or
        ``lost``."""
        ...
