"""One version of an encoder as it was opened: what requests hold on to while it is replaced by the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from nestvec.service.batching.input_keys import CachedInputKeys
from nestvec.service.batching.runner import BatchRunner
from nestvec.service.encoders import LoadedEncoder


class EncoderInstance:
    """An encoder and its outputs, which have one engine session and one set of runners."""

    def __init__(
        self,
        encoders: Mapping[str, LoadedEncoder],
        *,
        folder: Path | None = None,
        generation: int = 0,
        size: int = 0,
        resident: bool = True,
    ) -> None:
        """``encoders`` are the encoder and its outputs by name; ``size`` is the bytes of its graphs."""
        self.encoders = encoders
        self.name = next(name for name, encoder in encoders.items() if encoder.base is None)
        self.folder, self.generation, self.size = folder, generation, size
        self.resident = resident
        """Whether the engine has its graphs."""
        self.released = asyncio.Event()
        """Set once no request can see it any more."""
        self.leases = 0
        """Requests that use the graphs, or wait for them."""
        self.used_at = 0.0
        """When the last of them ended, on the clock of ``Residency``."""
        self.loading: asyncio.Task[None] | None = None
        self.runners: dict[str, BatchRunner] = {}
        """By part."""
        self.keys = CachedInputKeys()
        self.tasks: list[asyncio.Task[None]] = []
        """Those of the runners."""

    @property
    def in_use(self) -> bool:
        """Whether a request uses the graphs, or something of one that has ended still waits for them."""
        return self.leases > 0 or any(runner.is_busy for runner in self.runners.values())

    @property
    def own(self) -> LoadedEncoder:
        """The encoder itself."""
        return self.encoders[self.name]


def instances_of(encoders: Mapping[str, LoadedEncoder]) -> list[EncoderInstance]:
    """Instances of encoders that an engine has already opened."""
    own = [name for name, encoder in encoders.items() if encoder.base is None]
    return [EncoderInstance(dict(_with_outputs(encoders, name))) for name in own]


def _with_outputs(encoders: Mapping[str, LoadedEncoder], own: str) -> Iterable[tuple[str, LoadedEncoder]]:
    return ((name, encoder) for name, encoder in encoders.items() if own in (name, encoder.base))
