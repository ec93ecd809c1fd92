"""Whether a text's vector depends on the padding of its batch."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from nestvec_exporters.graph.tensors import INPUTS
from nestvec_exporters.graph.tower import TowerModel
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import pad_rows
from nestvec_schemas.vectors import cosines

_MIN_COSINE: Final = 0.9999
_LENGTHS: Final = (5, 48)
"""Tokens of the text that is compared, and of the text beside it."""


def check_padding(tower: TowerModel, module: nn.Module) -> None:
    """Raise CheckpointUnsupported if ``module`` gives a text another vector beside a longer text than alone.

    Convolutions, Fourier transforms and hashes over tokens read padding, whatever the mask says. Only towers
    of ids and mask that give one vector are checked, unless they embed every text alone.
    """
    if tower.spec.alone or tuple(tower.example) != INPUTS:
        return
    with TemporaryDirectory() as folder:
        tower.save(Path(folder))
        rows = [
            tower.rows(Path(folder), [probe], min(length, tower.spec.max_tokens))[0]
            for probe, length in zip(tower.probes()[:2], _LENGTHS, strict=True)
        ]
    with torch.no_grad():
        alone, padded = (_vector(module, batch) for batch in (rows[:1], rows))
    if alone.ndim != 1 or not np.isfinite([alone, padded]).all():
        return
    if not alone.any() and not padded.any():
        return  # words that are not in the vocabulary
    cosine = float(cosines(alone[None], padded[None])[0])
    if not cosine >= _MIN_COSINE:
        raise CheckpointUnsupported(
            f"{class_of(module)} reads padding: a text's vector depends on the texts beside it",
            value=f"a cosine of {cosine:.4f} between a text alone and in a batch",
            next_step="Choose another architecture: this class has no vector that a text could be found by.",
        )


def _vector(module: nn.Module, rows: Any) -> Any:
    arrays = pad_rows(rows)
    outputs = module(*(torch.from_numpy(arrays[name]) for name in INPUTS))
    return np.asarray((outputs[-1] if isinstance(outputs, tuple | list) else outputs)[0])


def class_of(module: nn.Module) -> str:
    """The name of the transformers class inside a traced module."""
    return type(getattr(module, "transformer", module)).__name__
