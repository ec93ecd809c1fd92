from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from nestvec_exporters.graph.tensors import MAX_BATCH, OUTPUT, TensorSpec, text_specs
from nestvec_exporters.graph.triton import TritonServing, config_pbtxt


def parsed(serving: TritonServing | None = None, *, tokens: int = 256) -> Any:
    return text_format.Parse(
        config_pbtxt(
            "minilm", text_specs(), TensorSpec(OUTPUT, "float32", (384,)), max_tokens=tokens, serving=serving
        ),
        ModelConfig(),
    )


def samples(config: Any) -> list[tuple[int, int]]:
    for one in config.model_warmup:
        assert set(one.inputs) == {"input_ids", "attention_mask"}
        assert all(value.zero_data for value in one.inputs.values())
    return [(one.batch_size, one.inputs["input_ids"].dims[0]) for one in config.model_warmup]


def test_a_cpu_can_load_the_default() -> None:
    config = parsed()
    assert (config.name, config.backend, config.max_batch_size) == ("minilm", "onnxruntime", MAX_BATCH)
    assert [(one.name, list(one.dims)) for one in config.input] == [
        ("input_ids", [-1]),
        ("attention_mask", [-1]),
    ]
    assert [(one.name, list(one.dims)) for one in config.output] == [("sentence_embedding", [384])]
    assert config.version_policy.latest.num_versions == 1
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    (group,) = config.instance_group
    assert (group.kind, group.count) == (ModelInstanceGroup.KIND_AUTO, 1)
    assert not config.HasField("optimization")
    assert samples(config) == [(1, 16), (8, 64)]


@pytest.mark.parametrize(("tokens", "largest"), [(8, 8), (40, 40), (8192, 64)])
def test_warm_up_is_no_longer_than_the_encoder_takes(tokens: int, largest: int) -> None:
    assert samples(parsed(tokens=tokens))[-1] == (8, largest)


def test_gpus_have_an_instance_each() -> None:
    (group,) = parsed(TritonServing(gpus=(0, 2))).instance_group
    assert (group.kind, group.count, list(group.gpus)) == (ModelInstanceGroup.KIND_GPU, 1, [0, 2])


@pytest.mark.parametrize(("fp16", "mode"), [(True, "FP16"), (False, "FP32")])
def test_tensorrt_behind_onnx_runtime_sees_all_shapes_before_it_is_ready(fp16: bool, mode: str) -> None:
    config = parsed(TritonServing(tensorrt=True, fp16=fp16))
    assert config.backend == "onnxruntime"
    (how,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert how.name == "tensorrt"
    assert how.parameters["precision_mode"] == mode
    assert how.parameters["trt_engine_cache_enable"] == "1"
    assert how.parameters["trt_engine_cache_path"].endswith("/minilm")
    assert samples(config) == [(1, 1), (MAX_BATCH, 256)]


def test_a_plan_names_its_profiles() -> None:
    config = parsed(TritonServing(backend="tensorrt", gpus=(1,), profiles=3))
    assert config.backend == "tensorrt"
    (group,) = config.instance_group
    assert (list(group.gpus), list(group.profile)) == ([1], ["0", "1", "2"])
    assert (
        parsed(TritonServing(backend="tensorrt", profiles=1)).instance_group[0].kind
        == ModelInstanceGroup.KIND_GPU
    )


def test_instances_share_a_gpu() -> None:
    (group,) = parsed(TritonServing(gpus=(0,), instances=3)).instance_group
    assert (group.kind, group.count, list(group.gpus)) == (ModelInstanceGroup.KIND_GPU, 3, [0])


@pytest.mark.parametrize(("instances", "hint"), [(1, "LATENCY"), (4, "THROUGHPUT")])
def test_openvino_takes_batches_of_any_size_from_the_same_graph(instances: int, hint: str) -> None:
    config = parsed(TritonServing(backend="openvino", instances=instances))
    assert (config.backend, config.default_model_filename) == ("openvino", "model.onnx")
    # Its backend refuses batches smaller than max_batch_size.
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert [list(tensor.dims) for tensor in config.input] == [[-1, -1], [-1, -1]]
    assert [list(tensor.dims) for tensor in config.output] == [[-1, 384]]
    (group,) = config.instance_group
    assert (group.kind, group.count) == (ModelInstanceGroup.KIND_CPU, instances)
    values = {key: parameter.string_value for key, parameter in config.parameters.items()}
    assert values == {"PERFORMANCE_HINT": hint, "NUM_STREAMS": str(instances)}
    # Without max_batch_size a warm-up's batch is among its dims.
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 1]
    shapes = [list(warmup.inputs["input_ids"].dims) for warmup in config.model_warmup]
    assert shapes == [[1, 16], [8, 64]]
