"""The graph of an export in workers, by a stand-in for Ray's objects."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nestvec.bulk import graph_batches
from nestvec.bulk.graph_batches import OpenGraph, RayBatches
from nestvec_schemas.errors import EngineError


@dataclass(frozen=True)
class FileGraph:
    """Answers with the content of its files, and how it was opened."""

    graph: Path

    def open(self, graph: Path, threads: int = 0, device: str = "auto") -> Callable[[Any], Any]:
        weights = graph.with_name("weights").read_bytes()
        content = graph.read_bytes() + weights
        return lambda batch: (batch, content, graph.parent, threads, device)


class HerePool:
    """Opens what workers open in this process, after ``before``; what is put is held by number."""

    def __init__(self, host: str, before: Callable[[], None]) -> None:
        self.objects: list[bytes] = []
        self.before = before
        nodes = [{"Alive": True, "NodeManagerHostname": host}, {"Alive": False, "NodeManagerHostname": "x"}]
        self.ray = SimpleNamespace(nodes=lambda: nodes, put=self._put)

    def _put(self, content: bytes) -> int:
        self.objects.append(content)
        return len(self.objects) - 1

    def map(self, open_worker: OpenGraph, values: Iterator[Any]) -> Iterator[Any]:
        self.before()
        return map(open_worker(2, "cpu"), values)


@pytest.fixture
def graph(tmp_path: Path) -> FileGraph:
    (tmp_path / "graph.onnx").write_bytes(b"a graph")
    (tmp_path / "weights").write_bytes(b" and weights")
    return FileGraph(tmp_path / "graph.onnx")


def run(pool: Any, graph: FileGraph) -> list[Any]:
    return list(RayBatches(pool)(graph, iter([1, 2])))


def test_workers_of_this_machine_open_the_file_itself(graph: FileGraph) -> None:
    pool = HerePool(socket.gethostname(), lambda: None)
    folder = graph.graph.parent
    assert run(pool, graph) == [(n, b"a graph and weights", folder, 2, "cpu") for n in (1, 2)]
    assert not pool.objects


@pytest.mark.parametrize("change", ["absent", "other"])
def test_other_machines_open_a_copy_that_is_removed(
    graph: FileGraph, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_batches, "_PIECE_BYTES", 5)

    def on_another_machine() -> None:
        for path in graph.graph.parent.iterdir():
            path.unlink() if change == "absent" else path.write_bytes(b"other")

    pool = HerePool("another", on_another_machine)
    monkeypatch.setattr(graph_batches, "_get", lambda reference: pool.objects[reference])
    answers = run(pool, graph)
    assert [answer[1] for answer in answers] == [b"a graph and weights"] * 2
    copy = answers[0][2]
    assert copy != graph.graph.parent
    assert not copy.exists()
    assert max(map(len, pool.objects)) == 5


def test_a_machine_of_a_cluster_with_the_same_folder_copies_nothing(graph: FileGraph) -> None:
    pool = HerePool("another", lambda: None)
    assert [answer[2] for answer in run(pool, graph)] == [graph.graph.parent] * 2


def test_a_machine_without_room_is_an_error(graph: FileGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(reference: int) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(graph_batches, "_get", full)
    pool = HerePool("another", lambda: graph.graph.unlink())
    with pytest.raises(EngineError, match=r"a worker cannot copy the graph: .*: No space left on device"):
        run(pool, graph)
