"""OpenVINO in this process: the same graphs on a CPU, in bfloat16 where that keeps the vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Final

import openvino

from nestvec.engines.contract import Batch, EngineInfo
from nestvec.engines.free_memory import return_free_memory
from nestvec.engines.openvino.cache import CompiledCache
from nestvec.engines.openvino.opening import (
    Opening,
    OpenVinoOptions,
    has_bf16,
    openvino_core,
    short_cause,
    usable_threads,
)
from nestvec.engines.openvino.streams import EncoderStreams
from nestvec_schemas.errors import EngineError, EngineUnavailable
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest, verify_files
from nestvec_schemas.vectors import Vectors

_COMPILE_SECONDS: Final = 5.0
"""How long an engine that is closed waits for graphs that are being compiled."""


class OpenVinoEngine:
    """Compiled graphs of a model repository: a batch alone uses every core, several at once a part each."""

    name = "openvino"

    def __init__(self, folders: Mapping[str, Path], options: OpenVinoOptions | None = None) -> None:
        """Open the encoders in ``folders`` (name to folder). Raises as ``open``, and EngineError for bf16 on
        a CPU that does not compute in it."""
        self._options = options or OpenVinoOptions()
        self._core = openvino_core()
        if self._options.precision == "bf16" and not has_bf16(self._core):
            raise EngineError(
                "this CPU does not compute in bfloat16",
                value=self._core.get_property("CPU", "FULL_DEVICE_NAME"),
                next_step="Omit --precision, or use fp32.",
            )
        self._cache = CompiledCache(self._options.cache)
        self.parallel = max(1, min(self._options.max_streams, usable_threads(self._options)))
        self._opened: dict[tuple[str, int], EncoderStreams] = {}
        self._compiler = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nestvec-openvino-streams")
        self._infos: dict[str, EngineInfo] = {}
        for name, folder in folders.items():
            self.open(name, folder)
        self._threads = ThreadPoolExecutor(self.parallel, thread_name_prefix="nestvec-openvino")

    @property
    def info(self) -> EngineInfo:
        """See ``SessionEngine``."""
        return EngineInfo(self.name, openvino.__version__.partition("-")[0], "CPU", "cpu")

    def encoder_info(self, encoder: str) -> EngineInfo:
        """See ``SessionEngine``."""
        return replace(self._infos.get(encoder, self.info), streams=self.streams(encoder))

    def streams(self, encoder: str) -> int:
        """See ``StreamingEngine``: of the newest generation."""
        newest = max((key for key in list(self._opened) if key[0] == encoder), default=None)
        opened = None if newest is None else self._opened.get(newest)
        return 1 if opened is None else opened.count

    def open(self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        """See ``SessionEngine``. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew, EngineError."""
        manifest = manifest or read_manifest(folder)
        verify_files(folder, manifest)
        opening = Opening(
            self._core, self._options, self._cache, encoder=encoder, folder=folder, manifest=manifest
        )
        opened = opening.open()
        # Another opening, without the probes.
        self._opened[encoder, generation] = EncoderStreams(replace(opening), opened, self._compiler)
        decision = opened.decision
        self._infos[encoder] = replace(
            self.info, precision=decision.precision, cosine=decision.cosine, reason=decision.reason
        )

    def drop(self, encoder: str, generation: int = 0) -> None:
        """See ``SessionEngine``. A batch that runs keeps its graph until it is done."""
        opened = self._opened.pop((encoder, generation), None)
        if opened is not None:
            opened.drop()
            return_free_memory()

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.run_now, encoder, batch)

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """``run`` without a loop, on the calling thread."""
        opened = self._opened.get((encoder, batch.generation))
        if opened is None:
            raise EngineUnavailable(f"the encoder {encoder} is not loaded", next_step="Send it again.")
        try:
            return opened.graph(batch).run(batch)
        except Exception as error:  # openvino raises RuntimeError, and others for arrays that do not fit
            raise EngineError(
                f"OpenVINO failed on a batch of {len(batch)} inputs with {encoder}",
                value=short_cause(error),
                next_step="Send fewer or shorter ones; if it still fails, serve it with --engine onnx.",
            ) from error

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return any(name == encoder for name, _ in list(self._opened))

    async def close(self) -> None:
        """See the contract. What is being compiled is waited for ``_COMPILE_SECONDS`` at most: nobody uses it
        any more."""
        self._threads.shutdown(wait=True)
        self._compiler.shutdown(wait=False, cancel_futures=True)
        for opened in self._opened.values():
            opened.drop()
        compiling = [opened.compiling for opened in self._opened.values() if opened.compiling is not None]
        # Those that were cancelled are done, which ``wait`` would not see.
        unfinished = [future for future in compiling if not future.done()]
        await asyncio.to_thread(wait, unfinished, _COMPILE_SECONDS)
        self._opened.clear()
