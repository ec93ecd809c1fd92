"""OpenVINO for the encoders that it can run, and ONNX Runtime for the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.engines.contract import Batch, EngineInfo
from nestvec.engines.openvino.engine import OpenVinoEngine
from nestvec.engines.openvino.opening import OpenVinoOptions
from nestvec_schemas.errors import EngineError, EngineUnavailable
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.vectors import Vectors

if TYPE_CHECKING:
    from nestvec.engines.onnx import OnnxEngine

logger = logging.getLogger(__name__)


class AutoEngine:
    """Opens each encoder on OpenVINO, or if that cannot run it or gives other vectors, on ONNX Runtime."""

    def __init__(
        self, folders: Mapping[str, Path], options: OpenVinoOptions, open_onnx: Callable[[], OnnxEngine]
    ) -> None:
        """``open_onnx`` opens ONNX Runtime without encoders, once it is needed. Raises as ``open``."""
        self._open_onnx = open_onnx
        self._openvino = OpenVinoEngine({}, replace(options, reference=self._reference))
        self.parallel = self._openvino.parallel
        self._engines: dict[tuple[str, int], OpenVinoEngine | OnnxEngine] = {}
        self._infos: dict[str, EngineInfo] = {}
        for name, folder in folders.items():
            self.open(name, folder)

    @property
    def name(self) -> str:
        """See the contract: that of the engine of most encoders."""
        return self.info.name

    @property
    def info(self) -> EngineInfo:
        """See ``SessionEngine``: the engine that runs an encoder, OpenVINO if it runs any."""
        engines = set(self._engines.values())
        return self._openvino.info if self._openvino in engines or not engines else self._onnx.info

    def encoder_info(self, encoder: str) -> EngineInfo:
        """See ``SessionEngine``."""
        return replace(self._infos.get(encoder, self.info), streams=self.streams(encoder))

    def streams(self, encoder: str) -> int:
        """See ``StreamingEngine``: ONNX Runtime runs one batch at a time on a CPU."""
        return self._openvino.streams(encoder)

    def open(self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        """See ``SessionEngine``. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew, EngineError."""
        engine: OpenVinoEngine | OnnxEngine = self._openvino
        try:
            engine.open(encoder, folder, generation, manifest)
            self._infos[encoder] = engine.encoder_info(encoder)
        except EngineError as error:
            engine = self._onnx
            engine.open(encoder, folder, generation, manifest)
            self._infos[encoder] = replace(
                engine.encoder_info(encoder), reason=f"not OpenVINO: {error.value}"
            )
            logger.warning("%s runs on ONNX Runtime, not OpenVINO: %s", encoder, error.value)
        self._engines[encoder, generation] = engine

    def drop(self, encoder: str, generation: int = 0) -> None:
        """See ``SessionEngine``."""
        engine = self._engines.pop((encoder, generation), None)
        if engine is not None:
            engine.drop(encoder, generation)

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        return await self._engine(encoder, batch).run(encoder, batch)

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """``run`` without a loop, on the calling thread."""
        return self._engine(encoder, batch).run_now(encoder, batch)

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return any(name == encoder for name, _ in list(self._engines))

    async def close(self) -> None:
        """See the contract."""
        await self._openvino.close()
        if "_onnx" in self.__dict__:
            await self._onnx.close()

    @cached_property
    def _onnx(self) -> OnnxEngine:
        return self._open_onnx()

    def _engine(self, encoder: str, batch: Batch) -> OpenVinoEngine | OnnxEngine:
        engine = self._engines.get((encoder, batch.generation))
        if engine is None:
            raise EngineUnavailable(f"the encoder {encoder} is not loaded", next_step="Send it again.")
        return engine

    def _reference(self, encoder: str, folder: Path, manifest: Manifest) -> Callable[[Batch], Vectors]:
        engine = self._open_onnx()
        engine.open(encoder, folder, manifest=manifest)
        return partial(engine.run_now, encoder)
