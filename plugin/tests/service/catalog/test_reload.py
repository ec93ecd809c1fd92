from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.engines.factory import MemoryLimits
from nestvec.engines.onnx import OnnxEngine
from nestvec.service.batching.runner import BatchRunner
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.catalog.reload import Reloader
from nestvec.service.catalog.repository import ServedRepository
from nestvec.service.catalog.residency import Residency
from nestvec.service.embedder import Embedder
from nestvec.service.operation.declared_options import DeclaredOptions
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import AccessSettings, ServiceSettings
from nestvec_schemas.errors import AliasInvalid, EngineError, ServiceError
from nestvec_schemas.repository import GRAPH, MANIFEST, TOKENIZER, sha256
from nestvec_schemas.towers import MAIN_PART

from .conftest import WriteVersion, vector_of, version_of

RELOADS = 50
ADMIN = {"authorization": "Bearer operator-key"}


@dataclass
class Running:
    """A service over a repository that changes."""

    models: Path
    embedder: Embedder
    client: httpx.Client
    aliases: dict[str, str] = field(default_factory=dict)

    def embed(self, texts: list[str], encoder: str | None = None) -> list[list[float]]:
        params = {} if encoder is None else {"encoder": encoder}
        answer = self.client.post("/embed", json={"inputs": texts}, params=params)
        assert answer.status_code == 200, answer.text
        vectors: list[list[float]] = answer.json()
        return vectors

    def reload(self, status: int = 200) -> dict[str, Any]:
        answer = self.client.post("/admin/reload", headers=ADMIN)
        assert answer.status_code == status, answer.text
        report: dict[str, Any] = answer.json()
        return report


@pytest.fixture
def running(tmp_path: Path, write_version: WriteVersion) -> Iterator[Running]:
    write_version(1)
    (tmp_path / "admin.txt").write_text("operator-key\n")
    (tmp_path / "admin.txt").chmod(0o600)
    settings = ServiceSettings(access=AccessSettings(admin_keys=tmp_path / "admin.txt"))
    aliases: dict[str, str] = {}
    embedder = open_embedder(
        tmp_path / "models", (), settings, declared=lambda: DeclaredOptions(dict(aliases))
    )
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as service,
        httpx.Client(base_url=service, timeout=60) as client,
    ):
        yield Running(tmp_path / "models", embedder, client, aliases)


def test_what_is_new_is_added_what_changed_is_replaced_what_is_gone_is_removed(
    running: Running, write_version: WriteVersion
) -> None:
    write_version(1, "goes")
    assert running.reload()["added"] == ["goes"]
    assert running.embed(["w5 w6"], "goes") == [vector_of("w5 w6", 1)]
    write_version(2)
    write_version(1, "comes")
    shutil.rmtree(running.models / "goes")
    report = running.reload()
    assert report | {"aliases": {}} == {
        "added": ["comes"],
        "replaced": ["tiny"],
        "removed": ["goes"],
        "failed": [],
        "notes": {},
        "aliases": {},
        "options": [],
        "needs_restart": [],
    }
    assert running.embed(["w5 w6"], "tiny") == [vector_of("w5 w6", 2)]
    assert running.embed(["w5 w6"], "comes") == [vector_of("w5 w6", 1)]
    assert running.client.post("/embed?encoder=goes", json={"inputs": "w1"}).status_code == 404
    assert set(running.client.get("/info").json()["encoders"]) == {"comes", "tiny"}


def test_a_tokenizer_that_did_not_change_is_not_read_again(
    running: Running, write_version: WriteVersion
) -> None:
    def replace(version: int, checksum: str) -> object:
        folder = write_version(version)
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][TOKENIZER] = checksum or sha256(folder / TOKENIZER)
        (folder / MANIFEST).write_text(json.dumps(manifest))
        running.reload(409 if checksum else 200)
        assert running.embed(["w5 w6"]) == [vector_of("w5 w6", version if not checksum else version - 1)]
        return running.embedder.encoders["tiny"].tokenizer

    first, second = replace(2, ""), replace(3, "")
    assert second is first
    assert replace(4, "0" * 64) is first, "refused: its file is not the listed one"


def test_what_replaces_an_encoder_is_taken_to_be_as_fast(
    running: Running, write_version: WriteVersion
) -> None:
    def runner() -> BatchRunner:
        return running.embedder.encoders.instance("tiny").runners[MAIN_PART]

    before = runner()
    waiting = 20 * round(before.speed.recent or 0)
    write_version(2)
    assert running.reload()["replaced"] == ["tiny"]
    after = runner()
    assert after is not before
    assert after.speed.recent == before.speed.recent
    after.admission.shares.total = waiting
    assert after.admission.retry_after == 20, "told by the same speed"


def test_what_did_not_change_is_not_opened_again(running: Running) -> None:
    before = running.embedder.encoders.instances
    assert running.reload()["replaced"] == []
    assert running.embedder.encoders.instances == before


def test_a_connection_that_had_a_large_body_sees_the_new_encoder(
    running: Running, write_version: WriteVersion
) -> None:
    """To read such a body, the server stops reading and goes on in the request's own context."""
    instances = [running.embedder.encoders.instance("tiny")]
    for version in (2, 3):
        texts = [f"w{number} " + "w1 " * 10_000 for number in range(40)]
        assert {row[2] for row in running.embed(texts)} == {version - 1}
        write_version(version)
        assert running.reload()["replaced"] == ["tiny"]
        assert running.embed(["w5 w6"]) == [vector_of("w5 w6", version)]
        instances.append(running.embedder.encoders.instance("tiny"))
    assert [instance.resident for instance in instances] == [False, False, True]


def test_what_outlives_its_block_sees_the_newest_version(running: Running) -> None:
    catalog = running.embedder.encoders

    async def main() -> None:
        with catalog.pinned():
            assert len(catalog) == 1
            late = asyncio.create_task(look_later())
        before = catalog.instances
        catalog.replace([], {})
        assert await late == 0
        catalog.replace(before, {})

    async def look_later() -> int:
        await asyncio.sleep(0)
        with catalog.pinned():
            return len(catalog)

    catalog.on_retired = None
    asyncio.run(main())


def test_a_stream_of_requests_during_reloads(running: Running, write_version: WriteVersion) -> None:
    seen: set[int] = set()
    done = threading.Event()
    failures: list[BaseException] = []

    def stream(numbers: Iterator[int]) -> None:
        try:
            with httpx.Client(base_url=running.client.base_url, timeout=60) as client:
                while not done.is_set():
                    texts = [f"w{next(numbers) % 900} w{at}" for at in range(4)]
                    answer = client.post("/embed", json={"inputs": texts})
                    assert answer.status_code == 200, answer.text
                    seen.add(version_of(texts, answer.json()))
        except BaseException as error:
            failures.append(error)

    numbers = itertools.count()
    threads = [threading.Thread(target=stream, args=(numbers,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, RELOADS + 2):
        write_version(version)
        assert running.reload()["replaced"] == ["tiny"]
        # The new one answers afterwards.
        assert running.embed([f"w{version} w1"]) == [vector_of(f"w{version} w1", version)]
    done.set()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len(seen) > RELOADS // 2, "requests ran all the time"
    metrics = running.client.get("/metrics").text
    assert f'nestvec_encoder_unloads_total{{encoder="tiny",reason="replaced"}} {RELOADS}.0' in metrics
    assert "nestvec_encoders_loaded 1.0" in metrics


@pytest.mark.parametrize(
    "damage", ["graph", "manifest", "deep manifest", "no graph", "tokenizer", "no tokenizer"]
)
def test_a_broken_export_leaves_the_old_one(
    running: Running, write_version: WriteVersion, damage: str
) -> None:
    folder = write_version(2)
    if damage == "graph":
        (folder / GRAPH).write_bytes(b"\0" * 100)
    elif damage == "manifest":
        (folder / MANIFEST).write_text("{")
    elif damage == "deep manifest":
        (folder / MANIFEST).write_text("[" * 100_000)
    elif damage == "tokenizer":
        (folder / TOKENIZER).write_text('{"model": ')
    else:
        (folder / (GRAPH if damage == "no graph" else TOKENIZER)).unlink()
    write_version(1, "sound")
    report = running.reload(409)
    assert report["added"] == ["sound"]
    (failure,) = report["failed"]
    assert failure["name"] == "tiny"
    assert "Export the encoder again" in failure["error"]
    assert running.embed(["w5 w6"], "tiny") == [vector_of("w5 w6", 1)]
    write_version(3)
    assert running.reload()["replaced"] == ["tiny"]
    assert running.embed(["w5 w6"], "tiny") == [vector_of("w5 w6", 3)]


def test_an_empty_repository_leaves_all(running: Running) -> None:
    shutil.rmtree(running.models / "tiny")
    assert "no encoder in the model repository" in str(running.reload(409)["failed"])
    assert running.embed(["w5 w6"]) == [vector_of("w5 w6", 1)]


def test_two_versions_and_an_alias_that_is_switched(running: Running, write_version: WriteVersion) -> None:
    write_version(1, "mini:1")
    write_version(2, "mini:2")
    running.reload()
    path = "/admin/aliases"
    both = {"mini": "mini:1", "text-embedding-3-small": "tiny"}
    first = running.client.post(path, json=both, headers=ADMIN)
    assert first.json() == both
    for name in ("mini:1", "mini"):
        assert running.embed(["w5 w6"], name) == [vector_of("w5 w6", 1)]
    assert running.embed(["w5 w6"], "mini:2") == [vector_of("w5 w6", 2)]
    switched = running.client.post(
        path, json={"mini": "mini:2", "text-embedding-3-small": None}, headers=ADMIN
    )
    assert switched.json() == {"mini": "mini:2"} == running.client.get(path, headers=ADMIN).json()
    assert running.embed(["w5 w6"], "mini") == [vector_of("w5 w6", 2)]
    assert running.client.get("/info").json()["aliases"] == {"mini": "mini:2"}
    body = {"model": "mini:1", "input": "w5 w6"}
    answer = running.client.post("/v1/embeddings", json=body).json()
    assert answer["data"][0]["embedding"] == vector_of("w5 w6", 1)
    body = {"model": "mini", "input": "w5 w6"}
    answer = running.client.post("/v1/embeddings", json=body).json()
    assert answer["data"][0]["embedding"] == vector_of("w5 w6", 2)


def test_a_runtime_switch_outlives_a_reload_unless_the_declaration_changed(
    running: Running, write_version: WriteVersion
) -> None:
    write_version(2, "second")
    running.aliases["small"] = "tiny"
    assert running.reload()["aliases"] == {"small": "tiny"}
    running.client.post("/admin/aliases", json={"small": "second"}, headers=ADMIN)
    assert running.reload()["aliases"] == {"small": "second"}
    running.aliases["large"] = "tiny"
    assert running.reload()["aliases"] == {"small": "tiny", "large": "tiny"}


def test_an_alias_that_would_lose_its_encoder_stops_the_reload(
    running: Running, write_version: WriteVersion
) -> None:
    write_version(2, "second")
    running.reload()
    running.client.post("/admin/aliases", json={"small": "second"}, headers=ADMIN)
    shutil.rmtree(running.models / "second")
    write_version(3)
    answer = running.client.post("/admin/reload", headers=ADMIN)
    assert answer.status_code == 422
    assert "no encoder for the alias small: second" in answer.json()["error"]
    assert running.embed(["w5 w6"], "tiny") == [vector_of("w5 w6", 1)], "nothing has changed"
    assert running.embed(["w5 w6"], "small") == [vector_of("w5 w6", 2)]


class RemoteGraphs(OnnxEngine):
    """Graphs in this process that are loaded as those of a server are: a load replaces what is there."""

    def __init__(self) -> None:
        super().__init__({})
        self.calls: list[str] = []
        self.fails = ""

    async def load(self, encoder: str, generation: int = 0) -> None:
        self.calls.append(f"load {encoder}")
        if encoder == self.fails:
            raise EngineError("the graph cannot be loaded", next_step="Export it again.")

    async def ready(self, encoder: str) -> bool:
        return encoder != self.fails

    async def unload(self, encoder: str, parts: Sequence[str]) -> None:
        self.calls.append(f"unload {encoder}")

    async def answers(self) -> bool:
        return True


@pytest.mark.parametrize("fails", ["", "second"])
def test_a_remote_engine_replaces_no_graph_unless_all_else_holds(
    write_version: WriteVersion, tmp_path: Path, fails: str
) -> None:
    write_version(1)
    repository, engine = ServedRepository(tmp_path / "models"), RemoteGraphs()
    instance = repository.read("tiny")
    embedder = Embedder(EncoderCatalog([instance], {}), engine, ServiceSettings())
    embedder.residency = Residency(engine, MemoryLimits())
    embedder.residency.open_now(instance)
    reloader = Reloader(embedder, repository, engine)
    write_version(2)
    write_version(2, "first")
    if fails:
        write_version(2, fails)
    engine.fails = fails

    async def work() -> None:
        embedder.start()
        with pytest.raises(AliasInvalid, match="no encoder for the alias small"):
            await reloader.reload({"small": "second"})
        assert [*embedder.encoders] == ["tiny"]
        assert embedder.encoders.instance("tiny") is instance
        while reloader._background:
            await asyncio.gather(*reloader._background)
        assert engine.calls == (["load first", "load second", "unload first"] if fails else [])
        engine.calls.clear()
        changes = await reloader.reload({"small": "first"})
        assert (changes.added, changes.replaced) == (["first"], ["tiny"])
        assert engine.calls[-1] == "load tiny"
        await embedder.close()

    asyncio.run(work())


def test_two_encoders_with_vectors_under_one_name_stop_the_reload(
    running: Running, write_version: WriteVersion
) -> None:
    path = write_version(2, "both") / MANIFEST
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({**manifest, "outputs": {"sparse": 1000}}))
    write_version(3, "both.sparse")
    write_version(4)
    answer = running.client.post("/admin/reload", headers=ADMIN)
    assert answer.status_code == 500
    assert "the encoders both and both.sparse both have vectors under one name" in answer.json()["error"]
    assert running.embed(["w5 w6"]) == [vector_of("w5 w6", 1)], "nothing has changed"
    with pytest.raises(ServiceError, match=r"under one name: both\.sparse"):
        open_embedder(running.models, (), ServiceSettings())


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"tiny": "tiny"}, 422, "already has the alias's name: tiny"),
        ({"a": "b", "b": "tiny"}, 422, "the alias a stands for the alias b, not for an encoder"),
        ({"a": "b", "b": "a"}, 422, "stands for the alias"),
        ({"a": "a"}, 422, "the alias a stands for itself"),
        ({"a": "tinny"}, 422, "Did you mean 'tiny'?"),
        ({"a b": "tiny"}, 422, "cannot have this name: a b"),
        ({"a": 1}, 422, "does not map aliases to encoders"),
        (["a"], 422, "does not map aliases to encoders"),
        ({"x" * 100_000: "tiny"}, 422, "does not map aliases to encoders"),
    ],
)
def test_aliases_that_are_refused(running: Running, body: object, status: int, message: str) -> None:
    answer = running.client.post("/admin/aliases", json=body, headers=ADMIN)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert len(answer.content) < 2000
    assert running.client.get("/admin/aliases", headers=ADMIN).json() == {}


@pytest.mark.parametrize("key", [None, "Bearer other", "Basic operator-key"])
def test_an_admin_path_needs_an_admin_key(running: Running, key: str | None) -> None:
    headers = {} if key is None else {"authorization": key}
    for method, path in (("POST", "/admin/reload"), ("GET", "/admin/aliases"), ("POST", "/admin/aliases")):
        answer = running.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["error_type"]) == (401, "Unauthorized")


def test_without_admin_keys_there_is_no_admin_path(service: str) -> None:
    assert httpx.post(f"{service}/admin/reload", headers=ADMIN).status_code == 404
    assert httpx.get(f"{service}/admin/aliases", headers=ADMIN).status_code == 404
