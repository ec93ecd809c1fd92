from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from encoder_vectors import encoder_vectors
from google.protobuf import text_format
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling
from tritonclient.grpc.model_config_pb2 import ModelConfig
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, Listener, Overrides, export
from nestvec_schemas.errors import (
    CheckpointError,
    CheckpointUnsupported,
    DimNotOffered,
    EncoderError,
    EncoderExists,
    ExitNotOffered,
    NestvecError,
    SampleUnusable,
    VerificationFailed,
)
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import read_manifest, verify_files
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines

TEXTS = ["rows from a file", "x", "heat flow in shock waves, measured twice", "Zebra crossing " * 40]

POSITIONS = 64

WORDS = [
    "alpha",
    "bravo",
    "csv",
    "delta",
    "echo",
    "file",
    "golf",
    "heat",
    "india",
    "jet",
    "kilo",
    "list",
    "map",
    "north",
    "oscar",
    "print",
    "quiz",
    "row",
    "sort",
    "text",
]

Write = Callable[..., Path]

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Bert": {},
    # These two count positions from padding_idx + 1; MPNet's padding_idx is always 1.
    "Roberta": {"max_position_embeddings": POSITIONS + 1, "bos_token_id": 2, "eos_token_id": 3},
    "MPNet": {"max_position_embeddings": POSITIONS + 2},
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "T5": {
        "d_model": 32,
        "num_layers": 2,
        "num_heads": 4,
        "d_kv": 8,
        "d_ff": 64,
        "max_position_embeddings": None,
    },
    "ModernBert": {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    "Llama": {"head": "ForCausalLM", "num_key_value_heads": 2},
}


def exported(checkpoint: Path, models: Path, **options: Any) -> tuple[Manifest, Path]:
    manifest = export(ExportOptions(str(checkpoint), models, "tiny", **options))
    assert read_manifest(models / "tiny") == manifest
    verify_files(models / "tiny", manifest)
    return manifest, models / "tiny"


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".nestvec")]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_gives_its_own_vectors(
    architecture: str, write_checkpoint: Write, tmp_path: Path
) -> None:
    fields = ARCHITECTURES[architecture]
    kind = architecture.removesuffix(str(fields.get("head", "Model")))
    checkpoint = write_checkpoint(kind, side="left" if kind == "Llama" else "right", **fields)
    overrides = Overrides(pooling="lasttoken" if kind == "Llama" else None)
    manifest, folder = exported(checkpoint, tmp_path / "models", overrides=overrides)

    tower = manifest.towers["text"]
    assert tower.pooling == ("lasttoken" if kind == "Llama" else "mean")
    assert tower.max_tokens == (512 if kind == "T5" else POSITIONS)
    assert (manifest.dim, manifest.dims, manifest.layers) == (32, (32,), (2,))
    assert not manifest.normalised
    own = SentenceTransformer(str(checkpoint), device="cpu")
    own.max_seq_length = tower.max_tokens
    expected = own.encode(TEXTS, batch_size=1)
    found = encoder_vectors(folder, TEXTS, tower.max_tokens)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    # The comparison means something only where texts differ.
    assert max(cosines(found[[a]], found[[b]])[0] for a, b in combinations(range(3), 2)) < 0.999


@pytest.mark.parametrize(
    "modes", ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("cls", "mean")]
)
def test_a_checkpoints_pooling_is_kept(
    modes: str | tuple[str, ...], sentence_bert: Write, tmp_path: Path
) -> None:
    checkpoint = sentence_bert(Pooling(32, pooling_mode=modes))
    manifest, folder = exported(checkpoint, tmp_path / "models")
    assert manifest.towers["text"].pooling == (modes if isinstance(modes, str) else "+".join(modes))
    assert manifest.dim == (32 if isinstance(modes, str) else 64)
    expected = SentenceTransformer(str(checkpoint), device="cpu").encode(TEXTS, batch_size=1)
    found = encoder_vectors(folder, TEXTS, manifest.towers["text"].max_tokens)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_modules_prompts_and_length_of_a_sentence_transformers_checkpoint(
    sentence_bert: Write, tmp_path: Path
) -> None:
    dense = Dense(32, 48, activation_function=torch.nn.Tanh())
    prompts = {"search_query": "ask: ", "passage": "text: "}
    checkpoint = sentence_bert(Pooling(32), dense, Normalize(), prompts=prompts, max_seq_length=20)
    manifest, folder = exported(checkpoint, tmp_path / "models", dims=(16,))
    assert (manifest.dim, manifest.dims) == (48, (48, 16))
    assert manifest.prompts == {"query": "ask: ", "document": "text: ", **prompts}
    assert manifest.towers["text"].max_tokens == 20
    assert manifest.normalised
    np.testing.assert_allclose(np.linalg.norm(encoder_vectors(folder, TEXTS, 20), axis=1), 1, atol=1e-5)


def test_every_prompt_is_kept_with_the_default_and_what_is_missing_is_said(
    sentence_bert: Write, tmp_path: Path
) -> None:
    checkpoint = sentence_bert(Pooling(32), prompts={"all": "x: "}, default_prompt_name="all")
    manifest, _ = exported(checkpoint, tmp_path / "models")
    assert (manifest.prompts, manifest.default_prompt) == ({"all": "x: "}, "all")
    assert len(manifest.prompt_notes) == 2
    assert "no prompt is named as that of a query, so queries have none" in manifest.prompt_notes[0]


SAMPLE = Sample(
    "words.txt",
    tuple(f"{first} {second} {'again ' * (len(first) % 4)}" for first in WORDS for second in WORDS),
)


def at_exit(folder: Path, layer: int | None) -> Vectors:
    return encoder_vectors(folder, TEXTS, POSITIONS, layer)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic"])
def test_a_rotation_changes_no_cosine_and_is_recorded(precision: str, bert: Path, tmp_path: Path) -> None:
    plain, before = exported(bert, tmp_path / "plain", precision=precision, verify=VERIFY)
    rotated, after = exported(
        bert, tmp_path / "rotated", precision=precision, rotation="learned", sample=SAMPLE, dims=(16, 8)
    )
    assert (plain.nesting, plain.fit, plain.retention) == ("plain", None, {})
    assert rotated.nesting == "rotated"
    assert rotated.fit is not None
    assert (rotated.fit.method, rotated.fit.sample, rotated.fit.texts) == ("learned", "words.txt", 401)
    assert rotated.fit.compared[rotated.fit.learned_from or ""] == max(rotated.fit.compared.values())
    assert rotated.fit.sample_texts == len(SAMPLE.texts)
    assert rotated.retention[32] == 1.0
    assert rotated.retention[8] > rotated.fit.plain[8]
    matrix = np.load(after / "rotation.npy", allow_pickle=False)
    assert matrix.dtype == np.float32
    assert "rotation.npy" in rotated.files
    assert rotated.towers["text"].inputs == ("input_ids", "attention_mask")
    own, found = at_exit(before, None), at_exit(after, None)
    np.testing.assert_allclose(found, own @ matrix, atol=1e-5 * np.abs(own).max())
    for one, other in combinations(range(len(TEXTS)), 2):
        expected = cosines(own[[one]], own[[other]])
        assert np.abs(cosines(found[[one]], found[[other]]) - expected).max() < 1e-6


def test_a_rotation_is_fitted_on_a_log_of_queries(bert: Path, tmp_path: Path) -> None:
    log = Sample("log.txt", tuple(f"{text} {number}" for number, text in enumerate(SAMPLE.texts)))
    options: dict[str, Any] = {"sample": SAMPLE, "queries": log, "dims": (16, 8)}
    manifest, _ = exported(bert, tmp_path / "models", rotation="learned", **options)
    assert manifest.fit is not None
    assert manifest.fit.queries == "log.txt"
    assert set(manifest.fit.compared) == {"none", "pca", "documents", "documents + queries", "mean"}
    with pytest.raises(EncoderError, match=r"only a learned rotation is fitted on queries: log\.txt"):
        exported(bert, tmp_path / "pca", rotation="pca", **options)


@pytest.mark.parametrize(
    "kind",
    [
        *("Bert", "Llama"),
        *(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("DistilBert", "T5", "ModernBert")),
    ],
)
def test_exits_of_an_architecture(kind: str, write_checkpoint: Write, tmp_path: Path) -> None:
    fields = {**ARCHITECTURES[kind], **({"head": "Model"} if kind == "Llama" else {})}
    own = {"DistilBert": "n_layers", "T5": "num_layers"}
    deeper = {"num_hidden_layers": 3, **({own[kind]: 3} if kind in own else {})}
    checkpoint = write_checkpoint(kind, side="left" if kind == "Llama" else "right", **{**fields, **deeper})
    manifest, folder = exported(
        checkpoint, tmp_path / "models", exits=(1, 2, 3), sample=SAMPLE, verify=VERIFY
    )
    assert manifest.layers == (3, 2, 1)
    assert manifest.towers["text"].inputs == ("input_ids", "attention_mask", "exit")
    assert set(manifest.exits) == {1, 2}
    assert (manifest.nesting, manifest.fit.method if manifest.fit else "") == ("plain", None)
    _, alone = exported(checkpoint, tmp_path / "alone", verify=VERIFY)
    np.testing.assert_allclose(at_exit(folder, 3), at_exit(alone, None), atol=1e-5, rtol=1e-4)
    assert np.abs(at_exit(folder, 1) - at_exit(folder, 2)).max() > 1e-3


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
def test_exits_of_a_precision(precision: str, sentence_bert: Write, tmp_path: Path) -> None:
    checkpoint = sentence_bert(Pooling(32), Normalize())
    options: dict[str, Any] = {"exits": (1,), "rotation": "pca", "sample": SAMPLE, "verify": VERIFY}
    _, exact = exported(checkpoint, tmp_path / "exact", **options)
    manifest, folder = exported(checkpoint, tmp_path / "models", precision=precision, **options)
    assert (manifest.layers, manifest.nesting) == ((2, 1), "rotated")
    for layer in (1, 2):
        found = at_exit(folder, layer)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-2)
        assert cosines(found, at_exit(exact, layer)).min() > 0.95


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"exits": (3,), "sample": SAMPLE}, ExitNotOffered, "2 layers: choose exits from 1 to 2"),
        ({"exits": (0,), "sample": SAMPLE}, ExitNotOffered, "not different layers"),
        ({"exits": (1, 1), "sample": SAMPLE}, ExitNotOffered, "not different layers"),
        ({"exits": (1,)}, EncoderError, "fitted on a sample of texts, and there is none"),
        ({"rotation": "pca"}, EncoderError, "fitted on a sample"),
        ({"rotation": "pac", "sample": SAMPLE}, EncoderError, "Choose one of pca, learned"),
        ({"exits": (1,), "sample": SAMPLE, "accelerate": True}, EncoderError, "TensorRT builds one depth"),
        ({"rotation": "pca", "sample": Sample("s", ("one",))}, SampleUnusable, "1 distinct texts, of 1"),
    ],
)
def test_what_cannot_be_fitted_leaves_nothing(
    options: dict[str, Any], error: type[NestvecError], says: str, bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        exported(bert, tmp_path / "models", **options)
    assert not (tmp_path / "models" / "tiny").exists()


@pytest.mark.parametrize(
    "options", [{}, {"rotation": "pca", "sample": SAMPLE}, {"exits": (1,), "sample": SAMPLE}]
)
def test_weights_that_are_no_numbers_are_told(
    options: dict[str, Any], nan_bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointUnsupported, match="numbers that are not finite"):
        exported(nan_bert, tmp_path / "models", **options)
    assert not (tmp_path / "models" / "tiny").exists()


def test_int8_fuses_attention_and_stays_near(bert: Path, tmp_path: Path) -> None:
    manifest, folder = exported(bert, tmp_path / "models", precision="int8-dynamic")
    operators = {node.op_type for node in onnx.load(folder / "1" / "model.onnx").graph.node}
    assert "QAttention" in operators
    assert 0.95 <= manifest.verification.cosine_min < 0.9999999


def test_fp16_halves_the_weights_and_keeps_pooling_and_norm_in_fp32(
    sentence_bert: Write, tmp_path: Path
) -> None:
    checkpoint = sentence_bert(Pooling(32), Normalize())
    manifest, folder = exported(
        checkpoint, tmp_path / "models", precision="fp16", gpus=(0, 1), accelerate=True
    )
    assert manifest.precision == "fp16"
    assert 0.999 <= manifest.verification.cosine_min < 0.99999999
    vectors = encoder_vectors(folder, TEXTS, manifest.towers["text"].max_tokens)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    config = text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())
    (provider,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert provider.parameters["precision_mode"] == "FP16"
    assert list(config.instance_group[0].gpus) == [0, 1]


def test_a_plan_without_tensorrt_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    options = ExportOptions("none/such", tmp_path / "models", "tiny", format="tensorrt")
    with pytest.raises(NestvecError, match=r"docker run .*nvcr\.io/nvidia/tensorrt"):
        export(options)
    assert not list(tmp_path.iterdir())


def test_what_is_exported_says_where_from_without_the_path(bert: Path, tmp_path: Path) -> None:
    manifest, folder = exported(bert, tmp_path / "models")
    assert manifest.source == "bert"
    assert set(manifest.files) == {"1/model.onnx", "tokenizer.json"}
    assert set(manifest.created_with) >= {"nestvec", "torch", "transformers", "onnxruntime"}
    assert str(bert.parent) not in (folder / "encoder.json").read_text()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)


def test_an_encoder_is_replaced_only_when_asked(bert: Path, tmp_path: Path) -> None:
    exported(bert, tmp_path / "models")
    with pytest.raises(EncoderExists, match="--force"):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny"))
    manifest, _ = exported(bert, tmp_path / "models", force=True, max_tokens=7)
    assert manifest.towers["text"].max_tokens == 7
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny"]
    assert not left_over(tmp_path)


def test_a_damaged_file_fails_the_comparison_and_leaves_the_old_encoder(bert: Path, tmp_path: Path) -> None:
    before, folder = exported(bert, tmp_path / "models")

    def damage(stage: str) -> None:
        if stage.startswith("comparing"):
            (path,) = tmp_path.glob(".nestvec-export-*/tiny/tokenizer.json")
            tokenizer = json.loads(path.read_text())
            vocab = tokenizer["model"]["vocab"]
            tokenizer["model"]["vocab"] = dict(zip(vocab, reversed(vocab.values()), strict=True))
            path.write_text(json.dumps(tokenizer))

    with pytest.raises(VerificationFailed, match=r"cosine of 0\.9999 at least.*nothing was written"):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny", force=True), Listener(damage))
    assert read_manifest(folder) == before
    verify_files(folder, before)
    assert not left_over(tmp_path)


def test_an_interrupt_leaves_nothing(bert: Path, tmp_path: Path) -> None:
    def interrupt(stage: str) -> None:
        if stage.startswith("comparing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny"), Listener(interrupt))
    assert not list(tmp_path.iterdir())


def test_more_tokens_than_positions_are_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match="--max-tokens 64 or less"):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny", max_tokens=65))
    assert not list(tmp_path.iterdir())


def test_a_dim_that_the_checkpoint_lacks_is_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(DimNotOffered, match="from 1 to 32"):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny", dims=(33,)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"name": "../up"}, EncoderError, "letters, digits"),
        ({"name": ""}, EncoderError, "letters, digits"),
        ({"precision": "int4"}, EncoderError, "Did you mean 'int8'"),
        ({"max_tokens": 0}, EncoderError, "1 or more"),
        ({"dims": (32, 0)}, DimNotOffered, "1 or more"),
        ({"precision": "bf16"}, EncoderError, "cannot run it on a CPU"),
        ({"format": "plan"}, EncoderError, "onnx, tensorrt"),
        ({"gpus": (0, 0)}, EncoderError, "each device number once"),
        ({"gpus": (-1,)}, EncoderError, "from 0"),
        ({"precision": "int8-dynamic", "accelerate": True}, EncoderError, "--precision fp16"),
        ({"precision": "int8-dynamic", "format": "tensorrt"}, EncoderError, "--precision fp16"),
        ({"accelerate": True, "format": "tensorrt"}, EncoderError, "Keep one"),
    ],
)
def test_options_are_checked_when_they_are_made(
    fields: dict[str, Any], error: type[NestvecError], says: str
) -> None:
    with pytest.raises(error, match=says):
        ExportOptions(**{"checkpoint": "x", "models": Path("models"), "name": "tiny", **fields})


def test_missing_packages_are_named_with_the_pip_line(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(NestvecError, match=r"onnx\. Install them: pip install 'nestvec\[export\]'"):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny"))


def test_a_repository_that_is_a_file_is_refused(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        export(ExportOptions(str(bert), tmp_path / "models", "tiny"))


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ((Pooling(32, "cls"), Normalize()), "pooling cls, not mean"),
        ((Pooling(32, "mean"),), "vectors that are not normalised"),
        ((Pooling(32, "mean", include_prompt=False), Normalize()), "omits_prompts True, not False"),
    ],
)
def test_what_an_expert_has_otherwise_is_named(
    modules: tuple[Any, ...], message: str, sentence_bert: Write, tmp_path: Path
) -> None:
    prompts = {"query": "query: "}
    base = sentence_bert(Pooling(32, "mean"), Normalize(), prompts=prompts).rename(tmp_path / "base")
    expert = sentence_bert(*modules, prompts=prompts)
    with pytest.raises(CheckpointUnsupported, match=f"not another set of weights.*: {message}"):
        export(ExportOptions(str(base), tmp_path / "models", "base", experts={"other": str(expert)}))
