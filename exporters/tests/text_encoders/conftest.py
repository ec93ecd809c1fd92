"""Texts of all lengths, and what a checkpoint's graph and its library give for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from nestvec_exporters.architectures.sentence import load
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.precision import convert_fp16
from nestvec_exporters.graph.quantise.dynamic import quantise_dynamic
from nestvec_exporters.graph.trace import trace_tower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.manifest import Precision
from nestvec_schemas.vectors import Vectors, cosines

_WORDS = "wing shock heat flow gas plate cone jet lift drag wave sound film beam shell skin"
TEXTS = ("a", "I", "heat", _WORDS[:40], _WORDS, f"{_WORDS} " * 2, f"{_WORDS} " * 8)
"""One token to more than encoder_classes.POSITIONS of them: every letter is a token."""


@dataclass(frozen=True)
class Compared:
    """The least cosine between a graph and the library, by precision."""

    max_tokens: int
    cosines: dict[Precision, float]


Compare = Callable[..., Compared]


def _library(folder: Path, max_tokens: int, batch: int) -> Vectors:
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    # The library itself fails beyond its table of positions.
    model.max_seq_length = max_tokens
    return np.asarray(model.float().eval().encode(list(TEXTS), batch_size=batch, show_progress_bar=False))


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Compares texts alone, and in one padded batch."""

    def run(
        folder: Path, precisions: Sequence[Precision] = ("fp32",), max_tokens: int | None = None
    ) -> Compared:
        options = ExportOptions(str(folder), tmp_path / "models", "tiny", max_tokens=max_tokens)
        tower = load(Checkpoint(folder, folder.name), options).main_tower
        longest = tower.spec.max_tokens
        tower.save(tmp_path)
        traced = tmp_path / "traced" / "graph.onnx"
        traced.parent.mkdir(exist_ok=True)
        with quiet():
            trace_tower(tower, traced)
            rows = tower.rows(tmp_path, TEXTS, longest)
            graphs = {"fp32": traced, "fp16": tmp_path / "fp16.onnx", "int8-dynamic": tmp_path / "int8.onnx"}
            if "fp16" in precisions:
                convert_fp16(traced, graphs["fp16"])
            if "int8-dynamic" in precisions:
                quantise_dynamic(traced, graphs["int8-dynamic"], heads=tower.heads, hidden=tower.hidden)
        alone, together = _library(folder, longest, 1), _library(folder, longest, 32)
        least: dict[Precision, float] = {}
        for precision in precisions:
            one_by_one = np.stack(run_graph(graphs[precision], rows, unbatched=True))
            batched = np.stack(run_graph(graphs[precision], rows))
            least[precision] = float(min(cosines(alone, one_by_one).min(), cosines(together, batched).min()))
        return Compared(longest, least)

    return run
