"""Which tasks the actors of a pool have, by a stand-in for Ray."""

from __future__ import annotations

import gc
import os
import pickle
import platform
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from plugin.tests.bulk.conftest import MakeWork

from nestvec.bulk.actor_pool import _Worker, run_tasks
from nestvec.bulk.manifest import TaskRecord
from nestvec.bulk.on_ray import RayOptions
from nestvec.bulk.plan import Task
from nestvec.bulk.task import Work
from nestvec.engines.factory import EngineOptions
from nestvec_schemas.errors import IngestError

TASKS = [Task(number=number, address="rows.jsonl", start=0, rows=2, first=0) for number in range(7)]


class LostActorError(Exception):
    pass


@dataclass
class FakeActor:
    """Its calls; they are finished by ``FakeRay.wait``."""

    number: int
    calls: list[tuple[FakeActor, str]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if name not in ("ready", "run"):
            raise AttributeError(name)

        def call(*arguments: str) -> tuple[FakeActor, str]:
            reference = (self, *(arguments or ("",)))
            self.calls.append(reference)  # type: ignore[arg-type]
            return reference  # type: ignore[return-value]

        return type("Method", (), {"remote": staticmethod(call)})()

    def __hash__(self) -> int:
        return self.number


@dataclass
class FakeRay:
    """A node of ``cpus`` and of ``memory``, whose actors finish their calls in turns; the tasks of
    ``failures`` fail, and the actors ``absent`` never start."""

    cpus: int
    failures: dict[int, Exception] = field(default_factory=dict)
    absent: frozenset[int] = frozenset()
    memory: float | None = None
    actors: list[FakeActor] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    killed: Counter[int] = field(default_factory=Counter)
    most: int = 0
    patient_waits: int = 0

    class exceptions:
        RayError = LostActorError

    def nodes(self) -> list[dict[str, Any]]:
        memory = {} if self.memory is None else {"memory": self.memory}
        return [{"Alive": True, "Resources": {"CPU": float(self.cpus), **memory}}]

    def remote(self, **options: Any) -> Callable[[type], Any]:
        assert options["max_restarts"] == -1
        assert options["max_task_retries"] > 0

        def decorate(kind: type) -> Any:
            def make(work: Work) -> FakeActor:
                self.threads.append(work.engine.options.threads)
                self.actors.append(FakeActor(len(self.actors)))
                return self.actors[-1]

            return type("Actor", (), {"remote": staticmethod(make)})

        return decorate

    def wait(self, references: list[Any], timeout: float | None) -> tuple[list[Any], list[Any]]:
        self.most = max([self.most, *(len(actor.calls) for actor in self.actors)])
        if timeout == 0:
            return [], references
        self.patient_waits += 1
        present = [actor for actor in self.actors if actor.number not in self.absent]
        if not present:
            assert timeout is not None, "nothing would ever end this wait"
            return [], references
        actor = max(present, key=lambda actor: (len(actor.calls), -actor.number))
        finished = actor.calls.pop(0)
        assert finished in references
        return [finished], [each for each in references if each is not finished]

    def get(self, reference: tuple[FakeActor, str]) -> tuple[str, bytes]:
        _, task = reference
        if not task:
            return "", b""
        number = Task.model_validate_json(task).number
        failure = self.failures.get(number)
        if isinstance(failure, LostActorError):
            raise failure
        if failure is not None:
            return "", pickle.dumps(failure)
        return TaskRecord(task=TASKS[number], files=(), rows=2, rejected=0).model_dump_json(), b""

    def kill(self, actor: FakeActor) -> None:
        self.killed[actor.number] += 1


@pytest.mark.parametrize(
    ("cpus", "memory", "threads"),
    [
        (2, None, [1, 1]),
        (2, 6000.0, [1, 1]),
        (2, 5999.0, [2]),
        (3, 9000.0, [1, 1, 1]),
        (3, 8999.0, [3]),
        (5, 6000.0, [2, 2]),
    ],
)
def test_a_machine_has_two_workers_where_their_engines_have_room(
    make_work: MakeWork, cpus: int, memory: float | None, threads: list[int]
) -> None:
    work = make_work()
    folder = work.engine.models / "tiny"
    folder.mkdir(parents=True)
    (folder / "encoder.json").write_bytes(bytes(1000))
    ray = FakeRay(cpus=cpus, memory=memory)
    assert len(list(run_tasks(ray, work, TASKS, RayOptions()))) == len(TASKS)
    assert ray.threads == threads


@pytest.mark.parametrize(("tasks", "workers"), [(7, 1), (7, 3), (2, 3), (3, 3), (1, 1)])
def test_every_task_is_run_by_workers_that_have_two(make_work: MakeWork, tasks: int, workers: int) -> None:
    ray = FakeRay(cpus=4 * workers)
    records = list(run_tasks(ray, make_work(), TASKS[:tasks], RayOptions(cpus=4)))
    assert sorted(record.task.number for record in records if record) == list(range(tasks))
    assert None not in records
    # As many tasks as workers are one for each.
    assert (len(ray.actors), ray.most) == (min(tasks, workers), 2 if tasks > workers else 1)
    assert set(ray.killed) == set(range(len(ray.actors)))


def test_a_worker_without_a_place_has_no_tasks(make_work: MakeWork) -> None:
    ray = FakeRay(cpus=8, absent=frozenset({0}))
    records = list(run_tasks(ray, make_work(), TASKS, RayOptions()))
    assert [record and record.task.number for record in records] == list(range(7))
    assert [len(actor.calls) for actor in ray.actors] == [1, 0]
    assert set(ray.killed) == {0, 1}


def test_a_caller_may_stop_a_job_whose_workers_find_no_place(make_work: MakeWork) -> None:
    ray = FakeRay(cpus=8, absent=frozenset({0, 1}))
    records = run_tasks(ray, make_work(), TASKS, RayOptions())
    assert [next(records) for _ in range(3)] == [None] * 3
    records.close()
    assert set(ray.killed) == {0, 1}


def test_a_busy_caller_does_not_wait(make_work: MakeWork) -> None:
    ray, busy = FakeRay(cpus=1), [True, False, True, False, False]
    records = list(run_tasks(ray, make_work(), TASKS[:2], RayOptions(), lambda: busy.pop(0)))
    assert [record and record.task.number for record in records] == [None, None, 0, 1]
    assert ray.patient_waits == 3


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (IngestError("the text is odd", next_step="Repair it."), "the text is odd"),
        (
            LostActorError("first line\nthe node is gone"),
            "a worker failed on a task, or was lost.*the node is gone",
        ),
    ],
)
def test_the_error_of_a_task_ends_the_workers(make_work: MakeWork, failure: Exception, message: str) -> None:
    ray = FakeRay(cpus=8, failures={1: failure})
    records = run_tasks(ray, make_work(), TASKS, RayOptions())
    with pytest.raises(IngestError, match=message):
        list(records)
    assert set(ray.killed) == {0, 1}


def test_a_caller_that_stops_ends_the_workers(make_work: MakeWork) -> None:
    ray = FakeRay(cpus=8)
    records = run_tasks(ray, make_work(), TASKS, RayOptions())
    next(records)
    assert not ray.killed
    records.close()
    assert set(ray.killed) == {0, 1}


@pytest.mark.parametrize(("threads", "parallelism"), [(1, "false"), (2, None)])
def test_a_worker_tokenizes_with_as_many_threads_as_its_engine_has(
    make_work: MakeWork, monkeypatch: pytest.MonkeyPatch, threads: int, parallelism: str | None
) -> None:
    names = ("RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM")
    monkeypatch.setattr(gc, "freeze", lambda: None)
    for name in names:
        # Whatever it becomes, it is restored.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    work = make_work()
    _Worker(replace(work, engine=replace(work.engine, options=EngineOptions(threads=threads))))
    assert [os.environ.get(name) for name in names] == [str(threads), parallelism]


COUNT_FAULTS = """
import resource, sys
import numpy as np
from nestvec.bulk.actor_pool import _keep_memory

if sys.argv[1] == "kept":
    _keep_memory()
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(3 << 20, np.uint8) for _ in range(6)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc's allocator")
def test_the_arrays_of_a_window_have_the_memory_of_the_last_ones() -> None:
    faults = {}
    for what in ("kept", "given back"):
        program = [sys.executable, "-c", COUNT_FAULTS, what]
        faults[what] = int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    pages = 6 * (3 << 20) // resource.getpagesize()
    assert faults["kept"] < pages / 4 < faults["given back"]
