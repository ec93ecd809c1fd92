"""Build a TensorRT plan of a graph, or give the docker command that does where TensorRT is missing."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.graph.tensors import INPUTS, MAX_BATCH
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError

PLAN: Final = "1/model.plan"

RELEASE: Final = "25.08"
"""The NVIDIA container release whose Triton and TensorRT go together: a plan runs only on the TensorRT
that built it."""

IMAGE: Final = f"nvcr.io/nvidia/tensorrt:{RELEASE}-py3"

_PROFILE_TOKENS = (32, 128, 512)
_BATCH_TOKENS = 4096
_WORKSPACE = 4 << 30


@dataclass(frozen=True)
class OptimisationProfile:
    """The shapes, (texts, tokens), that a plan takes and the one that it is tuned for."""

    min_shape: tuple[int, int]
    opt_shape: tuple[int, int]
    max_shape: tuple[int, int]


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


def build_tensorrt_plan(graph: Path, target: Path, shapes: tuple[OptimisationProfile, ...]) -> None:
    """Build a plan of ``graph`` for the GPU of this machine, which has TensorRT 10 or later.

    Strongly typed: every operator keeps the precision that the graph gives it.
    Raises CheckpointUnsupported where TensorRT cannot read or build it.
    """
    tensorrt: Any = importlib.import_module("tensorrt")
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    strongly_typed = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        raise _refused("TensorRT cannot read the graph", str(parser.get_error(0)))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    for shape in shapes:
        profile = builder.create_optimization_profile()
        for name in INPUTS:
            profile.set_shape(name, shape.min_shape, shape.opt_shape, shape.max_shape)
        config.add_optimization_profile(profile)
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
