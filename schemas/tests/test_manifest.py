from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nestvec_schemas.errors import (
    DimNotOffered,
    EncoderError,
    ManifestCorrupt,
    ManifestTooNew,
    PromptNotOffered,
    SpecError,
)
from nestvec_schemas.manifest import MANIFEST_FORMAT, Manifest, Verification, dim_ladder, parse_manifest
from nestvec_schemas.towers import Tower

MANIFEST = Manifest(
    name="minilm",
    source="sentence-transformers/all-MiniLM-L6-v2",
    towers={
        "text": Tower(inputs=("input_ids",), output="sentence_embedding", pooling="mean", max_tokens=256)
    },
    dim=384,
    dims=(384, 128),
    layers=(6,),
    normalised=True,
    prompts={"query": "query: "},
    precision="fp32",
    verification=Verification(sentences=64, cosine_min=0.99999, cosine_mean=1.0),
    files={"1/model.onnx": "00"},
    created_with={"nestvec": "0.1.0"},
)


def changed(**fields: Any) -> bytes:
    return json.dumps({**MANIFEST.model_dump(mode="json"), **fields}).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(MANIFEST.model_dump_json().encode(), path="encoder.json") == MANIFEST


def test_a_prompt_that_is_not_given_is_empty() -> None:
    assert MANIFEST.prompt("query") == "query: "
    assert MANIFEST.prompt("document") == ""


def test_prompts_have_any_name_and_an_unknown_name_is_refused() -> None:
    prompts = {"query": "q: ", "STS": "s: "}
    manifest = parse_manifest(changed(prompts=prompts, default_prompt="STS"), path="encoder.json")
    assert (manifest.prompt("STS"), manifest.prompt("document"), manifest.default_prompt) == (
        "s: ",
        "",
        "STS",
    )
    with pytest.raises(
        PromptNotOffered, match=r"no prompt of this name: sts\. Available: query, document, STS"
    ):
        manifest.prompt("sts")


def test_a_default_prompt_is_among_the_prompts() -> None:
    with pytest.raises(ManifestCorrupt, match="default_prompt is STS, which is no prompt"):
        parse_manifest(changed(default_prompt="STS"), path="encoder.json")


@pytest.mark.parametrize("version", range(1, MANIFEST_FORMAT + 1))
def test_earlier_formats_are_read(version: int) -> None:
    manifest = parse_manifest(changed(format=version), path="encoder.json")
    assert (manifest.prompts, manifest.default_prompt) == ({"query": "query: "}, None)


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MANIFEST.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"{", ManifestCorrupt, "encoder.json is not JSON"),
        (b"\xff\xfe", ManifestCorrupt, "encoder.json is not JSON"),
        (b"[" * 500_000, ManifestCorrupt, "encoder.json is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ManifestCorrupt, "encoder.json is nested too deeply"),
        (b"1" * 100_000, ManifestCorrupt, "encoder.json is not JSON"),
        (b"[]", ManifestCorrupt, "the manifest is invalid"),
        (b"{}", ManifestCorrupt, "name is invalid: Field required"),
        (changed(format=MANIFEST_FORMAT + 1), ManifestTooNew, "Upgrade nestvec"),
        (changed(format=MANIFEST_FORMAT + 1, dims="of another shape"), ManifestTooNew, "Upgrade nestvec"),
        (changed(format="1"), ManifestCorrupt, "format is invalid"),
        (changed(surprise=1), ManifestCorrupt, "surprise is invalid"),
        (changed(name="../up"), ManifestCorrupt, "name is invalid"),
        (changed(name=".hidden"), ManifestCorrupt, "name is invalid"),
        (changed(files={"../../etc/passwd": "00"}), ManifestCorrupt, "leaves the encoder's folder"),
        (changed(files={"/etc/passwd": "00"}), ManifestCorrupt, "leaves the encoder's folder"),
        (changed(dims=[128, 384]), ManifestCorrupt, "dims must descend"),
        (changed(dims=[256, 128]), ManifestCorrupt, "dims must descend"),
        (changed(dims=[384, 384]), ManifestCorrupt, "dims must descend"),
        (changed(dims=[]), ManifestCorrupt, "dims must descend"),
        (changed(dims=[384, 0]), ManifestCorrupt, "at least 1"),
        (changed(dim=0), ManifestCorrupt, "dim is invalid"),
        (changed(precision="int4"), ManifestCorrupt, "precision is invalid"),
    ],
)
def test_a_damaged_manifest_says_what_is_wrong(data: bytes, error: type[EncoderError], says: str) -> None:
    with pytest.raises(error, match=says):
        parse_manifest(data, path="encoder.json")


@given(st.binary(max_size=200))
def test_no_bytes_end_in_another_error(data: bytes) -> None:
    with pytest.raises(EncoderError):
        parse_manifest(data, path="encoder.json")


@pytest.mark.parametrize(
    ("dim", "offered"),
    [
        (384, (384, 256, 128, 64, 32)),
        (768, (768, 512, 256, 128, 64, 32)),
        (64, (64, 32)),
        (32, (32,)),
        (33, (33, 32)),
        (7, (7,)),
        (1, (1,)),
    ],
)
def test_the_usual_ladder_is_powers_of_two_down_to_32(dim: int, offered: tuple[int, ...]) -> None:
    assert dim_ladder(dim) == offered


@given(st.integers(1, 5000), st.lists(st.integers(1, 5000), min_size=1))
def test_a_ladder_descends_from_dim_and_holds_what_was_asked(dim: int, asked: list[int]) -> None:
    inside = [one for one in asked if one <= dim]
    if inside != asked:
        with pytest.raises(DimNotOffered):
            dim_ladder(dim, tuple(asked))
        return
    offered = dim_ladder(dim, tuple(asked))
    assert offered[0] == dim
    assert list(offered) == sorted(set(offered), reverse=True)
    assert set(offered) == {dim, *asked}


@pytest.mark.parametrize("asked", [0, -1, 385])
def test_a_ladder_refuses_dims_that_no_prefix_has(asked: int) -> None:
    with pytest.raises(DimNotOffered, match=f"{asked}. Choose dims from 1 to 384"):
        dim_ladder(384, (128, asked))


def test_an_empty_ladder_is_refused() -> None:
    with pytest.raises(SpecError, match="at least one, from 1 to 384"):
        dim_ladder(384, ())


@pytest.mark.parametrize(("version", "precision"), [(4, "int8-dynamic"), (MANIFEST_FORMAT, "int8")])
def test_int8_of_an_earlier_format_has_a_range_per_batch(version: int, precision: str) -> None:
    manifest = parse_manifest(changed(format=version, precision="int8"), path="encoder.json")
    assert manifest.precision == precision
