from __future__ import annotations

from pathlib import Path

import pytest

from nestvec_exporters.workspace import check_target, install, workspace
from nestvec_schemas.errors import CheckpointError, EncoderExists
from nestvec_schemas.repository import MANIFEST


def built(work: Path, text: str = "new") -> Path:
    folder = work / "tiny"
    folder.mkdir()
    (folder / MANIFEST).write_text(text)
    return folder


def test_what_is_built_is_never_seen_in_the_repository(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with workspace(models) as work:
        assert work.parent == tmp_path
        folder = built(work)
        assert not list(models.iterdir())
        install(folder, models, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert (models / "tiny" / MANIFEST).read_text() == "new"


def test_a_repository_that_is_not_there_is_made_with_the_encoder(tmp_path: Path) -> None:
    models = tmp_path / "a" / "b" / "models"
    with workspace(models) as work:
        folder = built(work)
        assert not (tmp_path / "a").exists()
        install(folder, models, force=False)
    assert (models / "tiny" / MANIFEST).is_file()


def test_an_encoder_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    models = tmp_path / "models"
    with workspace(models) as work:
        folder = built(work)
        models.mkdir()
        built(models, "other")
        with pytest.raises(EncoderExists):
            install(folder, models, force=False)
        assert (models / "tiny" / MANIFEST).read_text() == "other"
        install(folder, models, force=True)
    assert (models / "tiny" / MANIFEST).read_text() == "new"


def test_force_does_not_remove_what_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").write_text("")
    with pytest.raises(EncoderExists, match="this folder is not one"):
        check_target(tmp_path, "tiny", force=True)
    assert (tmp_path / "tiny" / "thesis.tex").exists()


def test_a_failing_write_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match=r"No space left on device.*on a disk with free space"),
        workspace(tmp_path / "models"),
        Path("/dev/full").open("w", buffering=1) as full,
    ):
        full.write("x\n")
    assert not list(tmp_path.iterdir())
