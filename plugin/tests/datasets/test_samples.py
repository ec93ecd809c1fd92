from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import DataType

from nestvec.datasets.samples import (
    DEMO,
    QUERY_COLUMNS,
    SampleOptions,
    SampleStore,
    read_file_sample,
    read_sample,
)
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import CollectionNotFound, FileUnreadable, SampleUnusable

NOWHERE = SampleStore()
TEXTS = tuple(f"text number {number}" for number in range(30))


def jsonl(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_every_machine_has_texts_of_its_own() -> None:
    sample = read_sample(DEMO, SampleOptions(size=300), NOWHERE)
    assert len(sample.texts) == len(set(sample.texts)) == 300
    assert sample.name == DEMO


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "parquet"])
def test_a_file_of_any_kind(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"papers.{kind}"
    if kind == "txt":
        path.write_text("\n\n".join(TEXTS) + "\n")
    elif kind == "jsonl":
        jsonl(path, [{"id": at, "text": text} for at, text in enumerate(TEXTS)])
    elif kind == "csv":
        path.write_text("id,text\n" + "".join(f"{at},{text}\n" for at, text in enumerate(TEXTS)))
    else:
        pq.write_table(pa.table({"id": list(range(30)), "text": list(TEXTS)}), path)
    sample = read_sample(str(path), SampleOptions(), NOWHERE)
    assert (sample.name, sample.texts) == (path.name, TEXTS)


def test_title_and_text_go_together_and_a_column_can_be_named(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"_id": "1", "title": "Heat", "text": "flow", "note": "other"}]
    path = jsonl(tmp_path / "corpus.jsonl", rows)
    assert read_sample(path, SampleOptions(), NOWHERE).texts == ("Heat flow",)
    assert read_sample(path, SampleOptions(column="note"), NOWHERE).texts == ("other",)
    with pytest.raises(SampleUnusable, match=r"no column of this name: nota.*Did you mean 'note'"):
        read_sample(path, SampleOptions(column="nota"), NOWHERE)


def test_columns_that_could_all_be_it_must_be_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"one": "a", "two": "b"}])
    with pytest.raises(SampleUnusable, match=r"which column of a\.jsonl.*one, two.*--sample-column"):
        read_sample(path, SampleOptions(), NOWHERE)


def test_a_log_is_read_by_its_query_column(tmp_path: Path) -> None:
    options = SampleOptions(usual_columns=QUERY_COLUMNS, next_step="Name its column query.")
    path = jsonl(tmp_path / "log.jsonl", [{"user": "u", "text": "GET /search", "query": "wings"}])
    assert read_sample(path, options, NOWHERE).texts == ("wings",)
    other = jsonl(tmp_path / "other.jsonl", [{"user": "u", "words": "wings"}])
    with pytest.raises(SampleUnusable, match=r"which column of other\.jsonl.*Name its column query\."):
        read_sample(other, options, NOWHERE)


def test_a_log_is_not_read_by_another_column_if_its_first_query_is_null_or_has_a_title(
    tmp_path: Path,
) -> None:
    options = SampleOptions(usual_columns=QUERY_COLUMNS, with_title=False)
    rows: list[dict[str, object]] = [
        {"query": None, "text": "an answer", "title": "Clicked"},
        {"query": "wings", "text": "an answer", "title": "Clicked"},
    ]
    assert read_file_sample(Path(jsonl(tmp_path / "log.jsonl", rows)), options).texts == ("", "wings")


def test_a_file_of_the_name_demo_is_not_the_texts_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(DEMO).write_text("wings\n")
    with pytest.raises(FileUnreadable):
        read_file_sample(Path(DEMO), SampleOptions())


def test_a_malformed_row_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{broken\n')
    with pytest.raises(FileUnreadable, match=r"a\.jsonl, line 2: the line is not JSON"):
        read_sample(str(tmp_path / "a.jsonl"), SampleOptions(), NOWHERE)


@pytest.mark.parametrize("given", ["absent.txt", "papers", "demos", ""])
def test_what_is_not_there_says_what_could_be(given: str, tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"\(txt, jsonl, json, csv, tsv, parquet\), demo, or"):
        read_sample(given, SampleOptions(), NOWHERE)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 40), seed=st.integers(0, 5))
def test_a_draw_is_of_different_rows_and_of_one_seed(size: int, seed: int, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": text} for text in TEXTS])
    first, again = (read_sample(path, SampleOptions(size=size, seed=seed), NOWHERE).texts for _ in range(2))
    assert first == again
    assert len(set(first)) == len(first) == min(size, len(TEXTS))
    assert set(first) <= set(TEXTS)


def test_every_row_has_the_same_chance(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": text} for text in TEXTS])
    draws = [read_sample(path, SampleOptions(size=3, seed=seed), NOWHERE).texts for seed in range(300)]
    counts = [sum(text in draw for draw in draws) for text in TEXTS]
    # Each is binomial with mean 30: five deviations to either side.
    assert 4 < min(counts) <= max(counts) < 56


def test_a_collection(tmp_path: Path) -> None:
    uri = str(tmp_path / "papers.db")
    with open_milvus(uri) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("doc", DataType.VARCHAR, max_length=100)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        client.create_collection("papers", schema=schema, index_params=index)
        rows = [{"id": at, "doc": f"text {at}", "vector": [1.0, at]} for at in range(2500)]
        client.insert("papers", rows)
    sample = read_sample("papers", SampleOptions(size=2000), SampleStore(uri))
    assert sample.name == "papers"
    assert len(set(sample.texts)) == 2000
    assert read_sample("papers", SampleOptions("doc", 5), SampleStore(uri)).texts != sample.texts
    with pytest.raises(SampleUnusable, match="papers has no column of this name: dok"):
        read_sample("papers", SampleOptions("dok"), SampleStore(uri))
    with pytest.raises(CollectionNotFound, match="Did you mean 'papers'"):
        read_sample("paper", SampleOptions(), SampleStore(uri))
