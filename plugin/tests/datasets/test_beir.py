from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from nestvec.datasets.beir import open_dataset
from nestvec_schemas.errors import DatasetUnusable

WriteData = Callable[..., Path]

HEADER = "query-id\tcorpus-id\tscore\n"


def records(*ids: str) -> str:
    return "\n".join(json.dumps({"_id": one, "title": "", "text": one}) for one in ids)


def test_a_dataset_is_read_as_beir_means_it(write_data: WriteData) -> None:
    dataset = open_dataset(write_data())
    assert dataset.name == "small"
    assert dataset.document_count == 60
    assert dataset.queries.ids[:2] == ("q0", "q1")
    assert dataset.queries.unjudged == 2
    assert dataset.queries.qrels["q1"] == {"5": 2, "6": 1, "7": 0}
    assert next(dataset.read_corpus()) == "w0 w1 w0"


def test_a_corpus_is_read_line_by_line(write_data: WriteData) -> None:
    lines = (json.dumps({"_id": f"d{number}", "text": f"{number} " + "w " * 500}) for number in range(10_000))
    folder = write_data(corpus="\n".join(lines), queries=records("q"), qrels="q\td9999\t1\n")
    tracemalloc.start()
    try:
        dataset = open_dataset(folder)
        assert sum(1 for _ in dataset.read_corpus()) == dataset.document_count == 10_000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < (folder / "corpus.jsonl").stat().st_size / 10


def test_titles_blank_lines_and_numeric_ids_may_be_there_or_not(write_data: WriteData) -> None:
    corpus = '{"_id": 7, "text": "a"}\n\n{"_id": "8", "title": null, "text": ""}\n'
    dataset = open_dataset(write_data(corpus=corpus, queries=records("q"), qrels="q\t7\t1\n"))
    assert list(dataset.read_corpus()) == ["a", ""]
    assert dataset.queries.qrels == {"q": {"0": 1}}


def test_a_document_that_is_the_query_stays_if_it_is_relevant(write_data: WriteData) -> None:
    judgements = f"{HEADER}a\ta\t1\nb\ta\t1\nb\tb\t0\n"
    folder = write_data(corpus=records("a", "b"), queries=records("a", "b"), qrels=judgements)
    assert open_dataset(folder).queries.own_documents.tolist() == [-1, 1]


@pytest.mark.parametrize("name", ["d", "d\u2028e", "d\x85e", "d e"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_other_editors_are_read(write_data: WriteData, name: str, end: str) -> None:
    folder = write_data(
        corpus=records("c", name), queries=records("q"), qrels=f"{HEADER}q\t{name}\t2\nq\tc\t1\n"
    )
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"):
        content = path.read_text(encoding="utf-8")
        path.write_bytes(b"\xef\xbb\xbf" + content.replace("\n", end).encode())
    dataset = open_dataset(folder)
    assert dataset.queries.qrels == {"q": {"1": 2, "0": 1}}
    assert list(dataset.read_corpus()) == ["c", name]


def test_a_query_that_is_a_document_itself_is_known(write_data: WriteData) -> None:
    corpus = '{"_id": "q", "title": "t", "text": "the query"}\n{"_id": "r", "text": "x"}'
    queries = '{"_id": "q", "text": "the query"}\n{"_id": "r", "text": "another"}'
    dataset = open_dataset(write_data(corpus=corpus, queries=queries, qrels="q\tr\t1\nr\tq\t1"))
    assert dataset.queries.own_documents.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"corpus": ""}, r"corpus\.jsonl has no documents"),
        ({"queries": "\n"}, r"queries\.jsonl has no queries"),
        ({"corpus": "{"}, r"line 1 of .*corpus\.jsonl is not JSON"),
        ({"corpus": "[1]"}, "is not a record: it is not an object"),
        ({"corpus": '{"text": "a"}'}, "is not a record: it has no _id"),
        ({"queries": '{"_id": "q0"}'}, "its text or title is not a string"),
        ({"corpus": records("a", "b", "a")}, r"line 3 of .*corpus\.jsonl repeats an id: a"),
        ({"queries": records("a", "a")}, r"line 2 of .*queries\.jsonl repeats an id"),
        ({"qrels": HEADER}, "judges no document as relevant: 0 judgements"),
        ({"qrels": HEADER + "q0\td0\t0"}, "judges no document as relevant: 1 judgements"),
        ({"qrels": HEADER + "q0\td0"}, "line 2 of .* is not a judgement"),
        ({"qrels": HEADER + "q0\td0\t1.5"}, "line 2 .* the score is not a whole number: 1.5"),
        ({"qrels": "a\tb\tc\nq0\td0\t1"}, "line 1 .* A header is query-id"),
        ({"qrels": HEADER + "q0\td0\t100000"}, "the score is out of range"),
        ({"qrels": HEADER + "q0\td0\t1\nq0\td0\t2"}, "judges a document twice for one query; line 3"),
        (
            {"qrels": HEADER + "q0\tnone\t1"},
            r"judges 1 documents that corpus\.jsonl does not have; line 2 .*none",
        ),
        (
            {"qrels": HEADER + "none\td0\t1"},
            r"judges 1 queries that queries\.jsonl does not have; line 2 .*none",
        ),
    ],
)
def test_errors_name_the_place(write_data: WriteData, files: dict[str, str], message: str) -> None:
    with pytest.raises(DatasetUnusable, match=message):
        open_dataset(write_data(**files))


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_that_is_not_there(write_data: WriteData, name: str) -> None:
    folder = write_data()
    (folder / name).rename(folder / f"{name}l")
    with pytest.raises(DatasetUnusable, match=f"is not a dataset: {name} is missing.*Did you mean '{name}l'"):
        open_dataset(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match="is not a dataset"):
        open_dataset(tmp_path / "no")


def test_judgements_that_are_not_text(write_data: WriteData) -> None:
    folder = write_data()
    (folder / "qrels/test.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetUnusable, match="cannot be read"):
        open_dataset(folder)
