from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from trained import same, stop_after

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import TRAINING_RECORD, read_checkpoint
from nestvec_exporters.train import Hyperparameters, RunOutput, TrainingLength
from nestvec_exporters.train.captions import (
    Augmentation,
    CaptionData,
    CaptionOptions,
    TowerTraining,
    adapt_captions,
)
from nestvec_exporters.train.captions.frozen import MAX_VIEWS
from nestvec_exporters.train.captions.measure import mean_recall
from nestvec_exporters.train.captions.objective import CaptionObjective, sample_captions
from nestvec_exporters.train.captions.options import DEFAULTS
from nestvec_exporters.train.captions.two_tower import TwoTowerModel
from nestvec_exporters.train.loop import STATE_FILE
from nestvec_exporters.train.result import run_folder
from nestvec_schemas.errors import (
    CheckpointUnsupported,
    DimNotOffered,
    EncoderExists,
    ImageUnreadable,
    NestvecError,
    TrainingDataUnusable,
    TrainingFailed,
)

WHOLE = TowerTraining(1.0)
Tiny = Callable[[str], Path]


def options(checkpoint: Path, to: Path, **more: Any) -> CaptionOptions:
    """Options of a short run; keywords are of CaptionOptions and of the values that it holds."""
    given = {"dims": (16,), "text": WHOLE, "image": WHOLE, **more}
    hyperparameters = {"length": TrainingLength(steps=4), "batch": 16}
    for field in fields(Hyperparameters):
        if field.name in given:
            hyperparameters[field.name] = given.pop(field.name)
    output = {name: given.pop(name) for name in ("resume", "force") if name in given}
    augmentation = {name: given.pop(name) for name in ("moved", "mirrored") if name in given}
    return CaptionOptions(
        str(checkpoint),
        RunOutput(to, **output),
        hyperparameters=replace(DEFAULTS, **hyperparameters),
        augmentation=Augmentation(**augmentation),
        **given,
    )


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "method", "steps"), [("clip", "InfoNCE", 40), ("siglip", "sigmoid loss", 120)]
)
def test_a_dual_encoder_learns_and_exports(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, name: str, method: str, steps: int
) -> None:
    to = tmp_path / "learned"
    done = adapt_captions(
        options(tiny(name), to, length=TrainingLength(steps=steps), learning_rate=2e-3), shapes
    )
    assert done.progress.finished and (done.progress.steps, done.method, done.dims[1:]) == (
        steps,
        method,
        (16,),
    )
    assert mean_recall(done.comparison.after) > mean_recall(done.comparison.before) + 0.1
    record = json.loads((to / TRAINING_RECORD).read_text())
    assert record["after"]["text→image"]["16"] == done.comparison.after["text→image"][16]
    assert not run_folder(to).exists() and [path.name for path in tmp_path.iterdir()] == ["learned"]
    checkpoint = read_checkpoint(str(to))
    assert checkpoint.trained and checkpoint.architecture == "dual"
    assert not np.array_equal(weights(to)["logit_scale"], weights(tiny(name))["logit_scale"])
    manifest = export(ExportOptions(str(to), tmp_path / "models", "learned"))
    assert manifest.nesting == "trained" and set(manifest.towers) == {"text", "image"}
    assert manifest.verification.cosine_min > 0.9999


def test_two_checkpoints_become_one_of_two_towers(
    bert: Path, tiny: Tiny, shapes: CaptionData, tmp_path: Path
) -> None:
    """A mean over tokens and a pooler of three axes: what transformers' own class cannot take."""
    to = tmp_path / "both"
    vision = tiny("vision-resnet")
    done = adapt_captions(
        options(
            bert,
            to,
            image_checkpoint=str(vision),
            image=TowerTraining(0.3, 1),
            text=TowerTraining(0.0),
            length=TrainingLength(steps=30),
        ),
        shapes,
    )
    assert (done.checkpoint, done.image_checkpoint) == (bert.name, vision.name)
    config = json.loads((to / "config.json").read_text())
    assert (config["text_pooling"], config["vision_pooling"]) == ("mean", "pooler")
    found, text = weights(to), load_file(bert / "model.safetensors")
    assert all(np.array_equal(found[f"text_model.{name}"], one) for name, one in text.items())
    own = load_file(vision / "model.safetensors")
    moved = {name for name, one in own.items() if not np.array_equal(found[f"vision_model.{name}"], one)}
    assert moved and all(".stages.1." in name for name in moved)
    manifest = export(ExportOptions(str(to), tmp_path / "models", "both"))
    towers = manifest.towers
    assert (towers["text"].pooling, towers["image"].pooling, manifest.dim) == ("mean", "pooler", 32)
    assert manifest.verification.cosine_min > 0.9999


def test_a_tower_that_is_left_as_it_is_reads_each_picture_once(
    bert: Path, tiny: Tiny, shapes: CaptionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    own = TwoTowerModel.features

    def features(self: TwoTowerModel, levels: torch.Tensor) -> torch.Tensor:
        seen.append(len(levels))
        return own(self, levels)

    monkeypatch.setattr(TwoTowerModel, "features", features)
    monkeypatch.setattr(TwoTowerModel, "images", None)
    vision = tiny("vision-vit")
    still = {"image_checkpoint": str(vision), "image": TowerTraining(0.0), "learning_rate": 5e-3}
    done = adapt_captions(
        options(bert, tmp_path / "to", **still, moved=False, length=TrainingLength(steps=30)), shapes
    )
    assert sum(seen) == 56
    assert mean_recall(done.comparison.after) > mean_recall(done.comparison.before)
    own_weights, found = load_file(vision / "model.safetensors"), weights(tmp_path / "to")
    assert all(np.array_equal(found[f"vision_model.{name}"], one) for name, one in own_weights.items())
    seen.clear()
    adapt_captions(options(bert, tmp_path / "moved", **still), shapes)
    assert sum(seen) == 56 * MAX_VIEWS


def test_the_same_seed_gives_the_same_weights(tiny: Tiny, shapes: CaptionData, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        adapt_captions(options(tiny("clip"), tmp_path / name, seed=seed, learning_rate=1e-2), shapes)
    assert same(tmp_path / "first", tmp_path / "second")
    assert not same(tmp_path / "first", tmp_path / "other")


@pytest.mark.parametrize("kind", ["clip", "two", "frozen"])
def test_a_run_that_was_stopped_ends_as_if_it_never_had(
    bert: Path, tiny: Tiny, shapes: CaptionData, tmp_path: Path, kind: str
) -> None:
    more: dict[str, Any] = {} if kind == "clip" else {"image_checkpoint": str(tiny("vision-vit"))}
    given = tiny("clip") if kind == "clip" else bert
    if kind == "frozen":
        more["image"] = TowerTraining(0.0)
    more |= {"length": TrainingLength(steps=8), "learning_rate": 1e-2}
    adapt_captions(options(given, tmp_path / "whole", **more), shapes)
    to = tmp_path / "parts"
    stopped = adapt_captions(options(given, to, **more), shapes, stop=stop_after(5))
    assert not stopped.progress.finished and not to.exists()
    assert (run_folder(to) / STATE_FILE).is_file()
    finished = adapt_captions(options(given, to, resume=True, **more), shapes)
    assert finished.progress.finished and finished.progress.steps > stopped.progress.steps == 5
    assert same(tmp_path / "whole", to)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"seed": 5}, "differs in seed: seed 0, now 5"),
        ({"image": TowerTraining(0.5), "moved": False}, "differs in image tower, augmentation"),
    ],
)
def test_another_run_is_not_gone_on_with(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    to = tmp_path / "learned"
    adapt_captions(options(tiny("clip"), to), shapes, stop=stop_after(1))
    with pytest.raises(TrainingFailed, match=says):
        adapt_captions(options(tiny("clip"), to, **more), shapes)
    assert (run_folder(to) / STATE_FILE).is_file()
    assert (
        adapt_captions(
            options(tiny("clip"), to, force=True, length=TrainingLength(steps=1)), shapes
        ).progress.steps
        == 1
    )


@pytest.mark.parametrize(
    ("text", "image", "more", "error", "says"),
    [
        ("bert", None, {}, CheckpointUnsupported, "not a dual encoder of texts and images"),
        ("naflex", None, {}, CheckpointUnsupported, "their own aspect ratio"),
        ("clip", "vision-vit", {}, CheckpointUnsupported, "two towers are composed of"),
        ("bert", "clip", {}, CheckpointUnsupported, "two towers are composed of"),
        ("clip", None, {"dims": (64,)}, DimNotOffered, "64"),
        (
            "clip",
            None,
            {"image": TowerTraining(1.0, 3)},
            CheckpointUnsupported,
            "image tower has fewer blocks",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(
    bert: Path,
    tiny: Tiny,
    shapes: CaptionData,
    tmp_path: Path,
    text: str,
    image: str | None,
    more: dict[str, Any],
    error: type[NestvecError],
    says: str,
) -> None:
    given = bert if text == "bert" else tiny(text)
    beside = None if image is None else str(tiny(image))
    with pytest.raises(error, match=says):
        adapt_captions(options(given, tmp_path / "to", image_checkpoint=beside, **more), shapes)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_is_none_is_told_with_its_row(tiny: Tiny, shapes: CaptionData, tmp_path: Path) -> None:
    def refused(path: Path) -> Image.Image:
        if path == shapes.images[7]:
            raise ImageUnreadable("this is not an image", value=path.name, next_step="Store it anew.")
        return shapes.open_image(path)

    with pytest.raises(TrainingDataUnusable, match="row 8: this is not an image"):
        adapt_captions(options(tiny("clip"), tmp_path / "to"), replace(shapes, open_image=refused))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 4},
        {"captions": 0},
        {"learning_rate": 1.0},
        {"image": TowerTraining(-0.1)},
        {"text": TowerTraining(0.1, 0)},
        {"resume": True, "force": True},
    ],
)
def test_options_that_no_run_could_have(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed):
        options(tmp_path, tmp_path / "to", **wrong)


def test_a_loss_that_is_no_number_ends_the_run(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_number(*_: object) -> torch.Tensor:
        return torch.tensor(float("nan"), requires_grad=True)

    adapt_captions(options(tiny("clip"), tmp_path / "to"), shapes, stop=stop_after(2))
    kept = (run_folder(tmp_path / "to") / STATE_FILE).read_bytes()
    monkeypatch.setattr("nestvec_exporters.train.captions.objective.nested_loss", no_number)
    with pytest.raises(TrainingFailed, match="no longer finite: nan at step 3"):
        adapt_captions(options(tiny("clip"), tmp_path / "to"), shapes)
    assert (run_folder(tmp_path / "to") / STATE_FILE).read_bytes() == kept


def test_a_folder_that_is_there_is_kept(tiny: Tiny, shapes: CaptionData, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    for force in (False, True):
        with pytest.raises(EncoderExists):
            adapt_captions(options(tiny("clip"), tmp_path / "to", force=force), shapes)


def test_captions_are_drawn_anew_and_none_twice() -> None:
    captions = ("first", "second", "third")
    found = [sample_captions(captions, 2, np.random.default_rng(seed)) for seed in range(200)]
    assert all(len(set(one)) == 2 for one in found)
    firsts = [one[0] for one in found]
    assert 80 < firsts.count("first") < 120 and {*firsts} == {*captions}
    assert sample_captions(("alone",), 3, np.random.default_rng(0)) == ["alone"]


def test_every_picture_is_seen_once_an_epoch(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    own = CaptionObjective._rows

    def rows(self: CaptionObjective, step: int) -> np.ndarray:
        found = own(self, step)
        seen.extend(found.tolist())
        return found

    monkeypatch.setattr(CaptionObjective, "_rows", rows)
    done = adapt_captions(options(tiny("clip"), tmp_path / "to", batch=11), shapes)
    assert len(seen) == len(set(seen)) == 44 == done.data.rows
