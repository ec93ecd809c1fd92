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

    def check_unused(self, cause: str) -> None:
        """Raise EngineError, because of ``cause``, for options that would be ignored without a GPU."""
        set_options = {"--gpu-instances": self.instances > 1, "--cuda-graphs": self.cuda_graphs}
        names = [name for name, is_set in set_options.items() if is_set]
        if names:
            raise EngineError(
                f"{cause}, and has no use for options of a GPU",
                value=", ".join(names),
                next_step="Omit them, or name a GPU (--device cuda).",
            )

    def check_provider(self, device: str, *, is_cuda: bool) -> None:
        """Raise EngineError for CUDA graphs on a ``device`` of another provider than CUDA's."""
        if self.cuda_graphs and not is_cuda:
            raise EngineError(
                "only ONNX Runtime's provider for CUDA replays CUDA graphs",
                value=f"--cuda-graphs on {device}",
                next_step="Omit --cuda-graphs, or use --device cuda.",
            )

    def __post_init__(self) -> None:
        if self.cuda_graphs and self.instances > 1:
            raise EngineError(
                "CUDA graphs are captured by one instance alone: what another does on the GPU would break a "
                "capture",
                value=f"--gpu-instances {self.instances}",
                next_step="Omit --gpu-instances or --cuda-graphs.",
            )
