"""Modules that a checkpoint declares after its ONNX graph, against sentence-transformers on the weights."""

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
from hypothesis import HealthCheck, given, settings, strategies
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Dropout, LayerNorm, Normalize, Pooling, WeightedLayerPooling

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.graph.ready.activations import ACTIVATIONS
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.errors import CheckpointUnsupported, VerificationFailed
from nestvec_schemas.late_interaction import token_arrays
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.towers import COUNT_ALL
from nestvec_schemas.vectors import cosines

SaveReady = Callable[..., tuple[Path, Path]]

TEXTS = ("heat flow in a plate", "a", "Shock WAVES, and what they do to thin plates of metal, at Mach 3")
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "ready", verify="quick", **options))


def vectors(models: Path, texts: tuple[str, ...] = TEXTS) -> Array:
    return encoder_vectors(models / "ready", texts, 64)


def library(folder: Path, texts: tuple[str, ...] = TEXTS, **prompt: Any) -> Array:
    model = SentenceTransformer(str(folder), device="cpu")
    return np.asarray(model.encode(list(texts), batch_size=1, **{"prompt": "", **prompt}), np.float32)


def dense(wide_in: int, wide_out: int, **settings: Any) -> Dense:
    torch.manual_seed(wide_in + wide_out)
    return Dense(wide_in, wide_out, **settings)


def norm(width: int) -> LayerNorm:
    module = LayerNorm(width)
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    return module


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_modules_after_pooling_are_part_of_the_encoder(save_ready: SaveReady, tmp_path: Path) -> None:
    modules = [Pooling(32), norm(32), dense(32, 64), dense(64, 40, activation_function=torch.nn.GELU())]
    weights, folder = save_ready(modules)
    manifest = exported(folder, tmp_path)
    assert (manifest.dim, manifest.normalised, manifest.verification.reference) == (40, False, None)
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)


@pytest.mark.parametrize("mode", [*MODES, ("cls", "max", "lasttoken"), MODES])
def test_poolings(save_ready: SaveReady, tmp_path: Path, mode: Any) -> None:
    weights, folder = save_ready([Pooling(32, pooling_mode=mode), Normalize()])
    manifest = exported(folder, tmp_path)
    assert manifest.towers["text"].pooling == (mode if isinstance(mode, str) else "+".join(mode))
    assert manifest.normalised
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)


def test_poolings_that_older_versions_declare(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32)])
    old = {
        "word_embedding_dimension": 32,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": True,
        "pooling_mode_max_tokens": False,
    }
    for place in (weights, folder):
        (place / "1_Pooling" / "config.json").write_text(json.dumps(old))
    assert exported(folder, tmp_path).towers["text"].pooling == "cls+mean"
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)


@pytest.mark.parametrize("settings", [{"bias": False}, {"use_residual": True}])
@pytest.mark.parametrize("width", [32, 24])
def test_dense_without_bias_and_with_a_residual(
    save_ready: SaveReady, tmp_path: Path, settings: dict[str, Any], width: int
) -> None:
    weights, folder = save_ready([Pooling(32), dense(32, width, **settings)])
    # The inventory refuses residuals, which other kinds of checkpoint do not add.
    exported(folder, tmp_path)
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)


def test_dense_of_token_vectors(save_ready: SaveReady, tmp_path: Path) -> None:
    modules = [dense(32, 48, module_input_name="token_embeddings"), Pooling(48)]
    weights, folder = save_ready(modules)
    # The inventory refuses it, as other kinds of checkpoint have no such modules.
    names = ("module_input_name", "module_output_name")
    ignored = tuple(f"1_Dense/config.json:{name}" for name in names)
    assert exported(folder, tmp_path, ignore=ignored).dim == 48
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)


@pytest.mark.parametrize("pooling", [*MODES, "mean+cls"])
def test_prompts_that_pooling_omits(save_ready: SaveReady, tmp_path: Path, pooling: str) -> None:
    modes = tuple(pooling.split("+"))
    prompts = {"query": "query: ", "document": "passage: "}
    weights, folder = save_ready([Pooling(32, pooling_mode=modes, include_prompt=False)], prompts=prompts)
    manifest = exported(folder, tmp_path)
    assert dict(manifest.prompts) == prompts
    for name, prompt in prompts.items():
        prompted = vectors(tmp_path, tuple(f"{prompt}{text}" for text in TEXTS))
        np.testing.assert_allclose(prompted, library(weights, prompt=prompt), atol=1e-5, err_msg=name)
    np.testing.assert_allclose(vectors(tmp_path), library(weights), atol=1e-5)


def test_lowercase_and_length_are_those_of_sentence_transformers(
    save_ready: SaveReady, tmp_path: Path
) -> None:
    weights, folder = save_ready([Pooling(32)])
    for place in (weights, folder):
        edit(place / "sentence_bert_config.json", max_seq_length=24, do_lower_case=True)
        tokenizer = json.loads((place / "tokenizer.json").read_text())
        (place / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": None}))
    texts = (*TEXTS, "LOUD WORDS", "words " * 100)
    assert exported(folder, tmp_path).towers["text"].max_tokens == 24
    ours = encoder_vectors(tmp_path / "ready", texts, 24)
    np.testing.assert_allclose(ours, library(weights, texts), atol=1e-5)
    assert np.abs(ours[3] - library(weights, ("loud words",))[0]).max() < 1e-5


def test_long_texts_lose_tokens_on_the_tokenizers_side(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32)], transformer={"max_seq_length": 12})
    for place in (weights, folder):
        edit(place / "tokenizer_config.json", truncation_side="left")
    assert exported(folder, tmp_path).towers["text"].truncation_side == "left"
    rows = text_rows(tmp_path / "ready", TEXTS, 12, "left")
    ours = np.stack(run_graph(tmp_path / "ready" / GRAPH, rows))
    np.testing.assert_allclose(ours, library(weights), atol=1e-5)


def test_a_text_that_starts_like_a_prompt_has_none(save_ready: SaveReady, tmp_path: Path) -> None:
    """The mask of its tokens says so."""
    pooling = Pooling(32, pooling_mode=("mean", "max", "cls"), include_prompt=False)
    weights, folder = save_ready([pooling], prompts={"query": "query: "})
    assert exported(folder, tmp_path).towers["text"].omits_prompts
    texts = tuple(f"query: {text}" for text in TEXTS)
    rows = [
        {**row, "attention_mask": np.full_like(row["input_ids"], COUNT_ALL)}
        for row in text_rows(tmp_path / "ready", texts, 64)
    ]
    ours = np.stack(run_graph(tmp_path / "ready" / GRAPH, rows))
    np.testing.assert_allclose(ours, library(weights, texts), atol=1e-5)
    assert np.abs(ours - vectors(tmp_path, texts)).max() > 0.01


def test_a_prompt_that_leaves_no_room(save_ready: SaveReady, tmp_path: Path) -> None:
    pooling = Pooling(32, pooling_mode="cls", include_prompt=False)
    _, folder = save_ready([pooling], transformer={"max_seq_length": 8}, prompts={"query": "find this: "})
    with pytest.raises(CheckpointUnsupported, match=r"leaves no room for a text: \d+ tokens of 8"):
        exported(folder, tmp_path)


def draw_modules(draw: Callable[..., Any]) -> list[Any]:
    """Pooling, then modules in random order, of widths that fit."""
    modes = draw(strategies.lists(strategies.sampled_from(MODES), min_size=1, max_size=2, unique=True))
    include = draw(strategies.booleans())
    modules: list[Any] = [Pooling(32, pooling_mode=tuple(modes), include_prompt=include)]
    width = 32 * len(modes)
    kinds = ("Dense", "LayerNorm", "Normalize", "Dropout")
    for kind in draw(strategies.lists(strategies.sampled_from(kinds), max_size=4)):
        if kind == "Dense":
            wide = draw(strategies.integers(16, 70))
            activation = getattr(
                torch.nn, draw(strategies.sampled_from(("Tanh", "Identity", "GELU", "SiLU")))
            )
            bias = draw(strategies.booleans())
            made = dense(width, wide, bias=bias, activation_function=activation())
            modules, width = [*modules, made], wide
        else:
            modules.append(
                {"LayerNorm": lambda w=width: norm(w), "Normalize": Normalize, "Dropout": Dropout}[kind]()
            )
    return modules


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=strategies.data())
def test_any_stack(save_ready: SaveReady, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    modules = data.draw(strategies.composite(draw_modules)())
    prompts = data.draw(
        strategies.dictionaries(
            strategies.sampled_from(("query", "document", "Clustering")),
            strategies.sampled_from(("query: ", "find this: ", "topic - ")),
            max_size=2,
        )
    )
    length = data.draw(strategies.sampled_from((None, 16, 40)))
    weights, folder = save_ready(modules, transformer={"max_seq_length": length}, prompts=prompts)
    models = tmp_path_factory.mktemp("models")
    manifest = exported(folder, models)
    texts = (*TEXTS, "words " * 60)
    for prompt in ("", *prompts.values()):
        prompted = [f"{prompt}{text}" for text in texts]
        ours = encoder_vectors(models / "ready", prompted, manifest.towers["text"].max_tokens)
        expected = library(weights, texts, prompt=prompt)
        assert ours.shape == expected.shape == (4, manifest.dim)
        assert cosines(expected, ours).min() >= 0.9999
        lengths = np.linalg.norm(expected, axis=1)
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), lengths, rtol=1e-3)


def test_weights_beside_the_graph_are_the_reference(save_ready: SaveReady, tmp_path: Path) -> None:
    weights, folder = save_ready([Pooling(32), dense(32, 40)])
    shutil.copytree(folder / "onnx", weights / "onnx")
    manifest = exported(weights, tmp_path / "graph", read_from="onnx")
    assert manifest.towers["text"].pooling == "mean"
    assert manifest.verification.reference is not None
    assert manifest.verification.reference.startswith("sentence-transformers")
    assert exported(weights, tmp_path / "preferred").layers == (2,)
    # A graph of other weights is not an encoder of this checkpoint.
    with_noise(weights / "onnx" / "model.onnx")
    with pytest.raises(VerificationFailed, match="too far from the checkpoint's"):
        exported(weights, tmp_path / "other", onnx_file="onnx/model.onnx")


def write_pylate(folder: Path) -> None:
    """PyLate's layout in place of a Pooling and a Dense: a projection of token vectors, and markers."""
    rows = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "2_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    shutil.rmtree(folder / "1_Pooling")
    config = {
        "in_features": 32,
        "out_features": 24,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (folder / "2_Dense" / "config.json").write_text(json.dumps(config))
    markers = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
    lengths = {"query_length": 12, "document_length": 40, "skiplist_words": ["."]}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(markers | lengths))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))


def test_a_projection_of_token_vectors(save_ready: SaveReady, tmp_path: Path) -> None:
    """Late interaction, against sentence-transformers' MultiVectorEncoder where the weights are there."""
    weights, folder = save_ready([Pooling(32), dense(32, 24, bias=False)])
    shutil.copytree(folder / "onnx", weights / "onnx")
    for place in (weights, folder):
        write_pylate(place)
    compared = exported(weights, tmp_path / "compared", read_from="onnx")
    alone = exported(folder, tmp_path / "alone")
    for manifest in (compared, alone):
        assert (manifest.kind, manifest.dim) == ("multivector", 24)
        assert manifest.verification.cosine_min > 0.9999
    assert "MultiVectorEncoder" in str(compared.verification.reference)
    # Where the graph ends in the projection, it is not applied again.
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    projection = load_file(folder / "2_Dense" / "model.safetensors")["linear.weight"].T
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array(projection, order="C"), "projection")
    )
    inputs = ["last_hidden_state", "projection"]
    model.graph.node.append(onnx.helper.make_node("MatMul", inputs, ["token_embeddings"]))
    shape: list[str | int | None] = ["batch", "sequence", 24]
    made = onnx.helper.make_tensor_value_info("token_embeddings", onnx.TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(made)
    onnx.save(model, path)
    assert exported(folder, tmp_path / "inside").dim == 24
    graphs = [tmp_path / name / "ready" / GRAPH for name in ("compared", "inside")]
    rows = [
        token_arrays(row["input_ids"], compared.towers["text"].interaction)
        for row in text_rows(tmp_path / "compared" / "ready", [f"[unused1]{text}" for text in TEXTS], 40)
    ]
    for first, second in zip(*(run_graph(graph, rows) for graph in graphs), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def with_noise(path: Path) -> None:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2:
            values = np.array(onnx.numpy_helper.to_array(tensor))
            noisy = values + np.random.default_rng(0).normal(0, values.std(), values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(noisy.astype(values.dtype), tensor.name))
    onnx.save(model, path)


def wrong_pooling(folder: Path) -> None:
    edit(folder / "1_Pooling" / "config.json", embedding_dimension=16)


def wrong_dense(folder: Path) -> None:
    edit(folder / "2_Dense" / "config.json", in_features=48)


def wrong_output(folder: Path) -> None:
    edit(folder / "2_Dense" / "config.json", out_features=41)


def pickled(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")


def another_bias(folder: Path) -> None:
    edit(folder / "2_Dense" / "config.json", bias=False)


def layers_pooled(folder: Path) -> None:
    rows = json.loads((folder / "modules.json").read_text())
    rows.insert(
        1, {"idx": 9, "name": "9", "path": "9_Layers", "type": f"{WeightedLayerPooling.__module__}.x"}
    )
    rows[1]["type"] = "sentence_transformers.models.WeightedLayerPooling"
    (folder / "modules.json").write_text(json.dumps(rows))


def unknown_activation(folder: Path) -> None:
    edit(folder / "2_Dense" / "config.json", activation_function="torch.nn.modules.activation.GLU")


def declared_reranker(folder: Path) -> None:
    edit(folder / "config_sentence_transformers.json", model_type="CrossEncoder")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            wrong_pooling,
            "Pooling declares another width than the graph's last_hidden_state has: 16 against 32",
        ),
        (wrong_dense, r"Dense \(2_Dense\) declares another width than its weights have: 48 against 32"),
        (wrong_output, r"Dense \(2_Dense\) declares another width than its weights have: 41 against 40"),
        (pickled, "2_Dense/pytorch_model.bin"),
        (another_bias, "not have the weights that its config.json declares: linear.bias"),
        (layers_pooled, "needs the outputs of all layers.*: WeightedLayerPooling"),
        (unknown_activation, r"Dense \(2_Dense\) has an activation .*: torch.nn.modules.activation.GLU"),
        (declared_reranker, r"another type of model than its graph and modules make \(dense\): CrossEncoder"),
    ],
)
def test_what_is_declared_and_cannot_be_honoured(
    save_ready: SaveReady, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    _, folder = save_ready([Pooling(32), dense(32, 40)])
    spoil(folder)
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path)


def test_a_width_that_does_not_follow(save_ready: SaveReady, tmp_path: Path) -> None:
    _, folder = save_ready([Pooling(32), dense(32, 40), norm(40)])
    with pytest.raises(
        CheckpointUnsupported, match=r"Dense \(2_Dense\) .* than Pooling gives: 32 against 64"
    ):
        exported(folder, tmp_path, overrides=Overrides(pooling="mean+cls"))
    shutil.rmtree(folder / "2_Dense")
    rows = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([row for row in rows if row["path"] != "2_Dense"]))
    message = r"LayerNorm \(3_LayerNorm\) declares another width than Pooling gives: 40 against 32"
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path)


def test_every_activation_is_torchs(save_ready: SaveReady) -> None:
    """As nodes and in numpy."""
    import onnxruntime
    from onnx import TensorProto, helper

    from nestvec_exporters.graph.ready.modules import Linear
    from nestvec_exporters.graph.ready.node_builder import NodeBuilder
    from nestvec_exporters.graph.ready.numpy_modules import _ACTIVATIONS

    assert set(ACTIVATIONS) == set(_ACTIVATIONS)
    values = np.concatenate([np.linspace(-6, 6, 200), [-60, 60]]).astype(np.float32).reshape(2, 101)
    for opset in (11, 13, 18):
        for name in ACTIVATIONS:
            b = NodeBuilder(opset, "n")
            last = Linear("x", np.eye(101, dtype=np.float32), None, name).nodes(b, "x")
            b.nodes.append(helper.make_node("Identity", [last], ["y"]))
            made = helper.make_graph(
                b.nodes,
                "g",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 101])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 101])],
                b.constants,
            )
            model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
            output = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": values})[0]
            expected = getattr(torch.nn, name)().eval()(torch.from_numpy(values)).numpy()
            np.testing.assert_allclose(output, expected, atol=2e-5, rtol=1e-5, err_msg=f"{name}, {opset}")
            np.testing.assert_allclose(
                _ACTIVATIONS[name](values), expected, atol=2e-5, rtol=1e-5, err_msg=name
            )
