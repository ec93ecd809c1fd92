"""The programs in examples/, as their README says to run them, against one service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PYMILVUS26 = ROOT / ".venv-pymilvus-2.6" / "bin" / "python"
"""What ``make compatibility`` builds: LlamaIndex's store wants pymilvus 2.6."""


class Example(Protocol):
    def __call__(self, name: str, python: Path = ...) -> str: ...


@pytest.fixture
def example(service: str, tmp_path: Path) -> Example:
    """Runs a program in an empty folder and returns what it printed."""

    def run(name: str, python: Path = Path(sys.executable)) -> str:
        program = [python, EXAMPLES / name, service]
        known = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, env=known, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_pymilvus_finds_the_same_paper_with_both_lengths(example: Example) -> None:
    shown = example("pymilvus_search.py")
    nearest = re.findall(r"^abstract_(\d+):\n +([0-9.]+)  (.*)$", shown, re.M)
    assert [dim for dim, _, _ in nearest] == ["64", "384"]
    assert {abstract for _, _, abstract in nearest} == {
        "How honey bees share the position of flowers by dancing."
    }
    assert "1957" not in shown


def test_sqlalchemy_gives_pandas_frames_of_a_search_and_of_a_hybrid_one(example: Example) -> None:
    shown = example("sqlalchemy_pandas.py")
    assert re.search(r"^ *id +year +score +abstract$", shown, re.M)
    assert re.findall(r"^ *(\d) +(\d{4}) +0\.\d+ ", shown, re.M)[0] == ("2", "1962")
    assert len(re.findall(r"Lift and drag of thin wings", shown)) == 2


def test_openai_s_client_tells_a_paraphrase_from_another_topic(example: Example) -> None:
    shown = example("openai_client.py")
    rows = re.findall(r"^(\d+) dims: paraphrase (-?[0-9.]+), other topic (-?[0-9.]+)$", shown, re.M)
    assert [dim for dim, _, _ in rows] == ["64", "384"]
    assert all(float(near) > 0.5 > 0.2 > float(far) for _, near, far in rows)
    assert re.search(r"^\d+ tokens in the last request$", shown, re.M)


def test_haystack_puts_the_rows_into_a_prompt_nearest_first(example: Example) -> None:
    shown = example("haystack_retriever.py")
    assert shown.startswith("Answer from these abstracts.")
    lines = re.findall(r"^- (.*) \((\d{4})\)$", shown, re.M)
    assert len(lines) == 3
    assert lines[0] == ("How honey bees share the position of flowers by dancing.", "1995")
    assert shown.rstrip().endswith("Question: Which animals tell one another where food is?")


def hits_by_dims_and_by_words(shown: str) -> None:
    """Both lengths find the paper on bees; vectors and words together find both on thin things."""
    nearest = re.findall(r"^abstract_(\d+):\n +([0-9.]+)  (.*)$", shown, re.M)
    assert [dims for dims, _, _ in nearest] == ["64", "384"]
    bees = "How honey bees share the position of flowers by dancing. (1995)"
    assert {abstract for _, _, abstract in nearest} == {bees}
    assert nearest[0][1] != nearest[1][1]
    _, _, hybrid = shown.partition("abstract_384 and abstract_bm25:\n")
    assert [line.strip() for line in hybrid.splitlines()] == [
        "Lift and drag of thin wings at twice the speed of sound.",
        "Buckling of thin cylindrical shells under axial load.",
    ]


@pytest.mark.skipif(version("pymilvus") < "3", reason="langchain-milvus is for pymilvus 3 since 0.4")
def test_langchain_s_store_searches_what_milvus_embeds(example: Example) -> None:
    hits_by_dims_and_by_words(example("langchain_store.py"))


@pytest.mark.nightly
def test_llamaindex_s_store_searches_what_milvus_embeds(example: Example) -> None:
    hits_by_dims_and_by_words(example("llamaindex_store.py", PYMILVUS26))


def test_every_program_is_in_the_readme_and_in_a_test() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    readme, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    assert all(f"]({name})" in readme and f'example("{name}"' in tests for name in programs)
