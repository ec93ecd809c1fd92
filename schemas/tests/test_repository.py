from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nestvec_schemas.errors import EncoderNotFound, ManifestCorrupt
from nestvec_schemas.manifest import Manifest, Verification
from nestvec_schemas.repository import (
    GRAPH,
    MANIFEST,
    encoder_names,
    find_encoder,
    read_manifest,
    sha256,
    verify_files,
)
from nestvec_schemas.towers import Tower


def write(models: Path, name: str) -> Path:
    folder = models / name
    (folder / GRAPH).parent.mkdir(parents=True)
    (folder / GRAPH).write_bytes(b"graph")
    manifest = Manifest(
        name=name,
        source="a/b",
        towers={"text": Tower(inputs=("input_ids",), output="v", pooling="mean", max_tokens=8)},
        dim=4,
        dims=(4,),
        layers=(1,),
        normalised=True,
        prompts={},
        precision="fp32",
        verification=Verification(sentences=1, cosine_min=1, cosine_mean=1),
        files={GRAPH: hashlib.sha256(b"graph").hexdigest()},
        created_with={},
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder


def test_encoders_are_listed_by_name(tmp_path: Path) -> None:
    write(tmp_path, "zeta")
    write(tmp_path, "alpha")
    (tmp_path / "not-an-encoder").mkdir()
    assert encoder_names(tmp_path) == ("alpha", "zeta")
    assert read_manifest(find_encoder(tmp_path, "zeta")).name == "zeta"


def test_a_folder_that_is_not_there_has_no_encoders(tmp_path: Path) -> None:
    assert encoder_names(tmp_path / "absent") == ()


def test_an_encoder_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "minilm")
    with pytest.raises(EncoderNotFound, match=r"minlm\. Available: minilm\. Did you mean 'minilm'"):
        find_encoder(tmp_path, "minlm")
    with pytest.raises(EncoderNotFound, match=r"x\. Available: none\. Export one"):
        find_encoder(tmp_path / "absent", "x")


def test_a_folder_without_a_manifest_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderNotFound, match=r"does not contain an encoder.*nestvec export"):
        read_manifest(tmp_path)


def test_a_manifest_of_another_folder_is_refused(tmp_path: Path) -> None:
    moved = write(tmp_path, "minilm").rename(tmp_path / "other")
    with pytest.raises(ManifestCorrupt, match=r"minilm\. Rename the folder to minilm"):
        read_manifest(moved)


def test_a_manifest_is_not_read_without_end(tmp_path: Path) -> None:
    folder = write(tmp_path, "minilm")
    (folder / MANIFEST).write_text(" " * (1 << 20) + "{}")
    with pytest.raises(ManifestCorrupt, match="larger than 1 MiB"):
        read_manifest(folder)


def test_files_are_compared_with_their_checksums(tmp_path: Path) -> None:
    folder = write(tmp_path, "minilm")
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    (folder / GRAPH).write_bytes(b"grapf")
    with pytest.raises(ManifestCorrupt, match=r"model\.onnx is not the file that was exported"):
        verify_files(folder, manifest)
    (folder / GRAPH).unlink()
    with pytest.raises(ManifestCorrupt, match=r"model\.onnx cannot be read"):
        verify_files(folder, manifest)


def test_a_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
