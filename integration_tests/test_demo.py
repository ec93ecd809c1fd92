"""The main job, as a person runs it, in a fresh folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

NESTVEC = Path(sys.executable).with_name("nestvec")


@dataclass(frozen=True)
class Ran:
    folder: Path
    killed: str
    """What a first run wrote to standard error before it was killed."""

    done: subprocess.CompletedProcess[str]
    """The next one."""


def environment(folder: Path) -> dict[str, str]:
    """Offline, and models are looked for nowhere but in the folder."""
    return {"HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"], "HOME": str(folder)}


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [NESTVEC, "demo", *more]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, check=True, env=environment(folder)
    )


def killed_demo(folder: Path) -> str:
    """Run it until it says how many rows it has ingested; what it wrote to standard error."""
    lines = list[str]()
    with subprocess.Popen(
        [NESTVEC, "demo"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(folder),
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            lines.append(line)
            if line.startswith("Ingesting docstrings"):
                break
        started.kill()
    return "".join(lines)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run in an empty folder that is killed while it ingests, and the one that continues it."""
    folder = tmp_path_factory.mktemp("demo")
    return Ran(folder, killed_demo(folder), demo(folder))


@pytest.fixture(scope="module")
def again(first: Ran) -> subprocess.CompletedProcess[str]:
    return demo(first.folder, "--json")


def test_it_answers_each_question_at_each_dim_as_sql_and_as_a_table(first: Ran) -> None:
    shown = first.done.stdout
    assert shown.count("SELECT name, doc, 1 - (doc_64 <=> ") == 3
    assert shown.count("SELECT name, doc, 1 - (doc_384 <=> ") == 3
    assert len(re.findall(r"rank.*score.*name.*first line", shown)) == 6
    assert len(re.findall(r"^64 dims, 256 bytes per vector, \d+ ms$", shown, re.M)) == 3
    assert len(re.findall(r"^384 dims, 1,536 bytes per vector, \d+ ms$", shown, re.M)) == 3
    assert re.search(r"64 and 384 dims agree on \d+% of the ten best", shown)


def test_progress_is_in_plain_lines_where_nobody_watches(first: Ran) -> None:
    assert re.search(r"^Ingesting docstrings: \d+ of \d+ in \d+ s, \d+/s", first.killed, re.M)
    said = first.killed + first.done.stderr
    assert "\x1b" not in said + first.done.stdout
    assert "Traceback" not in said


def test_a_run_that_was_killed_goes_on(first: Ran, again: subprocess.CompletedProcess[str]) -> None:
    assert "Created collection" in first.killed
    assert "Created collection" not in first.done.stderr
    report = json.loads(again.stdout)
    names = [hit["name"] for one in report["answers"] for hit in one["hits"] if one["dim"] == 384]
    assert len(names) == len(set(names)) == 15


def test_another_run_reuses_what_exists_and_answers_sensibly(
    again: subprocess.CompletedProcess[str],
) -> None:
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
        assert service.wait(240) == 0
