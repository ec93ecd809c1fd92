"""An exported encoder without a service: its tokenizer file and its graphs in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps

from nestvec_exporters.graph.tower import LoadedCheckpoint, SidedText
from nestvec_exporters.probes.probe import Probe
from nestvec_exporters.verify import compare
from nestvec_exporters.verify.served import OpenServed
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import unpack
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH, part_folder, read_manifest
from nestvec_schemas.towers import Modality
from nestvec_schemas.vectors import nest

_ROLES: Final[tuple[Role, ...]] = ("query", "document")


class GraphEncoder:
    """The graphs in an encoder's folder, with rows as the towers make them."""

    def __init__(self, folder: Path, loaded: LoadedCheckpoint) -> None:
        self.folder, self.loaded = folder, loaded
        self.manifest: Manifest = read_manifest(folder)
        self._sessions: dict[Path, InferenceSession] = {}

    def embed(
        self, probes: Sequence[Probe], *, dim: int | None = None, expert: str | None = None
    ) -> list[Array]:
        """What the graphs give for each probe, padded together; see ``ServedEncoder``."""
        outputs: list[Array | None] = [None] * len(probes)
        for modality in self.loaded.towers:
            places = [place for place, probe in enumerate(probes) if self._tower_of(probe) == modality]
            values = [self._value(probes[place]) for place in places]
            for place, output in zip(places, self._run(modality, values, expert), strict=True):
                outputs[place] = output
        arrays = [output for output in outputs if output is not None]
        if self.manifest.kind != "dense":
            return arrays
        return list(nest(np.stack(arrays), dim or self.manifest.dim, normalised=self.manifest.normalised))

    def _run(self, modality: Modality, values: Sequence[Any], expert: str | None) -> list[Array]:
        if not values:
            return []
        tower = self.loaded.experts.get(expert or "", self.loaded.towers[modality])
        part = self.manifest.part(modality, expert)
        rows = tower.rows(self.loaded.files_of(self.folder, part), values, tower.spec.max_tokens)
        graph = part_folder(self.folder, part) / GRAPH
        depth = self.manifest.depth if len(self.manifest.layers) > 1 else None
        session = self._sessions.get(graph) or compare.open_graph(graph)
        self._sessions[graph] = session
        outputs = compare.run_graph(session, rows, depth, unbatched=tower.spec.alone)
        if not self.manifest.outputs:
            return outputs
        return [unpack(packed, self.manifest.kind) for packed in outputs]

    def _tower_of(self, probe: Probe) -> Modality:
        if len(self.loaded.towers) == 1:
            return next(iter(self.loaded.towers))
        return "text" if isinstance(probe.value, str) else "image"

    def _value(self, probe: Probe) -> Any:
        if not isinstance(probe.value, str):
            return self._upright(probe)
        if probe.prompt is None:
            return probe.value
        text = f"{self.manifest.prompts.get(probe.prompt, '')}{probe.value}"
        if not self.loaded.towers["text"].reads_roles:
            return text
        return SidedText(text, next((role for role in _ROLES if role == probe.prompt), None))

    def _upright(self, probe: Probe) -> Any:
        """Images as a service decodes them, turned by a camera's rotation; a message with its prompt."""
        value: Any = probe.value
        parts = value if isinstance(value, tuple) else (value,)
        turned = tuple(
            ImageOps.exif_transpose(part) if isinstance(part, Image.Image) else part for part in parts
        )
        text = self.loaded.specs.get("text")
        if text is not None and text.chat is not None:
            words = turned[1] if len(turned) > 1 else ""
            return turned[0], f"{self.manifest.prompts.get(probe.prompt or '', '')}{words}"
        return turned if isinstance(value, tuple) else turned[0]


def open_graphs_of(loaded: LoadedCheckpoint) -> OpenServed:
    """Opens the graphs of a checkpoint's encoder, where no service is at hand."""

    @contextmanager
    def open_graphs(folder: Path) -> Iterator[GraphEncoder]:
        yield GraphEncoder(folder, loaded)

    return open_graphs
