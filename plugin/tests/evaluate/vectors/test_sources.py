"""Vectors as the graph gives them, cut to what is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.sources import open_lazily
from nestvec_schemas.bridges.bridge import Bridge, Bridges
from nestvec_schemas.repository import read_manifest

BRIDGE = Bridge(
    fingerprint="0123456789abcdef",
    mapped_from="fedcba9876543210",
    exit=5,
    dim=20,
    dims=(20,),
    method="orthogonal",
    sample="papers",
    texts=300,
    compared={},
)


@pytest.mark.parametrize("bridge", [None, BRIDGE], ids=["no bridge", "a longer bridge"])
def test_an_encoder_s_own_vectors_are_measured(
    write_encoder: Callable[..., Path], bridge: Bridge | None
) -> None:
    """The graph of an encoder of 16 dims gives rows as long as its bridge's."""
    bridges = bridge and Bridges(maps={"old": bridge}, unbridged_files={}, has_own_exits=True)
    folder = write_encoder(bridges=bridges)
    rows = np.arange(60, dtype=np.float32).reshape(3, 20)[:, : 20 if bridge else 16]
    variant = EncoderVariant(folder, read_manifest(folder), (16,), (4,))
    run = open_lazily(lambda variant: lambda batch: rows, variant)
    np.testing.assert_array_equal(run(Batch({})), np.arange(60).reshape(3, 20)[:, :16])
