"""TensorRT-RTX as a plugin of ONNX Runtime: its libraries come in a package, and need no container."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import onnxruntime

from nestvec_schemas.errors import EngineError

PROVIDER: Final = "NvTensorRTRTXExecutionProvider"

_PACKAGE: Final = "onnxruntime_ep_nv_tensorrt_rtx"

_INSTALL: Final = (
    "Install it (pip install 'nestvec[tensorrt-rtx]'), beside onnxruntime 1.24 or later, not "
    "onnxruntime-gpu. Or choose another device: --device cuda, --device cpu."
)

_SUPPORTED: Final = (
    "It needs an NVIDIA driver and a GPU of compute capability 8.6, 8.9, 12.0 or later: GeForce RTX 30, 40 "
    "and 50, A10, L4, L40; not A100, H100 or H200. Or choose another device: --device cuda, --device cpu."
)


def tensorrt_rtx_device(index: int) -> Any:
    """ONNX Runtime's device for the GPU of this number, of those that TensorRT-RTX supports.

    Raises EngineError where the package is not installed, its library does not load, or there is no such GPU.
    """
    register_library(PROVIDER, _library())
    devices = provider_devices(PROVIDER)
    if index >= len(devices):
        raise EngineError(
            "TensorRT-RTX does not support that GPU",
            value=f"number {index}, of {len(devices)} that it supports",
            next_step=_SUPPORTED,
        )
    return devices[index]


@cache
def register_library(provider: str, library: Path) -> None:
    """Have ONNX Runtime load a provider's library, once in a process. Raises EngineError."""
    register = getattr(onnxruntime, "register_execution_provider_library", None)
    if register is None:
        raise EngineError(
            "this version of ONNX Runtime takes no plugins",
            value=f"onnxruntime {onnxruntime.__version__}",
            next_step="Install onnxruntime 1.24 or later.",
        )
    try:
        register(provider, str(library))
    except Exception as error:  # onnxruntime raises classes of its own, without a common root
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {library.name}",
            # Its path stands before the reason, and can be long.
            value=str(error).rpartition(" with error: ")[2],
            next_step=_SUPPORTED,
        ) from error


def provider_devices(provider: str) -> Sequence[Any]:
    """The devices of a registered provider."""
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == provider]


def _library() -> Path:
    """The plugin in its package, with the CUDA runtime loaded that lies beside it. Raises EngineError."""
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise EngineError("TensorRT-RTX is not installed", value=str(error), next_step=_INSTALL) from error
    library = Path(package.get_library_path())
    for runtime in library.parent.glob("libcudart.so.*"):
        # The package loads its other libraries itself.
        ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)
    return library
