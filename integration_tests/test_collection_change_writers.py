"""Rows that are written before and after the switch of a change: the later write is the one that stays."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from integration_tests.fixtures.changes import Doomed, Killed, Rows, check, embedding, row
from pymilvus import MilvusClient

from nestvec.collections.change.copy import Copy
from nestvec.collections.change.copy_writer import CopyWriter
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.stored_keys import key_filter
from nestvec.ingest.write.writers import KeyedWriter
from nestvec.milvus.catalog import Column

pytestmark = pytest.mark.usefixtures("no_late_writers")


def change_once(client: MilvusClient, service: str) -> None:
    """Let the name be an alias, which the change under test moves."""
    first = embedding(service, 64)
    run_change(client, plan_or_continue(client, "papers", first)[0], first)


def write_before_merge(
    client: MilvusClient, papers: Rows, values: dict[str, Any], patch: pytest.MonkeyPatch
) -> None:
    """Have a row written to the collection of before as a request does that began before the switch."""
    merge, merges = Copy.merge, list[int]()

    def write_and_merge(copy: Copy) -> int:
        if not merges:
            client.upsert("papers__1", [values])
            papers[values["id"]] = values
        merges.append(merge(copy))
        return merges[-1]

    patch.setattr(Copy, "merge", write_and_merge)


def test_a_row_that_is_written_while_its_older_values_are_embedded_is_kept(
    client: MilvusClient, papers: Rows, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_once(client, service)
    older, newer = row(0, "before the switch"), row(0, "after the switch")
    write_before_merge(client, papers, older, monkeypatch)
    write, requests = CopyWriter.__call__, list[str]()

    def write_late(writer: CopyWriter, batch: RowBatch) -> RowBatch:
        if older["id"] in [values["id"] for values in batch.rows] and papers[older["id"]] is older:
            # The rows are compared and embedded by now.
            client.upsert("papers", [newer])
            papers[newer["id"]] = newer
            requests.append(str(newer["text"]))
        return write(writer, batch)

    monkeypatch.setattr(CopyWriter, "__call__", write_late)
    second = embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", second)[0], second, ChangeOptions(keep_old=True))
    assert requests == ["after the switch"]
    check(client, service, papers, (64, 32))


def test_no_row_is_written_between_its_comparison_and_its_replacement(
    client: MilvusClient, papers: Rows, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_once(client, service)
    older, newer = row(0, "before the switch"), row(0, "after the switch")
    write_before_merge(client, papers, older, monkeypatch)
    threads, write = list[threading.Thread](), KeyedWriter.__call__

    def replace(writer: KeyedWriter, batch: RowBatch) -> RowBatch:
        if not threads and papers[older["id"]] is older and batch.rows:
            threads.append(threading.Thread(target=client.upsert, args=("papers", [newer])))
            threads[0].start()
            threads[0].join(1)  # it would be over by now, as a rule, if it did not wait
            papers[newer["id"]] = newer
        return write(writer, batch)

    monkeypatch.setattr(KeyedWriter, "__call__", replace)
    second = embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", second)[0], second, ChangeOptions(keep_old=True))
    assert len(threads) == 1
    threads[0].join()
    check(client, service, papers, (64, 32))


def test_a_row_that_moves_at_the_switch_is_there_after_a_kill(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    change_once(client, service)
    moved, merge = row(0, "moved"), Copy.merge
    second = embedding(service, 32)

    def move_and_merge(copy: Copy) -> int:
        client.delete("papers__1", filter=key_filter(Column("id", "VARCHAR"), [moved["id"]]))
        client.flush("papers__1")
        client.insert("papers__1", [moved], partition_name="late")
        papers[moved["id"]] = moved
        return merge(copy)

    doomed: Any = Doomed(client, "delete")
    plan, _ = plan_or_continue(client, "papers", second)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Copy, "merge", move_and_merge)
        run_change(doomed, plan, second)
    assert papers[moved["id"]] is moved
    run_change(client, plan_or_continue(client, "papers", second)[0], second)
    check(client, service, papers, (64, 32))
    clause = key_filter(Column("id", "VARCHAR"), [moved["id"]])
    places = {
        partition: len(client.query("papers", clause, ["id"], partition_names=[partition]))
        for partition in ("_default", "late")
    }
    assert places == {"_default": 0, "late": 1}
