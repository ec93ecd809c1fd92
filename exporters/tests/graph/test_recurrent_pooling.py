"""Recurrent pooling of frames against torch.nn.LSTM and GRU, of whole sequences and of shorter ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_image_models
import torch
from safetensors.torch import save_file

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.architectures.vision import load
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.recurrent_pooling import (
    CELLS,
    FRAME_POOLING_FILE,
    FramePooling,
    RecurrentPooling,
)
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.verify.compare import run_graph
from nestvec_exporters.vision.image_tower import frame_rows, image_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.preprocessing.frames import FRAME_MASK
from nestvec_schemas.repository import GRAPH, read_manifest

FRAMES, DIM, HIDDEN = 5, 48, 12
WIDTH = 64
"""Of the tiny ResNet."""


def network(kind: str, layers: int, both: bool, *, bias: bool = True, dim: int = DIM) -> torch.nn.RNNBase:
    torch.manual_seed(layers)
    made = CELLS[kind].network(dim, HIDDEN, layers, bias=bias, bidirectional=both, batch_first=True)
    for one in made.parameters():
        torch.nn.init.normal_(one, std=0.4)
    return made.eval()


@pytest.mark.parametrize("output", ["last", "mean"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", CELLS)
def test_each_length_is_read_as_torch_reads_it_alone(kind: str, layers: int, both: bool, output: Any) -> None:
    check_lengths(FramePooling(kind, network(kind, layers, both), output, FRAMES))


def test_a_network_without_biases() -> None:
    check_lengths(FramePooling("gru", network("gru", 2, True, bias=False), "last", FRAMES))


def check_lengths(pooling: FramePooling) -> None:
    vectors = torch.randn(FRAMES, FRAMES, DIM)
    there = torch.tril(torch.ones(FRAMES, FRAMES, dtype=torch.int64))
    with torch.no_grad():
        found = RecurrentPooling(pooling)(vectors, there)
        for at, one in enumerate(vectors):
            states, _ = pooling.network(one[None, : at + 1])
            if pooling.output == "mean":
                expected = states[0].mean(dim=0)
            else:  # the last state forwards, and backwards the one at the first frame
                expected = torch.cat([states[0, -1, :HIDDEN], states[0, 0, HIDDEN:]])
            torch.testing.assert_close(found[at], expected)
            torch.testing.assert_close(pooling.of(one[: at + 1])[0], expected)
    assert pooling.dim == found.shape[1]


def checkpoint(folder: Path, made: torch.nn.RNNBase, told: Any) -> Path:
    tiny_image_models.write(tiny_image_models.VISION["resnet"], folder)
    tell(folder, told)
    save_file(dict(made.state_dict()), folder / FRAME_POOLING_FILE)
    return folder


def tell(folder: Path, told: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "frame_pooling": told}))


def encode(folder: Path, sequences: list[Any]) -> Array:
    tower = read_manifest(folder).towers["image"]
    assert tower.image_transform is not None
    rows = (frame_rows if FRAME_MASK in tower.inputs else image_rows)(
        tower.image_transform, tower.frames, sequences
    )
    return np.stack(run_graph(folder / GRAPH, rows))


@pytest.mark.parametrize(("kind", "both"), [("lstm", False), ("gru", True)])
def test_a_checkpoint_tells_of_it(kind: str, both: bool, tmp_path: Path) -> None:
    made = network(kind, 2, both, dim=WIDTH)
    told = {"type": kind, "hidden_size": HIDDEN, "num_layers": 2, "bidirectional": both, "frames": 4}
    folder = checkpoint(tmp_path / "it", made, told)
    manifest = export(ExportOptions(str(folder), tmp_path / "models", "film"))
    tower = manifest.towers["image"]
    assert (tower.frames, tower.inputs, tower.pooling) == (4, ("pixels", FRAME_MASK), f"pooler+{kind}")
    assert manifest.dim == HIDDEN * (2 if both else 1)
    assert manifest.verification.cosine_min > 0.9999
    asked = Overrides(frames=6)
    longer = load(Checkpoint(folder, "it"), ExportOptions("it", tmp_path, "it", overrides=asked))
    assert longer.main_tower.spec.frames == 6
    stills = tmp_path / "stills"
    tell(folder, None)
    export(ExportOptions(str(folder), stills, "film"))
    drawn = probe_images()
    sequences = [drawn[:4], drawn[4:6], drawn[6], drawn[7:10], drawn[3::-1]]
    found = encode(tmp_path / "models" / "film", sequences)
    for sequence, vector in zip(sequences, found, strict=True):
        frames = list(sequence) if isinstance(sequence, tuple) else [sequence]
        with torch.no_grad():
            states, _ = made(torch.from_numpy(encode(stills / "film", frames))[None])
        expected = torch.cat([states[0, -1, :HIDDEN], states[0, 0, HIDDEN:]])
        np.testing.assert_allclose(vector, expected, atol=1e-4)
    assert np.abs(found[0] - found[4]).max() > 0.01  # their order tells


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"type": "rnn", "hidden_size": HIDDEN}, "rnn and last are not lstm or gru"),
        ({"type": "lstm", "hidden_size": HIDDEN + 1}, "size mismatch"),
        ({"type": "lstm"}, "hidden_size"),
        ({"type": "lstm", "hidden_size": HIDDEN, "frames": 1}, "frames is 1"),
        ({"type": "lstm", "hidden_size": HIDDEN, "output": "first"}, "lstm and first"),
        ("lstm", "string indices"),
    ],
)
def test_what_makes_no_pooling_is_told(told: Any, message: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "it", network("lstm", 1, False), told)
    with pytest.raises(CheckpointUnsupported, match=rf"{message}.*frame_pooling\.safetensors"):
        load(Checkpoint(folder, "it"), ExportOptions("it", tmp_path, "it"))


def test_without_its_weights_it_is_told(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "it", network("lstm", 1, False), {"type": "lstm", "hidden_size": HIDDEN})
    (folder / FRAME_POOLING_FILE).unlink()
    with pytest.raises(CheckpointUnsupported, match="No such file"):
        load(Checkpoint(folder, "it"), ExportOptions("it", tmp_path, "it"))


def test_two_towers_of_one_space_have_none(tmp_path: Path) -> None:
    folder = tiny_image_models.write(tiny_image_models.DUAL["clip"], tmp_path / "clip")
    tell(folder, {"type": "lstm", "hidden_size": HIDDEN})
    with pytest.raises(CheckpointUnsupported, match="for image checkpoints only"):
        export(ExportOptions(str(folder), tmp_path / "models", "film"))
