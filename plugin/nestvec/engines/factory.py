"""The engines that a service can run on: one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nestvec.engines.contract import SessionEngine
from nestvec.engines.gpu_options import GpuOptions

EngineName = Literal["onnx", "triton"]


@dataclass(frozen=True)
class MemoryLimits:
    """When encoders leave memory. One that was unloaded is loaded again by the next request for it."""

    idle_seconds: float | None = None
    """After how long without a request; None for never."""
    budget_bytes: int | None = None
    """For the graphs of all encoders; beyond it, those that were not used for longest are unloaded."""


@dataclass(frozen=True)
class EngineOptions:
    """Which engine, and its options."""

    name: EngineName = "onnx"
    threads: int = 0
    """Threads of ONNX Runtime; 0 for one per core."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1`` or ``tensorrt-rtx``, for ONNX Runtime; ``auto`` for a GPU if it supports
    one by CUDA."""
    triton_url: str = "127.0.0.1:8001"
    """HOST:PORT of Triton's gRPC endpoint."""
    share_cores: bool = False
    """Whether ONNX Runtime's threads sleep while they wait, for a machine that does other work."""
    gpu: GpuOptions = field(default_factory=GpuOptions)
    """Of ONNX Runtime on a GPU."""
    memory: MemoryLimits = field(default_factory=MemoryLimits)
    """Of ONNX Runtime."""


def open_engine(folders: Mapping[str, Path], options: EngineOptions) -> SessionEngine:
    """The engine that ``options`` names, for the encoders in ``folders``. Raises EngineError."""
    return _ENGINES[options.name](folders, options)


def _open_onnx(folders: Mapping[str, Path], options: EngineOptions) -> SessionEngine:
    from nestvec.engines.onnx import OnnxEngine  # noqa: PLC0415 - each engine's packages are its own extra

    return OnnxEngine(
        folders,
        threads=options.threads,
        device=options.device,
        share_cores=options.share_cores,
        gpu=options.gpu,
    )


def _open_triton(folders: Mapping[str, Path], options: EngineOptions) -> SessionEngine:
    from nestvec.engines.triton import TritonEngine  # noqa: PLC0415

    return TritonEngine(folders, url=options.triton_url)


_ENGINES: dict[EngineName, Callable[[Mapping[str, Path], EngineOptions], SessionEngine]] = {
    "onnx": _open_onnx,
    "triton": _open_triton,
}
