"""Graphs that are not simply token vectors of ids, mask and token types."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from encoder_vectors import encoder_vectors
from onnx import TensorProto, helper, numpy_helper
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.graph.ready.onnx_file import read_onnx
from nestvec_schemas.errors import CheckpointError, CheckpointUnsupported, VerificationFailed
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH

SaveReady = Callable[..., tuple[Path, Path]]
Change = Callable[[onnx.ModelProto], None]

TEXTS = ("heat flow in a plate", "a", "shock waves, and what they do to thin plates of metal")


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "ready", verify="quick", **options))


def vectors(models: Path) -> Array:
    return encoder_vectors(models / "ready", TEXTS, 64)


def library(folder: Path) -> Array:
    model = SentenceTransformer(str(folder), device="cpu")
    return np.asarray(model.encode(list(TEXTS), batch_size=1), np.float32)


def change(folder: Path, apply: Change) -> Path:
    """A layout whose graph was changed."""
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    apply(model)
    onnx.save(model, path)
    return folder


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = new if name == old else name


def takes(name: str, kind: int) -> Change:
    """An input of another type, converted inside."""

    def apply(model: onnx.ModelProto) -> None:
        rename(model, name, f"{name}_int64")
        node = helper.make_node("Cast", [name], [f"{name}_int64"], to=TensorProto.INT64)
        model.graph.node.insert(0, node)
        for tensor in model.graph.input:
            if tensor.name == name:
                tensor.type.tensor_type.elem_type = kind

    return apply


def gives_half(model: onnx.ModelProto) -> None:
    rename(model, "last_hidden_state", "full")
    model.graph.node.append(helper.make_node("Cast", ["full"], ["last_hidden_state"], to=TensorProto.FLOAT16))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def adds_input(name: str, kind: int = TensorProto.INT64) -> Change:
    def apply(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info(name, kind, ["batch", "sequence"]))

    return apply


def adds_positions(model: onnx.ModelProto) -> None:
    """Positions that shift the output, so that wrong ones show."""
    adds_input("position_ids")(model)
    rename(model, "last_hidden_state", "unshifted")
    axis = numpy_helper.from_array(np.array([2], np.int64), "axis")
    model.graph.initializer.append(axis)
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["position_ids"], ["places"], to=TensorProto.FLOAT),
            helper.make_node("Sin", ["places"], ["waves"]),
            helper.make_node("Unsqueeze", ["waves", "axis"], ["column"]),
            helper.make_node("Add", ["unshifted", "column"], ["last_hidden_state"]),
        ]
    )


def ignores_mask(model: onnx.ModelProto) -> None:
    """Attention to padding too."""
    rename(model, "attention_mask", "all_ones")
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "unity"))
    model.graph.node.insert(0, helper.make_node("Sub", ["input_ids", "input_ids"], ["all_zeros"]))
    model.graph.node.insert(1, helper.make_node("Add", ["all_zeros", "unity"], ["all_ones"]))


def adds_sentence(folder: Path, *, scale: float = 1.0) -> Change:
    """The pooled vector as an output as well, by sentence-transformers' own modules."""

    def apply(model: onnx.ModelProto) -> None:
        constants = {"factor": np.float32(scale), "axes": np.array([1], np.int64)}
        for name, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        model.graph.node.extend(
            [
                helper.make_node("Identity", ["last_hidden_state"], ["token_embeddings"]),
                helper.make_node("Gather", ["last_hidden_state", "zeroth"], ["first"], axis=1),
                helper.make_node("LpNormalization", ["first"], ["unit"], axis=-1, p=2),
                helper.make_node("Identity", ["unit"], ["sentence_embedding"]),
            ]
        )
        model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "zeroth"))
        del model.graph.output[:]
        shapes: dict[str, list[str | int | None]] = {
            "token_embeddings": ["b", "s", 32],
            "sentence_embedding": ["b", 32],
        }
        for name, shape in shapes.items():
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    return apply


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.FLOAT])
@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids"])
def test_inputs_of_another_type_are_converted(
    save_ready: SaveReady, tmp_path: Path, name: str, kind: int
) -> None:
    weights, folder = save_ready([Pooling(32)])
    exported(change(folder, takes(name, kind)), tmp_path)
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)
    graph = onnx.load(tmp_path / "ready" / GRAPH).graph
    assert {tensor.type.tensor_type.elem_type for tensor in graph.input} == {TensorProto.INT64}


def test_fp16_output_is_converted(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32)])
    exported(change(folder, gives_half), tmp_path)
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=5e-3)
    graph = onnx.load(tmp_path / "ready" / GRAPH).graph
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_positions_are_derived(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32, pooling_mode="lasttoken")])
    exported(change(folder, adds_positions), tmp_path)
    model = SentenceTransformer(str(weights), device="cpu")
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in TEXTS]
    waves = np.sin(np.array(lengths) - 1)[:, None]
    np.testing.assert_allclose(vectors(tmp_path), library(weights) + waves, atol=1e-5)
    # RoBERTa counts from the padding's id on, and a graph does not say.
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}))
    with pytest.raises(
        CheckpointUnsupported, match=r"takes position_ids, which this type of model .*: roberta"
    ):
        exported(folder, tmp_path / "other")


def test_a_graph_that_reads_padding_runs_alone(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32)])
    manifest = exported(change(folder, ignores_mask), tmp_path)
    assert manifest.towers["text"].alone
    alone = [encoder_vectors(tmp_path / "ready", (text,), 64)[0] for text in TEXTS]
    np.testing.assert_allclose(np.stack(alone), library(weights), atol=1e-5)
    assert not exported(save_ready([Pooling(32)])[1], tmp_path / "other").towers["text"].alone
    assert "max_batch_size: 1\n" in (tmp_path / "ready" / "config.pbtxt").read_text()


def test_token_vectors_are_taken_where_modules_pool_them(save_ready: SaveReady, tmp_path: Path) -> None:
    modules = [Pooling(32, pooling_mode="cls"), Normalize()]
    weights, folder = save_ready(modules)
    manifest = exported(change(folder, adds_sentence(folder)), tmp_path)
    assert manifest.towers["text"].pooling == "cls"
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)
    # The graph's own vector is another.
    _, other = save_ready([Pooling(32), Dense(32, 32)])
    change(other, adds_sentence(other))
    with pytest.raises(VerificationFailed, match="own sentence_embedding is not what the modules"):
        exported(other, tmp_path / "other")
    chosen = exported(other, tmp_path / "chosen", onnx_output="sentence_embedding")
    assert (chosen.towers["text"].pooling, chosen.dim) == ("graph", 32)


def test_a_vector_of_which_nobody_knows_what_is_inside(save_ready: SaveReady, tmp_path: Path) -> None:
    _, folder = save_ready([Pooling(32), Dense(32, 40)])
    change(folder, adds_sentence(folder))
    model = onnx.load(folder / "onnx" / "model.onnx")
    del model.graph.output[0]
    onnx.save(model, folder / "onnx" / "model.onnx")
    message = r"nothing says whether the modules that the checkpoint declares are inside: Dense \(2_Dense\)"
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path)
    with pytest.raises(
        CheckpointUnsupported, match=r"declare another width .*sentence_embedding has: 40 against 32"
    ):
        exported(folder, tmp_path, onnx_output="sentence_embedding")


def unclear(model: onnx.ModelProto) -> None:
    for name in ("first_output", "second_output"):
        model.graph.node.append(helper.make_node("Identity", ["last_hidden_state"], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "s", 32]))
    del model.graph.output[0]


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "com.acme"


def fixed_length(model: onnx.ModelProto) -> None:
    for tensor in model.graph.input:
        tensor.type.tensor_type.shape.dim[1].dim_value = 16


def too_new(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def newer_format(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def packed(model: onnx.ModelProto) -> None:
    model.graph.node.append(
        helper.make_node("Identity", ["last_hidden_state"], ["again"], name="MatMulNBits")
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    arrays: dict[str, Array] = {"packed": np.zeros((8, 2, 8), np.uint8), "scales": np.ones(16, np.float32)}
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    attributes: dict[str, Any] = {"K": 32, "N": 8, "bits": 4, "block_size": 16}
    inputs = ["last_hidden_state", "packed", "scales"]
    model.graph.node.append(
        helper.make_node("MatMulNBits", inputs, ["unused"], domain="com.microsoft", **attributes)
    )


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (unclear, r"several outputs.*: first_output \(rank 3\), second_output .* --onnx-output NAME"),
        (custom_operator, r"neither ONNX nor ONNX Runtime defines: com\.acme\.\w+"),
        (fixed_length, r"does not run on other sizes.*: input_ids \['batch', 16\]"),
        (too_new, r"newer than the installed ONNX Runtime .*, which knows opset \d+ at most: opset 99"),
        (newer_format, r"newer than the installed ONNX Runtime .* IR version \d+ at most: IR version 99"),
        (packed, "weights have an unsupported type: MatMulNBits"),
        (adds_input("past_key_values.0.key"), "is a decoder's step, which takes past keys and values"),
        (adds_input("pixel_values"), "the graph reads images"),
        (adds_input("task_id"), "inputs are not a text encoder's: task_id"),
    ],
)
def test_what_is_refused_by_name(save_ready: SaveReady, tmp_path: Path, apply: Change, message: str) -> None:
    _, folder = save_ready([Pooling(32)])
    with pytest.raises(CheckpointError, match=message):
        exported(change(folder, apply), tmp_path)


def test_the_named_output_is_taken(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32)])
    exported(change(folder, unclear), tmp_path, onnx_output="second_output")
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)
    with pytest.raises(CheckpointUnsupported, match="no output of this name: third"):
        exported(folder, tmp_path / "other", onnx_output="third")


def test_which_of_several_graphs(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32)])
    shutil.copy(folder / "onnx" / "model.onnx", folder / "onnx" / "model_O2.onnx")
    assert exported(folder, tmp_path / "plain").dim == 32
    assert exported(folder, tmp_path / "named", onnx_file="onnx/model_O2.onnx").dim == 32
    (folder / "onnx" / "model.onnx").rename(folder / "onnx" / "model_O1.onnx")
    message = "several ONNX graphs: onnx/model_O1.onnx, onnx/model_O2.onnx. Choose one with --onnx-file"
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path / "none")
    with pytest.raises(
        CheckpointUnsupported, match=r"no such ONNX graph: model.onnx. Available: onnx/model_O1"
    ):
        exported(folder, tmp_path / "none", onnx_file="model.onnx")
    with pytest.raises(CheckpointUnsupported, match="no ONNX graph"):
        exported(weights, tmp_path / "none", read_from="onnx")


def external(folder: Path, location: str = "model.onnx_data") -> Path:
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    if location != "model.onnx_data":
        edit_entries(path, "location", location)
    return path


def edit_entries(path: Path, key: str, value: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == key:
                entry.value = value
    onnx.save(model, path)


def test_external_data_are_read_through_links(save_ready: SaveReady, tmp_path: Path) -> None:
    """As Hugging Face's cache has them."""
    weights, folder = save_ready([Pooling(32)])
    external(folder)
    exported(folder, tmp_path / "plain")
    np.testing.assert_allclose(vectors(tmp_path / "plain"), library(weights), atol=1e-5)
    cache = tmp_path / "models--some--encoder"
    (cache / "blobs").mkdir(parents=True)
    snapshot = Path(shutil.copytree(folder, cache / "snapshots" / "0123"))
    for number, file in enumerate(sorted((snapshot / "onnx").iterdir())):
        file.rename(cache / "blobs" / str(number))
        file.symlink_to(f"../../../blobs/{number}")
    exported(snapshot, tmp_path / "linked")
    np.testing.assert_array_equal(vectors(tmp_path / "linked"), vectors(tmp_path / "plain"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("location", "../../outside", r"in a file outside the checkpoint: \.\./\.\./outside"),
        ("location", "/etc/passwd", "in a file outside the checkpoint: /etc/passwd"),
        ("location", "missing", "in a file that is missing: missing"),
        ("offset", "99999999", "do not match what it declares: model.onnx_data"),
    ],
)
def test_external_data_are_the_checkpoints_own(
    save_ready: SaveReady, tmp_path: Path, key: str, value: str, message: str
) -> None:
    _, folder = save_ready([Pooling(32)])
    edit_entries(external(folder), key, value)
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path)


def test_a_link_to_a_file_outside(save_ready: SaveReady, tmp_path: Path) -> None:
    _, folder = save_ready([Pooling(32)])
    data = external(folder).with_name("model.onnx_data")
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    message = "in a file outside the checkpoint: model.onnx_data"
    with pytest.raises(CheckpointUnsupported, match=message):
        read_onnx(folder / "onnx" / "model.onnx")
    with pytest.raises(CheckpointUnsupported, match="leads out of its folder"):
        exported(folder, tmp_path / "models")


def test_fp16_and_int8_graphs(save_ready: SaveReady, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.float16 import convert_float_to_float16

    weights, folder = save_ready([Pooling(32), Dense(32, 40)])
    graph = folder / "onnx" / "model.onnx"
    quantize_dynamic(graph, folder / "onnx" / "model_qint8_avx512.onnx")
    onnx.save(convert_float_to_float16(onnx.load(graph)), folder / "onnx" / "model_fp16.onnx")
    expected = library(weights)
    files = (("model_qint8_avx512", "int8-dynamic", 0.95), ("model_fp16", "fp16", 0.999))
    for name, precision, floor in files:
        manifest = exported(folder, tmp_path / precision, onnx_file=f"onnx/{name}.onnx")
        assert (manifest.precision, manifest.dim) == (precision, 40)
        ours = vectors(tmp_path / precision)
        cosines = (ours * expected).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.min() > floor


def test_exporting_an_exported_graph(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32), Dense(32, 40, activation_function=torch.nn.SiLU())])
    exported(folder, tmp_path / "first")
    again = tmp_path / "again"
    again.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, again / name)
    shutil.copy(tmp_path / "first" / "ready" / GRAPH, again / "model.onnx")
    assert exported(again, tmp_path / "second").dim == 40
    np.testing.assert_allclose(vectors(tmp_path / "second"), library(weights), atol=1e-5)
