from __future__ import annotations

import gc
from typing import Any

import pytest

from nestvec_schemas import fingerprint
from nestvec_schemas.errors import EncoderNotFound, ManifestCorrupt
from nestvec_schemas.fingerprint import (
    FINGERPRINT_LENGTH,
    check_fingerprint,
    check_record,
    encoder_fingerprint,
    fingerprints_of,
    record_fingerprint,
)
from nestvec_schemas.manifest import Manifest, Verification
from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.towers import Tower

TOWER = Tower(inputs=("input_ids",), output="vector", pooling="mean", max_tokens=16)
PHOTOS = Tower(
    inputs=("pixels",),
    output="vector",
    pooling="cls",
    max_tokens=16,
    image_transform=ImageTransform(height=8, width=8),
)


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "tiny",
        "source": "somewhere",
        "towers": {"text": TOWER},
        "dim": 16,
        "dims": (16, 8),
        "layers": (2,),
        "normalised": True,
        "prompts": {},
        "precision": "fp32",
        "verification": Verification(sentences=1, cosine_min=1, cosine_mean=1),
        "files": {"1/model.onnx": "a" * 64, "tokenizer.json": "b" * 64, "config.pbtxt": "c" * 64},
        "created_with": {},
    }
    return Manifest(**fields | changes)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"source": "elsewhere"},
        {"dims": (16, 8, 4)},
        {"created_with": {"torch": "3"}},
        {"files": {"tokenizer.json": "b" * 64, "config.pbtxt": "d" * 64, "1/model.onnx": "a" * 64}},
    ],
)
def test_what_no_vector_depends_on_changes_no_fingerprint(change: dict[str, Any]) -> None:
    assert encoder_fingerprint(manifest(**change)) == encoder_fingerprint(manifest())


@pytest.mark.parametrize(
    "change",
    [
        {"normalised": False},
        {"kind": "sparse"},
        {"towers": {"text": TOWER.model_copy(update={"max_tokens": 8})}},
        {"towers": {"text": TOWER.model_copy(update={"truncation_side": "left"})}},
        {"towers": {"text": TOWER, "image": PHOTOS}},
        {"experts": {"short": "x"}, "expert_towers": {"short": TOWER.model_copy(update={"max_tokens": 8})}},
        {"prompts": {"document": "passage: "}},
        {"prompts": {"web": "web: "}, "default_prompt": "web"},
        {"files": {"1/model.onnx": "e" * 64, "tokenizer.json": "b" * 64}},
        {"files": {"1/model.onnx": "a" * 64, "tokenizer.json": "e" * 64}},
        {"files": {"1/model.onnx": "a" * 64, "tokenizer.json": "b" * 64, "@image/1/model.onnx": "f" * 64}},
    ],
)
def test_what_changes_the_vectors_changes_the_fingerprint(change: dict[str, Any]) -> None:
    changed = encoder_fingerprint(manifest(**change))
    assert changed != encoder_fingerprint(manifest())
    assert len(changed) == FINGERPRINT_LENGTH


GRAPHS = {"": "f" * 64}
DATE = "2026-05-01T12:00:00Z"


def exported(graphs: dict[str, str] = GRAPHS, **changes: Any) -> Manifest:
    """As an export records it."""
    plain = manifest(**changes)
    return plain.model_copy(update={"fingerprint": record_fingerprint(plain, graphs, DATE)})


def test_precisions_of_the_same_weights_are_variants_of_one_encoder() -> None:
    floating = exported()
    rounded = exported(
        precision="int8",
        files={"1/model.onnx": "9" * 64, "tokenizer.json": "b" * 64, "1/weights.bin": "8" * 64},
        towers={"text": TOWER.model_copy(update={"alone": True})},
    )
    assert encoder_fingerprint(floating) == encoder_fingerprint(rounded)
    assert fingerprints_of(floating).variant != fingerprints_of(rounded).variant
    check_fingerprint(rounded, encoder_fingerprint(floating))


@pytest.mark.parametrize(
    "changes",
    [
        {"graphs": {"": "e" * 64}},
        {"graphs": {"": "f" * 64, "image": "f" * 64}},
        {"files": {"1/model.onnx": "a" * 64, "tokenizer.json": "e" * 64}},
        {"prompts": {"document": "passage: "}},
        {"normalised": False},
        {"towers": {"text": TOWER.model_copy(update={"max_tokens": 8})}},
        {"towers": {"text": TOWER.model_copy(update={"pooling": "cls"})}},
    ],
)
def test_other_weights_are_no_variant(changes: dict[str, Any]) -> None:
    other = exported(**changes)
    assert encoder_fingerprint(other) != encoder_fingerprint(exported())
    with pytest.raises(EncoderNotFound, match=rf"\(exported {DATE}\), not {encoder_fingerprint(exported())}"):
        check_fingerprint(other, encoder_fingerprint(exported()))


def test_a_field_that_recorded_the_files_is_still_of_this_encoder() -> None:
    check_fingerprint(exported(), encoder_fingerprint(manifest()))


@pytest.mark.parametrize(
    "edited",
    [
        {"prompts": {"document": "passage: "}},
        {"towers": {"text": TOWER.model_copy(update={"max_tokens": 8})}},
        {"normalised": False},
        {"files": {"1/model.onnx": "e" * 64, "tokenizer.json": "b" * 64}},
    ],
)
def test_a_manifest_that_was_edited_is_not_the_exports(edited: dict[str, Any]) -> None:
    check_record(manifest(), "encoder.json")
    check_record(exported(), "encoder.json")
    check_record(exported().model_copy(update={"name": "other", "dims": (16, 4)}), "encoder.json")
    with pytest.raises(ManifestCorrupt, match=rf"encoder.json was changed after the export.*as of {DATE}"):
        check_record(exported().model_copy(update=edited), "encoder.json")


def test_another_kind_of_output_has_a_fingerprint_of_its_own() -> None:
    both = exported(outputs={"sparse": 100})
    assert encoder_fingerprint(both.output("sparse")) != encoder_fingerprint(both)


def test_another_encoder_under_the_same_name_is_refused() -> None:
    encoder = manifest()
    check_fingerprint(encoder, None)
    check_fingerprint(encoder, encoder_fingerprint(encoder))
    with pytest.raises(EncoderNotFound, match=r"tiny is another encoder.*not 0123456789abcdef\. Serve the"):
        check_fingerprint(encoder, "0123456789abcdef")


def test_an_export_without_a_record_is_named_as_one_to_export_again() -> None:
    """Its files may be the encoder's that the field recorded: nothing says of which space they are."""
    recorded = encoder_fingerprint(exported())
    with pytest.raises(EncoderNotFound, match="recorded no fingerprint, export the checkpoint again"):
        check_fingerprint(manifest(), recorded)
    with pytest.raises(EncoderNotFound, match=r"collection embed\.$"):
        check_fingerprint(exported(), "0" * 16)


def test_pixels_that_are_made_otherwise_are_another_encoders() -> None:
    coarse = PHOTOS.model_copy(
        update={"image_transform": ImageTransform(height=8, width=8, resample="nearest")}
    )
    assert coarse.image_transform != PHOTOS.image_transform
    fingerprints = [encoder_fingerprint(manifest(towers={"image": tower})) for tower in (PHOTOS, coarse)]
    assert len(set(fingerprints)) == 2


def test_it_is_computed_once_for_each_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Manifest] = []
    compute = fingerprint._compute

    def counted(encoder: Manifest) -> str:
        computed.append(encoder)
        return compute(encoder)

    monkeypatch.setattr(fingerprint, "_compute", counted)
    before = len(fingerprint._fingerprints)
    encoder = manifest()
    assert len({encoder_fingerprint(encoder) for _ in range(3)}) == len(computed) == 1
    computed.clear()
    del encoder
    gc.collect()
    assert len(fingerprint._fingerprints) <= before
