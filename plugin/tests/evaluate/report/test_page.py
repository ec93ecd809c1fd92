from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.evaluation import Evaluation, exact_index
from nestvec.evaluate.measure_dense import measure_dense
from nestvec.evaluate.outcomes import EvaluateOptions
from nestvec.evaluate.report.output import check_writable, write_atomically, write_rows
from nestvec.evaluate.report.page import render_page, write_page
from nestvec.evaluate.rows import make_rows
from nestvec.evaluate.search.forms import FORMS
from nestvec_schemas.errors import DatasetUnusable

from ..conftest import Fake

NAME = "<script>alert('$x$')</script>&"


@pytest.fixture
def evaluation(dataset: Dataset, fake: Fake) -> Evaluation:
    found = measure_dense(
        dataset, fake.subject, fake.source, exact_index, EvaluateOptions(FORMS, 20), lambda done: None
    )
    rows = make_rows({NAME: (dataset, found.outcomes)}, seed=0, through="exact")
    assert found.concept_depth is not None
    return Evaluation(rows, {(NAME, "tiny"): found.concept_depth}, (f"{NAME}: noted",))


class Ids(HTMLParser):
    """Collects ids, and what refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]


def test_the_page_needs_nothing_else(evaluation: Evaluation) -> None:
    written = render_page(evaluation)
    addresses = set(re.findall(r"https?://[^\"' )]+", written))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(script|link|img|iframe)\b|@import|javascript:", written)
    assert written.count("<svg") == 7
    assert not re.search(r"#0102[ab]\d", written)


def test_names_are_escaped(evaluation: Evaluation) -> None:
    written = render_page(evaluation)
    assert NAME not in written
    assert "&lt;script&gt;alert(" in written


def test_ids_are_distinct_and_references_hit(evaluation: Evaluation) -> None:
    written = render_page(evaluation)
    found = Ids()
    found.feed(written)
    assert len(found.ids) == len(set(found.ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', written)) <= set(found.ids)


def test_the_page_repeats_to_the_byte(evaluation: Evaluation) -> None:
    assert render_page(evaluation) == render_page(evaluation)


def test_one_exit_and_no_rotation_make_a_page_too(dataset: Dataset, fake: Fake, tmp_path: Path) -> None:
    from dataclasses import replace

    subject = replace(fake.subject, exits=(4,), rotation=None, dims=(16,))
    found = measure_dense(
        dataset, subject, fake.source, exact_index, EvaluateOptions(("float",)), lambda done: None
    )
    rows = make_rows({"small": (dataset, found.outcomes)}, seed=0, through="exact")
    write_page(Evaluation(rows), tmp_path / "r.html")
    written = (tmp_path / "r.html").read_text()
    assert "needs several exits" in written
    assert written.count("<svg") == 4
    assert [one.name for one in tmp_path.iterdir() if one.suffix] == ["r.html"]


def test_a_result_that_cannot_be_written_fails_early(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "r.html", tmp_path):
        with pytest.raises(DatasetUnusable, match="cannot be written here"):
            check_writable(path)
    check_writable(tmp_path / "r.html")
    check_writable(None)


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()
    with pytest.raises(DatasetUnusable, match="cannot be written"):
        write_atomically(tmp_path / "r.html", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]


def test_rows_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows([{"dim": 4}], "-")
    assert capsys.readouterr().out == '[\n  {\n    "dim": 4\n  }\n]\n'
