"""A checkpoint that no library loads is refused with the file, the key or the weight that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.models import Dense, Pooling

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.errors import CheckpointUnsupported

SaveModules = Callable[..., Path]
Damage = Callable[[Path], object]


def _config(file: str, **update: object) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **update}), "utf-8")

    return damage


def _weight(file: str, name: str, weight: torch.Tensor | None) -> Damage:
    def damage(folder: Path) -> None:
        weights = load_file(folder / file)
        weights.pop(name, None)
        save_file(weights if weight is None else {**weights, name: weight}, folder / file, {"format": "pt"})

    return damage


def _cut(file: str) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return damage


def _recode(file: str) -> Damage:
    return lambda folder: (folder / file).write_text((folder / file).read_text("utf-8"), "utf-16")


BIAS = "encoder.layer.0.attention.self.query.bias"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_weight("model.safetensors", BIAS, torch.ones(16)), f"model.safetensors:{BIAS} is 16, not 32"),
        (_weight("2_Dense/model.safetensors", "linear.bias", None), 'Missing key.*"linear.bias"'),
        (_weight("2_Dense/model.safetensors", "gate", torch.ones(2)), 'Unexpected key.*"gate"'),
        (_config("config.json", hidden_act="geglu9"), "config.json:hidden_act = 'geglu9' is not known"),
        (_config("config.json", hidden_size="wide"), "field 'hidden_size': .*wide"),
        (
            _config("config_sentence_transformers.json", prompts={"query": ["q: "]}),
            "prompts are not texts by name",
        ),
        (
            _config("config_sentence_transformers.json", prompts={"": "q: "}),
            "prompts are not texts by name",
        ),
        (_cut("tokenizer.json"), "its tokenizer: .*line"),
        (
            _recode("config_sentence_transformers.json"),
            "config_sentence_transformers.json is not JSON in UTF-8",
        ),
    ],
)
def test_what_is_wrong_is_named(
    sentence_bert: SaveModules, tmp_path: Path, damage: Damage, says: str
) -> None:
    folder = sentence_bert(Pooling(32), Dense(32, 16))
    damage(folder)
    with pytest.raises(CheckpointUnsupported, match=says) as raised:
        export(ExportOptions(str(folder), tmp_path / "models", "damaged"))
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "models").glob("*"))
