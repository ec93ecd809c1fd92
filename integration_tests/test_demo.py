"""The main job, as a person runs it, in a fresh folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

NESTVEC = Path(sys.executable).with_name("nestvec")


@dataclass(frozen=True)
class Ran:
    folder: Path
    done: subprocess.CompletedProcess[str]


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    # Offline, and the models are looked for nowhere but in the folder.
    known = {"HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        [NESTVEC, "demo", *more], capture_output=True, text=True, cwd=folder, check=True, env=known
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("demo")
    return Ran(folder, demo(folder))


def test_it_answers_each_question_at_each_dim_as_sql_and_as_a_table(first: Ran) -> None:
    shown = first.done.stdout
    assert shown.count("SELECT name, doc, 1 - (doc_64 <=> ") == 3
    assert shown.count("SELECT name, doc, 1 - (doc_384 <=> ") == 3
    assert len(re.findall(r"rank.*score.*name.*first line", shown)) == 6
    assert len(re.findall(r"^64 dims, 256 bytes per vector, \d+ ms$", shown, re.M)) == 3
    assert len(re.findall(r"^384 dims, 1,536 bytes per vector, \d+ ms$", shown, re.M)) == 3
    assert re.search(r"64 and 384 dims agree on \d+% of the ten best", shown)


def test_progress_is_in_plain_lines_where_nobody_watches(first: Ran) -> None:
    assert re.search(r"^Ingesting docstrings: \d+ of \d+ in \d+ s, \d+/s", first.done.stderr, re.M)
    assert "\x1b" not in first.done.stderr + first.done.stdout
    assert "Traceback" not in first.done.stderr


def test_a_second_run_reuses_what_exists_and_answers_sensibly(first: Ran) -> None:
    again = demo(first.folder, "--json")
    assert "Encoder minilm is already in models" in again.stderr
    assert "Ingesting" not in again.stderr
    report = json.loads(again.stdout)
    assert report["rows"] > 2000
    best = {(one["question"], one["dim"]): [hit["name"] for hit in one["hits"]] for one in report["answers"]}
    for dim in (64, 384):
        assert best["read rows from a csv file", dim][0] == "csv.reader"
        assert best["wrap a long text to a given width", dim][0].startswith("textwrap.")
        assert best["find the most common elements in a list", dim][0] == "collections.Counter.most_common"
    assert all(0.3 < share <= 1 for share in report["agreement"])


def test_the_commands_that_it_prints_work_as_printed(first: Ran) -> None:
    query, serve = (shlex.split(line) for line in first.done.stdout.strip().splitlines()[-2:])
    done = subprocess.run(query, capture_output=True, text=True, cwd=first.folder, check=True)
    assert "csv.reader" in done.stdout
    assert "starting one for this command" in done.stderr
    port = serve[-1]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, cwd=first.folder) as service:
        assert service.stdout is not None
        for line in service.stdout:
            if line.startswith("Serving at"):
                break
        assert httpx.get(f"http://127.0.0.1:{port}/info").json()["encoders"]["minilm"]["dim"] == 384
        done = subprocess.run(
            [*query, "--json"], capture_output=True, text=True, cwd=first.folder, check=True
        )
        assert json.loads(done.stdout)[0]["name"] == "csv.reader"
        assert "starting one for this" not in done.stderr
        service.send_signal(signal.SIGINT)
        assert service.wait(30) == 0


def test_an_interrupted_demo_goes_on(first: Ran, tmp_path: Path) -> None:
    command = [NESTVEC, "demo", "--models", first.folder / "models"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if line.startswith(b"Created collection"):
                break
        time.sleep(2)
        started.kill()
    report = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, cwd=tmp_path, check=True).stdout
    )
    names = [hit["name"] for one in report["answers"] for hit in one["hits"] if one["dim"] == 384]
    assert len(names) == len(set(names)) == 15
