from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.graph.exits import multiply_outputs, nest_exits
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT, exit_output
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.trace import trace_tower
from nestvec_exporters.nesting.sampling import exit_vectors
from nestvec_schemas.towers import EXIT_INPUT
from nestvec_schemas.vectors import Vectors

LAYERS = (4, 3, 1)
IDS = np.random.default_rng(0).integers(4, 100, size=(6, 9))
MASK = np.where(np.arange(9) < [[9], [3], [5], [9], [1], [7]], 1, 0)


@pytest.fixture(scope="module")
def flat(
    deep: Path, text_tower: Callable[[Path], TowerModel], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A traced graph with an output for each of LAYERS."""
    path = tmp_path_factory.mktemp("flat") / "graph.onnx"
    with quiet():
        trace_tower(text_tower(deep), path, (1, 3))
    return path


@pytest.fixture(scope="module")
def session(flat: Path) -> onnxruntime.InferenceSession:
    made = nest_exits(onnx.load(str(flat)), LAYERS)
    onnx.checker.check_model(made)
    return onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def expected(flat: Path) -> dict[int, Vectors]:
    """Each exit's vectors, from the graph that gives them all."""
    outputs = [OUTPUT, exit_output(3), exit_output(1)]
    session = onnxruntime.InferenceSession(str(flat), providers=["CPUExecutionProvider"])
    answers = session.run(outputs, dict(zip(INPUTS, (IDS, MASK), strict=True)))
    return dict(zip(LAYERS, answers, strict=True))


def run(session: onnxruntime.InferenceSession, exits: list[int]) -> Vectors:
    rows = len(exits)
    feeds = {INPUTS[0]: IDS[:rows], INPUTS[1]: MASK[:rows], EXIT_INPUT: np.array(exits, np.int64)[:, None]}
    found: Vectors = session.run([OUTPUT], feeds)[0]
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_a_batch_gets_the_vectors_of_its_exit(
    layer: int, session: onnxruntime.InferenceSession, expected: dict[int, Vectors]
) -> None:
    np.testing.assert_allclose(run(session, [layer] * 6), expected[layer], atol=1e-6)
    others = [other for other in LAYERS if other != layer]
    assert all(np.abs(expected[layer] - expected[other]).max() > 0.01 for other in others)


def test_0_is_the_deepest(session: onnxruntime.InferenceSession, expected: dict[int, Vectors]) -> None:
    np.testing.assert_allclose(run(session, [0] * 6), expected[4], atol=1e-6)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exits=st.lists(st.sampled_from([0, *LAYERS]), min_size=1, max_size=6))
def test_rows_of_one_batch_may_leave_at_different_exits(
    exits: list[int], session: onnxruntime.InferenceSession, expected: dict[int, Vectors]
) -> None:
    found = run(session, exits)
    for row, layer in enumerate(exits):
        np.testing.assert_allclose(found[row], expected[layer or 4][row], atol=1e-6)


def test_layers_beyond_an_exit_lie_where_they_are_skipped(flat: Path) -> None:
    before = onnx.load(str(flat))
    made = nest_exits(before, LAYERS)
    products = [sum(node.op_type == "MatMul" for node in graph.node) for graph in _nested(made.graph)]
    assert sum(products) == sum(node.op_type == "MatMul" for node in before.graph.node)
    # One layer, two more, and one more: each depth has its own products.
    assert len(products) == 3
    assert products[1] == 2 * products[2]
    assert products[0] >= products[2]


def test_weights_are_there_once(flat: Path) -> None:
    before = onnx.load(str(flat))
    made = nest_exits(before, LAYERS)
    names = [one.name for one in made.graph.initializer]
    assert len(set(names)) == len(names)
    assert made.ByteSize() < before.ByteSize() * 1.05
    assert not any(graph.initializer for graph in _nested(made.graph)[1:])


def _nested(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """A graph and those in its ``then_branch``es, outermost first."""
    inner = [
        attribute.g
        for node in graph.node
        for attribute in node.attribute
        if node.op_type == "If" and attribute.name == "then_branch"
    ]
    return [graph, *(deeper for one in inner for deeper in _nested(one))]


def test_matrices_are_folded_behind_what_a_graph_gives(flat: Path, expected: dict[int, Vectors]) -> None:
    draw = np.random.default_rng(5)
    matrices = {OUTPUT: draw.normal(size=(32, 32)), exit_output(1): draw.normal(size=(32, 32))}
    model = onnx.load(str(flat))
    multiply_outputs(model, matrices, normalised=frozenset([exit_output(1)]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = [OUTPUT, exit_output(3), exit_output(1)]
    whole, third, first = session.run(outputs, dict(zip(INPUTS, (IDS, MASK), strict=True)))
    np.testing.assert_allclose(whole, expected[4] @ matrices[OUTPUT], atol=1e-4)
    np.testing.assert_array_equal(third, expected[3])
    turned = expected[1] @ matrices[exit_output(1)]
    np.testing.assert_allclose(first, turned / np.linalg.norm(turned, axis=1, keepdims=True), atol=1e-5)


def test_a_sample_is_embedded_at_every_exit_in_its_own_order(
    flat: Path, deep: Path, text_tower: Callable[[Path], TowerModel], tmp_path: Path
) -> None:
    texts = [f"{'word ' * (number % 7)}number {number}" for number in range(150)]
    heard: list[tuple[int, int]] = []
    tower = text_tower(deep)
    tower.save(tmp_path)
    rows = tower.rows(tmp_path, texts, 64)
    found = exit_vectors(flat, rows, LAYERS, lambda done, total: heard.append((done, total)))
    assert heard[-1] == (150, 150)
    assert {layer: vectors.shape for layer, vectors in found.items()} == dict.fromkeys(LAYERS, (150, 32))
    for at in (0, 77, 149):
        (alone,) = exit_vectors(flat, [rows[at]], (4,), lambda done, total: None).values()
        np.testing.assert_allclose(found[4][at], alone[0], atol=1e-6)
