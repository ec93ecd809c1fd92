"""Writers to a collection that a change has replaced."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writable import RETIRED_PROPERTY, check_writable, unmark_retired, write_checked
from nestvec.ingest.write.writers import KeyedWriter
from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.providers import write_note
from nestvec_schemas.embedding_config import VECTOR_TYPES, EmbeddingConfig, Form
from nestvec_schemas.errors import CollectionRetired, StoreRefused

TABLE = Table("papers__1", (Column("id", "INT64", primary=True), Column("n", "INT64")))
BATCH = RowBatch(0, 1, rows=({"id": 1, "n": 1},), positions=(0,))


class Milvus:
    """``papers__1`` with a mark, or none, and what ``papers`` leads to."""

    def __init__(self, mark: str = "", papers: str | None = "papers__2") -> None:
        self.mark, self.papers = mark, papers
        self.fields: list[dict[str, Any]] = []
        self.written = 0
        self.failures: list[MilvusException | None] = []
        self.removes_properties = True

    def has_collection(self, name: str) -> bool:
        return self.papers is not None

    def describe_collection(self, name: str) -> dict[str, Any]:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        if name == "papers":
            return {"collection_name": self.papers, "fields": []}
        properties = {RETIRED_PROPERTY: self.mark} if self.mark else {}
        return {"collection_name": name, "fields": self.fields, "properties": properties}

    def upsert(self, name: str, rows: list[Any], **options: Any) -> None:
        self.written += len(rows)

    def drop_collection_properties(self, name: str, names: list[str]) -> None:
        if not self.removes_properties:
            raise MilvusException(1, "not implemented")
        self.mark = ""

    def alter_collection_properties(self, name: str, properties: dict[str, str]) -> None:
        self.mark = properties[RETIRED_PROPERTY]


def write(milvus: Milvus) -> RowBatch:
    client = cast(MilvusClient, milvus)
    return write_checked(KeyedWriter(client, TABLE), TABLE, Patience(600), BATCH)


def test_the_error_names_the_collection_that_readers_use() -> None:
    milvus = Milvus("papers")
    with pytest.raises(CollectionRetired, match=r"papers__1.*Write to papers, which leads to papers__2"):
        write(milvus)
    assert milvus.written == 0


@pytest.mark.parametrize("papers", ["papers__1", None])
def test_a_mark_counts_while_its_name_leads_to_another_collection(papers: str | None) -> None:
    milvus = Milvus("papers", papers)
    assert write(milvus) is BATCH
    assert milvus.written == 1


def test_a_batch_that_was_written_during_the_switch_does_not_count() -> None:
    milvus = Milvus()

    class SwitchingWriter(KeyedWriter):
        def __call__(self, batch: RowBatch) -> RowBatch:
            milvus.mark = "papers"
            return super().__call__(batch)

    writer = SwitchingWriter(cast(MilvusClient, milvus), TABLE)
    with pytest.raises(CollectionRetired):
        write_checked(writer, TABLE, Patience(600), BATCH)
    assert milvus.written == 1


@pytest.mark.parametrize(
    "failure", [MilvusException(2, "Fail connecting to server"), MilvusException(65535, "unexpected")]
)
def test_a_milvus_that_is_lost_after_it_took_a_batch_is_asked_again_and_has_it_once(
    monkeypatch: pytest.MonkeyPatch, failure: MilvusException
) -> None:
    monkeypatch.setattr(Patience, "_sleep", lambda self, until: None)
    milvus = Milvus()
    milvus.failures = [None, failure, None]
    assert write(milvus) is BATCH
    assert milvus.written == 1


@pytest.mark.parametrize("removes", [True, False])
def test_a_mark_is_removed_on_a_milvus_that_removes_no_property_too(removes: bool) -> None:
    milvus = Milvus("papers")
    milvus.removes_properties = removes
    unmark_retired(cast(MilvusClient, milvus), "papers__1")
    assert milvus.mark == ""
    check_writable(cast(MilvusClient, milvus), TABLE)


@pytest.mark.parametrize("form", ["sparse", "float"])
def test_a_column_that_nestvec_must_fill_and_that_was_added_meanwhile_is_no_fault_of_the_rows(
    form: Form,
) -> None:
    milvus = Milvus()
    config = EmbeddingConfig("words", dim=None if form == "sparse" else 4, form=form)
    described = {
        "name": "text_new",
        "type": DataType[VECTOR_TYPES[form]],
        "params": {} if config.dim is None else {"dim": config.dim},
        "description": write_note("http://127.0.0.1:1", config, "text"),
    }
    milvus.fields = [{"name": "id", "type": DataType.INT64}, described, {"name": "m", "type": DataType.INT8}]
    if form == "sparse":
        with pytest.raises(StoreRefused, match=r"papers__1.text_new was added since this began.*by words"):
            write(milvus)
        assert milvus.written == 0
        milvus.fields = milvus.fields[::2]
    assert write(milvus) is BATCH
