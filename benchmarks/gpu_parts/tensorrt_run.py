"""Runs a TensorRT plan with the CUDA runtime alone, so that the run needs no torch."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_parts.shapes import Arrays
from nestvec_exporters.graph.tensorrt import OptimisationProfile

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
OUTPUT = "sentence_embedding"


def load_cudart() -> ctypes.CDLL:
    """The CUDA runtime: the system's, or that of NVIDIA's package. Raises OSError."""
    names = ["libcudart.so.13", "libcudart.so.12", "libcudart.so"]
    for package in ("nvidia.cuda_runtime.lib", "nvidia.cu13.lib"):
        try:
            folders = importlib.import_module(package).__path__
        except ImportError:
            continue
        names += [str(path) for folder in folders for path in Path(folder).glob("libcudart.so.*")]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("no libcudart: install nvidia-cuda-runtime-cu12")


class CudaMemory:
    """Buffers on the GPU that grow as needed, and copies in order on the default stream."""

    def __init__(self) -> None:
        self._runtime = load_cudart()
        self._buffers: dict[str, tuple[ctypes.c_void_p, int]] = {}

    def buffer(self, name: str, size: int) -> int:
        """The address of a buffer of at least so many bytes."""
        pointer, capacity = self._buffers.get(name, (ctypes.c_void_p(), 0))
        if size > capacity:
            if capacity:
                self._check(self._runtime.cudaFree(pointer))
            pointer = ctypes.c_void_p()
            self._check(self._runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)))
            self._buffers[name] = (pointer, size)
        return int(pointer.value or 0)

    def write(self, name: str, array: NDArray[Any]) -> int:
        """Copy an array to the buffer; return its address."""
        address, source = self.buffer(name, array.nbytes), np.ascontiguousarray(array)
        self._copy(address, source.ctypes.data, array.nbytes, HOST_TO_DEVICE)
        return address

    def read(self, name: str, array: NDArray[Any]) -> None:
        """Copy the buffer to an array, after all that was started."""
        self._check(self._runtime.cudaDeviceSynchronize())
        self._copy(array.ctypes.data, self.buffer(name, array.nbytes), array.nbytes, DEVICE_TO_HOST)

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        self._check(
            self._runtime.cudaMemcpy(
                ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), kind
            )
        )

    def _check(self, status: int) -> None:
        if status:
            raise RuntimeError(f"CUDA error {status}")


class PlanRunner:
    """A plan, with one execution context for each of its profiles."""

    def __init__(self, plan: Path, profiles: Sequence[OptimisationProfile]) -> None:
        tensorrt: Any = importlib.import_module("tensorrt")
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise RuntimeError("TensorRT cannot load the plan")
        self._memory = CudaMemory()
        self._profiles = profiles
        self._contexts = []
        for number in range(len(profiles)):
            context = self._engine.create_execution_context()
            context.set_optimization_profile_async(number, 0)
            self._contexts.append(context)

    def run(self, arrays: Arrays) -> NDArray[np.float32]:
        """The vectors of a batch, by the profile of the least length that it fits in."""
        tokens = arrays["input_ids"].shape[1]
        rung = next(at for at, profile in enumerate(self._profiles) if profile.max_shape[1] >= tokens)
        context = self._contexts[rung]
        for name, array in arrays.items():
            context.set_input_shape(name, array.shape)
            context.set_tensor_address(name, self._memory.write(name, array))
        vectors = np.empty(tuple(context.get_tensor_shape(OUTPUT)), np.float32)
        context.set_tensor_address(OUTPUT, self._memory.buffer(OUTPUT, vectors.nbytes))
        if not context.execute_async_v3(0):
            raise RuntimeError("TensorRT cannot run the batch")
        self._memory.read(OUTPUT, vectors)
        return vectors
