"""The engines that a service can run on: one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nestvec.engines.contract import Engine

EngineName = Literal["onnx", "triton"]


@dataclass(frozen=True)
class EngineOptions:
    """Which engine, and its options."""

    name: EngineName = "onnx"
    threads: int = 0
    """Threads of ONNX Runtime; 0 for one per core."""
    triton_url: str = "127.0.0.1:8001"
    """HOST:PORT of Triton's gRPC endpoint."""


def open_engine(folders: Mapping[str, Path], options: EngineOptions) -> Engine:
    """The engine that ``options`` names, for the encoders in ``folders``. Raises EngineError."""
    return _ENGINES[options.name](folders, options)


def _open_onnx(folders: Mapping[str, Path], options: EngineOptions) -> Engine:
    from nestvec.engines.onnx import OnnxEngine  # noqa: PLC0415 - each engine's packages are its own extra

    return OnnxEngine(folders, threads=options.threads)


def _open_triton(folders: Mapping[str, Path], options: EngineOptions) -> Engine:
    from nestvec.engines.triton import TritonEngine  # noqa: PLC0415

    return TritonEngine(folders, url=options.triton_url)


_ENGINES: dict[EngineName, Callable[[Mapping[str, Path], EngineOptions], Engine]] = {
    "onnx": _open_onnx,
    "triton": _open_triton,
}
