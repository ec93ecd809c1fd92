"""A pool of workers whose results are in order, by a stand-in for Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nestvec.bulk.on_ray import RayOptions
from nestvec.bulk.ordered_pool import OrderedPool
from nestvec_schemas.errors import EngineError, IngestError


class ActorLost(Exception):
    """As Ray's RayActorError."""


class FakeRay:
    """Runs the last call first; a worker is lost where ``is_lost`` says so of a call's value."""

    def __init__(self, cpus: float = 3.0, is_lost: Callable[[Any], bool] = lambda value: False) -> None:
        self.is_lost, self.cpus = is_lost, cpus
        self.started: list[Any] = []
        self.killed: list[Any] = []
        self.most_calls = 0
        lost = type("RayError", (Exception,), {})
        self.exceptions = SimpleNamespace(
            RayError=lost, RayActorError=ActorLost, ObjectLostError=type("ObjectLostError", (lost,), {})
        )

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": self.cpus}}]

    def remote(self, **options: Any) -> Callable[[type], Any]:
        return lambda kind: SimpleNamespace(remote=lambda *arguments: self._start(kind(*arguments)))

    def _start(self, actor: Any) -> Any:
        worker = FakeWorker(actor)
        self.started.append(worker)
        return worker

    def wait(self, calls: list[Any], timeout: float | None) -> tuple[list[Any], list[Any]]:
        self.most_calls = max(self.most_calls, len(calls))
        return calls[-1:], calls[:-1]

    def get(self, call: Any) -> Any:
        worker, name, values = call
        if worker in self.killed or self.is_lost(values[0] if values else None):
            self.killed.append(worker)
            raise ActorLost("The actor died.")
        return getattr(worker.actor, name)(*values)

    def kill(self, worker: Any) -> None:
        self.killed.append(worker)


class FakeWorker:
    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.ready = SimpleNamespace(remote=lambda: (self, "ready", ()))
        self.run = SimpleNamespace(remote=lambda value: (self, "run", (value,)))


def open_double(threads: int, device: str) -> Callable[[int], int]:
    def double(value: int) -> int:
        if value < 0:
            raise EngineError("a negative number", value=value, next_step=f"{threads} {device}")
        return 2 * value

    return double


def mapped(ray: FakeRay, values: Iterator[int], **options: Any) -> list[int]:
    return list(OrderedPool(ray, RayOptions("local", **options)).map(open_double, values))


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_are_in_order_and_no_more_workers_start_than_there_are_values(count: int) -> None:
    ray = FakeRay()
    assert mapped(ray, iter(range(count)), cpus=1) == [2 * value for value in range(count)]
    assert len(ray.started) == min(count, 3)
    assert set(ray.started) == set(ray.killed)
    assert ray.most_calls <= 6


def test_few_values_are_read_ahead() -> None:
    read: list[int] = []

    def values() -> Iterator[int]:
        for value in range(100):
            read.append(value)
            yield value

    ray = FakeRay()
    results = OrderedPool(ray, RayOptions("local", cpus=1)).map(open_double, values())
    for number, result in enumerate(results):
        assert result == 2 * number
        assert len(read) <= number + 1 + 4 * 3
    assert len(read) == 100


def test_an_abandoned_job_ends_its_workers() -> None:
    ray = FakeRay()
    results = OrderedPool(ray, RayOptions("local", cpus=1)).map(open_double, iter(range(9)))
    assert next(results) == 0
    results.close()
    assert set(ray.started) == set(ray.killed)


def test_workers_that_are_lost_are_replaced_and_their_values_computed_again() -> None:
    lost: list[int] = []

    def is_lost(value: int | None) -> bool:
        if value in (3, 17, None) and lost.count(value or 0) < 3:
            lost.append(value or 0)
            return True
        return False

    ray = FakeRay(is_lost=is_lost)
    assert mapped(ray, iter(range(40)), cpus=1) == [2 * value for value in range(40)]
    assert sorted(lost) == [0] * 3 + [3] * 3 + [17] * 3
    assert set(ray.started) == set(ray.killed)


def test_a_job_ends_without_a_worker_for_which_there_is_no_room() -> None:
    ray = FakeRay()
    wait = ray.wait

    def wait_for_the_first(calls: list[Any], timeout: float | None) -> tuple[list[Any], list[Any]]:
        answering = [call for call in calls if call[0] is ray.started[0]]
        assert answering, "it waits for a worker that never starts"
        return wait(answering, timeout)

    ray.wait = wait_for_the_first  # type: ignore[method-assign]
    assert mapped(ray, iter(range(9)), cpus=1) == [2 * value for value in range(9)]
    assert len(ray.started) == 3
    assert set(ray.started) == set(ray.killed)


@pytest.mark.parametrize(("value", "what"), [(7, "on the same texts"), (None, "at their start")])
def test_a_value_that_no_worker_survives_is_an_error(value: int | None, what: str) -> None:
    ray = FakeRay(is_lost=lambda number: number == value)
    with pytest.raises(EngineError, match=rf"6 workers were lost {what}: The actor died\."):
        mapped(ray, iter(range(40)), cpus=1)
    assert set(ray.started) == set(ray.killed)


def test_an_error_in_a_worker_is_raised_as_it_is() -> None:
    with pytest.raises(EngineError, match=r"a negative number: -5\. 2 cpu"):
        mapped(FakeRay(), iter([1, -5, 2]), cpus=2)


def test_a_cluster_without_room_is_an_error() -> None:
    ray = FakeRay()
    ray.wait = lambda calls, timeout: ([], calls)  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="no worker has started on the Ray cluster: 600 s"):
        mapped(ray, iter([1]))
    with pytest.raises(IngestError, match="no node of the Ray cluster has what a worker needs"):
        mapped(FakeRay(cpus=1), iter([1]), cpus=2)
