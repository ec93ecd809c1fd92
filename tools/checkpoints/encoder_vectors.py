"""Vectors of an exported text encoder, by its tokenizer and its graph: what tests compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.vectors import Vectors


def encoder_vectors(folder: Path, texts: Sequence[str], max_tokens: int, layer: int | None = None) -> Vectors:
    """The vectors, (n, dim) float32, of texts; ``layer`` is the exit of an encoder that has several."""
    return np.stack(run_graph(folder / GRAPH, text_rows(folder, texts, max_tokens), layer))
