from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from trained import same, stop_after

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import ADAPTED, read_checkpoint
from nestvec_exporters.train import Length
from nestvec_exporters.train.captions import CaptionData, CaptionOptions, Tower, adapt_captions
from nestvec_exporters.train.captions.frozen import VIEWS
from nestvec_exporters.train.captions.loop import Loop, drawn
from nestvec_exporters.train.captions.measure import mean
from nestvec_exporters.train.captions.pair import Pair
from nestvec_exporters.train.result import work_folder
from nestvec_exporters.train.stepping import STATE
from nestvec_schemas.errors import (
    CheckpointUnsupported,
    DimNotOffered,
    EncoderExists,
    ImageUnreadable,
    NestvecError,
    TrainingDataUnusable,
    TrainingFailed,
)

WHOLE = Tower(1.0)
Tiny = Callable[[str], Path]


def options(checkpoint: Path, to: Path, **more: Any) -> CaptionOptions:
    given = {"dims": (16,), "length": Length(steps=4), "batch": 16, "text": WHOLE, "image": WHOLE, **more}
    return CaptionOptions(str(checkpoint), to, **given)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "method", "steps"), [("clip", "InfoNCE", 40), ("siglip", "sigmoid loss", 120)]
)
def test_a_dual_encoder_learns_and_exports(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, name: str, method: str, steps: int
) -> None:
    to = tmp_path / "learned"
    done = adapt_captions(options(tiny(name), to, length=Length(steps=steps), learning_rate=2e-3), shapes)
    assert done.finished and (done.steps, done.method, done.dims[1:]) == (steps, method, (16,))
    assert mean(done.after) > mean(done.before) + 0.1
    record = json.loads((to / ADAPTED).read_text())
    assert record["after"]["text→image"]["16"] == done.after["text→image"][16]
    assert not work_folder(to).exists() and [path.name for path in tmp_path.iterdir()] == ["learned"]
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
            image=Tower(0.3, 1),
            text=Tower(0.0),
            length=Length(steps=30),
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
    own = Pair.features

    def features(self: Pair, levels: torch.Tensor) -> torch.Tensor:
        seen.append(len(levels))
        return own(self, levels)

    monkeypatch.setattr(Pair, "features", features)
    monkeypatch.setattr(Pair, "pictures", None)
    vision = tiny("vision-vit")
    still = {"image_checkpoint": str(vision), "image": Tower(0.0), "learning_rate": 5e-3}
    done = adapt_captions(
        options(bert, tmp_path / "to", **still, moved=False, length=Length(steps=30)), shapes
    )
    assert sum(seen) == 56
    assert mean(done.after) > mean(done.before)
    own_weights, found = load_file(vision / "model.safetensors"), weights(tmp_path / "to")
    assert all(np.array_equal(found[f"vision_model.{name}"], one) for name, one in own_weights.items())
    seen.clear()
    adapt_captions(options(bert, tmp_path / "moved", **still), shapes)
    assert sum(seen) == 56 * VIEWS


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
        more["image"] = Tower(0.0)
    more |= {"length": Length(steps=8), "learning_rate": 1e-2}
    adapt_captions(options(given, tmp_path / "whole", **more), shapes)
    to = tmp_path / "parts"
    stopped = adapt_captions(options(given, to, **more), shapes, stop=stop_after(5))
    assert not stopped.finished and not to.exists()
    assert (work_folder(to) / STATE).is_file()
    finished = adapt_captions(options(given, to, resume=True, **more), shapes)
    assert finished.finished and finished.steps > stopped.steps == 5
    assert same(tmp_path / "whole", to)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"seed": 5}, "differs in seed: seed 0, now 5"),
        ({"image": Tower(0.5), "moved": False}, "differs in image tower, moved"),
    ],
)
def test_another_run_is_not_gone_on_with(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    to = tmp_path / "learned"
    adapt_captions(options(tiny("clip"), to), shapes, stop=stop_after(1))
    with pytest.raises(TrainingFailed, match=says):
        adapt_captions(options(tiny("clip"), to, **more), shapes)
    assert (work_folder(to) / STATE).is_file()
    assert adapt_captions(options(tiny("clip"), to, force=True, length=Length(steps=1)), shapes).steps == 1


@pytest.mark.parametrize(
    ("text", "image", "more", "error", "says"),
    [
        ("bert", None, {}, CheckpointUnsupported, "no checkpoint of texts and pictures"),
        ("naflex", None, {}, CheckpointUnsupported, "shapes of their own"),
        ("clip", "vision-vit", {}, CheckpointUnsupported, "two towers are made of"),
        ("bert", "clip", {}, CheckpointUnsupported, "two towers are made of"),
        ("clip", None, {"dims": (64,)}, DimNotOffered, "64"),
        ("clip", None, {"image": Tower(1.0, 3)}, CheckpointUnsupported, "image tower has not so many blocks"),
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
        if path == shapes.pictures[7]:
            raise ImageUnreadable("what came is not a picture", value=path.name, next_step="Store it anew.")
        return shapes.opened(path)

    with pytest.raises(TrainingDataUnusable, match="row 8: what came is not a picture"):
        adapt_captions(options(tiny("clip"), tmp_path / "to"), replace(shapes, opened=refused))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 4},
        {"captions": 0},
        {"learning_rate": 1.0},
        {"image": Tower(-0.1)},
        {"text": Tower(0.1, 0)},
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
    kept = (work_folder(tmp_path / "to") / STATE).read_bytes()
    monkeypatch.setattr("nestvec_exporters.train.captions.loop.nested", no_number)
    with pytest.raises(TrainingFailed, match="no number any more: nan at step 3"):
        adapt_captions(options(tiny("clip"), tmp_path / "to"), shapes)
    assert (work_folder(tmp_path / "to") / STATE).read_bytes() == kept


def test_a_folder_that_is_there_is_kept(tiny: Tiny, shapes: CaptionData, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    for force in (False, True):
        with pytest.raises(EncoderExists):
            adapt_captions(options(tiny("clip"), tmp_path / "to", force=force), shapes)


def test_captions_are_drawn_anew_and_none_twice() -> None:
    captions = ("first", "second", "third")
    found = [drawn(captions, 2, np.random.default_rng(seed)) for seed in range(200)]
    assert all(len(set(one)) == 2 for one in found)
    firsts = [one[0] for one in found]
    assert 80 < firsts.count("first") < 120 and {*firsts} == {*captions}
    assert drawn(("alone",), 3, np.random.default_rng(0)) == ["alone"]


def test_every_picture_is_seen_once_an_epoch(
    tiny: Tiny, shapes: CaptionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    own = Loop._rows

    def rows(self: Loop) -> np.ndarray:
        found = own(self)
        seen.extend(found.tolist())
        return found

    monkeypatch.setattr(Loop, "_rows", rows)
    done = adapt_captions(options(tiny("clip"), tmp_path / "to", batch=11), shapes)
    assert len(seen) == len(set(seen)) == 44 == done.rows
