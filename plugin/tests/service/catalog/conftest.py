"""Encoders whose vectors say which version of the graph and of the prompt they come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from nestvec_schemas.repository import CONFIG, GRAPH, sha256

WriteVersion = Callable[..., Path]


def versioned_graph(path: Path, version: int) -> None:
    """A graph that answers with the number of tokens of each text, the sum of their ids, and its version."""
    tensor, node = onnx.TensorProto, onnx.helper.make_node
    inputs = [
        onnx.helper.make_tensor_value_info(name, tensor.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = onnx.helper.make_tensor_value_info("sentence_embedding", tensor.FLOAT, ["batch", 3])
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "axes"),
        onnx.numpy_helper.from_array(np.array(0), "zero"),
        onnx.numpy_helper.from_array(np.array(version), "version"),
    ]
    nodes = [
        node("ReduceSum", ["attention_mask", "axes"], ["count"], keepdims=1),
        node("Mul", ["input_ids", "attention_mask"], ["real_ids"]),
        node("ReduceSum", ["real_ids", "axes"], ["sum"], keepdims=1),
        node("Mul", ["count", "zero"], ["zeros"]),
        node("Add", ["zeros", "version"], ["versions"]),
        node("Concat", ["count", "sum", "versions"], ["row"], axis=1),
        node("Cast", ["row"], ["sentence_embedding"], to=tensor.FLOAT),
    ]
    graph = onnx.helper.make_graph(nodes, "versioned", inputs, [output], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True)
    onnx.save(model, str(path))


@pytest.fixture
def write_version(tmp_path: Path, write_into: Callable[..., Path]) -> WriteVersion:
    """Writes a version of an encoder into ``tmp_path / "models"``, in place of the one that is there.

    The prompt before its texts is a word of its version.
    """
    models, building = tmp_path / "models", tmp_path / "building"
    models.mkdir()

    def write(version: int, name: str = "tiny") -> Path:
        shutil.rmtree(building, ignore_errors=True)
        versioned_graph(building / f"graph{version}" / "model.onnx", version)
        graph = building / f"graph{version}" / "model.onnx"
        folder = write_into(
            building,
            name,
            dim=3,
            dims=(3,),
            normalised=False,
            prompts={"document": f"w{900 + version} "},
            default_prompt="document",
            files={GRAPH: sha256(graph)},
        )
        (folder / GRAPH).parent.mkdir()
        graph.rename(folder / GRAPH)
        (folder / CONFIG).write_text(f'name: "{name}"\n')
        target = models / name
        if target.exists():
            target.rename(tmp_path / "building" / "old")
        folder.rename(target)
        return target

    return write


def vector_of(text: str, version: int) -> list[float]:
    """What a version answers for a text of words ``wN``: the ids of the words begin at 4."""
    words = [900 + version, *(int(word.removeprefix("w")) for word in text.split())]
    return [float(len(words) + 2), float(2 + 3 + sum(word + 4 for word in words)), float(version)]


def version_of(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> int:
    """The one version that gave all the vectors. Fails if they are not all of one version."""
    version = int(vectors[0][2])
    assert [list(vector) for vector in vectors] == [vector_of(text, version) for text in texts]
    return version
