"""Collections that change while they are read and written: every row is there once, with its vectors."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pymilvus import DataType, MilvusClient, MilvusException

from nestvec.cli.collection import command
from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors
from nestvec.collections.change.definition import Change, new_embedding
from nestvec.collections.change.interrupted import discard
from nestvec.collections.change.rollback import rollback
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.ingest.target import client_target
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import JournalMismatch, SpecError, StoreInUse, StoreRefused

ROWS = 60
Rows = dict[str, dict[str, Any]]


def row(number: int, text: str) -> dict[str, Any]:
    """A row with a dynamic field now and then, a NULL, and a vector of another program."""
    values: dict[str, Any] = {
        "id": f'key "{number}\\',
        "text": text,
        "year": None if number % 3 else number,
        "own": [number, 1, 2, 3],
    }
    return values | ({"extra": number} if number % 2 else {})


@pytest.fixture
def papers(client: MilvusClient) -> Rows:
    """A collection that nestvec did not create, with two partitions."""
    schema = MilvusClient.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, max_length=50, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200)
    schema.add_field("year", DataType.INT32, nullable=True)
    schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
    indexes = client.prepare_index_params()
    indexes.add_index("own", index_type="HNSW", metric_type="L2", params={"M": 8, "efConstruction": 40})
    client.create_collection("papers", schema=schema, index_params=indexes, properties={"team": "a"})
    client.create_partition("papers", "late")
    rows = [row(number, f"text number {number}") for number in range(ROWS)]
    client.insert("papers", rows[:40])
    client.insert("papers", rows[40:], partition_name="late")
    return {values["id"]: values for values in rows}


def embedding(service: str, *dims: int) -> Change:
    return Change((new_embedding({"field": "text", "encoder": "minilm", "dims": dims, "service": service}),))


def stored(client: MilvusClient, name: str = "papers") -> Rows:
    rows = client.query(name, filter="", limit=10_000, output_fields=["*"])
    assert len({values["id"] for values in rows}) == len(rows)
    return {values["id"]: dict(values) for values in rows}


def check(client: MilvusClient, service: str, expected: Rows, dims: tuple[int, ...]) -> None:
    """The rows are those that were written, with the vectors of their own texts."""
    present = stored(client)
    assert set(present) == set(expected)
    for key, values in expected.items():
        assert {name: present[key].get(name) for name in values} == values
        assert ("extra" in values) == (present[key].get("extra") is not None)
    for dim in dims:
        request = EmbeddingRequest(service, EmbeddingConfig("minilm", dim=dim))
        made = embed_vectors(request, [values["text"] for values in expected.values()])
        kept = np.asarray([present[key][f"text_{dim}"] for key in expected])
        cosines = (kept * made).sum(1) / np.linalg.norm(kept, axis=1) / np.linalg.norm(made, axis=1)
        assert cosines.min() > 0.999


class Killed(BaseException):
    """The command was killed: none of its handlers reaches the server any more."""


class Mortal:
    """A client that dies at one of its calls, and answers none after it."""

    def __init__(self, client: MilvusClient, calls: int) -> None:
        self._client, self._calls = client, calls

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **options: Any) -> Any:
            self._calls -= 1
            if self._calls == 0:
                # The request may have been carried out although nobody reads the answer.
                attribute(*args, **options)
            if self._calls <= 0:
                raise Killed
            return attribute(*args, **options)

        return call


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


def test_a_name_that_is_taken_is_not_used(client: MilvusClient, papers: Rows, service: str) -> None:
    client.create_collection("other", dimension=4)
    client.create_alias("other", "papers__1")
    change = embedding(service, 64)
    plan, _ = plan_or_continue(client, "papers", change)
    assert (plan.names.retired, plan.names.target) == ("papers__2", "papers__3")
    run_change(client, plan, change)
    assert client.describe_collection("papers__1")["collection_name"] == "other"
    check(client, service, papers, (64,))


class Doomed:
    """A client that dies after its first call of a method, and answers none after it."""

    def __init__(self, client: MilvusClient, at: str) -> None:
        self._client, self._at, self._dead = client, at, False

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            if self._dead:
                raise Killed
            result = attribute(*args, **options)
            self._dead = name == self._at
            if self._dead:
                raise Killed
            return result

        return call if callable(attribute) else attribute


def killed(
    client: MilvusClient, change: Change, at: str, *, keep_old: bool = False, name: str = "papers"
) -> None:
    """Run a change until its first call of the method ``at``, which is carried out."""
    collection = name

    doomed: Any = Doomed(client, at)
    plan, _ = plan_or_continue(client, collection, change)
    with pytest.raises(Killed):
        run_change(doomed, plan, change, ChangeOptions(keep_old=keep_old))


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
    change = embedding(service, 64)
    killed(client, change, "upsert")
    # A request of the command, carried out by the server after its row was deleted and forgotten.
    client.upsert("papers__1", [row(7_000, "deleted since")], partition_name="late")
    run_change(client, plan_or_continue(client, "papers", change)[0], change)
    check(client, service, papers, (64,))


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
