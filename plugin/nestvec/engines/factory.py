"""The engines that a service can run on: one row each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from platformdirs import user_cache_path

from nestvec.engines.contract import ProbeSource, ServingPrecision, SessionEngine
from nestvec.engines.gpu_options import GpuOptions
from nestvec_schemas.errors import EngineError

if TYPE_CHECKING:
    from nestvec.engines.onnx import OnnxEngine
    from nestvec.engines.openvino.opening import OpenVinoOptions

EngineName = Literal["auto", "openvino", "onnx", "triton"]


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

    name: EngineName = "auto"
    threads: int = 0
    """Threads of ONNX Runtime and OpenVINO; 0 for one per core."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1`` or ``tensorrt-rtx``, for ONNX Runtime; ``auto`` for a GPU if it supports
    one by CUDA."""
    triton_url: str = "127.0.0.1:8001"
    """HOST:PORT of Triton's gRPC endpoint, or several with commas."""
    share_cores: bool = False
    """Whether ONNX Runtime's threads sleep while they wait, for a machine that does other work."""
    gpu: GpuOptions = field(default_factory=GpuOptions)
    """Of ONNX Runtime on a GPU."""
    memory: MemoryLimits = field(default_factory=MemoryLimits)
    """Of ONNX Runtime and OpenVINO."""
    precision: ServingPrecision = "auto"
    """What OpenVINO computes in."""
    cache: Path | None = None
    """Folder for what OpenVINO compiled; None for one of this user."""


def open_engine(
    folders: Mapping[str, Path], options: EngineOptions, probes: ProbeSource | None = None
) -> SessionEngine:
    """The engine that ``options`` names, for the encoders in ``folders``, and the batches to try it with.

    Raises EngineError.
    """
    return _ENGINES[options.name](folders, options, probes)


def _open_auto(
    folders: Mapping[str, Path], options: EngineOptions, probes: ProbeSource | None
) -> SessionEngine:
    """OpenVINO on a CPU, where it is installed, with ONNX Runtime for what it cannot run."""
    if not is_installed("openvino") or _wants_gpu(options.device):
        if options.precision == "bf16":
            raise EngineError(
                "only OpenVINO computes in bf16, and it is not installed, or a GPU is used",
                value="--precision bf16",
                next_step="Install it (pip install 'nestvec[openvino]') and use --device cpu, or omit "
                "--precision.",
            )
        return _open_onnx(folders, options, probes)
    if not is_installed("onnxruntime"):
        return _open_openvino(folders, options, probes)
    options.gpu.check_unused("the engine runs on the CPU")
    from nestvec.engines.auto import AutoEngine  # noqa: PLC0415

    return AutoEngine(folders, _openvino_options(options, probes), lambda: _onnx_engine({}, options))


def _open_openvino(
    folders: Mapping[str, Path], options: EngineOptions, probes: ProbeSource | None
) -> SessionEngine:
    if not is_installed("openvino"):
        raise EngineError(
            "the engine openvino needs a package that is not installed",
            value="openvino",
            next_step="Install it: pip install 'nestvec[openvino]', or use --engine onnx.",
        )
    if options.device not in ("auto", "cpu"):
        raise EngineError(
            "OpenVINO runs on the CPU",
            value=f"--device {options.device}",
            next_step="Omit --device, or use --engine onnx for a GPU.",
        )
    options.gpu.check_unused("OpenVINO runs on the CPU")
    from nestvec.engines.openvino.engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(folders, _openvino_options(options, probes))


def _openvino_options(options: EngineOptions, probes: ProbeSource | None) -> OpenVinoOptions:
    from nestvec.engines.openvino.opening import OpenVinoOptions  # noqa: PLC0415

    cache = options.cache or user_cache_path("nestvec") / "openvino"
    # The budget counts the graphs of an encoder once.
    most = 1 if options.memory.budget_bytes is not None else OpenVinoOptions.max_streams
    return OpenVinoOptions(options.threads, options.precision, cache, probes, max_streams=most)


def is_installed(package: str) -> bool:
    """Whether a package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def _wants_gpu(device: str) -> bool:
    """Whether ONNX Runtime runs on a GPU: ``device`` names it, or the first is taken and ONNX Runtime's
    package is that for GPUs."""
    if device != "auto":
        return device != "cpu"
    try:
        importlib.metadata.distribution("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    from nestvec.engines.device import choose_device  # noqa: PLC0415 - imports ONNX Runtime

    return choose_device(device).name != "cpu"


def _onnx_engine(folders: Mapping[str, Path], options: EngineOptions) -> OnnxEngine:
    from nestvec.engines.onnx import OnnxEngine  # noqa: PLC0415 - each engine's packages are its own extra

    return OnnxEngine(
        folders,
        threads=options.threads,
        device=options.device,
        share_cores=options.share_cores,
        gpu=options.gpu,
    )


def _open_onnx(folders: Mapping[str, Path], options: EngineOptions, _: ProbeSource | None) -> SessionEngine:
    return _onnx_engine(folders, options)


def _open_triton(folders: Mapping[str, Path], options: EngineOptions, _: ProbeSource | None) -> SessionEngine:
    options.gpu.check_unused("Triton runs as its own configuration says")
    from nestvec.engines.triton import TritonEngine  # noqa: PLC0415

    return TritonEngine(folders, url=options.triton_url)


_ENGINES: dict[
    EngineName, Callable[[Mapping[str, Path], EngineOptions, ProbeSource | None], SessionEngine]
] = {
    "auto": _open_auto,
    "openvino": _open_openvino,
    "onnx": _open_onnx,
    "triton": _open_triton,
}
