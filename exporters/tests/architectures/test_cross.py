from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.pairs import TYPE_IDS, pair_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported, DimNotOffered, EncoderError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import CONFIG, GRAPH

Write = Callable[..., Path]

PAIRS = [
    ("heat flow", "shock waves in a long tube of air"),
    ("heat flow", "heat"),
    ("a", "the flow of heat through a plate, " * 9),
    ("why is a query longer than what it asks for? " * 4, "so it is"),
]
HEAD = "ForSequenceClassification"


def sigmoid(found: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-found)))


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "cross", **options))


def logits(models: Path, manifest: Manifest) -> Array:
    tower = manifest.towers["text"]
    rows = pair_rows(models / "cross", PAIRS, tower.max_tokens)
    return np.concatenate(compare.run_graph(models / "cross" / GRAPH, rows, unbatched=tower.alone))


def test_scores_are_those_of_cross_encoder(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Bert", head=HEAD, num_labels=1)
    # As BERT's own tokenizer has it.
    edit(folder, "tokenizer_config.json", model_input_names=["input_ids", TYPE_IDS, "attention_mask"])
    manifest = exported(folder, tmp_path / "models")
    tower = manifest.towers["text"]
    assert (manifest.kind, manifest.dim, manifest.dims, tower.pooling) == ("reranker", 1, (1,), "logit")
    assert tower.inputs == ("input_ids", "attention_mask", TYPE_IDS)
    assert (tower.max_tokens, tower.activation, tower.alone) == (64, "sigmoid", False)
    expected = CrossEncoder(str(folder), device="cpu", max_length=64).predict(PAIRS)
    np.testing.assert_allclose(sigmoid(logits(tmp_path / "models", manifest)), expected, atol=1e-5)


def test_a_checkpoint_that_sentence_transformers_saved(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Roberta", head=HEAD, num_labels=1, pad_token_id=1, type_vocab_size=1)
    import torch

    model = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity(), max_length=40)
    model.save(str(tmp_path / "saved"))
    manifest = exported(tmp_path / "saved", tmp_path / "models")
    tower = manifest.towers["text"]
    assert (tower.inputs, tower.activation) == (("input_ids", "attention_mask"), "identity")
    assert tower.max_tokens == 40
    np.testing.assert_allclose(logits(tmp_path / "models", manifest), model.predict(PAIRS), atol=1e-4)


@pytest.mark.parametrize(
    "told",
    [
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.0"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
    ],
)
def test_the_activation_as_older_versions_named_it(
    write_checkpoint: Write, tmp_path: Path, told: dict[str, object]
) -> None:
    folder = write_checkpoint("Bert", head=HEAD, num_labels=1)
    edit(folder, **told)
    manifest = exported(folder, tmp_path / "models")
    assert manifest.towers["text"].activation == "identity"
    expected = CrossEncoder(str(folder), device="cpu", max_length=64).predict(PAIRS)
    np.testing.assert_allclose(logits(tmp_path / "models", manifest), expected, atol=1e-5)


def test_int8_runs_pair_by_pair(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Bert", head=HEAD, num_labels=1)
    manifest = exported(folder, tmp_path / "models", precision="int8-dynamic")
    assert manifest.towers["text"].alone
    assert "max_batch_size: 1\n" in (tmp_path / "models" / "cross" / CONFIG).read_text()


@pytest.mark.parametrize(
    ("precision", "floor"), [("int8", 0.998), ("int8-weights", 0.998), ("int4-weights", 0.99)]
)
def test_quantised_scores_are_near_and_the_same_in_any_batch(
    write_checkpoint: Write, tmp_path: Path, precision: str, floor: float
) -> None:
    folder = write_checkpoint("Bert", head=HEAD, num_labels=1)
    manifest = exported(folder, tmp_path / "models", precision=precision, verify=VERIFY)
    assert not manifest.towers["text"].alone
    assert manifest.quantisation is not None
    assert manifest.quantisation.cosine_mean >= floor
    scores = logits(tmp_path / "models", manifest)
    expected = CrossEncoder(str(folder), device="cpu", max_length=64).predict(
        PAIRS, activation_fn=torch.nn.Identity()
    )
    assert np.abs(scores - expected).max() < 0.5 * max(expected.std(), 0.1)


def edit(folder: Path, name: str = "config.json", **fields: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def without_classifier(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = {name: one for name, one in load_file(path).items() if "classifier" not in name}
    save_file(weights, path, {"format": "pt"})


def three_labels(folder: Path) -> None:
    names = {str(at): name for at, name in enumerate(("no", "maybe", "yes"))}
    edit(folder, id2label=names, label2id={name: int(at) for at, name in names.items()})
    path = folder / "model.safetensors"
    weights = load_file(path)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name].repeat_interleave(3, dim=0)
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            without_classifier,
            "lacks weights that its config.json declares: classifier.bias, classifier.weight",
        ),
        (three_labels, "one score, and it has several labels: 3 labels. Choose a checkpoint with one label"),
        (
            lambda f: edit(f, sbert_ce_default_activation_function="torch.nn.modules.activation.Tanh"),
            "neither a sigmoid nor the identity: torch.nn.modules.activation.Tanh",
        ),
    ],
)
def test_what_is_no_cross_encoder(
    write_checkpoint: Write, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = write_checkpoint("Bert", head=HEAD, num_labels=1)
    spoil(folder)
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path / "models")
    assert not (tmp_path / "models" / "cross").exists()


def test_scores_have_no_prefixes_and_no_exits(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Bert", head=HEAD, num_labels=1)
    with pytest.raises(DimNotOffered, match="a reranker returns scores, not vectors: 8"):
        exported(folder, tmp_path / "models", dims=(8,))
    from nestvec_schemas.samples.sample import Sample

    with pytest.raises(EncoderError, match="a reranker returns scores"):
        exported(folder, tmp_path / "models", exits=(1,), sample=Sample("some", ("a text",)))
