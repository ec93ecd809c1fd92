from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.graph.quantise.qdq import in_float, quantised_layers
from nestvec_exporters.graph.quantise.sensitivity import keep_sensitive_layers

WEIGHTS = {"first": [[3, -1], [2, 5]], "second": [[7, 1], [-2, 4]], "third": [[1, 2], [3, 4]]}


def chain() -> onnx.ModelProto:
    """Three matrices one after the other, each behind a quantised activation."""
    nodes, tensors = [], []
    before = "x"
    for name, rows in WEIGHTS.items():
        tensors += [
            numpy_helper.from_array(np.array(rows, np.int8), f"{name}_int8"),
            numpy_helper.from_array(np.array([0.5, 0.25], np.float32), f"{name}_scale"),
            numpy_helper.from_array(np.float32(0.1), f"{name}_step"),
            numpy_helper.from_array(np.int8(0), f"{name}_zero"),
            numpy_helper.from_array(np.zeros(2, np.int8), f"{name}_zeros"),
        ]
        nodes += [
            helper.make_node(
                "QuantizeLinear", [before, f"{name}_step", f"{name}_zero"], [f"{name}_q"], f"{name}/Q"
            ),
            helper.make_node(
                "DequantizeLinear", [f"{name}_q", f"{name}_step", f"{name}_zero"], [f"{name}_dq"]
            ),
            helper.make_node(
                "DequantizeLinear", [f"{name}_int8", f"{name}_scale", f"{name}_zeros"], [f"{name}_w"], axis=1
            ),
            helper.make_node("MatMul", [f"{name}_dq", f"{name}_w"], [f"{name}_y"], name),
        ]
        before = f"{name}_y"
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", before)]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_each_activation_is_known_by_what_reads_it() -> None:
    assert quantised_layers(chain()) == {f"{name}/Q": [name] for name in WEIGHTS}


def test_a_layer_in_float_has_the_same_weights_and_no_rounding() -> None:
    model = in_float(chain(), {"second/Q"})
    onnx.checker.check_model(model)
    assert list(quantised_layers(model)) == ["first/Q", "third/Q"]
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    np.testing.assert_array_equal(weights["second_w"], np.array(WEIGHTS["second"]) * [0.5, 0.25])
    assert "second_int8" not in weights
    everywhere = in_float(chain(), quantised_layers(chain()))
    x = np.array([[0.123, -0.456]], np.float32)
    session = onnxruntime.InferenceSession(everywhere.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = x.astype(float)
    for rows in WEIGHTS.values():
        expected = expected @ (np.array(rows) * [0.5, 0.25])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5)


def nearness(model: onnx.ModelProto) -> float:
    """As if the second layer cost most of the cosine, and the first the rest."""
    remaining = quantised_layers(model)
    return 1 - 0.1 * ("second/Q" in remaining) - 0.01 * ("first/Q" in remaining)


@pytest.mark.parametrize(("floor", "layers"), [(0.8, ()), (0.95, ("second",))])
def test_the_most_sensitive_layer_goes_first_and_no_more_than_needed(
    floor: float, layers: tuple[str, ...]
) -> None:
    mixed = keep_sensitive_layers(chain(), nearness, nearness, floor, lambda done, total: None)
    assert (mixed.float_layers, mixed.reached) == (layers, True)


def test_what_stays_far_with_half_of_the_layers_in_float_is_not_reached() -> None:
    assert not keep_sensitive_layers(chain(), nearness, nearness, 0.999, lambda done, total: None).reached
