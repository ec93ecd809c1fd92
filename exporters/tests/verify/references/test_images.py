"""Images alone, beside texts, of a classifier, and in messages, against transformers' own classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_image_models
import tiny_vision_language
from broken_graphs import append_operator, scale_initializer

from nestvec_exporters import conse
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import VerificationFailed


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, export_tiny: Any) -> Any:
    folder = tmp_path_factory.mktemp("checkpoints") / "clip"
    return export_tiny(tiny_image_models.write(tiny_image_models.DUAL["clip"], folder))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory, export_tiny: Any) -> Any:
    folder = tmp_path_factory.mktemp("checkpoints") / "vit"
    return export_tiny(tiny_image_models.write(tiny_image_models.VISION["vit"], folder))


def test_texts_and_images_are_those_of_the_class(clip: Any) -> None:
    verification = clip.verify()
    assert verification.reference.endswith("(CLIPModel)")
    assert set(verification.groups) == {"texts", "characters", "lengths", "batches", "images"}
    assert min(verification.groups.values()) >= 0.9999


@pytest.mark.parametrize(
    "damage",
    [
        lambda export: scale_initializer(export.graph("image"), "scale", 1.2),
        lambda export: scale_initializer(export.graph("image"), "shift", 0.5),
        lambda export: append_operator(export.graph("image"), "Tanh"),
        lambda export: append_operator(export.graph(), "Tanh"),
    ],
    ids=["std", "mean", "images", "texts"],
)
def test_a_broken_tower_is_refused(clip: Any, damage: Callable[[Any], None], tmp_path: Path) -> None:
    broken = clip.copy(tmp_path / "broken")
    damage(broken)
    with pytest.raises(VerificationFailed, match="CLIPModel"):
        broken.verify(level="quick")


@pytest.mark.parametrize(
    "changed",
    [{"resample": "nearest"}, {"resize": "shortest", "edge": 64, "crop": "floor"}, {"background": (0, 0, 0)}],
    ids=["resize", "crop", "transparency"],
)
def test_images_that_are_prepared_otherwise_are_refused(
    vit: Any, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = vit.loaded.towers["image"]
    transform = tower.transform.model_copy(update=changed)
    assert transform != tower.transform
    monkeypatch.setattr(tower, "transform", transform)
    with pytest.raises(VerificationFailed, match="ViTModel"):
        vit.verify()


def test_images_alone_are_those_of_the_class_and_its_pooling(vit: Any) -> None:
    verification = vit.verify()
    assert verification.reference.endswith("(ViTModel)")
    assert min(verification.groups.values()) >= 0.9999
    spec = vit.loaded.towers["image"].spec
    loaded = replace(
        vit.loaded, towers={"image": _Respecified(vit, spec.model_copy(update={"pooling": "cls"}))}
    )
    with pytest.raises(VerificationFailed, match="ViTModel"):
        replace(vit, loaded=loaded).verify(level="quick")


class _Respecified:
    """A tower whose manifest says otherwise than its graph computes."""

    def __init__(self, export: Any, spec: Any) -> None:
        self._tower, self.spec = export.loaded.towers["image"], spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tower, name)


def test_images_of_a_classifier_are_summed_as_the_text_encoder_says(
    write_tiny: Any, export_tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = tiny_image_models.write(tiny_image_models.VISION["vit-classifier"], tmp_path / "classifier")
    config = json.loads((classifier / "config.json").read_text())
    names = {"id2label": {"0": "frog", "1": "red chair"}, "label2id": {"frog": 0, "red chair": 1}}
    (classifier / "config.json").write_text(json.dumps({**config, **names}))
    export = export_tiny(write_tiny("Bert"), overrides=Overrides(image_checkpoint=str(classifier)))
    loaded = conse.add_image_tower(export.loaded, _read(classifier), export.options)
    export = replace(export, loaded=loaded)
    verification = export.verify()
    assert "(ViTForImageClassification)" in verification.reference
    assert min(verification.groups.values()) >= 0.9999
    monkeypatch.setattr("nestvec_exporters.verify.references.conse.LIKELIEST", 1)
    with pytest.raises(VerificationFailed, match="ViTForImageClassification"):
        export.verify(level="quick")


def _read(folder: Path) -> Any:
    from nestvec_exporters.checkpoints.checkpoint import read_checkpoint

    return read_checkpoint(str(folder))


def test_messages_are_those_of_the_class_with_its_template(tmp_path: Path, export_tiny: Any) -> None:
    folder = tiny_vision_language.write_llava(tmp_path / "llava")
    export = export_tiny(folder, overrides=Overrides(query_prompt="Find it: "))
    verification = export.verify()
    assert verification.reference.endswith("(LlavaModel)")
    assert set(verification.groups) == {"texts", "images", "messages", "prompts", "characters", "batches"}
    assert min(verification.groups.values()) >= 0.9999
    export.edit_manifest(prompts={"query": "Find: "})
    tower = export.loaded.towers["text"]
    layout = tower.chat.model_copy(update={"alone": tower.chat.alone.removesuffix("ASSISTANT:")})
    tower.spec = tower.spec.model_copy(update={"chat": layout})
    with pytest.raises(VerificationFailed, match=r"LlavaModel\), texts"):
        export.verify(level="quick")
