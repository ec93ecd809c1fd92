from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nestvec_schemas.errors import NestvecError
from nestvec_schemas.samples import docstrings
from nestvec_schemas.samples.docstrings import Docstring, sample_texts, standard_library


@pytest.fixture(scope="module")
def library() -> tuple[Docstring, ...]:
    return standard_library()


def test_thousands_of_texts_each_once(library: tuple[Docstring, ...]) -> None:
    assert len(library) > 2000
    assert len({one.text for one in library}) == len(library)
    assert min(len(one.text) for one in library) >= 60
    assert {one.kind for one in library} == {"class", "function", "method"}


def test_known_functions_are_there_under_their_names(library: tuple[Docstring, ...]) -> None:
    by_name = {one.name: one for one in library}
    assert by_name["bisect.bisect_left"].module == "bisect"  # written in C
    assert by_name["shutil.copytree"].text.startswith("Recursively copy a directory tree")
    assert by_name["pathlib.Path.rglob"].kind == "method"


def test_modules_that_do_things_when_imported_are_left_out(library: tuple[Docstring, ...]) -> None:
    assert not {one.module.partition(".")[0] for one in library} & {
        "antigravity",
        "this",
        "idlelib",
        "turtle",
    }


def test_a_sample_is_spread_out_and_the_same_each_time() -> None:
    sample = sample_texts(64)
    assert len(set(sample)) == 64
    assert sample == sample_texts(64)


def test_a_child_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "child.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(docstrings, "_CHILD", broken)
    with pytest.raises(NestvecError, match=r"exit status 3\. Run child\.py with this Python"):
        standard_library()


def test_nothing_is_written_where_the_command_runs(tmp_path: Path) -> None:
    program = "from nestvec_schemas.samples.docstrings import sample_texts; sample_texts(1)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == (b"", b"", [])
