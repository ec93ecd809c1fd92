"""Binary and sparse columns: filled as rows are written, and never the row's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.client import service_client
from nestvec.client.http import EmbeddingRequest
from nestvec.ingest import DeliveryOptions, IngestOptions, embed_columns, ingest, insert_rows
from nestvec.ingest.batches import max_batch_rows
from nestvec.ingest.journal import journal_path
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.service.server import bind, listening_url
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceUnreachable, StoreRefused

Made = Callable[..., Any]
NAME = "text_16_exit2_binary"


def table(made: Table, service: str) -> Table:
    """The table with a binary column beside its others."""
    endpoint = Endpoint("nestvec", service, EmbeddingConfig("tiny", 16, 2, form="binary"))
    embedding = EmbeddingColumn("text", NAME, endpoint)
    columns = (*made.columns, Column(NAME, "BINARY_VECTOR", type_params=TypeParams(dim=16)))
    return replace(made, columns=columns, embeddings=(*made.embeddings, embedding))


@pytest.mark.parametrize("auto_id", [False, True])
def test_rows_get_the_codes_of_their_source(
    tmp_path: Path, milvus: Made, make_table: Made, service: str, auto_id: bool
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    texts = [f"w{n}" for n in range(7)]
    rows = [{"text": text, "note": "n"} | ({} if auto_id else {"id": n}) for n, text in enumerate(texts)]
    path.write_text("\n".join(map(json.dumps, rows)))
    made = table(make_table(auto_id=auto_id), service)
    client.embedded = made.embeddings[1:]
    done = ingest(client, made, path, IngestOptions("memory", batch=3))
    assert (done.inserted, done.rejected) == (7, 0)
    floats = httpx.post(f"{service}/embed?exit=2", json={"inputs": texts}).json()
    codes = [bytes(row) for row in np.packbits(np.array(floats) > 0, axis=1)]
    assert [row[NAME] for row in client.rows] == codes


def test_rows_at_hand_get_them_too(milvus: Made, make_table: Made, service: str) -> None:
    client, rows = milvus(), [{"id": 1, "text": "w1", "note": "n"}]
    made = table(make_table(), service)
    client.embedded = made.embeddings[1:]
    insert_rows(client, made, rows)
    assert [len(row[NAME]) for row in client.rows] == [2]
    assert rows == [{"id": 1, "text": "w1", "note": "n"}]


def test_a_row_may_not_bring_its_own_and_must_have_a_source(
    milvus: Made, make_table: Made, service: str
) -> None:
    client = milvus()
    rows = [
        {"id": 1, "text": "w1", "note": "n", NAME: [0, 0]},
        {"id": 2, "text": "", "note": "n"},
        {"id": 3, "text": "w3", "note": "n"},
    ]
    made = table(make_table(), service)
    client.embedded = made.embeddings[1:]
    done = insert_rows(client, made, rows)
    assert [row["id"] for row in client.rows] == [3]
    assert "Milvus or nestvec fills this column" in done.reasons[0]
    assert "nothing to embed" in done.reasons[1]


@pytest.mark.parametrize("auto_id", [False, True])
def test_without_the_service_nothing_is_written_and_the_run_goes_on_later(
    tmp_path: Path, milvus: Made, make_table: Made, service: str, auto_id: bool
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    rows = [{"text": f"w{n}", "note": str(n)} | ({} if auto_id else {"id": n}) for n in range(4)]
    path.write_text("\n".join(map(json.dumps, rows)))
    with bind("127.0.0.1", 0) as listener:
        gone = listening_url(listener)
    made = make_table(auto_id=auto_id)
    with pytest.raises(
        ServiceUnreachable, match=r"no service answers.*0 rows are stored.*continues from there"
    ):
        impatient = IngestOptions("memory", batch=3, delivery=DeliveryOptions(retry_seconds=0))
        ingest(client, table(made, gone), path, impatient)
    assert client.rows == []
    assert journal_path(path, "t").exists()
    made = table(made, service)
    client.embedded = made.embeddings[1:]
    assert ingest(client, made, path, IngestOptions("memory", batch=3)).inserted == 4
    assert sorted(row["note"] for row in client.rows) == ["0", "1", "2", "3"]


def test_sparse_columns_get_the_weights_of_their_source(
    milvus: Made, make_table: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def weights(
        request: EmbeddingRequest, texts: list[str], key: str | None, *, query: bool
    ) -> list[dict[int, float]]:
        assert not query
        asked.append((request, texts, key))
        return [{len(text): 1.5} for text in texts]

    monkeypatch.setitem(service_client._EMBED_BY_FORM, "sparse", weights)
    monkeypatch.setenv("NESTVEC_API_KEY", "k")
    made = make_table()
    config = EmbeddingConfig("splade", form="sparse", top=64)
    embedding = EmbeddingColumn("text", "text_sparse", Endpoint("nestvec", "http://h", config))
    columns = (*made.columns, Column("text_sparse", "SPARSE_FLOAT_VECTOR"))
    wide = replace(made, columns=columns, embeddings=(*made.embeddings, embedding))
    client = milvus()
    client.embedded = (embedding,)
    rows = [{"id": 1, "text": "w1", "note": "n"}, {"id": 2, "text": "w", "note": "n", "text_sparse": {}}]
    done = insert_rows(client, wide, rows)
    assert [row["text_sparse"] for row in client.rows] == [{2: 1.5}]
    assert "Milvus or nestvec fills this column" in done.reasons[0]
    assert asked == [(EmbeddingRequest("http://h", config), ["w1"], "k")]
    assert embed_columns.embed_columns(wide, [{"id": 1, "note": "n"}]) == [{"id": 1, "note": "n"}]


@pytest.mark.parametrize("while_written", [False, True])
def test_a_column_that_is_embedded_anew_meanwhile_ends_the_writing(
    tmp_path: Path, milvus: Made, make_table: Made, service: str, while_written: bool
) -> None:
    """Before a batch, or while it is written: the journal does not count it, and the next run writes it."""
    path, client, made = tmp_path / "x.jsonl", milvus(), table(make_table(), service)
    path.write_text("\n".join(json.dumps({"id": n, "text": f"w{n}", "note": "n"}) for n in range(9)))
    old = made.embeddings[1]
    new = replace(old, endpoint=replace(old.endpoint, config=replace(old.config, exit=3)))
    described, journal = client.describe_collection, journal_path(path, "t")

    stored: list[int] = []

    def describe(name: str) -> dict[str, Any]:
        stored.append(len(client.rows))
        # The second time that three rows are stored is before the second batch.
        is_changed = len(client.rows) == 6 if while_written else stored.count(3) > 1
        client.embedded = (new if is_changed else old,)
        answer: dict[str, Any] = described(name)
        return answer

    client.describe_collection = describe
    with pytest.raises(
        StoreRefused, match=rf"t\.{NAME} is embedded otherwise.*now by tiny@3.*before by tiny@2"
    ):
        ingest(client, made, path, IngestOptions("memory", batch=3))
    assert len(client.rows) == (6 if while_written else 3)
    assert json.loads(journal.read_text())["reached"]["inserted"] == 3


def test_milvus_takes_fewer_rows_at_once_through_cohere(make_table: Made) -> None:
    made = make_table()
    assert max_batch_rows(made, 5_120) == 5_120
    int8 = EmbeddingColumn(
        "text", "text_4_int8", Endpoint("cohere", "http://h", EmbeddingConfig("tiny", 4, form="int8"))
    )
    wide = replace(made, embeddings=(*made.embeddings, int8))
    assert (max_batch_rows(wide, 5_120), max_batch_rows(wide, 100)) == (480, 100)
