"""Triton's configuration of a graph: a message of inference.ModelConfig, written as protobuf text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from google.protobuf import json_format, text_format

from nestvec_exporters.graph.tensors import MAX_BATCH, TensorSpec
from nestvec_schemas.repository import GRAPH

_DATA_TYPES: Final = {"int64": "TYPE_INT64", "uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
_MAX_WARMUP_TOKENS: Final = 512
_ENGINE_CACHE: Final = "/tmp/nestvec-tensorrt"  # noqa: S108 - in Triton's container
_WORKSPACE_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class TritonServing:
    """How Triton runs an encoder."""

    backend: Literal["onnxruntime", "openvino", "tensorrt"] = "onnxruntime"
    """What runs ``model.onnx``, or ``model.plan`` in the case of tensorrt."""

    gpus: tuple[int, ...] = ()
    """Device numbers; without them Triton takes all GPUs, else the CPU."""

    instances: int = 1
    """Batches at the same time on each device."""

    tensorrt: bool = False
    """Whether ONNX Runtime uses its TensorRT provider."""

    fp16: bool = False
    """Whether that provider computes in float16."""

    profiles: int = 0
    """Optimisation profiles of a TensorRT plan."""

    unbatched: bool = False
    """Whether no two requests share a batch."""

    @property
    def max_batch(self) -> int:
        """The most inputs in one batch."""
        return 1 if self.unbatched else MAX_BATCH

    @property
    def batch_axis(self) -> bool:
        """Whether the inputs are declared with their first axis.

        Triton's openvino backend fixes a declared ``max_batch_size`` in the graph and refuses every smaller
        batch; with the axis among the dims it takes any.
        """
        return self.backend == "openvino"


def config_pbtxt(
    name: str,
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    *,
    max_tokens: int,
    serving: TritonServing | None = None,
) -> str:
    """Triton's ``config.pbtxt`` of one component of an encoder.

    Batched on the first axis, which Triton omits from ``dims`` (not with openvino); the length of a text, at
    most ``max_tokens``, is free. Waiting requests of one length are merged, and none waits for others to
    arrive: the service sends whole batches already. Only the newest version is served.
    """
    # Importing it imports grpc, which takes a second.
    from tritonclient.grpc.model_config_pb2 import ModelConfig  # noqa: PLC0415

    serving = serving or TritonServing()
    config = {
        "name": name,
        "backend": serving.backend,
        "input": [_declaration(spec, serving) for spec in inputs],
        "output": [_declaration(output, serving)],
        "version_policy": {"latest": {"num_versions": 1}},
        "instance_group": [_instance_group(serving)],
        **(_openvino(serving) if serving.backend == "openvino" else _merged_batches(serving)),
        **({"optimization": _acceleration(name, serving)} if serving.tensorrt else {}),
        "model_warmup": _warmup(inputs, max_tokens, serving),
    }
    text: str = text_format.MessageToString(json_format.ParseDict(config, ModelConfig()))
    return text


def _merged_batches(serving: TritonServing) -> dict[str, Any]:
    return {
        "max_batch_size": serving.max_batch,
        "dynamic_batching": {"max_queue_delay_microseconds": 0},
    }


def _openvino(serving: TritonServing) -> dict[str, Any]:
    """Whole batches, one request each, on every core; OpenVINO chooses the precision."""
    hint = "LATENCY" if serving.instances == 1 else "THROUGHPUT"
    parameters = {"PERFORMANCE_HINT": hint, "NUM_STREAMS": str(serving.instances)}
    return {
        "max_batch_size": 0,
        "default_model_filename": PurePosixPath(GRAPH).name,
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }


def _declaration(spec: TensorSpec, serving: TritonServing) -> dict[str, Any]:
    dims = [-1 if size is None else size for size in spec.dims]
    batch = [-1] if serving.batch_axis else []
    return {"name": spec.name, "data_type": _DATA_TYPES[spec.dtype], "dims": [*batch, *dims]}


def _instance_group(serving: TritonServing) -> dict[str, Any]:
    # One instance by default even on a CPU, where Triton's own default is two: both would want every core.
    on_gpu = serving.gpus or serving.backend == "tensorrt"
    on_cpu = serving.backend == "openvino"
    return {
        "count": serving.instances,
        "kind": "KIND_GPU" if on_gpu else "KIND_CPU" if on_cpu else "KIND_AUTO",
        "gpus": list(serving.gpus),
        "profile": [str(number) for number in range(serving.profiles)],
    }


def _acceleration(name: str, serving: TritonServing) -> dict[str, Any]:
    """ONNX Runtime's TensorRT provider."""
    parameters = {
        "precision_mode": "FP16" if serving.fp16 else "FP32",
        "max_workspace_size_bytes": str(_WORKSPACE_BYTES),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": f"{_ENGINE_CACHE}/{name}",
        **({"trt_layer_norm_fp32_fallback": "1"} if serving.fp16 else {}),
    }
    provider = {"name": "tensorrt", "parameters": parameters}
    return {"execution_accelerators": {"gpu_execution_accelerator": [provider]}}


def _warmup(inputs: Sequence[TensorSpec], max_tokens: int, serving: TritonServing) -> list[dict[str, Any]]:
    """Batches that Triton runs before it reports that the encoder is ready.

    TensorRT behind ONNX Runtime builds an engine for the range of shapes that it has seen, so the smallest
    and the largest go first.
    """
    longest = min(max_tokens, _MAX_WARMUP_TOKENS)
    shapes = ((1, min(16, longest)), (8, min(64, longest)))
    if serving.tensorrt:
        shapes = ((1, 1), (MAX_BATCH, longest))
    return [
        _warmup_batch(inputs, (min(batch, serving.max_batch), tokens), serving) for batch, tokens in shapes
    ]


def _warmup_batch(
    inputs: Sequence[TensorSpec], shape: tuple[int, int], serving: TritonServing
) -> dict[str, Any]:
    """Zeros, with the batch's number of tokens where the size of an axis varies."""
    batch, tokens = shape
    axis = [batch] if serving.batch_axis else []
    tensors: Mapping[str, Any] = {
        spec.name: {
            "data_type": _DATA_TYPES[spec.dtype],
            "dims": [*axis, *(size or tokens for size in spec.dims)],
            "zero_data": True,
        }
        for spec in inputs
    }
    return {"name": f"{batch} x {tokens}", "batch_size": 1 if axis else batch, "inputs": tensors}
