"""A tower being exported: what tracing, fitting, verification and the manifest need of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.manifest import Precision, PromptName
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.repository import TOKENIZER, part_folder
from nestvec_schemas.towers import Modality, OutputKind, Tower, first_tower

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class SidedText:
    """A text with its prompt, for a tower that reads queries in another way than documents."""

    text: str

    role: Role | None
    """Which side of a search it is on; None leaves it to its prompt."""


class TowerModel(ABC):
    """One tower of a loaded checkpoint, in float32 and evaluation mode: one subclass per architecture."""

    spec: Tower
    """What the manifest says of it."""

    example: Mapping[str, Array]
    """Inputs to trace with, by name, in the order of the module's arguments; a batch of two."""

    dynamic_axes: Mapping[str, Mapping[int, str]]
    """Names of the axes beyond the first that vary, by input, and by OUTPUT."""

    heads: int = 0
    """Attention heads, for int8's fusion; 0 where it recognises no attention."""

    hidden: int = 0
    """Width of the attention, for int8's fusion; 0 where it recognises no attention."""

    in_precision: bool = False
    """Whether the graph has the export's precision already, so that nothing lowers it."""

    ready: bool = False
    """Whether the checkpoint is a graph already: ``write_graph`` writes it, and nothing is traced."""

    outputs: Mapping[OutputKind, int] = MappingProxyType({})
    """What a pass gives besides the checkpoint's kind, each with its dim (``packed_outputs``)."""

    own_files: bool = False
    """Whether, as an expert, it has files and a description of its own, such as another tokenizer's."""

    reads_roles: bool = False
    """Whether its inputs may be SidedText."""

    library_runs: bool = True
    """Whether the checkpoint's library runs the same: not where a pooling was added that it does not know."""

    @abstractmethod
    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The module that is traced, for evaluation: the arrays of ``example`` to OUTPUT.

        With ``exits``, layers before the last, shallowest first: a tuple of one output for each of them,
        then the deepest. What is large in it is its attribute ``transformer``: fp16 converts that alone.
        Raises CheckpointUnsupported where there is none.
        """

    @abstractmethod
    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """What the service makes of inputs, by the files that ``save`` wrote, texts cut at ``max_tokens``."""

    @abstractmethod
    def reference(self, inputs: Sequence[Any], max_tokens: int) -> Array | list[Array]:
        """What the checkpoint's own implementation gives, one input at a time.

        (n, …) float32; of one vector per token, a list of (tokens, dim).
        """

    @abstractmethod
    def probes(self) -> Sequence[Any]:
        """Real inputs to compare by."""

    def calibration_inputs(self, texts: Sequence[str]) -> Sequence[Any] | None:
        """Inputs to calibrate int8 on, made of ``texts`` with their prompts; None for a tower that reads no
        texts, which is calibrated on its probes."""
        return None

    def save(self, folder: Path) -> None:  # noqa: B027 - most image towers have no files
        """Write what else belongs into the encoder's folder."""

    def write_graph(self, path: Path) -> None:
        """Write the graph of a ``ready`` tower: the inputs of ``example`` to OUTPUT."""
        raise NotImplementedError


class TextTower(TowerModel):
    """A tower that reads texts by a tokenizer, which is written beside its graph: ids and mask in."""

    def __init__(self, spec: Tower, tokenizer: Tokenizer) -> None:
        self.spec, self.tokenizer = spec, tokenizer
        self.example = dict.fromkeys(spec.inputs, np.ones((2, 16), np.int64))
        self.dynamic_axes = {name: {1: "tokens"} for name in spec.inputs}

    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Texts to rows of ids."""
        return text_rows(folder, inputs, max_tokens, self.spec.truncation_side)

    def probes(self) -> Sequence[Any]:
        """Real texts."""
        return probe_texts()

    def calibration_inputs(self, texts: Sequence[str]) -> Sequence[Any] | None:
        """The texts, of queries and documents by turns where the tower reads them in other ways."""
        if not self.reads_roles:
            return texts
        roles: tuple[Role, ...] = ("query", "document")
        return [SidedText(text, roles[place % 2]) for place, text in enumerate(texts)]

    def save(self, folder: Path) -> None:
        """Write the tokenizer."""
        self.tokenizer.save(str(folder / TOKENIZER))


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint in float32 and evaluation mode, as towers."""

    kind: OutputKind
    dim: int
    normalised: bool
    towers: Mapping[Modality, TowerModel]

    layers: int = 1
    """Layers that a pass may stop after."""

    precision: Precision | None = None
    """The precision of a graph that is ready already; None leaves it to the export's options."""

    prompts: Mapping[PromptName, str] = field(default_factory=dict)

    experts: Mapping[str, TowerModel] = field(default_factory=dict)
    """Weights for its first tower that it brings itself, by the name a request chooses them by."""

    trained: bool = False
    """Whether prefixes of its vectors were trained as vectors."""

    dims: tuple[int, ...] | None = None
    """The prefixes that were trained; None where that is not known."""

    @property
    def outputs(self) -> Mapping[OutputKind, int]:
        """What a pass of the main tower gives besides ``kind``, each with its dim."""
        return self.main_tower.outputs

    @property
    def expert_specs(self) -> dict[str, Tower]:
        """What the manifest says of the experts that differ from the first tower in more than weights."""
        return {name: tower.spec for name, tower in self.experts.items() if tower.own_files}

    def files_of(self, folder: Path, part: str) -> Path:
        """The folder of a part's tokenizer, of the encoder in ``folder``."""
        return part_folder(folder, part) if part in self.expert_specs else folder

    def save_files(self, folder: Path) -> None:
        """Write what the towers need besides their graphs into the encoder's folder, and beside it."""
        self.main_tower.save(folder)
        for name in self.expert_specs:
            part_folder(folder, name).mkdir()
            self.experts[name].save(part_folder(folder, name))

    @property
    def specs(self) -> dict[Modality, Tower]:
        """What the manifest says of each tower."""
        return {name: tower.spec for name, tower in self.towers.items()}

    @property
    def main_tower(self) -> TowerModel:
        """The tower whose graph lies in the encoder's own folder."""
        return self.towers[first_tower(self.specs)]


Loader = Callable[[Checkpoint, ExportOptions], LoadedCheckpoint]
"""The ``load`` of an architecture's module."""
