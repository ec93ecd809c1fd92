"""How a GPU runs batches in this process."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_schemas.errors import EngineError


@dataclass(frozen=True)
class GpuOptions:
    """How ONNX Runtime runs batches on a GPU. Raises EngineError."""

    instances: int = 1
    """Batches at the same time, each with the encoder's weights once more."""

    cuda_graphs: bool = False
    """Whether short batches replay CUDA graphs; of the provider for CUDA alone."""

    def __post_init__(self) -> None:
        if self.cuda_graphs and self.instances > 1:
            raise EngineError(
                "CUDA graphs are captured by one instance alone: what another does on the GPU would break a "
                "capture",
                value=f"--gpu-instances {self.instances}",
                next_step="Omit --gpu-instances or --cuda-graphs.",
            )
