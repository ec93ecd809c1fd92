"""Build a TensorRT plan of a graph, or give the docker command that does where TensorRT is missing."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.graph.tensors import MAX_BATCH
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError

PLAN: Final = "1/model.plan"

RELEASE: Final = "25.08"
"""The NVIDIA container release whose Triton and TensorRT go together: a plan runs only on the TensorRT
that built it."""

IMAGE: Final = f"nvcr.io/nvidia/tensorrt:{RELEASE}-py3"

_PROFILE_TOKENS = (32, 128, 512)
_BATCH_TOKENS = 4096
_WORKSPACE = 4 << 30
_MAX_ERRORS = 3


@dataclass(frozen=True)
class OptimisationProfile:
    """The shapes, (texts, tokens), that a plan takes and the one that it is tuned for."""

    min_shape: tuple[int, int]
    opt_shape: tuple[int, int]
    max_shape: tuple[int, int]

    def shapes_of(self, declared: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The least, the best and the largest shape of an input that is declared with -1 where it varies:
        the first axis with the texts, any other with the tokens."""
        shapes = (self.min_shape, self.opt_shape, self.max_shape)
        least, best, largest = (
            tuple(size if size >= 0 else texts if axis == 0 else tokens for axis, size in enumerate(declared))
            for texts, tokens in shapes
        )
        return least, best, largest


def optimisation_profiles(tokens: int) -> tuple[OptimisationProfile, ...]:
    """Profiles for texts of up to 32, 128, 512 and ``tokens`` tokens; Triton takes the nearest.

    Each takes any batch from one text on and is tuned for what the service sends: 64 texts or 4,096 tokens.
    """
    rungs = [*(rung for rung in _PROFILE_TOKENS if rung < tokens), tokens]
    return tuple(
        OptimisationProfile((1, 1), (max(1, min(MAX_BATCH, _BATCH_TOKENS // rung)), rung), (MAX_BATCH, rung))
        for rung in rungs
    )


def check_tensorrt(checkpoint: str, models: Path, options: Sequence[str]) -> None:
    """Raise NestvecError where TensorRT is not installed, with the docker line that has it.

    ``options`` are the words of the export command after checkpoint and ``--to``; where they say themselves
    what is exported, ``checkpoint`` is empty.
    """
    if importlib.util.find_spec("tensorrt") is None:
        raise NestvecError(
            "a TensorRT plan can only be built where TensorRT is installed, on the GPU that will run it",
            value="no package tensorrt",
            next_step=f"Run it in the image that goes with Triton {RELEASE}:\n"
            f"  {docker_command(checkpoint, models, options)}",
        )


def docker_command(checkpoint: str, models: Path, options: Sequence[str]) -> str:
    """The ``docker run`` that exports the same inside NVIDIA's TensorRT image."""
    folder = Path(checkpoint)
    local = bool(checkpoint) and folder.is_dir()
    named = ["/checkpoint" if local else checkpoint] if checkpoint else []
    command = ["nestvec", "export", *named, "--to", "/models", *options]
    mounts = [f"{models.resolve()}:/models", *([f"{folder.resolve()}:/checkpoint:ro"] if local else [])]
    return shlex.join(
        [
            *("docker", "run", "--rm", "--gpus", "all"),
            *(word for mount in mounts for word in ("--volume", mount)),
            *(IMAGE, "sh", "-c", f"pip install 'nestvec[export]' && {shlex.join(command)}"),
        ]
    )


def build_tensorrt_plan(graph: Path, target: Path, profiles: Sequence[OptimisationProfile]) -> None:
    """Build a plan of ``graph`` for the GPU of this machine, which has TensorRT 10 or later.

    Strongly typed: every operator keeps the precision that the graph gives it. TensorRT 11 has no other
    networks, and no flags for precisions. One optimisation profile for each of ``profiles``, in their order.
    Raises CheckpointUnsupported where TensorRT cannot read or build it.
    """
    tensorrt: Any = importlib.import_module("tensorrt")
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    # TensorRT 10 would choose precisions of its own without the flag; 11 ignores it.
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    # Weights beside a large graph are looked for relative to its path.
    if not parser.parse_from_file(str(graph)):
        errors = [str(parser.get_error(number)) for number in range(parser.num_errors)]
        raise _refused("TensorRT cannot read the graph", "; ".join(errors[:_MAX_ERRORS]))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    inputs = [network.get_input(number) for number in range(network.num_inputs)]
    for profile in profiles:
        shapes = builder.create_optimization_profile()
        for tensor in inputs:
            shapes.set_shape(tensor.name, *profile.shapes_of(tuple(tensor.shape)))
        if config.add_optimization_profile(shapes) < 0:
            raise _refused("TensorRT does not accept an optimisation profile", str(profile))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refused("TensorRT cannot build a plan of the graph", "its reason is on standard error")
    target.write_bytes(plan)


def _refused(cause: str, reason: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        cause,
        value=reason,
        next_step="Export it with --format onnx; --tensorrt still accelerates it in Triton.",
    )
