from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from encoder_vectors import encoder_vectors
from tokenizers import Tokenizer
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import CONFIG, GRAPH

Write = Callable[..., Path]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TEXTS = ("heat flow in a plate", "a", "shock waves, and what they do to thin plates of metal")


class Given(torch.nn.Module):
    """A model's outputs of these names."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return tuple(getattr(found, name) for name in self.names)


def graph(
    folder: Path, target: Path, *names: str, opset: int = 17, kind: str = "AutoModel", fixed: bool = False
) -> Path:
    """The checkpoint's graph as somebody else would write it, with its tokenizer and config."""
    target.mkdir(parents=True, exist_ok=True)
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.ones((2, 5), dtype=torch.int64)
    free = {0: "batch", 1: "sequence"}
    axes = {} if fixed else {**dict.fromkeys(INPUTS, free), **dict.fromkeys(names, free)}
    if "logits" in axes or "pooler_output" in axes:
        axes |= {name: {0: "batch"} for name in names if name in ("logits", "pooler_output")}
    with quiet(), torch.no_grad():
        torch.onnx.export(
            Given(model, names),
            (ids, ids, ids * 0),
            str(target / "model.onnx"),
            dynamo=False,
            opset_version=opset,
            input_names=list(INPUTS),
            output_names=list(names),
            dynamic_axes=axes,
        )
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, target / name)
    return target


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "ready", **options))


def hidden(folder: Path, text: str) -> Array:
    """The checkpoint's own token vectors of one text, (t, hidden)."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    with torch.no_grad():
        found: Array = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    return found


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


POOLED: dict[str, Callable[[Array], Array]] = {
    "cls": lambda one: one[0],
    "mean": lambda one: one.mean(axis=0),
}


@pytest.mark.parametrize("opset", [11, 17, 18])
@pytest.mark.parametrize("pooling", POOLED)
def test_token_vectors_are_pooled(bert: Path, tmp_path: Path, pooling: str, opset: int) -> None:
    folder = graph(bert, tmp_path / "given", "last_hidden_state", "pooler_output", opset=opset)
    asked = Overrides(pooling=pooling, query_prompt="query: ")
    manifest = exported(folder, tmp_path / "models", overrides=asked, verify=VERIFY)
    tower = manifest.towers["text"]
    assert (manifest.kind, manifest.dim, manifest.precision, tower.pooling) == ("dense", 32, "fp32", pooling)
    assert (tower.inputs, tower.max_tokens) == (INPUTS[:2], 64)
    assert (manifest.normalised, manifest.prompts) == (True, {"query": "query: "})
    found = encoder_vectors(tmp_path / "models" / "ready", TEXTS, 64)
    expected = unit(np.stack([POOLED[pooling](hidden(bert, text)) for text in TEXTS]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_sentence_transformers_says_beside_the_graph(bert: Path, tmp_path: Path) -> None:
    folder = graph(bert, tmp_path / "given" / "onnx", "last_hidden_state").parent
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / "onnx" / name).rename(folder / name)
    (folder / "1_Pooling").mkdir()
    told: dict[str, object] = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))
    kinds = ("Transformer", "Pooling")
    rows = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in zip(("", "1_Pooling"), kinds, strict=True)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    prompts = {"prompts": {"query": "q: ", "passage": "p: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48}))
    # The folder above, or the graph's own.
    for at, place in enumerate((folder, folder / "onnx")):
        manifest = exported(place, tmp_path / f"models{at}")
        tower = manifest.towers["text"]
        assert (tower.pooling, tower.max_tokens, manifest.normalised) == ("mean", 48, False)
        assert manifest.prompts == {"query": "q: ", "document": "p: ", "passage": "p: "}


def test_token_vectors_for_late_interaction(bert: Path, tmp_path: Path) -> None:
    folder = graph(bert, tmp_path / "given", "last_hidden_state")
    asked = Overrides(pooling="tokens", query_prompt="[unused0]", document_prompt="[unused1]")
    manifest = exported(folder, tmp_path / "models", overrides=asked)
    tower = manifest.towers["text"]
    assert (manifest.kind, manifest.dim, tower.inputs[-1]) == ("multivector", 32, "keep")
    assert tower.interaction is not None
    assert tower.interaction.query_tokens == 32
    plain = exported(folder, tmp_path / "plain", overrides=Overrides(pooling="tokens"))
    assert (plain.towers["text"].interaction, plain.prompts) == (None, {})


def test_logits_are_scores(write_checkpoint: Write, tmp_path: Path) -> None:
    head = "ForSequenceClassification"
    checkpoint = write_checkpoint("Bert", head=head, num_labels=1)
    folder = graph(checkpoint, tmp_path / "given", "logits", kind=f"AutoModel{head}")
    manifest = exported(folder, tmp_path / "models")
    tower = manifest.towers["text"]
    assert (manifest.kind, tower.inputs, tower.activation) == ("reranker", INPUTS, "sigmoid")
    assert manifest.verification.cosine_min > 0.9999


def test_int8_stays_what_it_is_and_runs_alone_where_it_gives_scores(bert: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    folder = graph(bert, tmp_path / "given", "last_hidden_state")
    whole = (folder / "model.onnx").rename(tmp_path / "whole.onnx")
    quantize_dynamic(whole, folder / "model.onnx")
    dense = exported(folder, tmp_path / "dense", overrides=Overrides(pooling="mean"))
    assert (dense.precision, dense.towers["text"].alone) == ("int8-dynamic", False)
    late = exported(folder, tmp_path / "late", overrides=Overrides(pooling="tokens"))
    assert (late.precision, late.towers["text"].alone) == ("int8-dynamic", True)
    # Fused as the graph was, it gives the same: one step of an int8 activation would show.
    assert late.verification.cosine_min > 0.999999
    assert "max_batch_size: 1\n" in (tmp_path / "late" / "ready" / CONFIG).read_text()
    with pytest.raises(EncoderError, match="ready in int8-dynamic, and its precision stays what it is: fp16"):
        exported(folder, tmp_path / "other", overrides=Overrides(pooling="mean"), precision="fp16")


def test_a_sentence_vector_is_taken_as_it_is(bert: Path, tmp_path: Path) -> None:
    folder = graph(bert, tmp_path / "given", "last_hidden_state", "pooler_output")
    model = onnx.load(str(folder / "model.onnx"))
    model.graph.node.append(
        onnx.helper.make_node("LpNormalization", ["pooler_output"], ["sentence_embedding"], axis=-1, p=2)
    )
    shape = ["batch", 32]
    made = onnx.helper.make_tensor_value_info("sentence_embedding", onnx.TensorProto.FLOAT, shape)
    model.graph.output.append(made)
    onnx.save(model, str(folder / "model.onnx"))
    manifest = exported(folder, tmp_path / "models")
    assert (manifest.kind, manifest.normalised, manifest.dim) == ("dense", True, 32)
    assert manifest.towers["text"].pooling == "graph"
    assert onnx.load(str(tmp_path / "models" / "ready" / GRAPH)).graph.output[0].name == "sentence_embedding"


def broken(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"no graph")
    return folder


def no_tokenizer(folder: Path) -> Path:
    (folder / "tokenizer.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f, r"\(last_hidden_state\), and nothing says how to pool them: given. Add --pooling"),
        (broken, "model.onnx is not an ONNX graph"),
        (no_tokenizer, "graph's tokenizer cannot be read"),
    ],
)
def test_what_is_no_encoder(bert: Path, tmp_path: Path, spoil: Callable[[Path], Path], message: str) -> None:
    folder = spoil(graph(bert, tmp_path / "given", "last_hidden_state"))
    pooling = None if message.startswith(r"\(") else "mean"
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path / "models", overrides=Overrides(pooling=pooling))


def test_a_graph_of_several_labels_and_one_of_a_fixed_size(write_checkpoint: Write, tmp_path: Path) -> None:
    head = "ForSequenceClassification"
    checkpoint = write_checkpoint("Bert", head=head, num_labels=3)
    folder = graph(checkpoint, tmp_path / "given", "logits", kind=f"AutoModel{head}")
    with pytest.raises(CheckpointUnsupported, match=r"neither vectors nor one score: logits \[3, 3\]"):
        exported(folder, tmp_path / "models")
    fixed = graph(checkpoint, tmp_path / "fixed", "last_hidden_state", fixed=True)
    with pytest.raises(CheckpointUnsupported, match="does not run on"):
        exported(fixed, tmp_path / "models", overrides=Overrides(pooling="mean"))


def test_a_pooling_that_no_node_is_made_for(bert: Path, tmp_path: Path) -> None:
    folder = graph(bert, tmp_path / "given", "last_hidden_state")
    with pytest.raises(CheckpointUnsupported, match=r"pooled this way: most. Choose of cls, max, mean"):
        exported(folder, tmp_path / "models", overrides=Overrides(pooling="most"))


WITHOUT = """
import sys
for name in ("torch", "transformers", "sentence_transformers"):
    sys.modules[name] = None
from pathlib import Path
from nestvec_exporters import ExportOptions, Overrides, export
options = ExportOptions(sys.argv[1], Path(sys.argv[2]), "ready", overrides=Overrides(pooling="mean"))
print(export(options).kind)
"""


def test_no_torch_is_needed(bert: Path, tmp_path: Path) -> None:
    folder = graph(bert, tmp_path / "given", "last_hidden_state")
    command = [sys.executable, "-c", WITHOUT, str(folder), str(tmp_path / "models")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "dense", done.stderr
