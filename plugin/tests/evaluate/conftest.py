"""Vectors for the small dataset without an encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nestvec.datasets.beir import Dataset, Side
from nestvec.evaluate.variants import EncoderVariant, RequestedSizes, choose_variants
from nestvec.evaluate.vectors.encode import Encoded, VectorSource
from nestvec_schemas.vectors import Vectors, normalise

from ..conftest import DOCUMENTS, QUERIES

DIM = 16


@dataclass(frozen=True)
class Fake:
    """A subject with exits 4 and 2 and a rotation, and its vectors: shallow ones are noisier."""

    subject: EncoderVariant
    source: VectorSource
    plain: Vectors


@pytest.fixture
def fake(dataset: Dataset, write_encoder: Callable[..., Path]) -> Fake:
    folder = write_encoder(layers=(4, 2))
    random = np.random.default_rng(5)
    rotation = np.linalg.qr(random.standard_normal((DIM, DIM)))[0].astype(np.float32)
    np.save(folder / "rotation.npy", rotation)
    (subject,) = choose_variants(folder.parent, ["tiny"], (), RequestedSizes())
    documents = normalise(random.standard_normal((DOCUMENTS, DIM)).astype(np.float32))
    queries = normalise(documents[: QUERIES * 5 : 5] + 0.2 * random.standard_normal((QUERIES, DIM)))
    noise = {exit: random.standard_normal((DOCUMENTS, DIM)) * (4 - exit) * 0.2 for exit in (4, 2)}

    def source(side: Side, exit: int) -> Encoded:
        vectors = documents if side == "document" else queries
        moved = normalise((vectors + noise[exit][: len(vectors)]).astype(np.float32))
        return Encoded(moved @ rotation, exit / 1000)

    return Fake(subject, source, documents)
