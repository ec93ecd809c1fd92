"""The device that ONNX Runtime runs on, checked: it would otherwise fall back to the CPU without a word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import onnxruntime

from nestvec_schemas.errors import EngineError

AUTO: Final = "auto"
"""The first GPU if the installed ONNX Runtime supports CUDA, else the CPU."""

DEVICE: Final = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"


@dataclass(frozen=True)
class Device:
    """A device, and the execution provider for it."""

    name: str
    """``cpu``, or ``cuda:0``."""
    provider: str

    def providers(self) -> list[str | tuple[str, dict[str, Any]]]:
        """As InferenceSession takes them. CUDA lacks kernels of some operators: those run on the CPU."""
        if self.provider == _CPU:
            return [_CPU]
        return [(self.provider, {"device_id": int(self.name.partition(":")[2])}), _CPU]


def choose_device(name: str) -> Device:
    """The device of ``--device``. Raises EngineError if the installed ONNX Runtime has no provider for it."""
    if not DEVICE.fullmatch(name):
        raise EngineError("there is no such device", value=name, next_step="Use cpu, cuda or cuda:1.")
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
    return Device(f"cuda:{name.partition(':')[2] or 0}", _CUDA)


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
