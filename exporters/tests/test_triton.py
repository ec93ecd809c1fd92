from __future__ import annotations

from nestvec_exporters.triton import config_pbtxt


def test_the_config_is_what_triton_reads() -> None:
    assert (
        config_pbtxt("minilm", 384)
        == """\
name: "minilm"
backend: "onnxruntime"
max_batch_size: 64
input [
  { name: "input_ids", data_type: TYPE_INT64, dims: [ -1 ] },
  { name: "attention_mask", data_type: TYPE_INT64, dims: [ -1 ] }
]
output [
  { name: "sentence_embedding", data_type: TYPE_FP32, dims: [ 384 ] }
]
version_policy: { latest { num_versions: 1 } }
dynamic_batching { }
"""
    )
