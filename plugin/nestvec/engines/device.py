"""The device that ONNX Runtime runs on, checked: it would otherwise fall back to the CPU without a word."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import onnxruntime

from nestvec_schemas.errors import EngineError

AUTO: Final = "auto"
"""The first GPU if the installed ONNX Runtime supports CUDA, else the CPU."""

DEVICE: Final = re.compile(r"auto|cpu|(cuda|tensorrt-rtx)(:[0-9]{1,3})?")

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"


@dataclass(frozen=True)
class Device:
    """A device, and the execution provider for it."""

    name: str
    """``cpu``, ``cuda:0`` or ``tensorrt-rtx:0``."""

    provider: str

    plugin: Any = None
    """ONNX Runtime's device of a plugin's provider; None for a provider that it contains."""

    @property
    def index(self) -> int:
        """The GPU's number; 0 for the CPU."""
        return int(self.name.partition(":")[2] or 0)

    @property
    def memory(self) -> str:
        """ONNX Runtime's name of the memory that arrays are bound in."""
        return "cuda" if self.provider == _CUDA else "cpu"

    @property
    def is_cuda(self) -> bool:
        """Whether ONNX Runtime's provider for CUDA runs it."""
        return self.provider == _CUDA

    def open_session(
        self, graph: Path, options: onnxruntime.SessionOptions, *, cuda_graphs: bool = False
    ) -> onnxruntime.InferenceSession:
        """A session of a graph on this device. Raises what ONNX Runtime raises; see ``check_session``."""
        if self.plugin is not None:
            options.add_provider_for_devices([self.plugin], {})
            return onnxruntime.InferenceSession(str(graph), options)
        return onnxruntime.InferenceSession(str(graph), options, providers=self.providers(cuda_graphs))

    def providers(self, cuda_graphs: bool = False) -> list[str | tuple[str, dict[str, Any]]]:
        """As InferenceSession takes them. CUDA lacks kernels of some operators: those run on the CPU."""
        if self.provider == _CPU:
            return [_CPU]
        settings: dict[str, Any] = {"device_id": self.index}
        if cuda_graphs:
            settings["enable_cuda_graph"] = "1"
        return [(self.provider, settings), _CPU]


def choose_device(name: str) -> Device:
    """The device of ``--device``. Raises EngineError if the installed ONNX Runtime has no provider for it."""
    if not DEVICE.fullmatch(name):
        raise EngineError(
            "there is no such device", value=name, next_step="Use cpu, cuda, cuda:1 or tensorrt-rtx."
        )
    kind, _, number = name.partition(":")
    if kind == "tensorrt-rtx":
        from nestvec.engines.tensorrt_rtx import (  # noqa: PLC0415 - loads a library
            PROVIDER,
            tensorrt_rtx_device,
        )

        return Device(f"{kind}:{number or 0}", PROVIDER, tensorrt_rtx_device(int(number or 0)))
    available = onnxruntime.get_available_providers()
    if name == "cpu" or (name == AUTO and _CUDA not in available):
        return Device("cpu", _CPU)
    if _CUDA not in available:
        raise EngineError(
            f"the installed ONNX Runtime {onnxruntime.__version__} does not support CUDA",
            value=name,
            next_step="Install the GPU package instead: pip uninstall onnxruntime, then "
            "pip install onnxruntime-gpu. Or run on the CPU: --device cpu.",
        )
    _load_cuda_libraries()
    return Device(f"cuda:{number or 0}", _CUDA)


def _load_cuda_libraries() -> None:
    """Load CUDA's libraries from NVIDIA's packages, where ONNX Runtime does not look by itself.

    Those that are missing show in ``check_session``: a session would run on the CPU.
    """
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        # It prints what it cannot load, although the system's own may be there.
        with redirect_stdout(StringIO()):
            preload()


def check_session(session: onnxruntime.InferenceSession, device: Device) -> None:
    """Raise EngineError if a session does not run on ``device``: its libraries or its GPU are not there."""
    running = session.get_providers()
    if running[:1] != [device.provider]:
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} cannot use {device.name}",
            value=f"runs on {', '.join(running) or 'nothing'}",
            next_step="Check that nvidia-smi lists the GPU, and that the CUDA and cuDNN libraries of this "
            "version are installed (pip install 'onnxruntime-gpu[cuda,cudnn]'). Or run on the CPU: "
            "--device cpu.",
        )
