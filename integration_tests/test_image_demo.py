"""Text finds pictures: the real encoders, a real Milvus Lite, and a folder of a person's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

NESTVEC = Path(sys.executable).with_name("nestvec")
ICONS = ("printer", "bell", "xclock", "trashcan_full", "nautilus", "kmix")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few icons of the package that the demo searches, one of them under a name to be escaped."""
    import crystal_small

    source = Path(crystal_small.__file__).parent
    folder = tmp_path_factory.mktemp("own") / "my pictures"
    folder.mkdir()
    for name in ICONS:
        shutil.copy(next(source.rglob(f"48x48/**/{name}.png")), folder / f"{name} #1.png")
    return folder


def run(folder: Path, *questions: str) -> dict[str, object]:
    known = {"HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    known |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = subprocess.run(
        [NESTVEC, "demo", "images", *questions, "--folder", str(folder), "--json"],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env=known,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report | {"said": done.stderr}


def best(report: dict[str, object], question: str) -> str:
    found = report["found"]
    assert isinstance(found, dict)
    return Path(found[question][0]["image"]).stem


@pytest.mark.parametrize("exports", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_questions_find_pictures_and_a_second_run_reuses_all(
    folder: Path, request: pytest.FixtureRequest, exports: bool
) -> None:
    if not exports:
        shutil.copytree(request.getfixturevalue("conse"), folder.parent / "models")
    first = run(folder, "a printer", "a bell")
    assert ("Encoder images is already in models" in str(first["said"])) is not exports
    assert first["images"] == len(ICONS)
    assert best(first, "a printer") == "printer #1"
    assert best(first, "a bell") == "bell #1"
    with Image.open(folder.parent / "contact-sheet.png") as sheet:
        assert sheet.height > 3 * 128
    assert (folder.parent / "contact-sheet.html").read_text().count("<li>") == 2 * len(ICONS) + len(ICONS) - 1
    (folder / "printer #1.png").unlink()
    again = run(folder, "a printer")
    assert "Encoder images is already in models" in str(again["said"])
    assert "Ingesting" not in str(again["said"])
    assert best(again, "a printer") != "printer #1"
    assert again["images"] == len(ICONS) - 1
