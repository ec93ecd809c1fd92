"""Tasks on Ray: a pool of actors, each of which loads the engine once."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any, Final

from nestvec.bulk.manifest import TaskRecord
from nestvec.bulk.on_ray import RayOptions, pool_size
from nestvec.bulk.plan import Task
from nestvec.bulk.task import TaskRunner, Work
from nestvec_schemas.errors import IngestError, NestvecError

_IN_FLIGHT: Final = 2
"""Tasks that each worker has, the one that it runs included: it goes on while the job is busy otherwise."""

_MAX_RETRIES: Final = 10
"""How often a task is run again whose worker was lost: one that ends each worker would run forever."""

_IDLE_SECONDS: Final = 1.0
"""How long a job without a task in a worker waits before the caller may stop it."""

_LOADED_SIZE: Final = 3
"""Memory of an engine for each byte of its encoders' files, at most."""

_MALLOPT: Final = {-3: 32 << 20, -1: 64 << 20}
"""Settings of glibc's allocator: M_MMAP_THRESHOLD, of which this is the largest, and M_TRIM_THRESHOLD."""


class _Worker:
    """What each actor runs."""

    def __init__(self, work: Work) -> None:
        _limit_tokenizer(work.engine.options.threads)
        _keep_memory()
        self._runner = TaskRunner(work)
        # What is imported stays as long as the process: the collector need not go through it for each window.
        gc.freeze()

    def ready(self) -> tuple[str, bytes]:
        """An answer without a record, once the process runs."""
        return "", b""

    def run(self, task: str) -> tuple[str, bytes]:
        """The record of a task; or the error, pickled."""
        try:
            return self._runner(Task.model_validate_json(task)).model_dump_json(), b""
        # Not raised: Ray would wrap it in tracebacks.
        except NestvecError as error:
            return "", pickle.dumps(error)


def run_tasks(
    ray: Any,
    work: Work,
    tasks: Sequence[Task],
    options: RayOptions,
    is_busy: Callable[[], bool] = lambda: False,
) -> Generator[TaskRecord | None]:
    """The record of each task, as it is finished; None where none is while the caller ``is_busy`` otherwise,
    and each second while no worker has a task.

    A worker that is lost is replaced, and its tasks are run again. Raises NestvecError, also for a task whose
    workers are lost time and again.
    """
    if not tasks:
        return
    cpus, workers = pool_size(ray, options, len(tasks), on_node=_workers_on_node(ray, work))
    copies = TemporaryDirectory(prefix="nestvec-bulk-", ignore_cleanup_errors=True)
    engine = replace(work.engine, options=_with_threads(work, cpus))
    work = replace(work, engine=engine, copies=copies.name)
    room = {"num_cpus": cpus, "num_gpus": options.gpus or None}
    actor = ray.remote(**room, max_restarts=-1, max_task_retries=_MAX_RETRIES)(_Worker)
    pool = [actor.remote(work) for _ in range(workers)]
    waiting, unfinished = deque(tasks), len(tasks)
    # A worker has no task before it runs: there may be no place for it yet.
    running = {worker.ready.remote(): number for number, worker in enumerate(pool)}
    try:
        while unfinished:
            patience = None if unfinished > len(waiting) else _IDLE_SECONDS
            finished, _ = ray.wait(list(running), timeout=0 if is_busy() else patience)
            if not finished:
                yield None
                continue
            number = running.pop(finished[0])
            record = _result(ray, finished[0])
            count = sum(each == number for each in running.values())
            while waiting and (not count or (count < _IN_FLIGHT and len(waiting) >= workers)):
                task = waiting.popleft()
                running[pool[number].run.remote(task.model_dump_json())] = number
                count += 1
            if not count:
                # Its CPUs may be what a worker waits for that was lost with its node.
                ray.kill(pool[number])
            if record is not None:
                unfinished -= 1
                yield record
    finally:
        for worker in pool:
            ray.kill(worker)
        # A worker that is killed removes nothing.
        copies.cleanup()


def _workers_on_node(ray: Any, work: Work) -> int:
    """Two where the engines of all workers have room: one of them reads, checks and writes while the other's
    engine runs, and two engines of half the threads embed more than one of all."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    half = max(1.0, max((node.get("CPU", 0.0) for node in nodes), default=0.0) // 2)
    engine = _LOADED_SIZE * work.engine.size(work.encoders)
    # Of three CPUs, a worker with half of them has one: three workers.
    has_room = all(
        max(2, node.get("CPU", 0.0) // half) * engine <= node.get("memory", math.inf) for node in nodes
    )
    return 2 if has_room else 1


def _limit_tokenizer(threads: int) -> None:
    """Let the tokenizers of this process have as many threads as the engine, not those of all cores."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    if threads == 1:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _keep_memory() -> None:
    """Let the arrays of a window, of some MB each, have the memory of those of the window before, up to 64 MB
    of it: the system clears each page that it gives anew, which takes longer than to fill it."""
    with suppress(AttributeError, OSError, TypeError):  # another library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        for setting, size in _MALLOPT.items():
            mallopt(setting, size)


def _result(ray: Any, reference: Any) -> TaskRecord | None:
    """The record in the answer of a worker; None if it has none."""
    try:
        record, error = ray.get(reference)
    except ray.exceptions.RayError as failure:
        raise IngestError(
            f"a worker failed on a task, or was lost with it more than {_MAX_RETRIES} times",
            value=str(failure).strip().splitlines()[-1][:300],
            next_step="Read Ray's logs, check that the machine has memory for its workers (--workers), and "
            "run the command again: finished tasks are kept.",
        ) from failure
    if error:
        # From a worker of this job, which has this process's rights.
        raise pickle.loads(error)  # noqa: S301
    return TaskRecord.model_validate_json(record) if record else None


def _with_threads(work: Work, cpus: float) -> Any:
    engine = work.engine.options
    return engine if engine.threads else replace(engine, threads=max(1, int(cpus)))
