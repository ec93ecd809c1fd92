"""How a GPU runs batches in this process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuOptions:
    """How ONNX Runtime runs batches on a GPU."""

    instances: int = 1
    """Batches at the same time, each with the encoder's weights once more."""

    cuda_graphs: bool = False
    """Whether short batches replay CUDA graphs; of the provider for CUDA alone."""
