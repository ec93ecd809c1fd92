"""The text that tells Triton how to serve a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Format = Literal["onnx", "tensorrt"]

RELEASE: Final = "25.08"
"""The NVIDIA container release whose Triton and TensorRT go together: a plan runs only on the TensorRT
that built it."""

MAX_BATCH: Final = 64
"""As many texts as the service puts in one batch."""

INPUTS: Final = ("input_ids", "attention_mask")
OUTPUT: Final = "sentence_embedding"
"""An output named ``embedding`` clashes with a name inside BERT's graph."""

EXIT: Final = "exit"
"""The input of an encoder with several exits: per text, the layer to stop after; 0 for the deepest."""

_LONG = 512
_CACHE = "/tmp/nestvec-tensorrt"  # noqa: S108 - in Triton's container, which may be read-only elsewhere


@dataclass(frozen=True)
class Serving:
    """How Triton is to run an encoder.

    ``format`` onnx is run by ONNX Runtime, with ``tensorrt`` through its TensorRT provider; format
    tensorrt is a plan with ``profiles`` optimisation profiles. ``gpus`` are device numbers: one instance
    on each; without them Triton takes the GPUs that there are, else the CPU.
    """

    format: Format = "onnx"
    gpus: tuple[int, ...] = ()
    tensorrt: bool = False
    fp16: bool = False
    profiles: int = 0


def exit_output(layer: int) -> str:
    """The output of one exit, but the deepest's, before the exits are put one inside another."""
    return f"{OUTPUT}_{layer}"


def config_pbtxt(
    name: str, dim: int, *, tokens: int, exits: bool = False, serving: Serving | None = None
) -> str:
    """Triton's ``config.pbtxt`` of an encoder (protobuf text of inference.ModelConfig).

    Batched on the first axis, which Triton leaves out of ``dims``; a text's length, at most ``tokens``,
    is free. Requests that wait are merged (those of one length), and none waits for others to come: the
    service sends whole batches already. Only the newest version is served.
    """
    how = serving or Serving()
    widths = {**dict.fromkeys(INPUTS, -1), **({EXIT: 1} if exits else {})}
    inputs = [
        f'  {{ name: "{one}", data_type: TYPE_INT64, dims: [ {width} ] }}' for one, width in widths.items()
    ]
    blocks = [
        f'name: "{name}"',
        f'backend: "{"onnxruntime" if how.format == "onnx" else "tensorrt"}"',
        f"max_batch_size: {MAX_BATCH}",
        "input [\n" + ",\n".join(inputs) + "\n]",
        f'output [\n  {{ name: "{OUTPUT}", data_type: TYPE_FP32, dims: [ {dim} ] }}\n]',
        "version_policy: { latest { num_versions: 1 } }",
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
        *_instances(how),
        *_acceleration(name, how),
        _warmup(tokens, how, exits=exits),
    ]
    return "\n".join(blocks) + "\n"


def _instances(how: Serving) -> list[str]:
    # One instance even on a CPU, where Triton's own default is two: both would want every core.
    gpu = how.gpus or how.format == "tensorrt"
    fields = ["count: 1", f"kind: {'KIND_GPU' if gpu else 'KIND_AUTO'}"]
    if how.gpus:
        fields.append(f"gpus: [ {', '.join(map(str, how.gpus))} ]")
    if how.profiles:
        names = ", ".join(f'"{number}"' for number in range(how.profiles))
        fields.append(f"profile: [ {names} ]")
    return [f"instance_group [ {{ {', '.join(fields)} }} ]"]


def _acceleration(name: str, how: Serving) -> list[str]:
    if not how.tensorrt:
        return []
    parameters = {
        "precision_mode": "FP16" if how.fp16 else "FP32",
        "max_workspace_size_bytes": str(1 << 30),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": f"{_CACHE}/{name}",
        **({"trt_layer_norm_fp32_fallback": "1"} if how.fp16 else {}),
    }
    rows = "\n".join(f'    parameters {{ key: "{key}" value: "{one}" }}' for key, one in parameters.items())
    return [
        'optimization { execution_accelerators {\n  gpu_execution_accelerator: [ {\n    name: "tensorrt"\n'
        f"{rows}\n  }} ]\n}} }}"
    ]


def _warmup(tokens: int, how: Serving, *, exits: bool) -> str:
    """Batches that Triton runs before it says that the encoder is ready.

    TensorRT behind ONNX Runtime builds an engine for the range of shapes that it has seen, so that the
    smallest and the largest go first.
    """
    longest = min(tokens, _LONG)
    shapes = (
        ((1, 1), (MAX_BATCH, longest)) if how.tensorrt else ((1, min(16, longest)), (8, min(64, longest)))
    )
    samples = [
        _sample(batch, {**dict.fromkeys(INPUTS, length), **({EXIT: 1} if exits else {})})
        for batch, length in shapes
    ]
    return "model_warmup [\n" + ",\n".join(samples) + "\n]"


def _sample(batch: int, widths: Mapping[str, int]) -> str:
    tokens = widths[INPUTS[0]]
    rows = "\n".join(
        f'    inputs {{ key: "{one}" value {{ data_type: TYPE_INT64, dims: [ {width} ], zero_data: true }} }}'
        for one, width in widths.items()
    )
    return f'  {{\n    name: "{batch} x {tokens}"\n    batch_size: {batch}\n{rows}\n  }}'
