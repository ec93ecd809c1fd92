"""What runs the encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from nestvec.cli.options import option, option_group
from nestvec.cli.serve_options.openvino import OpenVinoArgs
from nestvec.cli.serve_options.sizes import Bytes

if TYPE_CHECKING:
    from nestvec.engines.factory import EngineOptions

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class EngineArgs:
    """What runs the encoders."""

    engine: Literal["auto", "openvino", "onnx", "triton"]
    threads: int
    device: str
    share_cores: bool
    gpu_instances: int
    cuda_graphs: bool
    triton_url: str
    idle: float | None
    memory_budget: int | None

    def options(self, openvino: OpenVinoArgs) -> EngineOptions:
        """The engine's settings."""
        from nestvec.engines.factory import EngineOptions, MemoryLimits
        from nestvec.engines.gpu_options import GpuOptions

        memory = MemoryLimits(self.idle, self.memory_budget)
        if self.engine == "triton" and memory != MemoryLimits():
            raise click.UsageError("--idle and --memory-budget are not for --engine triton.")
        if self.engine not in ("auto", "openvino") and openvino.precision != "auto":
            raise click.UsageError(
                "--precision is for --engine openvino: others compute in what an encoder was exported in."
            )
        return EngineOptions(
            self.engine,
            threads=self.threads,
            device=self.device,
            triton_url=self.triton_url,
            share_cores=self.share_cores,
            gpu=GpuOptions(self.gpu_instances, self.cuda_graphs),
            memory=memory,
            precision=openvino.precision,
            cache=openvino.engine_cache,
        )


def engine_options(command: F) -> F:
    """The fields of EngineArgs."""
    return option_group(
        "Engine",
        option(
            "--engine",
            type=click.Choice(["auto", "openvino", "onnx", "triton"]),
            default="auto",
            help="openvino, onnx: OpenVINO or ONNX Runtime in this process. triton: a Triton server. auto: "
            "on a CPU OpenVINO, if it is installed, and ONNX Runtime for encoders that it cannot run; on a "
            "GPU ONNX Runtime.",
        ),
        option(
            "--threads",
            type=click.IntRange(0, 1024),
            default=0,
            help="Threads of OpenVINO or ONNX Runtime; 0: one per core.",
        ),
        option(
            "--device",
            default="auto",
            metavar="DEVICE",
            help="Where ONNX Runtime runs: cpu, cuda, or cuda:N for the GPU of this number. auto: the first "
            "GPU if the installed ONNX Runtime supports CUDA, else the CPU. "
            "tensorrt-rtx: a GPU, through TensorRT-RTX.",
        ),
        option(
            "--share-cores",
            is_flag=True,
            help="For a machine that does other work: ONNX Runtime's threads sleep while they wait. Queries "
            "are then faster beside it, and a little slower without.",
        ),
        _gpu_options,
        option(
            "--triton-url",
            default="127.0.0.1:8001",
            metavar="HOST:PORT",
            help="Triton's gRPC address, or several with commas. A name that resolves to several addresses "
            "stands for all of them, and is resolved again every 5 s.",
        ),
        option(
            "--idle",
            type=click.FloatRange(min=1),
            metavar="SECONDS",
            help="Unload an encoder that no request has used for so long; the next one loads it again.",
        ),
        option(
            "--memory-budget",
            type=Bytes(),
            metavar="SIZE",
            help="Memory for all encoders' graphs, such as 4GB: beyond it, those that were not used for "
            "longest are unloaded.",
        ),
    )(command)


def _gpu_options(command: F) -> F:
    return option_group(
        "Engine",
        option(
            "--gpu-instances",
            type=click.IntRange(1, 16),
            default=1,
            help="Batches of an encoder that ONNX Runtime runs at the same time on a GPU.",
        ),
        option(
            "--cuda-graphs",
            is_flag=True,
            help="On CUDA, replay short batches as captured graphs: fewer calls to the GPU for each.",
        ),
    )(command)
