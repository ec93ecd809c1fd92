"""Encoders that are replaced while their collection is read and written, and the command is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve, vacant_address
from pymilvus import DataType, MilvusClient, MilvusException

from nestvec import add_embedding, connect, field_notes, index_params
from nestvec.bridge import upgrade as bridge_upgrade
from nestvec.cli import cli
from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors
from nestvec.collections.change.run import ChangeOptions
from nestvec.collections.upgrade.columns import UpgradeRequest
from nestvec.collections.upgrade.record import UpgradeStatus, read_status
from nestvec.collections.upgrade.run import begin_upgrade, finish_upgrade, plan_upgrade
from nestvec.dbapi import Connection, DatabaseError
from nestvec.ingest.write.names import leads_to
from nestvec.ingest.write.patience import StopRequested
from nestvec.milvus.catalog import read_table
from nestvec.service.in_process import serve_in_process
from nestvec.sql.execute.sampling import sample_queries
from nestvec.sql.execute.upgrades import measure_reading
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.samples.docstrings import sample_texts

TEXTS = tuple(dict.fromkeys(" ".join(text.split())[:200] for text in sample_texts(900)))[:600]

_HANG_SECONDS = 600

ANALYZED = 20
"""Queries of an ANALYZE here."""


@pytest.fixture(scope="module")
def plain(static: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``glove``, 50 dims, and ``wordllama``, 256, without a bridge."""
    folder = tmp_path_factory.mktemp("plain") / "models"
    for name in ("glove", "wordllama"):
        shutil.copytree(static / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def bridged(bridged_static: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the bridge ``wordllama.as.glove``."""
    return Path(shutil.copytree(bridged_static, tmp_path_factory.mktemp("bridged") / "models"))


def create(client: MilvusClient, service: str, rows: int = len(TEXTS)) -> None:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=1000)
    add_embedding(schema, "text", encoder="glove", dims=(50, 32), service=service, client=client)
    client.create_collection(
        "papers", schema=schema, index_params=index_params(schema), properties=field_notes(schema)
    )
    for start in range(0, rows, 200):
        stop = min(start + 200, rows)
        client.insert("papers", [{"id": at, "text": TEXTS[at]} for at in range(start, stop)])


def check(client: MilvusClient, service: str, encoder: str, expected: dict[int, str]) -> None:
    """Each row is there once, with the vectors of its own text by this encoder."""
    table = read_table(client, "papers")
    assert {column.config.encoder for column in table.embeddings} == {encoder}
    assert all(column.upgrade is None for column in table.embeddings)
    rows = client.query("papers", filter="", limit=10_000, output_fields=["id", "text", "text_50", "text_32"])
    assert {row["id"]: row["text"] for row in rows} == expected
    assert len(rows) == len(expected)
    for column in table.embeddings:
        request = EmbeddingRequest(service, EmbeddingConfig(encoder, column.dim), has_role=False)
        made = embed_vectors(request, [row["text"] for row in rows])
        kept = np.asarray([row[column.column] for row in rows])
        cosines = (kept * made).sum(1) / np.linalg.norm(kept, axis=1) / np.linalg.norm(made, axis=1)
        assert cosines.min() > 0.999


@contextmanager
def lite_server(folder: Path) -> Iterator[str]:
    """A Milvus Lite in a process of its own; its address."""
    address = vacant_address()
    command = [str(Path(sys.executable).with_name("milvus-lite")), "server", "--host", "127.0.0.1"]
    command += ["--data-dir", str(folder / "milvus"), "--port", address.rpartition(":")[2]]
    with (folder / "milvus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(lambda: _connects(address))
        yield address
    finally:
        process.kill()
        process.wait()


def _connects(address: str) -> bool:
    try:
        client = MilvusClient(address, timeout=2)
    except MilvusException:
        return False
    client.close()
    return True


def _wait(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + _HANG_SECONDS
    while not reached():
        assert time.monotonic() < until, "the test hangs"
        time.sleep(0.02)


class Readers:
    """Threads that count and search until they are stopped."""

    def __init__(self, address: str, rows: int, models: Path) -> None:
        self.address, self.rows, self.models = address, rows, models
        self.counted: list[str] = []
        self.searched: list[str] = []
        """For each read, the collection that ``papers`` led to right after it; or its error."""

        self.fewer: list[int] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._count, self._search)]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _count(self) -> None:
        with closing(MilvusClient(self.address)) as client:

            def count() -> None:
                answer = client.query("papers", filter="", output_fields=["count(*)"])
                if answer[0]["count(*)"] < self.rows:
                    self.fewer.append(answer[0]["count(*)"])

            self._read(client, count, self.counted)

    def _search(self) -> None:
        with (
            connect(self.address, models=self.models) as connection,
            closing(MilvusClient(self.address)) as client,
        ):

            def search() -> None:
                cursor = connection.cursor()
                statement = "SELECT id FROM papers ORDER BY text_50 <=> :q LIMIT 5"
                cursor.execute(statement, {"q": TEXTS[len(self.searched) % len(TEXTS)]})
                assert len(cursor.fetchall()) == 5

            self._read(client, search, self.searched)

    def _read(self, client: MilvusClient, read: Callable[[], None], events: list[str]) -> None:
        while not self._stop.is_set():
            try:
                read()
                events.append(str(client.describe_collection("papers")["collection_name"]))
            except Exception as error:
                events.append(f"{type(error).__name__}: {error}")


def outside_of_switch(events: list[str]) -> list[str]:
    """The errors of reads, but those that say that there is no such collection between the last read before
    the switch and the first one after it.

    Milvus Lite has no step that renames a collection and makes its name an alias at once. A session that
    reads the collection again for its query says so in SQL's words.
    """
    gone = ("'papers' does not exist", "there is no collection of this name", "collection not found")
    last_before = max((at for at, event in enumerate(events) if event == "papers"), default=-1)
    first_after = events.index("papers__1") if "papers__1" in events else len(events)
    return [
        event
        for at, event in enumerate(events)
        if event not in ("papers", "papers__1")
        and not (last_before < at < first_after and any(text in event for text in gone))
    ]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """``nestvec collection upgrade papers`` with arguments, in a process of its own."""
    command = [
        sys.executable,
        "-c",
        "from nestvec.cli import main; main()",
        "collection",
        "upgrade",
        "papers",
    ]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    with (folder / "upgrade.log").open("ab") as log:
        return subprocess.Popen([*command, *arguments], stdout=log, stderr=log, env=environment)


def kill_at(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> bool:
    """Kill a process once a point is reached; false if it ended before."""
    _wait(lambda: process.poll() is not None or reached())
    ended = process.poll() is not None
    process.kill()
    process.wait()
    return not ended


def write_meanwhile(client: MilvusClient, expected: dict[int, str], number: int) -> None:
    """Insert, change and delete rows; never fewer are left, also while Milvus Lite replaces one."""
    new = {1000 + number: f"a new text {number}", 2000 + number: f"a newer text {number}"}
    client.insert("papers", [{"id": key, "text": text} for key, text in new.items()])
    changed = {number * 7: f"changed {number}"}
    client.upsert("papers", [{"id": key, "text": text} for key, text in changed.items()])
    client.delete("papers", ids=[300 + number])
    expected.update(new | changed)
    del expected[300 + number]


@pytest.mark.nightly
def test_an_upgrade_that_is_killed_in_each_phase_continues(
    bridged: Path, serve: Serve, tmp_path: Path
) -> None:
    service = serve(bridged)
    with lite_server(tmp_path) as address:
        client = MilvusClient(address)
        create(client, service)
        expected = dict(enumerate(TEXTS))
        arguments = ["--encoder", "wordllama", "--models", str(bridged), "--uri", address, "--yes"]
        arguments += ["--dims", "128,64", "--rate", "150", "--bridge"]

        def status() -> UpgradeStatus | None:
            try:
                return read_status(client, "papers")
            except Exception:
                return None

        def copied(rows: int) -> Callable[[], bool]:
            return lambda: (now := status()) is not None and (now.rows or 0) >= rows

        def switched() -> bool:
            return leads_to(client, "papers") == "papers__1"

        points = [lambda: status() is not None, copied(100), copied(300), copied(450), switched]
        kills = 0
        with Readers(address, len(TEXTS), bridged) as readers:
            for at, point in enumerate(points):
                kills += kill_at(start(tmp_path, *arguments), point)
                if not switched():
                    write_meanwhile(client, expected, at)
            assert start(tmp_path, *arguments).wait(_HANG_SECONDS) in (0, 1)
        log = (tmp_path / "upgrade.log").read_text()
        assert kills >= 4, log
        assert status() is None, log
        check(client, service, "wordllama", expected)
        assert len(readers.searched) > 10
        assert readers.fewer == []
        assert outside_of_switch(readers.counted) == []
        assert outside_of_switch(readers.searched) == []
        client.close()


def upgrade(models: Path, database: Path, *arguments: str) -> str:
    """The output of ``nestvec collection upgrade papers``, or its error."""
    command = ["collection", "upgrade", "papers", "--models", str(models), "--uri", str(database), "--yes"]
    result = CliRunner().invoke(cli, [*command, *arguments])
    return result.output + (str(result.exception) if result.exception else "")


@pytest.mark.usefixtures("no_late_writers")
def test_queries_use_the_bridge_until_the_upgrade_is_aborted(
    bridged: Path, serve: Serve, tmp_path: Path
) -> None:
    database, service = tmp_path / "papers.db", vacant_address()
    with serve_in_process([service], bridged), closing(MilvusClient(str(database))) as client:
        create(client, service, rows=300)

    def searched() -> str:
        with connect(str(database), models=bridged) as connection:
            cursor = connection.cursor()
            cursor.execute("EXPLAIN SELECT id FROM papers ORDER BY text_50 <=> 'a file' LIMIT 5")
            return "\n".join(str(row[0]) for row in cursor.fetchall())

    to = ("--encoder", "wordllama", "--dims", "128,64")
    assert "No upgrade of papers has begun" in upgrade(bridged, database, "--status")
    assert "no upgrade of papers has begun" in upgrade(bridged, database, "--abort")
    assert "wordllama.as.glove" not in searched()
    assert "wordllama.as.glove" in upgrade(bridged, database, *to, "--dry-run")
    assert "embedded anew: text_50, text_32" in upgrade(bridged, database, *to, "--dry-run")
    assert "No upgrade" in upgrade(bridged, database, "--status")
    assert "use the bridge" in upgrade(bridged, database, *to, "--bridge-only")
    assert "1 text by wordllama.as.glove, 50 dims" in searched()
    assert "queries by the bridge wordllama.as.glove" in upgrade(bridged, database, "--status")
    other = upgrade(bridged, database, "--encoder", "glove2")
    assert "an upgrade of papers.text_50 to wordllama has begun" in other
    assert "papers is embedded by glove again" in upgrade(bridged, database, "--abort")
    assert "wordllama.as.glove" not in searched()
    assert "128 dims" not in searched()


@pytest.mark.nightly
@pytest.mark.usefixtures("no_late_writers")
def test_a_bridge_is_fitted_on_the_collection_and_what_cannot_be_is_refused(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``wordllama`` has no bridge yet: it is fitted, the vectors are embedded anew, and none remains."""
    monkeypatch.setattr(
        bridge_upgrade, "fit_upgrade_bridge", partial(bridge_upgrade.fit_upgrade_bridge, steps=5)
    )
    models = tmp_path / "models"
    shutil.copytree(plain, models)
    database, service = tmp_path / "papers.db", vacant_address()
    with serve_in_process([service], models), closing(MilvusClient(str(database))) as client:
        create(client, service, rows=100)
    to = ("--encoder", "wordllama", "--dims", "128,64")
    assert "no encoder of this name" in upgrade(models, database, "--encoder", "absent").lower()
    assert "are those of this encoder already" in upgrade(models, database, "--encoder", "glove")
    assert "no field of this name" in upgrade(models, database, *to, "--field", "abstract")
    assert "there are 2 columns to upgrade" in upgrade(models, database, *to[:2], "--dims", "64")
    small = upgrade(models, database, *to, "--bridge")
    assert "too few texts to fit a bridge: 100 rows, of 256" in small
    without = upgrade(models, database, *to, "--dry-run")
    assert "1. No bridge: the collection has too few texts" in without
    with serve_in_process([service], models), closing(MilvusClient(str(database))) as client:
        client.load_collection("papers")
        client.insert("papers", [{"id": at, "text": TEXTS[at]} for at in range(100, 300)])
    assert "The bridge wordllama.as.glove is fitted on 300 texts" in upgrade(
        models, database, *to, "--dry-run"
    )
    done = upgrade(models, database, *to, "--keep-old")
    assert "papers has 300 rows with text_50, text_32" in done
    with serve_in_process([service], models), closing(MilvusClient(str(database))) as client:
        client.load_collection("papers")
        check(client, service, "wordllama", dict(enumerate(TEXTS[:300])))
        assert read_status(client, "papers__0") is None


@pytest.mark.usefixtures("no_late_writers")
def test_sql_sets_the_expression_of_an_embedded_column(plain: Path, tmp_path: Path) -> None:
    database, service = tmp_path / "papers.db", vacant_address()
    with serve_in_process([service], plain), closing(MilvusClient(str(database))) as client:
        create(client, service, rows=40)
    with connect(str(database), models=plain) as connection:
        for wrong, cause in (
            ("text SET EXPRESSION AS (EMBED(text, 'wordllama'))", "not generated by EMBED"),
            ("text_50 SET EXPRESSION AS (EMBED(text, 'wordllama'))", "does not offer .* dims: 50"),
            ("text_50 SET EXPRESSION AS (EMBED(absent, 'glove'))", "absent"),
            ("text_50 SET EXPRESSION AS (BM25(text))", "BM25 of a column that EMBED generated"),
            ("text_50 SET EXPRESSION AS (length(text))", "computed by EMBED or BM25"),
        ):
            with pytest.raises(DatabaseError, match=cause):
                connection.execute(f"ALTER TABLE papers ALTER COLUMN {wrong}")
        connection.execute("ALTER TABLE papers DROP COLUMN text_32")
        done = (
            "ALTER TABLE papers ADD COLUMN v VECTOR(64) GENERATED ALWAYS AS (EMBED(text, 'wordllama')) STORED"
        )
        connection.execute(done)
        connection.execute("ALTER TABLE papers DROP COLUMN text_50")
        connection.execute("ALTER TABLE papers ALTER v SET EXPRESSION AS (EMBED(text, 'wordllama'))")
        rows = connection.execute("SELECT id, v FROM papers ORDER BY id").fetchall()
        assert [row[0] for row in rows] == list(range(40))
    with serve_in_process([service], plain):
        request = EmbeddingRequest(service, EmbeddingConfig("wordllama", 64), has_role=False)
        made = embed_vectors(request, TEXTS[:40])
    kept = np.asarray([row[1] for row in rows], np.float32)
    cosines = (kept * made).sum(1) / np.linalg.norm(kept, axis=1) / np.linalg.norm(made, axis=1)
    assert cosines.min() > 0.999


def analyzed_reading(connection: Connection, database: Path) -> str:
    """What ANALYZE chooses for text_50, after a check of its figures against the statements they are of."""
    measured = connection.execute("ANALYZE papers").fetchall()
    readings = {row[7]: row for row in measured if row[0] == "text_50" and row[7] is not None}
    client = MilvusClient(str(database))
    sampled = sample_queries(client, read_table(client, "papers"), "text", ANALYZED)
    assert len(sampled.queries) == ANALYZED
    statement = "SELECT id FROM papers ORDER BY text_50 <=> :query LIMIT 10"
    for name, mode in (("old", "off"), ("fused", "on")):
        connection.execute(f"SET nestvec.dual_reading = '{mode}'")
        shares = []
        for query, key in zip(sampled.queries, sampled.keys, strict=True):
            nearest = [row[0] for row in connection.execute(statement, {"query": query}).fetchall()]
            shares.append(1 / (1 + nearest.index(key)) if key in nearest else 0.0)
        assert readings[name][8] == pytest.approx(sum(shares) / len(shares), abs=1e-4)
        assert readings[name][3] == pytest.approx(sum(map(bool, shares)) / len(shares), abs=1e-4)
    (chosen,) = (name for name, row in readings.items() if row[4])
    assert chosen == max(("old", "fused"), key=lambda name: float(readings[name][8]))
    return chosen


@pytest.mark.usefixtures("no_late_writers")
def test_dual_reading_fuses_the_ranks_of_old_and_new_vectors(
    bridged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same fusion of rankings by numpy, of vectors that the service gives here."""
    monkeypatch.setattr(measure_reading, "QUERIES", ANALYZED)
    database, service = tmp_path / "papers.db", vacant_address()
    request = UpgradeRequest("papers", "wordllama", dims=(128, 64))
    copied: list[int] = []
    with serve_in_process([service], bridged), closing(MilvusClient(str(database))) as client:
        create(client, service, rows=400)
        plan = plan_upgrade(client, request, bridged, bridge="required")
        begin_upgrade(client, plan)
        stopping = ChangeOptions(stop=lambda: bool(copied), advance=copied.append)
        with pytest.raises(StopRequested):
            finish_upgrade(client, plan, stopping)
        status = read_status(client, "papers")
        assert status is not None
        assert status.target == "papers__1"
        keys = [row["id"] for row in client.query("papers__1", filter="", limit=1000, output_fields=["id"])]
        assert 0 < len(keys) < 400
        client.delete("papers", ids=[keys[0], 399])
        query, alive = "open a file and read its lines", [key for key in range(399) if key != keys[0]]

        def ranking(encoder: str, dim: int, rows: list[int]) -> list[int]:
            config = EmbeddingConfig(encoder, dim)
            stored = EmbeddingRequest(service, replace(config, encoder=encoder.rpartition(".")[2]))
            gallery = np.asarray(embed_vectors(stored, [TEXTS[row] for row in rows]))
            target = np.asarray(embed_vectors(EmbeddingRequest(service, config), [query]))[0]
            scores = gallery @ target / np.linalg.norm(gallery, axis=1)
            return [rows[at] for at in np.argsort(-scores, kind="stable")][:50]

        old, new = ranking("wordllama.as.glove", 50, alive), ranking("wordllama", 128, keys)
        scores = dict.fromkeys(alive, 0.0)
        for at, key in enumerate(old):
            scores[key] += (1 if key in keys else 2) / (61 + at)
        for at, key in enumerate(new):
            if key in scores:
                scores[key] += 1 / (61 + at)
        expected = sorted((key for key in alive if scores[key]), key=lambda key: -scores[key])
    with connect(str(database), models=bridged) as connection:
        statement = f"SELECT id FROM papers ORDER BY text_50 <=> '{query}' LIMIT 10"
        plain_ids = [row[0] for row in connection.execute(statement).fetchall()]
        assert plain_ids == old[:10]
        connection.execute("SET nestvec.dual_reading = 'on'")
        assert connection.execute("SHOW nestvec.dual_reading").fetchall() == [("on",)]
        fused = [row[0] for row in connection.execute(statement).fetchall()]
        assert [round(scores[key], 9) for key in fused] == [round(scores[key], 9) for key in expected[:10]]
        assert set(fused) <= set(alive)
        assert fused != plain_ids
        second = connection.execute(f"{statement} OFFSET 5").fetchall()
        assert [row[0] for row in second][:5] == fused[5:]
        # Further keys only order rows of the same score; what DuckDB orders by the distance is not fused.
        by_id = [row[0] for row in connection.execute(statement.replace(" LIMIT", ", id LIMIT")).fetchall()]
        assert [round(scores[key], 9) for key in by_id] == [round(scores[key], 9) for key in expected[:10]]
        assert connection.session.notices.take() == ()
        by_duckdb = connection.execute(statement.replace("SELECT id", "SELECT id, reverse(text)")).fetchall()
        assert [row[0] for row in by_duckdb] == plain_ids
        (notice,) = connection.session.notices.take()
        assert "does not apply to papers.text_50: a statement that DuckDB computes" in notice
        connection.execute("SET nestvec.dual_reading = 'auto'")
        assert [row[0] for row in connection.execute(statement).fetchall()] == plain_ids
        (notice,) = connection.session.notices.take()
        assert "papers.text_50: run ANALYZE papers" in notice
        chosen = analyzed_reading(connection, database)
        connection.execute("SET nestvec.dual_reading = 'auto'")
        by_choice = [row[0] for row in connection.execute(statement).fetchall()]
        assert by_choice == (fused if chosen == "fused" else plain_ids)
        assert connection.session.notices.take() == ()
    with closing(MilvusClient(str(database))) as client:
        client.release_collection("papers__1")
        with connect(str(database), models=bridged) as connection:
            connection.execute("SET nestvec.dual_reading = 'on'")
            # As the session would hold it after an upgrade to another encoder that was stopped.
            tables = connection.session.tables
            tables["papers__1"] = replace(read_table(client, "papers"), name="papers__1")
            assert [row[0] for row in connection.execute(statement).fetchall()] == fused
