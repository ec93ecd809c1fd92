"""Changes of collections that are killed anywhere: the same command continues, no row is lost or stale."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from integration_tests.fixtures.changes import (
    ROWS,
    Killed,
    Late,
    Mortal,
    Rows,
    check,
    embedding,
    killed,
    row,
    stored,
)
from pymilvus import DataType, MilvusClient

from nestvec.cli.collection import command
from nestvec.collections.change import rows
from nestvec.collections.change.interrupted import discard
from nestvec.collections.change.rollback import rollback
from nestvec.collections.change.rows import RowReader
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.ingest.target import client_target
from nestvec_schemas.errors import JournalMismatch, StoreInUse, StoreRefused

pytestmark = pytest.mark.usefixtures("no_late_writers")


@pytest.mark.parametrize("seed", range(4))
def test_a_change_that_is_killed_anywhere_continues(
    client: MilvusClient, papers: Rows, service: str, seed: int
) -> None:
    rng, change, kills = random.Random(seed), embedding(service, 64, 32), 0
    while True:
        mortal: Any = Mortal(client, rng.randrange(1, 30 + 4 * kills))
        try:
            plan, _ = plan_or_continue(mortal, "papers", change)
            report = run_change(mortal, plan, change)
            break
        except Killed:
            kills += 1
            assert kills < 100
        # Others write meanwhile, but not while the name is missing.
        if kills < 20 and client.has_collection("papers"):
            number = rng.randrange(ROWS)
            changed = row(number, f"another text {kills}")
            if changed["id"] in papers:
                client.upsert("papers", [changed], partition_name="late" if number >= 40 else "_default")
                papers[changed["id"]] = changed
            gone = rng.choice(sorted(papers))
            escaped = gone.replace("\\", "\\\\").replace('"', '\\"')
            client.delete("papers", filter=f'id == "{escaped}"')
            del papers[gone]
            fresh = row(1000 + kills, f"a new text {kills}")
            client.upsert("papers", [fresh])
            papers[fresh["id"]] = fresh
    assert kills
    assert report.rows == len(papers)
    check(client, service, papers, (64, 32))
    assert [name for name in client.list_collections() if name.startswith("papers")] == ["papers__1"]
    described = client.describe_collection("papers")
    assert described["properties"]["team"] == "a"
    assert "nestvec.change" not in described["properties"]
    assert set(client.list_partitions("papers")) == {"_default", "late"}


def test_a_second_change_waits_for_the_first(client: MilvusClient, papers: Rows, service: str) -> None:
    change, other = embedding(service, 64), embedding(service, 32)
    plan, _ = plan_or_continue(client, "papers", change)
    mortal: Any = Mortal(client, 25)
    with pytest.raises(Killed):
        run_change(mortal, plan, change)
    with pytest.raises(JournalMismatch, match=r"another change of papers was interrupted"):
        plan_or_continue(client, "papers", other)
    discard(client, "papers")
    assert client.list_collections() == ["papers"]
    check(client, service, papers, ())
    plan, continues = plan_or_continue(client, "papers", other)
    assert not continues
    run_change(client, plan, other)
    check(client, service, papers, (32,))


def test_every_alias_is_kept_by_a_change_that_is_killed_as_it_switches(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    client.create_alias("papers", "articles")
    first, second = embedding(service, 64), embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", first)[0], first)
    killed(client, second, "alter_alias")
    assert client.describe_collection("papers")["collection_name"] == "papers__2"
    run_change(client, plan_or_continue(client, "papers", second)[0], second)
    assert client.list_collections() == ["papers__2"]
    assert sorted(client.list_aliases("papers__2")["aliases"]) == ["articles", "papers"]
    check(client, service, papers, (64, 32))


def test_a_collection_that_readers_use_beside_its_alias_keeps_its_name(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    client.create_alias("papers", "current")
    change = embedding(service, 64)
    plan, _ = plan_or_continue(client, "current", change)
    assert plan.lines()[-1] == "papers becomes another alias of it."
    run_change(client, plan, change)
    assert client.list_collections() == ["current__0"]
    assert client.describe_collection("current")["collection_name"] == "current__0"
    check(client, service, papers, (64,))


def test_a_plan_that_another_command_overtook_is_not_reported_as_done(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    change, other = embedding(service, 64), embedding(service, 32)
    plan, _ = plan_or_continue(client, "papers", change)
    run_change(client, plan_or_continue(client, "papers", other)[0], other)
    with pytest.raises(StoreInUse, match="since the plan was made"):
        run_change(client, plan, change)
    check(client, service, papers, (32,))


def test_the_collection_of_before_remains_if_the_interrupted_command_was_to_keep_it(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    change = embedding(service, 64)
    killed(client, change, "create_alias", keep_old=True)
    report = run_change(client, plan_or_continue(client, "papers", change)[0], change)
    assert report.old == "papers__0"
    assert set(stored(client, "papers__0")) == set(papers)


def test_nothing_advises_to_drop_the_only_copy(
    client: MilvusClient, papers: Rows, service: str, tmp_path: Path
) -> None:
    change = embedding(service, 64)
    killed(client, change, "drop_collection")
    (journal,) = tmp_path.glob("**/*.change")
    aside = journal.rename(tmp_path / "aside")  # as on another machine
    with pytest.raises(StoreInUse) as error:
        plan_or_continue(client, "papers", change)
    assert "collection drop" not in error.value.next_step
    with pytest.raises(StoreInUse):
        rollback(client, "papers")
    aside.rename(journal)
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    check(client, service, papers, (64,))


def test_a_change_that_was_interrupted_is_not_rolled_back(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    first, second = embedding(service, 64), embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", first)[0], first, ChangeOptions(keep_old=True))
    killed(client, second, "create_collection")
    with pytest.raises(JournalMismatch, match="was interrupted"):
        rollback(client, "papers")
    run_change(client, plan_or_continue(client, "papers", second)[0], second)
    check(client, service, papers, (64, 32))


def test_a_copy_without_a_field_is_not_used(client: MilvusClient, papers: Rows, service: str) -> None:
    change = embedding(service, 64)
    killed(client, change, "create_collection")
    client.drop_collection("papers")
    schema = MilvusClient.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, max_length=50, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200)
    schema.add_field("year", DataType.INT32, nullable=True)
    schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("stars", DataType.INT64, nullable=True)
    client.create_collection("papers", schema=schema)
    client.load_collection("papers")
    client.insert("papers", [papers['key "0\\'] | {"stars": 5}])
    with pytest.raises(StoreRefused, match="has new fields") as error:
        run_change(client, plan_or_continue(client, "papers", change)[0], change)
    assert error.value.value == "stars"
    discard(client, "papers")
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    assert [values["stars"] for values in stored(client).values()] == [5]
    assert "stars" in {field["name"] for field in client.describe_collection("papers")["fields"]}


def test_a_row_that_is_deleted_after_the_kill_is_not_in_the_copy(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    change = embedding(service, 64)
    killed(client, change, "upsert")  # before it is recorded that the rows are copied
    for key in list(papers):
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        client.delete("papers", filter=f'id == "{escaped}"')
        if papers[key]["year"] is None:
            del papers[key]
        else:
            client.upsert("papers", [papers[key]], partition_name="late")
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    check(client, service, papers, (64,))


def test_a_row_that_arrives_late_from_a_command_that_was_killed_is_not_in_the_copy(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    change, since = embedding(service, 64), row(7_000, "deleted since")
    client.upsert("papers", [since])
    killed(client, change, "upsert")
    escaped = since["id"].replace("\\", "\\\\").replace('"', '\\"')
    client.delete("papers", filter=f'id == "{escaped}"')
    # A request of the command, carried out by the server after its row was deleted and forgotten.
    late: Any = Late(client, "delete", lambda: client.upsert("papers__1", [since]))
    run_change(late, plan_or_continue(client, "papers", change)[0], change)
    assert late.done
    check(client, service, papers, (64,))


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_row_that_somebody_else_wrote_into_the_copy_is_not_deleted(
    client: MilvusClient, papers: Rows, service: str, *, interrupted: bool
) -> None:
    change, others = embedding(service, 64), row(7_000, "of somebody else")
    if interrupted:
        killed(client, change, "upsert")
    writing: Any = Late(client, "upsert", lambda: client.upsert("papers__1", [others]))
    for _ in range(2):
        with pytest.raises(StoreRefused, match="rows that the change did not write") as error:
            run_change(writing, plan_or_continue(client, "papers", change)[0], change)
        assert error.value.value == others["id"]
        assert "--restart" in str(error.value.next_step)
    assert others["id"] in stored(client, "papers__1")
    check(client, service, papers, ())
    discard(client, "papers")
    client.upsert("papers", [others])
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    check(client, service, papers | {others["id"]: others}, (64,))


def test_a_row_that_somebody_else_replaced_in_the_copy_is_not_overwritten(
    client: MilvusClient, papers: Rows, service: str
) -> None:
    change, others = embedding(service, 64), row(0, "of somebody else")
    killed(client, change, "upsert")
    plan, _ = plan_or_continue(client, "papers", change)
    rows = 0

    def replace(count: int) -> None:
        nonlocal rows
        rows += count
        if rows == ROWS:
            client.upsert("papers__1", [others])

    with pytest.raises(StoreRefused, match="rows that the change did not write"):
        run_change(client, plan, change, ChangeOptions(advance=replace))
    assert rows == ROWS
    assert stored(client, "papers__1")[others["id"]]["text"] == "of somebody else"


@pytest.mark.parametrize("deleted", [True, False])
def test_a_row_that_somebody_else_replaced_in_the_copy_is_kept_if_the_row_itself_changes(
    client: MilvusClient, papers: Rows, service: str, *, deleted: bool
) -> None:
    change, others, rows = embedding(service, 64), row(0, "of somebody else"), 0
    escaped = others["id"].replace("\\", "\\\\").replace('"', '\\"')

    def replace(count: int) -> None:
        nonlocal rows
        rows += count
        if rows == ROWS:
            client.upsert("papers__1", [others])
            if deleted:
                client.delete("papers", filter=f'id == "{escaped}"')
            else:
                client.upsert("papers", [row(0, "changed")])

    for _ in range(2):
        with pytest.raises(StoreRefused, match="rows that the change did not write") as error:
            run_change(
                client,
                plan_or_continue(client, "papers", change)[0],
                change,
                ChangeOptions(advance=replace),
            )
        assert error.value.value == others["id"]
        assert stored(client, "papers__1")[others["id"]]["text"] == "of somebody else"


def test_dropping_a_collection_drops_its_interrupted_change(
    client: MilvusClient, papers: Rows, service: str, tmp_path: Path
) -> None:
    first, second = embedding(service, 64), embedding(service, 32)
    run_change(client, plan_or_continue(client, "papers", first)[0], first, ChangeOptions(keep_old=True))
    client.create_alias("papers__1", "articles")
    killed(client, second, "upsert")
    address = client_target(client)
    dropped = CliRunner().invoke(command, ["drop", "papers", "--uri", address, "--yes"])
    assert dropped.output == "Dropped papers. papers__0, kept by --keep-old, remains.\n"
    assert client.list_collections() == ["papers__0"]
    assert not client.has_collection("articles")
    assert not list(tmp_path.glob("**/*.change"))


@pytest.mark.parametrize("at", ["upsert", "flush", "create_alias"])
def test_a_change_that_an_earlier_version_began_continues(
    client: MilvusClient, papers: Rows, service: str, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    change, changed = embedding(service, 64), row(2, "another text")
    for number in range(0, 40, 2):
        client.upsert("papers", [row(number, f"text number {number}") | {"extra": None}])
    with monkeypatch.context() as patch:
        # In Milvus Lite it counted dynamic fields that are NULL.
        patch.setattr(RowReader, "digest", lambda reader, values, partition: rows._digest(values, partition))
        killed(client, change, at)
    client.upsert("papers__0" if at == "create_alias" else "papers", [changed])
    papers[changed["id"]] = changed
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    check(client, service, papers, (64,))
