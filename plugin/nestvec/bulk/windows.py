"""The windows of an evaluation on Ray: encoded by several workers, in the order of their inputs."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nestvec.bulk.ordered_pool import OrderedPool
from nestvec.engines.onnx import OnnxEngine
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.window_work import WindowWork, open_lazily
from nestvec.service.encoders import LoadedEncoder, open_encoder
from nestvec_schemas.errors import EngineError
from nestvec_schemas.repository import read_manifest


@dataclass(frozen=True)
class _OpenEncoder:
    """Opens the encoder of a machine's own folder, to encode windows."""

    work: WindowWork

    files: Mapping[str, str]
    """The checksums of the encoder's files where the command runs."""

    def __call__(self, threads: int, device: str) -> Callable[[list[str]], tuple[Any, float]]:
        """Raises EncoderNotFound; EngineError if the encoder is not that of the command."""
        variant = self.work.variant
        encoder = _own_encoder(variant, self.files)

        def open_engine(variant: EncoderVariant) -> Any:
            name = variant.manifest.name
            return partial(OnnxEngine({name: variant.folder}, threads=threads, device=device).run_now, name)

        run = open_lazily(open_engine, variant)
        return lambda inputs: self.work.encode(encoder, run, inputs, lambda count: None)


def _own_encoder(variant: EncoderVariant, files: Mapping[str, str]) -> LoadedEncoder:
    folder = Path(variant.folder)
    encoder = open_encoder(folder)
    if encoder.manifest.files != files:
        raise EngineError(
            "a worker has other files of the encoder than the machine of this command",
            value=f"{folder} on {socket.gethostname()}",
            next_step="Copy the folder --models to each machine of the cluster, and run the command again.",
        )
    return encoder


@dataclass(frozen=True)
class RayWindows:
    """Encodes windows by the workers of a pool."""

    pool: OrderedPool

    def __call__(
        self,
        work: WindowWork,
        advance: Callable[[int], None],
        encode: Callable[[Sequence[str]], tuple[Any, float]],
        windows: Iterator[list[str]],
    ) -> Iterator[tuple[Any, float]]:
        """See ``RunWindows``. A few windows of each worker are in memory."""
        sizes: deque[int] = deque()

        def counted() -> Iterator[list[str]]:
            for window in windows:
                sizes.append(len(window))
                yield window

        files = read_manifest(work.variant.folder).files
        for result in self.pool.map(_OpenEncoder(work, files), counted()):
            advance(sizes.popleft())
            yield result
