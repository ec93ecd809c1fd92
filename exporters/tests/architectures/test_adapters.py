"""PEFT adapters: a folder of one beside its base, and a checkpoint with one for each task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from encoder_vectors import encoder_vectors
from peft import LoraConfig, PeftModel, get_peft_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.pairs import pair_rows
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH, part_folder
from nestvec_schemas.vectors import Vectors, cosines

Write = Callable[..., Path]

TOKENS = 64
TEXTS = ["x", "heat flow in shock waves", "Zebra crossing " * 40]
DECODER = {"num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 2, "eos_token_id": 3}
TASKS = ("retrieval", "text-matching", "clustering")


def lora(seed: int, **fields: Any) -> LoraConfig:
    torch.manual_seed(seed)
    shape = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    return LoraConfig(**{**shape, "task_type": "FEATURE_EXTRACTION", "init_lora_weights": False, **fields})


def encoder(transformer: Path) -> SentenceTransformer:
    modules = [Transformer(str(transformer), max_seq_length=TOKENS), Pooling(32, pooling_mode="lasttoken")]
    prompts = {"query": "Query: ", "document": "Document: "}
    return SentenceTransformer(modules=[*modules, Normalize()], prompts=prompts, device="cpu")


def exported(checkpoint: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(checkpoint), models, "tiny", verify="quick", **options))


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture
def base(write_checkpoint: Write) -> Path:
    return write_checkpoint("Qwen3", side="left", **DECODER)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """A checkpoint of sentence-transformers whose transformer is an adapter."""
    model = encoder(base)
    module: Any = model[0]
    module.model = get_peft_model(module.model, lora(1))
    model.save(str(tmp_path / "adapter"), create_model_card=False)
    assert not (tmp_path / "adapter" / "config.json").exists()
    return tmp_path / "adapter"


def test_an_adapter_is_merged_into_the_base_that_it_names(base: Path, adapter: Path, tmp_path: Path) -> None:
    manifest = exported(adapter, tmp_path / "models")
    assert (manifest.source, manifest.normalised) == ("adapter", True)
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, TOKENS)
    own = SentenceTransformer(str(adapter), device="cpu")  # loads the adapter by itself
    assert cosines(served, own.encode(TEXTS)).min() > 0.9999
    assert cosines(served, encoder(base).encode(TEXTS)).max() < 0.99


def test_a_base_inside_the_adapters_folder(base: Path, adapter: Path, tmp_path: Path) -> None:
    shutil.move(base, adapter / "base")
    edit(adapter / "adapter_config.json", base_model_name_or_path="base")
    exported(adapter, tmp_path / "models")


def test_an_adapter_beside_the_weights_of_its_base(
    base: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """transformers loads the adapter along with such a base: it is merged once, and nothing is printed."""
    folder = tmp_path / "beside"
    encoder(base).save(str(folder), create_model_card=False)
    get_peft_model(transformers.AutoModel.from_pretrained(base), lora(1)).save_pretrained(folder)
    edit(folder / "adapter_config.json", base_model_name_or_path=str(folder))
    recwarn.clear()
    exported(folder, tmp_path / "models")
    assert [one for one in recwarn if not issubclass(one.category, ResourceWarning)] == []
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, TOKENS)
    own = SentenceTransformer(str(folder), device="cpu")
    assert cosines(served, own.encode(TEXTS)).min() > 0.9999
    assert cosines(served, encoder(base).encode(TEXTS)).max() < 0.99


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: edit(folder / "adapter_config.json", peft_type="PROMPT_TUNING"), "PROMPT_TUNING"),
        (lambda folder: edit(folder / "adapter_config.json", base_model_name_or_path=None), "does not name"),
        (lambda folder: edit(folder / "adapter_config.json", base_model_name_or_path="/nowhere"), "/nowhere"),
        (lambda folder: edit(folder / "adapter_config.json", target_modules=["q_proj"]), "lora_A"),
        (lambda folder: edit(folder / "adapter_config.json", r=2), "size mismatch for .*lora_A"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no weights in safetensors"),
    ],
)
def test_an_adapter_that_cannot_be_merged(
    spoil: Callable[[Path], None], message: str, adapter: Path, tmp_path: Path
) -> None:
    spoil(adapter)
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(adapter, tmp_path / "models")


def write_tasks(base: Path, folder: Path) -> Path:
    """As jina-embeddings-v5 is published: its own type, code and module class; an adapter for each task."""
    encoder(base).save(str(folder), create_model_card=False)
    for number, task in enumerate(TASKS):
        model = get_peft_model(transformers.AutoModel.from_pretrained(base), lora(number))
        model.save_pretrained(str(folder / "adapters" / task))
    code = {"AutoModel": "jinaai/jina-embeddings-v5--modeling_jina_embeddings_v5.JinaEmbeddingsV5Model"}
    edit(folder / "config.json", model_type="jina_embeddings_v5", task_names=list(TASKS), auto_map=code)
    edit(folder / "config.json", architectures=["JinaEmbeddingsV5Model"])
    rows = json.loads((folder / "modules.json").read_text())
    rows[0]["type"] = "custom_st.Transformer"
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "custom_st.py").write_text("raise SystemExit('code of the checkpoint ran')\n")
    return folder


def test_the_adapters_of_tasks_are_experts(base: Path, tmp_path: Path) -> None:
    checkpoint = write_tasks(base, tmp_path / "tasks")
    manifest = exported(checkpoint, tmp_path / "models")
    assert list(manifest.experts) == ["clustering", "text-matching"]
    assert dict(manifest.prompts) == {"query": "Query: ", "document": "Document: "}
    folder = tmp_path / "models" / "tiny"
    vectors: dict[str, Vectors] = {}
    for task in TASKS:
        part = part_folder(folder, "" if task == "retrieval" else task)
        vectors[task] = np.stack(run_graph(part / GRAPH, text_rows(folder, TEXTS, TOKENS)))
        own = encoder(base)
        module: Any = own[0]
        module.model = PeftModel.from_pretrained(module.model, str(checkpoint / "adapters" / task)).eval()
        assert cosines(vectors[task], own.encode(TEXTS)).min() > 0.9999
    assert cosines(vectors["retrieval"], vectors["clustering"]).max() < 0.99


def test_a_task_without_its_adapter(base: Path, tmp_path: Path) -> None:
    checkpoint = write_tasks(base, tmp_path / "tasks")
    shutil.rmtree(checkpoint / "adapters" / "clustering")
    with pytest.raises(CheckpointUnsupported, match="lacks adapters of its tasks: clustering"):
        exported(checkpoint, tmp_path / "models")


def test_an_adapter_of_a_reranker_brings_its_classifier(base: Path, tmp_path: Path) -> None:
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model = get_peft_model(plain, lora(3, task_type="SEQ_CLS")).eval()
    model.save_pretrained(str(tmp_path / "reranker"))
    shutil.copyfile(base / "tokenizer.json", tmp_path / "reranker" / "tokenizer.json")
    shutil.copyfile(base / "tokenizer_config.json", tmp_path / "reranker" / "tokenizer_config.json")
    manifest = exported(tmp_path / "reranker", tmp_path / "models")
    assert manifest.kind == "reranker"
    folder = tmp_path / "models" / "tiny"
    pairs = [("heat", text) for text in TEXTS]
    rows = pair_rows(folder, pairs, TOKENS)
    scores = np.concatenate(run_graph(folder / GRAPH, rows)).ravel()
    with torch.no_grad():
        own = [model(torch.from_numpy(row["input_ids"])[None]).logits.item() for row in rows]
    np.testing.assert_allclose(scores, own, atol=1e-4)
