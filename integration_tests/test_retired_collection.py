"""Writers to a collection of before a change, which was kept: nobody reads there, so they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from integration_tests.fixtures.changes import ROWS, Rows, embedding, row, stored
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.collections.change.rollback import rollback
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.dbapi import OperationalError
from nestvec.ingest import IngestOptions, ingest, run
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.finished import FinishedIngest
from nestvec.ingest.run import insert_rows
from nestvec.ingest.target import client_target
from nestvec.ingest.write.writable import RETIRED_PROPERTY
from nestvec.ingest.write.writers import LiteKeyWriter
from nestvec.milvus.catalog import read_table
from nestvec_schemas.errors import CollectionRetired

pytestmark = pytest.mark.usefixtures("no_late_writers")

WRITES = (
    "INSERT INTO {} (id, text, own) VALUES ('new', 'a text', '[1,2,3,4]')",
    "UPDATE {} SET text = 'changed'",
    "UPDATE {} SET text = text || '!'",
    "DELETE FROM {} WHERE year = 3",
    "DELETE FROM {} WHERE length(text) > 100",
)


def change(client: MilvusClient, service: str, dim: int) -> None:
    wanted = embedding(service, dim)
    run_change(client, plan_or_continue(client, "papers", wanted)[0], wanted, ChangeOptions(keep_old=True))


@pytest.fixture
def changed(client: MilvusClient, papers: Rows, service: str) -> Rows:
    """``papers`` leads to ``papers__1`` after a change; ``papers__0`` is kept."""
    change(client, service, 64)
    return papers


def write_all(client: MilvusClient, name: str, folder: Path) -> list[str]:
    """What each way to write to a collection by its name says."""
    said, new = list[str](), row(1_000, "a new text")
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(new) + "\n")
    table = read_table(client, name)
    writes: tuple[Callable[[], object], ...] = (
        lambda: insert_rows(client, table, [new]),
        lambda: ingest(client, table, file, IngestOptions(client_target(client), restart=True)),
    )
    for write in writes:
        with pytest.raises(CollectionRetired) as refused:
            write()
        said.append(str(refused.value))
    with nestvec.connect(client_target(client).partition("#")[0]) as session:
        for statement in (*WRITES, f"COPY {{}} FROM '{file}'"):
            with pytest.raises(OperationalError) as error:
                session.execute(statement.format(name))
            said.append(str(error.value))
    return said


def test_every_way_to_write_to_the_collection_of_before_is_refused_by_name(
    client: MilvusClient, changed: Rows, tmp_path: Path
) -> None:
    before = stored(client, "papers__0")
    for message in write_all(client, "papers__0", tmp_path):
        assert "who reads papers does not see what is written to it: papers__0" in message
        assert "Write to papers, which leads to papers__1." in message
        assert "nestvec collection rollback papers" in message
    assert stored(client, "papers__0") == before
    # Who reads is not refused, and neither is who writes by the name that readers use.
    insert_rows(client, read_table(client, "papers"), [row(1_000, "a new text")])
    assert len(stored(client)) == ROWS + 1


def test_after_a_rollback_the_other_one_is_refused(
    client: MilvusClient, changed: Rows, tmp_path: Path
) -> None:
    assert rollback(client, "papers") == ("papers__1", "papers__0")
    insert_rows(client, read_table(client, "papers__0"), [row(1_001, "a new text")])
    assert all("papers__1" in message for message in write_all(client, "papers__1", tmp_path))
    assert rollback(client, "papers") == ("papers__0", "papers__1")
    assert all("papers__0" in message for message in write_all(client, "papers__0", tmp_path))
    properties = client.describe_collection("papers__1")["properties"]
    assert not properties.get(RETIRED_PROPERTY)


def test_a_mark_says_nothing_once_the_name_leads_there_again(client: MilvusClient, changed: Rows) -> None:
    client.alter_alias("papers__0", "papers")
    insert_rows(client, read_table(client, "papers__0"), [row(1_001, "a new text")])
    client.drop_alias("papers")
    insert_rows(client, read_table(client, "papers__0"), [row(1_002, "a new text")])
    assert len(stored(client, "papers__0")) == ROWS + 2


@pytest.mark.parametrize("statement", WRITES)
def test_a_session_from_before_the_switch_writes_to_the_new_collection(
    client: MilvusClient, changed: Rows, service: str, statement: str
) -> None:
    """It holds what ``papers`` led to."""
    with nestvec.connect(client_target(client).partition("#")[0]) as session:
        session.execute("SELECT count(*) FROM papers")
        change(client, service, 32)
        before, kept = stored(client), stored(client, "papers__1")
        session.execute(statement.format("papers"))
    assert stored(client, "papers__1") == kept
    assert (stored(client) != before) == ("length" not in statement)


def test_an_ingest_that_is_under_way_at_the_switch_ends_with_an_error(
    client: MilvusClient, changed: Rows, service: str
) -> None:
    """Without the check, what it wrote after the switch was in the collection of before alone."""

    def rows() -> object:
        for number in range(1_000, 1_006):
            if number == 1_003:
                change(client, service, 32)
            yield row(number, "a new text")

    with pytest.raises(CollectionRetired, match="papers__1"):
        insert_rows(client, read_table(client, "papers"), rows(), batch=1)  # type: ignore[arg-type]
    written = {row(number, "")["id"] for number in range(1_000, 1_003)}
    assert written <= set(stored(client))
    assert set(stored(client, "papers__1")) <= set(stored(client))


def test_a_file_whose_copy_a_switch_ends_is_not_stored_twice_unseen(
    client: MilvusClient, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows have generated keys, and the change carries over those that were stored."""
    schema = MilvusClient.create_schema(auto_id=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200)
    schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
    indexes = client.prepare_index_params()
    indexes.add_index("own", index_type="FLAT", metric_type="L2")
    client.create_collection("papers", schema=schema, index_params=indexes)
    change(client, service, 64)
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(f'{{"text": "text {number}", "own": [{number}, 1, 2, 3]}}\n' for number in range(6))
    )
    written = list[int]()

    class SwitchedWriter(LiteKeyWriter):
        def __call__(self, batch: RowBatch) -> RowBatch:
            written.append(len(batch.rows))
            if len(written) == 2:
                change(client, service, 32)
            return super().__call__(batch)

    monkeypatch.setattr(run, "LiteKeyWriter", SwitchedWriter)
    monkeypatch.setattr(run, "max_batch_rows", lambda table, batch: 2)
    stored_twice = pytest.raises(OperationalError, match=r"2 rows are stored.*stores rows a second time")
    with nestvec.connect(client_target(client).partition("#")[0]) as session, stored_twice:
        session.execute(f"COPY papers FROM '{file}'")
    assert written == [2, 2]
    count = {"filter": "", "output_fields": ["count(*)"]}
    assert client.query("papers", **count) == [{"count(*)": 2}]
    answers = list[int]()

    def again(finished: FinishedIngest) -> bool:
        answers.append(finished.rows)
        return False

    table = read_table(client, "papers")
    assert table.name == "papers__2"
    ingest(client, table, file, IngestOptions(client_target(client), again=again))
    assert answers == [2]
    assert client.query("papers", **count) == [{"count(*)": 2}]
