"""Triton's configuration of a graph: a message of inference.ModelConfig, written as protobuf text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format, text_format

from nestvec_exporters.graph.tensors import MAX_BATCH, TensorSpec
from nestvec_exporters.options import GraphFormat

_DATA_TYPES: Final = {"int64": "TYPE_INT64", "uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
_MAX_WARMUP_TOKENS: Final = 512
_ENGINE_CACHE: Final = "/tmp/nestvec-tensorrt"  # noqa: S108 - in Triton's container
_WORKSPACE_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class TritonServing:
    """How Triton runs an encoder."""

    format: GraphFormat = "onnx"
    """A graph for ONNX Runtime, or a TensorRT plan."""

    gpus: tuple[int, ...] = ()
    """Device numbers, with one instance on each; without them Triton takes all GPUs, else the CPU."""

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


def config_pbtxt(
    name: str,
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    *,
    max_tokens: int,
    serving: TritonServing | None = None,
) -> str:
    """Triton's ``config.pbtxt`` of one component of an encoder.

    Batched on the first axis, which Triton omits from ``dims``; the length of a text, at most ``max_tokens``,
    is free. Waiting requests of one length are merged, and none waits for others to arrive: the service sends
    whole batches already. Only the newest version is served.
    """
    # Importing it imports grpc, which takes a second.
    from tritonclient.grpc.model_config_pb2 import ModelConfig  # noqa: PLC0415

    serving = serving or TritonServing()
    config = {
        "name": name,
        "backend": "onnxruntime" if serving.format == "onnx" else "tensorrt",
        "max_batch_size": serving.max_batch,
        "input": [_declaration(spec) for spec in inputs],
        "output": [_declaration(output)],
        "version_policy": {"latest": {"num_versions": 1}},
        "dynamic_batching": {"max_queue_delay_microseconds": 0},
        "instance_group": [_instance_group(serving)],
        **({"optimization": _acceleration(name, serving)} if serving.tensorrt else {}),
        "model_warmup": _warmup(inputs, max_tokens, serving),
    }
    text: str = text_format.MessageToString(json_format.ParseDict(config, ModelConfig()))
    return text


def _declaration(spec: TensorSpec) -> dict[str, Any]:
    dims = [-1 if size is None else size for size in spec.dims]
    return {"name": spec.name, "data_type": _DATA_TYPES[spec.dtype], "dims": dims}


def _instance_group(serving: TritonServing) -> dict[str, Any]:
    # One instance even on a CPU, where Triton's own default is two: both would want every core.
    on_gpu = serving.gpus or serving.format == "tensorrt"
    return {
        "count": 1,
        "kind": "KIND_GPU" if on_gpu else "KIND_AUTO",
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
    return [_warmup_batch(inputs, min(batch, serving.max_batch), tokens) for batch, tokens in shapes]


def _warmup_batch(inputs: Sequence[TensorSpec], batch: int, tokens: int) -> dict[str, Any]:
    """Zeros, with ``tokens`` where the size of an axis varies."""
    tensors: Mapping[str, Any] = {
        spec.name: {
            "data_type": _DATA_TYPES[spec.dtype],
            "dims": [size or tokens for size in spec.dims],
            "zero_data": True,
        }
        for spec in inputs
    }
    return {"name": f"{batch} x {tokens}", "batch_size": batch, "inputs": tensors}
