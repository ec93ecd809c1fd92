"""A loaded checkpoint as towers: all that tracing, fitting, comparing and a manifest need of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.options import ExportOptions
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Precision, PromptName
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.towers import Kind, Modality, Tower, first_tower

if TYPE_CHECKING:
    from torch import Tensor, nn


def _no_files(folder: Path) -> None:
    """Nothing beside the graph."""


@dataclass(frozen=True)
class Half:
    """One tower, ready to be traced and compared.

    ``build`` makes the module that is traced; it takes the arrays of ``example``, in that order, and gives
    one output, or with exits (layers before the last, shallowest first) one for each of them before it.
    What is large in it is its attribute ``transformer``: fp16 halves that and nothing else. A checkpoint that
    is a graph already has ``graph`` in its place, which writes it: its inputs are those of ``example``, its
    output is OUTPUT, and nothing lowers its precision.
    ``axes`` names the axes beyond the first that vary, by input and for OUTPUT.
    ``save`` writes what else belongs into the encoder's folder; ``rows`` reads it there, and makes of inputs
    what the service makes of them, texts cut at so many tokens. ``reference`` is what the checkpoint's own
    implementation gives for each of them, one at a time, (n, …) float32, or of a vector a token a list of
    (t, dim). ``probes`` are real inputs to compare by.
    ``heads`` and ``hidden`` are of its attention, for int8's fusion; 0 where it has none. ``lowered`` says
    that what ``build`` makes has the export's precision already.
    """

    tower: Tower
    build: Callable[[Sequence[int]], nn.Module] | None
    example: Mapping[str, Tensor | Array]
    axes: Mapping[str, Mapping[int, str]]
    rows: Callable[[Path, Sequence[Any], int], list[Arrays]]
    reference: Callable[[Sequence[Any], int], Array | list[Array]]
    probes: Callable[[], Sequence[Any]]
    save: Callable[[Path], None] = _no_files
    graph: Callable[[Path], None] | None = None
    heads: int = 0
    hidden: int = 0
    lowered: bool = False

    def module(self, exits: Sequence[int]) -> nn.Module:
        """What ``build`` makes, for evaluation. Raises CheckpointUnsupported where there is none."""
        if self.build is None:
            raise CheckpointUnsupported(
                "the checkpoint is a graph already, which has no layers that could be read one by one",
                next_step="Export the checkpoint that the graph was made from.",
            )
        return self.build(exits).eval()


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in float32 and evaluation mode. ``layers``: how many it has that it may stop after.

    ``experts`` are weights for its first tower that it brings itself, by the name a request chooses them by.
    ``trained`` says that prefixes of its vectors were trained as vectors; ``dims`` which of them, None where
    that is not known.
    ``precision`` is that of a graph which is ready already; None is as the export is asked for.
    """

    kind: Kind
    dim: int
    normalised: bool
    halves: Mapping[Modality, Half]
    layers: int = 1
    precision: Precision | None = None
    prompts: Mapping[PromptName, str] = field(default_factory=dict)
    experts: Mapping[str, Half] = field(default_factory=dict)
    trained: bool = False
    dims: tuple[int, ...] | None = None

    @property
    def first(self) -> Half:
        """The tower whose graph lies in the encoder's own folder."""
        return self.halves[first_tower({name: half.tower for name, half in self.halves.items()})]


Load = Callable[[Checkpoint, ExportOptions], Loaded]
