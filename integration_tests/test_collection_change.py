"""Collections that change while they are read and written: every row is there once, with its vectors."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration_tests.fixtures.changes import ROWS, Rows, check, embedding, row, stored
from pymilvus import DataType, MilvusClient, MilvusException

from nestvec.collections.change.copy import Copy
from nestvec.collections.change.definition import Change, new_embedding
from nestvec.collections.change.rollback import rollback
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.ingest.options import DeliveryOptions
from nestvec.ingest.write.patience import Clock
from nestvec.ingest.write.stored_keys import key_filter
from nestvec.milvus.catalog import Column
from nestvec_schemas.errors import IngestError, SpecError, StoreInUse, StoreRefused


def replace_row(client: MilvusClient, values: dict[str, Any]) -> None:
    """Replace a row with all of it: an upsert in Milvus Lite keeps dynamic fields that the new row lacks."""
    client.delete("papers", filter=key_filter(Column("id", "VARCHAR"), [values["id"]]))
    client.insert("papers", [values])


@contextmanager
def running(work: Any) -> Iterator[None]:
    """``work`` again and again in a thread, until the block ends."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def test_readers_and_writers_go_on(client: MilvusClient, papers: Rows, service: str) -> None:
    first = embedding(service, 64)
    run_change(client, plan_or_continue(client, "papers", first)[0], first)
    rng, errors, counts, written = random.Random(0), list[Exception](), set[int](), list[int]()

    def read() -> None:
        try:
            counts.add(client.query("papers", filter="", output_fields=["count(*)"])[0]["count(*)"])
            client.search("papers", data=["a text"], anns_field="text_64", limit=3)
        except MilvusException as error:
            errors.append(error)

    def write() -> None:
        number = rng.randrange(40)
        changed = row(number, f"written {len(written)}")
        client.upsert("papers", [changed])
        papers[changed["id"]] = changed
        written.append(number)

    second = embedding(service, 32)
    plan, _ = plan_or_continue(client, "papers", second)
    with running(read), running(write):
        run_change(client, plan, second, ChangeOptions(keep_old=True))
    assert errors == []
    assert counts == {ROWS}
    assert written
    check(client, service, papers, (64, 32))

    assert rollback(client, "papers") == ("papers__2", "papers__1")
    assert "text_32" not in next(iter(stored(client).values()))
    assert rollback(client, "papers") == ("papers__1", "papers__2")
    check(client, service, papers, (64, 32))


def test_a_write_that_was_under_way_at_the_switch_is_carried_over(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    first, second = embedding(service, 64), embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", first)[0], first)
    changed, now = row(0, "under way"), 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if papers[changed["id"]] is not changed:
            # Milvus had looked the name up before the switch.
            client.upsert("papers__1", [changed])
            papers[changed["id"]] = changed

    delivery = DeliveryOptions(clock=Clock(now=lambda: now, sleep=sleep))
    plan, _ = plan_or_continue(client, "papers", second)
    run_change(client, plan, second, ChangeOptions(keep_old=True, delivery=delivery))
    assert papers[changed["id"]] is changed
    check(client, service, papers, (64, 32))


@pytest.mark.usefixtures("no_late_writers")
def test_who_writes_on_to_the_collection_of_before_is_an_error_and_no_row_is_lost(
    client: MilvusClient, papers: Rows, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = embedding(service, 64), embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", first)[0], first)
    merge, written = Copy.merge, dict(papers)

    def write() -> None:
        late = row(len(written) + 1_000, "by the name of the collection itself")
        client.upsert("papers__1", [late])
        written[late["id"]] = late

    def write_and_merge(copy: Copy) -> int:
        write()
        return merge(copy)

    with monkeypatch.context() as patch:
        patch.setattr(Copy, "merge", write_and_merge)
        with pytest.raises(StoreInUse, match=r"somebody still writes.*Have it write to papers;") as error:
            run_change(client, plan_or_continue(client, "papers", second)[0], second)
    assert error.value.value == "papers__1"
    write()
    run_change(client, plan_or_continue(client, "papers", second)[0], second)
    check(client, service, written, (64, 32))
    assert "papers__1" not in client.list_collections()


@pytest.mark.usefixtures("no_late_writers")
def test_fields_are_dropped_and_embedded_anew(client: MilvusClient, papers: Rows, service: str) -> None:
    added = embedding(service, 64, 32)
    run_change(client, plan_or_continue(client, "papers", added)[0], added)
    spec = new_embedding(
        {"field": "text", "encoder": "minilm", "dims": (128,), "service": service, "name": "text_64"}
    )
    change = Change((spec,), ("text_64", "text_32", "year"))
    plan, _ = plan_or_continue(client, "papers", change)
    assert (plan.fields.embedded, plan.fields.dropped) == (("text_64",), ("text_32", "year"))
    run_change(client, plan, change)
    rows = stored(client)
    assert set(rows) == set(papers)
    assert {len(values["text_64"]) for values in rows.values()} == {128}
    assert all("year" not in values and "text_32" not in values for values in rows.values())


@pytest.mark.usefixtures("no_late_writers")
def test_one_command_at_a_time(client: MilvusClient, papers: Rows, service: str) -> None:
    change, errors = embedding(service, 64), list[Exception]()
    plan, _ = plan_or_continue(client, "papers", change)

    def also(rows: int) -> None:
        try:
            run_change(client, plan, change)
        except StoreInUse as error:
            errors.append(error)

    run_change(client, plan, change, ChangeOptions(advance=also))
    assert errors
    check(client, service, papers, (64,))


def test_what_cannot_be_embedded_is_refused_before_anything_is_made(
    client: MilvusClient, papers: Rows, service: str, tmp_path: Path
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200, nullable=True)
    schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
    client.create_collection("nulls", schema=schema)
    with pytest.raises(SpecError, match="may be null"):
        plan_or_continue(client, "nulls", embedding(service, 64))
    with pytest.raises(SpecError, match="no field of this name to embed"):
        change = Change((new_embedding({"field": "title", "encoder": "minilm", "dims": (64,)}),))
        plan_or_continue(client, "papers", Change((change.add[0].model_copy(update={"service": service}),)))
    assert sorted(client.list_collections()) == ["nulls", "papers"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.usefixtures("no_late_writers")
def test_a_dynamic_field_that_a_new_field_would_hide_is_named(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    client.upsert("papers", [row(5, "text number 5") | {"text_64": 7}])
    change = embedding(service, 64)
    plan, _ = plan_or_continue(client, "papers", change)
    with pytest.raises(IngestError, match=r'same name as a new field: text_64: id key "5'):
        run_change(client, plan, change)
    assert client.describe_collection("papers")["collection_name"] == "papers"
    replace_row(client, row(5, "text number 5"))
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    check(client, service, papers, (64,))


@pytest.mark.usefixtures("no_late_writers")
def test_a_row_that_loses_a_dynamic_field_meanwhile_loses_it_in_the_copy(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    key, copied = row(1, "")["id"], list[int]()
    papers[key] = {name: value for name, value in papers[key].items() if name != "extra"}

    def meanwhile(rows: int) -> None:
        if not copied:
            replace_row(client, papers[key])
        copied.append(rows)

    change = embedding(service, 64)
    plan, _ = plan_or_continue(client, "papers", change)
    run_change(client, plan, change, ChangeOptions(advance=meanwhile))
    assert sum(copied) > ROWS
    check(client, service, papers, (64,))


@pytest.mark.usefixtures("no_late_writers")
def test_a_row_that_loses_a_dynamic_field_at_the_switch_loses_it_in_the_copy(
    client: MilvusClient, papers: Rows, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, merges = Copy.merge, list[int]()
    replaced, deleted = row(1, ""), row(3, "")
    for values in (replaced, deleted):
        del values["extra"]

    def remove(values: dict[str, Any]) -> None:
        client.delete("papers__0", filter=key_filter(Column("id", "VARCHAR"), [values["id"]]))
        papers.pop(values["id"], None)

    def insert(values: dict[str, Any], text: str) -> None:
        remove(values)
        papers[values["id"]] = values | {"text": text}
        client.insert("papers__0", [papers[values["id"]]])

    def write_and_merge(copy: Copy) -> int:
        if not merges:
            insert(replaced, "without the field")
            insert(deleted, "without the field, too")
        elif len(merges) == 1:
            insert(replaced, "changed again")
            remove(deleted)
        merges.append(merge(copy))
        return merges[-1]

    monkeypatch.setattr(Copy, "merge", write_and_merge)
    change = embedding(service, 64)
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    assert merges[:2] == [2, 2]
    check(client, service, papers, (64,))


@pytest.mark.usefixtures("no_late_writers")
def test_rows_that_move_to_another_partition(client: MilvusClient, papers: Rows, service: str) -> None:
    upserted, inserted = row(5, "upserted into another partition"), row(6, "moved while it is copied")
    client.flush("papers")
    client.upsert("papers", [upserted], partition_name="late")
    change, moved = embedding(service, 64), list[int]()
    with pytest.raises(StoreRefused, match=r'several partitions .* of the same key: id key "5') as error:
        run_change(client, plan_or_continue(client, "papers", change)[0], change)
    assert "flush the collection" in str(error.value)

    def move(values: dict[str, Any]) -> None:
        client.delete("papers", filter=key_filter(Column("id", "VARCHAR"), [values["id"]]))
        client.flush("papers")
        client.insert("papers", [values], partition_name="late")
        papers[values["id"]] = values

    def meanwhile(rows: int) -> None:
        if not moved:
            client.flush("papers__1")
            move(inserted)
        moved.append(rows)

    move(upserted)
    run_change(
        client, plan_or_continue(client, "papers", change)[0], change, ChangeOptions(advance=meanwhile)
    )
    check(client, service, papers, (64,))
    for values in (upserted, inserted):
        clause = key_filter(Column("id", "VARCHAR"), [values["id"]])
        present = {
            partition: [
                read["text"] for read in client.query("papers", clause, ["text"], partition_names=[partition])
            ]
            for partition in ("_default", "late")
        }
        assert present == {"_default": [], "late": [values["text"]]}


@pytest.mark.usefixtures("no_late_writers")
def test_a_name_that_is_taken_is_not_used(client: MilvusClient, papers: Rows, service: str) -> None:
    client.create_collection("other", dimension=4)
    client.create_alias("other", "papers__1")
    change = embedding(service, 64)
    plan, _ = plan_or_continue(client, "papers", change)
    assert (plan.names.retired, plan.names.target) == ("papers__2", "papers__3")
    run_change(client, plan, change)
    assert client.describe_collection("papers__1")["collection_name"] == "other"
    check(client, service, papers, (64,))


@pytest.mark.usefixtures("no_late_writers")
def test_a_long_name_and_keys_of_several_lines(client: MilvusClient, service: str) -> None:
    names = ["n" * 252, "n" * 253]
    for name in names:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.VARCHAR, max_length=50, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=200)
        schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
        indexes = client.prepare_index_params()
        indexes.add_index("own", index_type="FLAT", metric_type="L2")
        client.create_collection(name, schema=schema, index_params=indexes)
    client.insert(names[0], [{"id": "a\r\nb\\\"'", "text": "a text", "own": [1, 2, 3, 4]}])
    change = embedding(service, 64)
    run_change(client, plan_or_continue(client, names[0], change)[0], change)
    assert set(stored(client, names[0])) == {"a\r\nb\\\"'"}
    with pytest.raises(SpecError, match="255 characters"):
        plan_or_continue(client, names[1], change)
