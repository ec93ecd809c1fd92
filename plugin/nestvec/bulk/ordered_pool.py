"""A function of many values by several workers on Ray, with its results in the order of the values."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from nestvec.bulk.on_ray import RayOptions, cluster, pool_size
from nestvec_schemas.errors import EngineError, NestvecError

T = TypeVar("T")
R = TypeVar("R")
Value = TypeVar("Value", contravariant=True)
Result = TypeVar("Result", covariant=True)

_IN_FLIGHT: Final = 2
"""Values that each worker has, the one that it works on included."""

_AHEAD: Final = 2
"""Values for each worker, beside these, that wait for it or whose results wait for an earlier one."""

_MAX_LOSSES: Final = 5
"""Workers that may be lost with a value, or at their start, one after the other."""

_START_SECONDS: Final = 600
"""How long a job without a worker waits for one."""

_START: Final = -1
"""The number of a start among those of values."""


class OpenWorker(Protocol[Value, Result]):
    """Makes the function in a worker's process. It pickles."""

    def __call__(self, threads: int, device: str) -> Callable[[Value], Result]:
        """The function, with this number of threads, on ``cpu`` or on ``auto``: the worker's GPU."""
        ...


class _Worker:
    """What each actor runs."""

    def __init__(self, open_worker: OpenWorker[Any, Any], threads: int, device: str) -> None:
        self._open, self._threads, self._device = open_worker, threads, device
        self._function: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Return once the process runs."""

    def run(self, value: Any) -> tuple[Any, bytes]:
        """The result; or the error, pickled."""
        try:
            if self._function is None:
                self._function = self._open(self._threads, self._device)
            return self._function(value), b""
        # Not raised: Ray would wrap it in tracebacks.
        except NestvecError as error:
            return None, pickle.dumps(error)


@dataclass(frozen=True)
class OrderedPool:
    """Workers of a Ray that is connected."""

    ray: Any
    options: RayOptions

    def map(self, open_worker: OpenWorker[T, R], values: Iterator[T]) -> Generator[R]:
        """The result for each value, in order; a few values of each worker are in memory.

        A worker that is lost is replaced, and its values are computed again. Raises IngestError if no node
        carries a worker, EngineError, and what the function raises of NestvecError.
        """
        cpus, workers = pool_size(self.ray, self.options, tasks=1 << 20)
        actor = self.ray.remote(num_cpus=cpus, num_gpus=self.options.gpus or None)(_Worker)
        arguments = open_worker, max(1, int(cpus)), "auto" if self.options.gpus else "cpu"
        job = _Job(self.ray, lambda: actor.remote(*arguments), workers, values)
        try:
            yield from job.in_order()
        finally:
            job.end()


@contextmanager
def ordered_pool(options: RayOptions) -> Iterator[OrderedPool]:
    """A pool on Ray, which is connected or started for the block. Raises IngestError."""
    with cluster(options) as ray:
        yield OrderedPool(ray, options)


@dataclass
class _Job:
    """What is read and not yet yielded, and the workers."""

    ray: Any

    start: Callable[[], Any]
    """Starts a worker."""

    workers: int
    """Workers at most."""

    values: Iterator[Any]
    read: int = 0
    """Values that were read."""

    waiting: list[tuple[int, Any]] = field(default_factory=list)
    """Values that no worker has, with their numbers, in order."""

    running: dict[Any, tuple[Any, tuple[int, Any] | None]] = field(default_factory=dict)
    """The worker and the value of each call; no value while a worker starts."""

    load: dict[Any, int] = field(default_factory=dict)
    """How many values each worker has that runs."""

    results: dict[int, Any] = field(default_factory=dict)
    """Results by number that are not yielded yet."""

    losses: Counter[int] = field(default_factory=Counter)
    """How many workers were lost with a value, or at their start, one after the other."""

    def in_order(self) -> Generator[Any]:
        """The results."""
        number = 0
        while True:
            self._submit(number + (_IN_FLIGHT + _AHEAD) * self.workers)
            self._start_workers()
            if number in self.results:
                yield self.results.pop(number)
                number += 1
            elif number < self.read:
                self._wait()
            else:
                # A worker that is not there yet, as after a node was lost, is not needed any more.
                return

    def end(self) -> None:
        """End all workers."""
        for worker in {worker for worker, _ in self.running.values()} | self.load.keys():
            self.ray.kill(worker)

    def _submit(self, end: int) -> None:
        """Give values to the workers that have least, reading those before number ``end``.

        A worker has a second value only if there are enough for the others, which may be idle soon.
        """
        while True:
            self._read(end)
            worker = min(self.load, key=self.load.__getitem__, default=None)
            if worker is None or not self.waiting:
                return
            room = _IN_FLIGHT if len(self.waiting) >= self.workers else 1
            if self.load[worker] >= room:
                return
            value = self.waiting.pop(0)
            self.running[worker.run.remote(value[1])] = worker, value
            self.load[worker] += 1

    def _read(self, end: int) -> None:
        """Read values until each worker could have another one."""
        while len(self.waiting) < self.workers and self.read < end:
            for value in self.values:
                self.waiting.append((self.read, value))
                self.read += 1
                break
            else:
                return

    def _start_workers(self) -> None:
        """Start a worker for each value that waits, up to the limit."""
        starting = sum(value is None for _, value in self.running.values())
        for _ in range(min(self.workers - len(self.load), len(self.waiting)) - starting):
            worker = self.start()
            self.running[worker.ready.remote()] = worker, None

    def _wait(self) -> None:
        """Wait for a call. Raises EngineError, and what the function raises of NestvecError."""
        is_idle = all(value is None for _, value in self.running.values())
        finished, _ = self.ray.wait(list(self.running), timeout=_START_SECONDS if is_idle else None)
        if not finished:
            raise EngineError(
                "no worker has started on the Ray cluster",
                value=f"{_START_SECONDS} s",
                next_step="Check that it has free CPUs (ray status), and run the command again.",
            )
        worker, value = self.running.pop(finished[0])
        try:
            answer = self.ray.get(finished[0])
        except (self.ray.exceptions.RayActorError, self.ray.exceptions.ObjectLostError) as failure:
            self._lose(worker, value, failure)
            return
        except self.ray.exceptions.RayError as failure:
            raise _failed("a worker failed", failure) from failure
        if value is None:
            self.load[worker] = self.losses[_START] = 0
            return
        self.load[worker] -= 1
        result, error = answer
        if error:
            # From a worker of this command, which has this process's rights.
            raise pickle.loads(error)  # noqa: S301
        self.results[value[0]] = result

    def _lose(self, worker: Any, value: tuple[int, Any] | None, failure: Exception) -> None:
        """Take a worker's value back. Raises EngineError if it was lost with too many workers."""
        self.load.pop(worker, None)
        self.ray.kill(worker)
        number = _START if value is None else value[0]
        self.losses[number] += 1
        if self.losses[number] > _MAX_LOSSES:
            what = "at their start" if value is None else "on the same texts"
            raise _failed(f"{_MAX_LOSSES + 1} workers were lost {what}", failure) from failure
        if value is not None:
            self.waiting = sorted([*self.waiting, value], key=lambda pair: pair[0])


def _failed(cause: str, failure: Exception) -> EngineError:
    return EngineError(
        cause,
        value=str(failure).strip().splitlines()[-1][:300],
        next_step="Read Ray's logs, check that each machine has this version of nestvec and memory for its "
        "workers, and run the command again.",
    )
