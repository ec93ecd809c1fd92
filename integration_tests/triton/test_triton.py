"""The service in front of a real Triton: the same vectors, and faults that pass by themselves."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from integration_tests.fixtures.services import PATIENT

from nestvec.engines.triton import TritonEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import CacheLimits, ServiceSettings
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = sample_texts(200)
BACK_SECONDS = 240.0


@contextmanager
def service(models: Path, url: str, seconds: float = 20.0) -> Iterator[httpx.Client]:
    """A client of the real service with the Triton engine; nothing is remembered between requests."""
    encoders = open_encoders(models)
    engine = TritonEngine({name: models / name for name in encoders}, url=url, seconds=seconds)
    settings = ServiceSettings(cache=CacheLimits(max_bytes=0), load=PATIENT)
    embedder = Embedder(encoders, engine, settings)
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as address,
        httpx.Client(base_url=address, timeout=max(60.0, 1.5 * seconds), trust_env=False) as client,
    ):
        yield client


def vectors(client: httpx.Client, texts: Sequence[str] = TEXTS[:4]) -> Vectors:
    answer = client.post("/embed", json={"inputs": list(texts)})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


def wait_for_vectors(client: httpx.Client, before_retry: Callable[[], None] = lambda: None) -> Vectors:
    """Vectors, once the service answers again; asked for as Milvus would, over and over."""
    end = time.monotonic() + BACK_SECONDS
    while (answer := client.post("/embed", json={"inputs": TEXTS[:4]})).status_code != 200:
        assert answer.status_code in (424, 503, 504), answer.text
        assert time.monotonic() < end, answer.text
        before_retry()
        time.sleep(0.1)
    return np.array(answer.json(), np.float32)


class Traffic:
    """Requests without a pause on a thread, each with texts of its own; collects what was answered."""

    def __init__(self, client: httpx.Client) -> None:
        self.answers: list[tuple[int, Any]] = []
        self._client, self._stop = client, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            texts = [f"{text} {len(self.answers)}" for text in TEXTS[:16]]
            answer = self._client.post("/embed", json={"inputs": texts})
            self.answers.append((answer.status_code, answer.json()))

    def wait_for(self, more: int) -> None:
        """Until ``more`` further answers are in."""
        wanted = len(self.answers) + more
        while len(self.answers) < wanted:
            assert self._thread.is_alive(), "a request was not answered at all"
            time.sleep(0.01)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def negated(source: Path, target: Path) -> None:
    """A version that can be told from the first: its vectors point the other way."""
    model = onnx.load(source)
    output = model.graph.output[0].name
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            if name == output:
                node.output[at] = "positive"
    model.graph.node.append(onnx.helper.make_node("Neg", ["positive"], [output], name="negate"))
    target.parent.mkdir()
    onnx.save(model, target)


def test_vectors_are_the_embedded_engines(models: Path, triton: Any) -> None:
    triton.start(models)
    with service(models, triton.url, seconds=BACK_SECONDS) as client:
        through = vectors(client, TEXTS)
    embedder = open_embedder(models, (), ServiceSettings(load=PATIENT))
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as address,
        httpx.Client(base_url=address, timeout=BACK_SECONDS, trust_env=False) as client,
    ):
        embedded = vectors(client, TEXTS)
    assert cosines(through, embedded).min() > 0.99999
    np.testing.assert_allclose(through, embedded, atol=1e-5)


def test_a_killed_triton_fails_what_it_held_and_answers_when_it_is_back(models: Path, triton: Any) -> None:
    with service(models, triton.url) as client:
        before = client.post("/embed", json={"inputs": "early"})
        assert before.status_code == 503
        assert f"Triton at {triton.url} does not answer for minilm" in before.json()["error"]
        triton.start(models)
        expected = wait_for_vectors(client)
        with Traffic(client) as traffic:
            traffic.wait_for(2)
            triton.kill()
            traffic.wait_for(3)
            triton.start(models)
            assert cosines(wait_for_vectors(client), expected).min() > 0.99999
            traffic.wait_for(2)
    statuses = [status for status, _ in traffic.answers]
    assert (statuses[0], statuses[-1]) == (200, 200)
    failed = [body for status, body in traffic.answers if status != 200]
    assert set(statuses) <= {200, 424, 503}
    assert failed
    for body in failed:
        assert triton.url in body["error"]
        assert "minilm" in body["error"]
        assert body["error"].endswith(".")


def test_a_triton_that_stands_still_meets_the_deadline(models: Path, triton: Any) -> None:
    triton.start(models)
    with service(models, triton.url, seconds=1.0) as client:
        expected = wait_for_vectors(client)  # the first one may take longer than a second
        triton.signal(signal.SIGSTOP)
        late = client.post("/embed", json={"inputs": "late"})
        triton.signal(signal.SIGCONT)
        assert late.status_code == 504
        assert "did not answer in time for 1 inputs with minilm: 1 s" in late.json()["error"]
        after = wait_for_vectors(client, lambda: triton.start_again_if_ended(models))
        assert cosines(after, expected).min() > 0.99999


def test_versions_come_and_go_under_traffic(repository: Path, triton: Any) -> None:
    folder = repository / "minilm"
    triton.start(repository, control="explicit")
    with service(repository, triton.url) as client:
        absent = client.post("/embed", json={"inputs": "early"})
        assert absent.status_code == 503
        assert f"Triton at {triton.url} does not serve minilm" in absent.json()["error"]
        assert triton.ask("load", "minilm").status_code == 200
        first = vectors(client)
        with Traffic(client) as traffic:
            traffic.wait_for(2)
            negated(folder / GRAPH, folder / "2" / "model.onnx")
            assert triton.ask("load", "minilm").status_code == 200
            assert cosines(vectors(client), first).max() < -0.99999
            traffic.wait_for(2)
            (folder / "3").mkdir()
            (folder / "3" / "model.onnx").write_bytes(b"no graph")
            assert triton.ask("load", "minilm").status_code == 400
            assert cosines(vectors(client), first).max() < -0.99999
            traffic.wait_for(2)
            shutil.rmtree(folder / "3")
            shutil.rmtree(folder / "2")
            assert triton.ask("load", "minilm").status_code == 200
            assert cosines(vectors(client), first).min() > 0.99999
            traffic.wait_for(2)
        assert {status for status, _ in traffic.answers} == {200}
        assert triton.ask("unload", "minilm").status_code == 200
        gone = client.post("/embed", json={"inputs": "late"})
        assert gone.status_code == 503
        assert "load minilm there" in gone.json()["error"]
        assert triton.ask("load", "minilm").status_code == 200
        assert cosines(vectors(client), first).min() > 0.99999


def test_a_triton_with_another_repository_says_what_is_missing(
    models: Path, repository: Path, triton: Any
) -> None:
    other = repository / "minilm"
    config = (other / "config.pbtxt").read_text().replace('name: "minilm"', 'name: "other"')
    (other / "config.pbtxt").write_text(config)
    other.rename(repository / "other")
    with service(models, triton.url) as client:
        triton.start(models)
        assert vectors(client).shape == (4, 384)
        triton.kill()
        triton.start(repository)
        answer = client.post("/embed", json={"inputs": "text"})
        while "does not answer" in answer.text:
            answer = client.post("/embed", json={"inputs": "text"})
        assert answer.status_code == 503
        assert "does not serve minilm" in answer.json()["error"]
        assert "Point it at the model repository that nestvec serves from" in answer.json()["error"]


@pytest.mark.parametrize("gone", ["config.pbtxt", "1"])
def test_an_encoder_that_triton_cannot_load_does_not_take_the_others_down(
    repository: Path, triton: Any, gone: str
) -> None:
    broken = Path(shutil.copytree(repository / "minilm", repository / "broken"))
    config = broken / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "minilm"', 'name: "broken"'))
    shutil.rmtree(broken / gone) if gone == "1" else config.write_text("no config")
    manifest = json.loads((broken / "encoder.json").read_text())
    (broken / "encoder.json").write_text(json.dumps({**manifest, "name": "broken"}))
    triton.start(repository)
    with service(repository, triton.url) as client:
        assert client.post("/embed?encoder=minilm", json={"inputs": "a"}).status_code == 200
        answer = client.post("/embed?encoder=broken", json={"inputs": "a"})
        assert answer.status_code == 503
        assert "does not serve broken" in answer.json()["error"]
