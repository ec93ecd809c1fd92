from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_vectors import encoder_vectors
from peft import LoraConfig, PeftModel, get_peft_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from transformers import AutoModel

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import part_folder
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]
Save = Callable[..., Path]

TEXTS = ("a", "heat", "wing shock heat flow " * 3, "gas plate cone jet lift drag " * 12)
NOMIC: dict[str, Any] = {
    "activation_function": "swiglu",
    "architectures": ["NomicBertModel"],
    "attn_pdrop": 0.0,
    "auto_map": {
        "AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig",
        "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
        "AutoModelForMaskedLM": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertForPreTraining",
    },
    "causal": False,
    "dense_seq_output": True,
    "embd_pdrop": 0.0,
    "fused_bias_fc": True,
    "fused_dropout_add_ln": True,
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 2048,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "model_type": "nomic_bert",
    "n_embd": 32,
    "n_head": 4,
    "n_inner": 256,
    "n_layer": 2,
    "n_positions": 8192,
    "pad_vocab_size_multiple": 8,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "resid_pdrop": 0.0,
    "rotary_emb_base": 500,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_weights": True,
    "type_vocab_size": 2,
    "use_flash_attn": True,
    "use_rms_norm": False,
    "vocab_size": 200,
}
"""nomic-ai/nomic-embed-text-v1.5's ``config.json`` with smaller numbers."""

GTE: dict[str, Any] = {
    "architectures": ["NewModel"],
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {
        "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
        "AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel",
    },
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm",
    "logn_attention_clip1": False,
    "logn_attention_scale": False,
    "max_position_embeddings": 8192,
    "model_type": "new",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pack_qkv": True,
    "pad_token_id": 1,
    "position_embedding_type": "rope",
    "rope_scaling": {"factor": 8.0, "type": "ntk"},
    "rope_theta": 20000,
    "type_vocab_size": 1,
    "unpad_inputs": False,
    "use_memory_efficient_attention": False,
    "vocab_size": 200,
}
"""Alibaba-NLP/gte-multilingual-base's, with smaller numbers."""


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves a plain checkpoint in sentence-transformers' layout, followed by modules."""

    def run(plain: Path, *modules: Any, **settings: Any) -> Path:
        folder = tmp_path / "sentence"
        layout = [Transformer(str(plain)), Pooling(32), *modules]
        SentenceTransformer(modules=layout, device="cpu", **settings).save(
            str(folder), create_model_card=False
        )
        return folder

    return run


def exported(folder: Path, tmp_path: Path) -> Manifest:
    return export(ExportOptions(str(folder), tmp_path / "models", "tiny", verify="quick"))


def test_nomic_as_published(write_checkpoint: Write, save: Save, tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 500.0}
    plain = write_checkpoint("NomicBert", intermediate_size=256, rope_parameters=rope)
    own = SentenceTransformer(str(plain), device="cpu")
    own.max_seq_length = 8192
    folder = save(plain, prompts={"search_query": "search_query: ", "search_document": "search_document: "})
    (folder / "config.json").write_text(json.dumps(NOMIC), "utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8192}), "utf-8")
    manifest = exported(folder, tmp_path)
    assert manifest.main_tower.max_tokens == 8192
    assert manifest.prompts["query"] == "search_query: "
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, 8192)
    assert cosines(served, own.encode(list(TEXTS))).min() > 0.9999


@pytest.mark.parametrize("changed", [{"num_experts": 8}, {"rotary_scaling_factor": 2.0}, {"prenorm": True}])
def test_what_nomic_declares_and_transformers_lacks_is_refused_by_name(
    changed: dict[str, Any], write_checkpoint: Write, save: Save, tmp_path: Path
) -> None:
    folder = save(write_checkpoint("NomicBert", intermediate_size=256))
    (folder / "config.json").write_text(json.dumps({**NOMIC, **changed}), "utf-8")
    with pytest.raises(CheckpointUnsupported, match=next(iter(changed))):
        exported(folder, tmp_path)


def test_layer_norm_before_shorter_vectors(write_checkpoint: Write, save: Save, tmp_path: Path) -> None:
    """nomic-embed-text-v1.5's recipe for its prefixes."""
    plain = write_checkpoint("NomicBert")
    manifest = exported(save(plain, LayerNorm(32), Normalize()), tmp_path)
    short = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, 64)[:, :16]
    library = SentenceTransformer(modules=[Transformer(str(plain)), Pooling(32)], device="cpu")
    pooled = torch.from_numpy(library.encode(list(TEXTS)))
    recipe = torch.nn.functional.layer_norm(pooled, (32,))[:, :16]
    assert manifest.normalised
    assert cosines(short, recipe.numpy()).min() > 0.9999


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"rope_scaling": None},
        {"type_vocab_size": 0},
        {"model_type": "gte", "architectures": ["GteModel"]},
    ],
)
def test_gte_as_published(
    changed: dict[str, Any], write_checkpoint: Write, save: Save, tmp_path: Path
) -> None:
    config = {**GTE, **changed}
    factor = 8.0 if config["rope_scaling"] else 1.0
    plain = write_checkpoint("Gte", type_vocab_size=config["type_vocab_size"], pad_token_id=1)
    own = SentenceTransformer(str(plain), device="cpu")
    # The frequencies of Su 2023 (kexue.fm/archives/9706), formula 6; a head is 8 wide.
    steps = torch.arange(0, 8, 2, dtype=torch.float64) / 8
    frequencies = (20000 * factor) ** -steps / factor ** (2 / 8)
    module: Any = own[0]
    module.auto_model.rotary_emb.inv_freq = frequencies.float()
    folder = save(plain)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    exported(folder, tmp_path)
    served = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, 64)
    own.max_seq_length = 64
    assert cosines(served, own.encode(list(TEXTS))).min() > 0.9999


@pytest.mark.parametrize(
    "changed",
    [{"logn_attention_scale": True}, {"rope_scaling": {"type": "ntk", "factor": 2, "mixed_b": 0.5}}],
)
def test_what_gte_declares_and_transformers_lacks_is_refused_by_name(
    changed: dict[str, Any], write_checkpoint: Write, save: Save, tmp_path: Path
) -> None:
    folder = save(write_checkpoint("Gte"))
    (folder / "config.json").write_text(json.dumps({**GTE, **changed}), "utf-8")
    with pytest.raises(CheckpointUnsupported, match="GteModel does not"):
        exported(folder, tmp_path)


def test_tasks_of_jina_v3_are_experts(write_checkpoint: Write, save: Save, tmp_path: Path) -> None:
    plain = write_checkpoint("JinaEmbeddingsV3")
    folder = save(plain, Normalize(), prompts={"retrieval.query": "Represent the query: "})
    for seed, task in enumerate(("retrieval_query", "text_matching")):
        _write_adapter(plain, folder / task, seed)
    manifest = exported(folder, tmp_path)
    assert set(manifest.experts) == {"retrieval_query", "text_matching"}
    base = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, 64)
    for task in manifest.experts:
        library = SentenceTransformer(str(folder), device="cpu")
        module: Any = library[0]
        module.model = PeftModel.from_pretrained(module.auto_model, str(folder / task)).eval()
        expected = library.encode(list(TEXTS))
        graph = part_folder(tmp_path / "models" / "tiny", task)
        (graph / "tokenizer.json").write_text((folder / "tokenizer.json").read_text("utf-8"), "utf-8")
        given = encoder_vectors(graph, TEXTS, 64)
        assert cosines(given, expected).min() > 0.9999
        assert cosines(given, base).max() < 0.99


def _write_adapter(plain: Path, folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2", "word_embeddings"]
    config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="FEATURE_EXTRACTION")
    adapted: Any = get_peft_model(AutoModel.from_pretrained(str(plain)), config)
    for name, weight in adapted.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(weight, std=0.3)
    adapted.save_pretrained(str(folder))


def test_jina_v3_as_first_published_is_refused_by_its_class(
    write_checkpoint: Write, save: Save, tmp_path: Path
) -> None:
    folder = save(write_checkpoint("XLMRoberta"))
    path = folder / "config.json"
    flash = "jinaai/xlm-roberta-flash-implementation--"
    published = {
        "architectures": ["XLMRobertaLoRA"],
        "auto_map": {
            "AutoConfig": f"{flash}configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": f"{flash}modeling_lora.XLMRobertaLoRA",
        },
        "position_embedding_type": "rotary",
        "lora_adaptations": ["retrieval.query", "retrieval.passage"],
    }
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **published}), "utf-8")
    with pytest.raises(CheckpointUnsupported, match="XLMRobertaLoRA"):
        exported(folder, tmp_path)


@pytest.mark.parametrize("kind", ["Bert", "XLMRoberta"])
def test_an_adapter_in_place_of_weights_is_merged_into_the_base_that_it_names(
    kind: str, write_checkpoint: Write, save: Save, tmp_path: Path
) -> None:
    plain = write_checkpoint(kind)
    folder = save(plain, Normalize(), prompts={"query": "query: "})
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["query", "value"], init_lora_weights=False)
    adapted: Any = get_peft_model(AutoModel.from_pretrained(str(plain)), config)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    adapted.save_pretrained(str(folder))
    exported(folder, tmp_path)
    library = SentenceTransformer(modules=[Transformer(str(plain)), Pooling(32), Normalize()], device="cpu")
    library.max_seq_length = 62
    base = library.encode(list(TEXTS))
    module: Any = library[0]
    module.model = PeftModel.from_pretrained(module.auto_model, str(folder)).eval()
    given = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, 62)
    assert cosines(given, library.encode(list(TEXTS))).min() > 0.9999
    assert cosines(given, base).max() < 0.99
