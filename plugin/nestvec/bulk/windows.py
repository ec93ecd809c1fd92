"""The windows of an evaluation on Ray: encoded by several workers, in the order of their inputs."""

from __future__ import annotations

import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from typing import Any, Final

from nestvec.bulk.on_ray import RayOptions, cluster, pool_size
from nestvec.engines.onnx import OnnxEngine
from nestvec.evaluate.vectors.window_work import RunWindows, WindowWork, open_lazily
from nestvec.service.encoders import LoadedEncoder, open_encoder
from nestvec_schemas.errors import EngineError, NestvecError
from nestvec_schemas.repository import read_manifest

_IN_FLIGHT: Final = 2
"""Windows that each worker has, the one that it encodes included."""


class _WindowWorker:
    """What each actor runs: the engine of one encoder."""

    def __init__(self, work: WindowWork, files: Mapping[str, str], threads: int, device: str) -> None:
        """``files`` are the checksums of the encoder's files where the command runs."""
        variant = work.variant
        name, folder = variant.manifest.name, variant.folder

        def open_engine(_: object) -> Any:
            engine = OnnxEngine({name: folder}, threads=threads, device=device)
            return lambda batch: engine.run_now(name, batch)

        self._work, self._files = work, files
        self._encoder: LoadedEncoder | None = None
        self._run = open_lazily(open_engine, variant)

    def encode(self, inputs: list[str]) -> tuple[Any, bytes]:
        """The result of a window; or the error, pickled."""
        try:
            return self._work.encode(self._opened(), self._run, inputs, lambda count: None), b""
        # Not raised: Ray would wrap it in tracebacks.
        except NestvecError as error:
            return None, pickle.dumps(error)

    def _opened(self) -> LoadedEncoder:
        """The encoder in this machine's folder. Raises EngineError if it is not that of the command."""
        if self._encoder is None:
            folder = Path(self._work.variant.folder)
            encoder = open_encoder(folder)
            if encoder.manifest.files != self._files:
                raise EngineError(
                    "a worker has other files of the encoder than the machine of this command",
                    value=f"{folder} on {socket.gethostname()}",
                    next_step="Copy the folder --models to each machine of the cluster, and run the command "
                    "again.",
                )
            self._encoder = encoder
        return self._encoder


@dataclass(frozen=True)
class RayWindows:
    """Encodes windows by a pool of actors; a worker or a node that is lost is replaced."""

    ray: Any
    options: RayOptions

    def __call__(
        self,
        work: WindowWork,
        advance: Callable[[int], None],
        encode: Callable[[Sequence[str]], tuple[Any, float]],
        windows: Iterator[list[str]],
    ) -> Iterator[tuple[Any, float]]:
        """See ``RunWindows``. At most two windows of each worker are in memory."""
        first = next(windows, None)
        if first is None:
            return
        cpus, workers = pool_size(self.ray, self.options, tasks=1 << 20)
        actor = self.ray.remote(
            num_cpus=cpus, num_gpus=self.options.gpus or None, max_restarts=-1, max_task_retries=-1
        )(_WindowWorker)
        device = "auto" if self.options.gpus else "cpu"
        files = read_manifest(work.variant.folder).files
        actors = [actor.remote(work, files, max(1, int(cpus)), device) for _ in range(workers)]
        waiting: deque[tuple[Any, int]] = deque()

        def finish() -> tuple[Any, float]:
            reference, count = waiting.popleft()
            result = self._result(reference)
            advance(count)
            return result

        try:
            for each, window in zip(cycle(actors), chain([first], windows), strict=False):
                waiting.append((each.encode.remote(window), len(window)))
                if len(waiting) >= _IN_FLIGHT * workers:
                    yield finish()
            while waiting:
                yield finish()
        finally:
            for each in actors:
                self.ray.kill(each)

    def _result(self, reference: Any) -> tuple[Any, float]:
        try:
            result, error = self.ray.get(reference)
        except self.ray.exceptions.RayError as failure:
            raise EngineError(
                "a worker failed on texts, and Ray did not run them again",
                value=str(failure).strip().splitlines()[-1][:300],
                next_step="Read Ray's logs, and run the command again: finished windows are cached.",
            ) from failure
        if error:
            # From a worker of this command, which has this process's rights.
            raise pickle.loads(error)  # noqa: S301
        encoded: tuple[Any, float] = result
        return encoded


@contextmanager
def ray_windows(options: RayOptions) -> Iterator[RunWindows]:
    """What encodes windows on Ray, which is connected or started for the block. Raises IngestError."""
    with cluster(options) as ray:
        yield RayWindows(ray, options)
