"""The text that tells Triton how to serve a graph."""

from __future__ import annotations

from nestvec_exporters.graph import INPUTS, OUTPUT

MAX_BATCH = 64

_TEMPLATE = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {batch}
input [
{inputs}
]
output [
  {{ name: "{output}", data_type: TYPE_FP32, dims: [ {dim} ] }}
]
version_policy: {{ latest {{ num_versions: 1 }} }}
dynamic_batching {{ }}
"""


def config_pbtxt(name: str, dim: int) -> str:
    """Triton's ``config.pbtxt`` of an encoder (protobuf text of inference.ModelConfig).

    Batched on the first axis, which Triton leaves out of ``dims``; a text's length is free. Where no
    instance group is named, Triton takes the GPUs that there are, else the CPU.
    """
    rows = (f'  {{ name: "{one}", data_type: TYPE_INT64, dims: [ -1 ] }}' for one in INPUTS)
    return _TEMPLATE.format(name=name, batch=MAX_BATCH, inputs=",\n".join(rows), output=OUTPUT, dim=dim)
