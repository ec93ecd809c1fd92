"""Rows whose pictures cannot be had are rejected alone, and the others of their batch are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_towers import IMAGE, TEXT

from nestvec.engines.fake import FakeEngine
from nestvec.images import ImagePolicy
from nestvec.ingest import IngestOptions, ingest, insert_rows
from nestvec.ingest.image_check import image_columns, unreadable_rows
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceUnreachable

Made = Callable[..., Any]


@pytest.fixture
def service(write_encoder: Made, tmp_path: Path) -> Iterator[str]:
    """``both`` reads texts and the pictures under ``tmp_path``; ``tiny`` reads texts."""
    write_encoder("both", towers={"text": TEXT, "image": IMAGE}, layers=(1,))
    encoders = open_encoders(write_encoder().parent)
    settings = ServiceSettings(images=ImagePolicy(frozenset({"file"}), roots=(tmp_path,)))
    embedder = Embedder(encoders, FakeEngine({"both": 16, "tiny": 16}), settings)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def table(service: str, *, auto_id: bool = False, encoder: str = "both") -> Table:
    key = Column("id", "INT64", primary=True, auto_id=auto_id)
    columns = (
        key,
        Column("text", "VARCHAR", type_params=TypeParams(max_length=200)),
        Column("text_16", "FLOAT_VECTOR", type_params=TypeParams(dim=16)),
    )
    return Table(
        "t",
        columns,
        (EmbeddingColumn("text", "text_16", Endpoint("openai", service, EmbeddingConfig(encoder, 16))),),
    )


@pytest.fixture
def addresses(tmp_path: Path) -> list[str]:
    """Eight good pictures; the third place names none, the sixth a text."""
    found = []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
        found.append(path.as_uri())
    (tmp_path / "5.png").write_text("no picture")
    (tmp_path / "2.png").unlink()
    return found


@pytest.mark.parametrize("auto_id", [False, True])
def test_the_bad_rows_of_a_file_go_to_the_rejected_ones(
    tmp_path: Path, milvus: Made, service: str, addresses: list[str], auto_id: bool
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    rows = [{"text": one} | ({} if auto_id else {"id": at}) for at, one in enumerate(addresses)]
    path.write_text("\n".join(map(json.dumps, rows)))
    done = ingest(client, table(service, auto_id=auto_id), path, IngestOptions("memory", batch=4))
    assert (done.inserted, done.rejected, done.this_run) == (6, 2, 6)
    assert [row["text"] for row in client.rows] == [addresses[at] for at in (0, 1, 3, 4, 6, 7)]
    lines = [json.loads(one) for one in (tmp_path / "x.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [one["row"] for one in lines] == [rows[2], rows[5]]
    assert [one["place"] for one in lines] == ["line 3", "line 6"]
    assert "column text: the image cannot be fetched" in lines[0]["reason"]
    assert addresses[2] in lines[0]["reason"]
    assert addresses[5] in lines[1]["reason"]


def test_a_run_that_broke_off_rejects_no_row_twice(
    tmp_path: Path, milvus: Made, crash: type[BaseException], service: str, addresses: list[str]
) -> None:
    path, client = tmp_path / "x.jsonl", milvus(crash_at=0, landed=True)
    path.write_text("\n".join(json.dumps({"id": at, "text": one}) for at, one in enumerate(addresses)))
    with pytest.raises(crash):
        ingest(client, table(service), path, IngestOptions("memory", batch=4))
    done = ingest(client, table(service), path, IngestOptions("memory", batch=4))
    assert (done.inserted, done.rejected) == (6, 2)
    assert len((tmp_path / "x.jsonl.rejected.jsonl").read_text().splitlines()) == 2


def test_left_to_the_service_every_row_is_sent(
    tmp_path: Path, milvus: Made, service: str, addresses: list[str]
) -> None:
    path, client = tmp_path / "x.jsonl", milvus()
    path.write_text("\n".join(json.dumps({"id": at, "text": one}) for at, one in enumerate(addresses)))
    done = ingest(client, table(service), path, IngestOptions("memory", on_error="zero"))
    assert (done.inserted, done.rejected) == (8, 0)


def test_rows_at_hand_are_looked_at_too(milvus: Made, service: str, addresses: list[str]) -> None:
    client = milvus()
    done = insert_rows(client, table(service), [{"id": at, "text": one} for at, one in enumerate(addresses)])
    assert (done.inserted, done.rejected) == (6, 2)
    assert done.reasons[0].startswith("row 3: column text: ")


def test_only_encoders_that_read_pictures_are_asked(service: str) -> None:
    assert [one.column for one in image_columns(table(service))] == ["text_16"]
    assert image_columns(table(service, encoder="tiny")) == ()
    assert image_columns(table("http://127.0.0.1:1")) == ()
    assert unreadable_rows((), [{"text": "file:///none"}]) == {}
    # An update of other columns brings no picture.
    assert unreadable_rows(image_columns(table(service)), [{"id": 1}]) == {}


def test_a_service_that_has_gone_stops_the_run(service: str) -> None:
    (one,) = image_columns(table(service))
    gone = EmbeddingColumn(
        "text", "text_16", Endpoint("openai", "http://127.0.0.1:1", EmbeddingConfig("both", 16))
    )
    with pytest.raises(ServiceUnreachable):
        unreadable_rows((gone,), [{"text": "w1"}])
    assert unreadable_rows((one,), [{"text": "w1"}]) == {}
