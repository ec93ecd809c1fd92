"""Real files, as other libraries read them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nestvec.datasets.readers import open_source

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()
pytestmark = pytest.mark.skipif(not (DATA / "scifact").is_dir(), reason=f"no {DATA / 'scifact'}")


def test_texts_are_those_of_the_json_module() -> None:
    for name in (
        "scifact/corpus.jsonl",
        "scifact/queries.jsonl",
        "cranfield/corpus.jsonl",
        "emoji/pairs.jsonl",
    ):
        if not (DATA / name).is_file():
            continue
        rows = [row.value for row in open_source(DATA / name).items()]
        assert rows == [json.loads(line) for line in (DATA / name).open(encoding="utf-8") if line.strip()]


def test_judgements_are_those_of_pandas() -> None:
    path = DATA / "scifact" / "qrels" / "test.tsv"
    frame = pd.read_csv(path, sep="\t", dtype=str)
    assert [row.value for row in open_source(path).items()] == frame.to_dict("records")


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8", ","), ("utf-16", ";"), ("utf-8-sig", "\t")])
def test_abstracts_in_a_spreadsheet_come_back(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes], encoding: str, delimiter: str
) -> None:
    texts = [json.loads(line) for line in (DATA / "scifact" / "corpus.jsonl").open(encoding="utf-8")][:300]
    frame = pd.DataFrame({"id": [text["_id"] for text in texts], "text": [text["text"] for text in texts]})
    data = frame.to_csv(index=False, sep=delimiter).encode(encoding)
    (tmp_path / f"a.csv.{suffix}").write_bytes(compress(data))
    rows = [row.value for row in open_source(tmp_path / f"a.csv.{suffix}").items()]
    assert rows == frame.to_dict("records")
    (tmp_path / "a.json").write_text(json.dumps(texts, indent=1))
    assert [row.value for row in open_source(tmp_path / "a.json").items()] == texts
