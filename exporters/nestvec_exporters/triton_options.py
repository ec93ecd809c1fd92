"""How Triton runs an exported encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from nestvec_schemas.errors import EncoderError

GraphFormat = Literal["onnx", "tensorrt"]

TritonBackend = Literal["onnxruntime", "openvino"]

MAX_INSTANCES: Final = 16
"""Of one encoder on one device: each has its own weights and memory."""


@dataclass(frozen=True, kw_only=True)
class TritonOptions:
    """How Triton runs the encoder. Raises EncoderError."""

    format: GraphFormat = "onnx"
    """``tensorrt`` adds a TensorRT plan, which Triton alone runs."""

    gpus: tuple[int, ...] = ()
    """The devices that Triton runs it on; empty leaves the choice to Triton."""

    accelerate: bool = False
    """Have ONNX Runtime use TensorRT inside Triton."""

    backend: TritonBackend = "onnxruntime"
    """What runs ``model.onnx`` inside Triton; ``openvino`` on CPUs."""

    instances: int = 1
    """Batches that Triton runs at the same time on each device."""

    def __post_init__(self) -> None:
        for value, kind, choices in (
            (self.format, "format", get_args(GraphFormat)),
            (self.backend, "backend", get_args(TritonBackend)),
        ):
            if value not in choices:
                raise EncoderError(
                    f"unknown {kind}", value=value, next_step=f"Choose one of {', '.join(choices)}."
                )
        if len(set(self.gpus)) < len(self.gpus) or any(gpu < 0 for gpu in self.gpus):
            raise EncoderError(
                "these are not different GPUs",
                value=", ".join(map(str, self.gpus)),
                next_step="Give each device number once, from 0: --gpus 0,1.",
            )
        if not 1 <= self.instances <= MAX_INSTANCES:
            raise EncoderError(
                "this is no number of instances that a device can run",
                value=self.instances,
                next_step=f"Choose 1 to {MAX_INSTANCES}.",
            )
        if self.accelerate and self.format == "tensorrt":
            raise EncoderError(
                "a TensorRT plan needs no acceleration by TensorRT",
                value="--format tensorrt --tensorrt",
                next_step="Keep one of the two.",
            )
        if self.backend == "openvino" and (self.gpus or self.uses_tensorrt):
            raise EncoderError(
                "Triton's openvino backend runs on CPUs",
                value="--gpus" if self.gpus else "TensorRT",
                next_step="Omit --triton-backend, or what chooses a GPU.",
            )

    @property
    def uses_tensorrt(self) -> bool:
        """Whether TensorRT runs it, as a plan or behind ONNX Runtime."""
        return self.accelerate or self.format == "tensorrt"

    def triton_args(self) -> list[str]:
        """The options of a ``nestvec export`` that ask for the same."""
        return [
            *("--format", self.format),
            *(["--gpus", ",".join(map(str, self.gpus))] if self.gpus else []),
            *(["--triton-backend", self.backend] if self.backend != "onnxruntime" else []),
            *(["--triton-instances", str(self.instances)] if self.instances != 1 else []),
            *(["--tensorrt"] * self.accelerate),
        ]
