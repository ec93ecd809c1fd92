"""The text that tells Triton how to serve a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nestvec_exporters.options import Format

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
    on each; without them Triton takes the GPUs that there are, else the CPU. ``alone``: no two requests in
    one batch.
    """

    format: Format = "onnx"
    gpus: tuple[int, ...] = ()
    tensorrt: bool = False
    fp16: bool = False
    profiles: int = 0
    alone: bool = False

    @property
    def most(self) -> int:
        """Inputs in one batch."""
        return 1 if self.alone else MAX_BATCH


def exit_output(layer: int) -> str:
    """The output of one exit, but the deepest's, before the exits are put one inside another."""
    return f"{OUTPUT}_{layer}"


@dataclass(frozen=True)
class Port:
    """An input or output: its name, numpy's name of its type, and its axes but the first, None where free."""

    name: str
    dtype: str
    dims: tuple[int | None, ...]

    def declared(self) -> str:
        dims = ", ".join("-1" if one is None else str(one) for one in self.dims)
        return f'{{ name: "{self.name}", data_type: {_TYPES[self.dtype]}, dims: [ {dims} ] }}'

    def warm(self, tokens: int) -> str:
        """Zeros of this shape, with ``tokens`` where it is free."""
        dims = ", ".join(str(one or tokens) for one in self.dims)
        return (
            f'inputs {{ key: "{self.name}" value {{ data_type: {_TYPES[self.dtype]}, '
            f"dims: [ {dims} ], zero_data: true }} }}"
        )


_TYPES = {"int64": "TYPE_INT64", "uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}

EXIT_PORT: Final = Port(EXIT, "int64", (1,))


def text_ports() -> tuple[Port, ...]:
    """The inputs of an encoder of texts: ids and mask."""
    return tuple(Port(name, "int64", (None,)) for name in INPUTS)


def config_pbtxt(
    name: str, inputs: Sequence[Port], output: Port, *, tokens: int, serving: Serving | None = None
) -> str:
    """Triton's ``config.pbtxt`` of one part of an encoder (protobuf text of inference.ModelConfig).

    Batched on the first axis, which Triton leaves out of ``dims``; a text's length, at most ``tokens``,
    is free. Requests that wait are merged (those of one length), and none waits for others to come: the
    service sends whole batches already. Only the newest version is served.
    """
    how = serving or Serving()
    blocks = [
        f'name: "{name}"',
        f'backend: "{"onnxruntime" if how.format == "onnx" else "tensorrt"}"',
        f"max_batch_size: {how.most}",
        "input [\n" + ",\n".join(f"  {one.declared()}" for one in inputs) + "\n]",
        f"output [\n  {output.declared()}\n]",
        "version_policy: { latest { num_versions: 1 } }",
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
        *_instances(how),
        *_acceleration(name, how),
        _warmup(inputs, tokens, how),
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


def _warmup(inputs: Sequence[Port], tokens: int, how: Serving) -> str:
    """Batches that Triton runs before it says that the encoder is ready.

    TensorRT behind ONNX Runtime builds an engine for the range of shapes that it has seen, so that the
    smallest and the largest go first.
    """
    longest = min(tokens, _LONG)
    shapes = (
        ((1, 1), (MAX_BATCH, longest)) if how.tensorrt else ((1, min(16, longest)), (8, min(64, longest)))
    )
    samples = [_sample(inputs, min(batch, how.most), length) for batch, length in shapes]
    return "model_warmup [\n" + ",\n".join(samples) + "\n]"


def _sample(inputs: Sequence[Port], batch: int, tokens: int) -> str:
    rows = "\n".join(f"    {one.warm(tokens)}" for one in inputs)
    return f'  {{\n    name: "{batch} x {tokens}"\n    batch_size: {batch}\n{rows}\n  }}'
