from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestvec_exporters.architectures.sentence import load
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.graph.quantise.calibration import (
    MIN_INPUTS,
    UNUSUAL_TEXTS,
    read_calibration,
    similarities,
)
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.text_probes import ODD_TEXTS
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.samples.sample import Sample


def calibration_of(checkpoint: Path, folder: Path, texts: tuple[str, ...]) -> Any:
    options = ExportOptions(str(checkpoint), folder, "tiny")
    loaded = load(read_checkpoint(str(checkpoint)), options)
    loaded.main_tower.save(folder)
    return read_calibration(loaded.main_tower, loaded, folder, Sample("log", texts))


def ids(rows: list[Arrays]) -> set[bytes]:
    return {row["input_ids"].tobytes() for row in rows}


def test_no_held_out_text_is_calibrated_on(write_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    texts = tuple(f"heat {number}" for number in range(60))
    calibration = calibration_of(write_checkpoint("Bert"), tmp_path, (*texts, *texts[::-1], *texts, " "))
    assert ids(calibration.rows).isdisjoint(ids(calibration.held_out))
    assert len(calibration.rows) + len(calibration.held_out) == len(texts) + len(UNUSUAL_TEXTS)


def test_an_unusual_text_of_the_sample_is_not_calibrated_on_where_it_is_held_out(
    write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    texts = (UNUSUAL_TEXTS[2], *(f"heat {number}" for number in range(30)))
    calibration = calibration_of(write_checkpoint("Bert"), tmp_path, texts)
    assert ids(calibration.rows).isdisjoint(ids(calibration.held_out))
    assert len(calibration.rows) + len(calibration.held_out) == len(texts) + len(UNUSUAL_TEXTS) - 1


def test_what_is_verified_is_not_calibrated_on() -> None:
    assert not set(UNUSUAL_TEXTS) & set(ODD_TEXTS)


def test_few_distinct_texts_are_refused(write_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    texts = tuple(f"heat {number}" for number in range(MIN_INPUTS - 1)) * 20
    with pytest.raises(SampleUnusable, match="too few distinct inputs"):
        calibration_of(write_checkpoint("Bert"), tmp_path, texts)


def test_ids_of_packed_tokens_count_for_nothing() -> None:
    random = np.random.default_rng(0)
    expected, other = (random.normal(size=(5, 10)).astype(np.float32) for _ in range(2))
    for packed in (expected, other):
        packed[:, -1] = np.arange(1000, 1005)
    values = similarities([expected], [other], "dense", packed=True)
    left, right = (side[:, :-1] / np.linalg.norm(side[:, :-1], axis=1)[:, None] for side in (expected, other))
    np.testing.assert_allclose(values, (left * right).sum(axis=1), atol=1e-5)
