"""Tiny checkpoints with random weights in the layouts that their kinds are published in: real classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling, StaticEmbedding
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SparseAutoEncoder, SpladePooling
from tiny_tokenizers import bert_tokenizer
from tokenizers import Tokenizer

WIDTH = 32
TOKENS = 160
"""The longest text; beyond the local attention of the families that have one."""

DECODER: Mapping[str, Any] = {
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
GEMMA: Mapping[str, Any] = {**DECODER, "sliding_window": 24, "query_pre_attn_scalar": 8}
PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint as it is published."""

    name: str
    """The published model, or the kind, that has this layout."""

    model: str
    """The class of transformers, or sentence-transformers' own."""

    write: Callable[[Path], None]
    """Writes it to a folder that does not exist yet."""

    kind: str = "dense"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the export that its model card names."""


def transformer(folder: Path, kind: str, *, head: str = "Model", side: str = "right", **fields: Any) -> Path:
    """A model of transformers and a tokenizer of characters; a field of None is left out."""
    size = bert_tokenizer(folder)
    sizes = {
        # Some classes' tokenizers add special tokens when they are loaded.
        "vocab_size": size + 8,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": TOKENS + 2,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    torch.manual_seed(0)
    set_fields = {name: value for name, value in {**sizes, **fields}.items() if value is not None}
    config = getattr(transformers, f"{kind}Config")(**set_fields)
    getattr(transformers, f"{kind}{head}")(config).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side, tokenizer.model_max_length = side, TOKENS
    tokenizer.save_pretrained(folder)
    return folder


def _dense(folder: Path, kind: str, *after: torch.nn.Module, **settings: Any) -> None:
    """A text encoder: a transformer and the modules after it."""
    fields = settings.pop("fields", {})
    home = transformer(folder.parent / f"{folder.name}-transformer", kind, **fields)
    modules = [Transformer(str(home), max_seq_length=TOKENS), *after]
    SentenceTransformer(modules=modules, device="cpu", **settings).save(str(folder), create_model_card=False)


def _text(name: str, kind: str, pooling: str = "mean", **fields: Any) -> Family:
    def write(folder: Path) -> None:
        _dense(folder, kind, Pooling(WIDTH, pooling), Normalize(), fields=fields, prompts=PROMPTS)

    return Family(name, f"{kind}Model", write)


def _embedding_gemma(folder: Path) -> None:
    prompts = {
        **PROMPTS,
        "Clustering": "task: clustering | query: ",
        "STS": "task: sentence similarity | query: ",
    }
    dense = [Dense(WIDTH, 64, bias=False, activation_function=torch.nn.Identity())]
    dense.append(Dense(64, WIDTH, bias=False, activation_function=torch.nn.Identity()))
    fields = {**GEMMA, "use_bidirectional_attention": True}
    _dense(folder, "Gemma3Text", Pooling(WIDTH, "mean"), *dense, Normalize(), fields=fields, prompts=prompts)


def _nomic(folder: Path) -> None:
    prompts = {
        "search_query": "search_query: ",
        "search_document": "search_document: ",
        "clustering": "clustering: ",
    }
    _dense(folder, "NomicBert", Pooling(WIDTH, "mean"), LayerNorm(WIDTH), Normalize(), prompts=prompts)


def _router(folder: Path) -> None:
    """A small tower for queries beside a larger one for documents (LEAF)."""
    small = transformer(folder.parent / "small", "Bert", num_hidden_layers=1)
    large = transformer(folder.parent / "large", "Bert", num_hidden_layers=3)
    routes = Router.for_query_document(
        query_modules=[Transformer(str(small)), Pooling(WIDTH, "mean")],
        document_modules=[Transformer(str(large)), Pooling(WIDTH, "mean")],
    )
    SentenceTransformer(modules=[routes, Normalize()], device="cpu").save(
        str(folder), create_model_card=False
    )


def _static(folder: Path) -> None:
    bert_tokenizer(folder.parent / "words")
    tokenizer = Tokenizer.from_file(str(folder.parent / "words" / "tokenizer.json"))
    torch.manual_seed(0)
    table = StaticEmbedding(tokenizer, embedding_dim=WIDTH)
    SentenceTransformer(modules=[table, Normalize()], device="cpu", prompts=PROMPTS).save(
        str(folder), create_model_card=False
    )


def _splade(folder: Path) -> None:
    home = transformer(folder.parent / "masked", "Bert", head="ForMaskedLM")
    modules = [MLMTransformer(str(home)), SpladePooling("max")]
    SparseEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def _codes(folder: Path) -> None:
    home = transformer(folder.parent / "coded", "Bert")
    modules = [Transformer(str(home)), Pooling(WIDTH, "mean"), SparseAutoEncoder(WIDTH, 96, 8)]
    SparseEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def _late(folder: Path) -> None:
    home = transformer(folder.parent / "late", "ModernBert", cls_token_id=2, sep_token_id=3)
    projection = Dense(
        WIDTH,
        16,
        bias=False,
        activation_function=torch.nn.Identity(),
        module_input_name="token_embeddings",
        module_output_name="token_embeddings",
    )
    modules = [Transformer(str(home)), projection, Normalize(module_input_name="token_embeddings")]
    MultiVectorEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def _cross(folder: Path) -> None:
    home = transformer(folder.parent / "scored", "Bert", head="ForSequenceClassification", num_labels=1)
    CrossEncoder(str(home), device="cpu").save(str(folder))


def _modular_cross(folder: Path) -> None:
    """As the ettin rerankers: pooling and a head of dense modules that ends in a score."""
    home = transformer(folder.parent / "modular", "ModernBert", cls_token_id=2, sep_token_id=3)
    identity = torch.nn.Identity()
    modules = [
        Transformer(str(home)),
        Pooling(WIDTH, "cls"),
        Dense(WIDTH, WIDTH, activation_function=torch.nn.GELU()),
        LayerNorm(WIDTH),
        Dense(WIDTH, 1, activation_function=identity, module_output_name="scores"),
    ]
    CrossEncoder(modules=modules, device="cpu").save(str(folder))


BERT_IDS: Mapping[str, Any] = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
MOE: Mapping[str, Any] = {**DECODER, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}

FAMILIES: tuple[Family, ...] = (
    _text("bge, e5, MiniLM", "Bert", "cls"),
    _text("gte-large, RoBERTa encoders, Granite", "Roberta"),
    _text("bge-m3's backbone, multilingual-e5, Arctic l v2", "XLMRoberta", "cls"),
    _text("all-mpnet-base-v2", "MPNet"),
    _text(
        "distiluse, msmarco-distilbert",
        "DistilBert",
        intermediate_size=None,
        dim=WIDTH,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
    ),
    _text("ALBERT encoders", "Albert", embedding_size=16),
    _text("DeBERTa v3 encoders", "DebertaV2", relative_attention=True, position_buckets=16),
    _text(
        "sentence-t5, gtr-t5",
        "T5",
        intermediate_size=None,
        max_position_embeddings=None,
        d_model=WIDTH,
        num_layers=2,
        num_heads=4,
        d_kv=8,
        d_ff=64,
    ),
    _text("gte-modernbert, granite r2, ettin", "ModernBert", "cls", local_attention=16, **BERT_IDS),
    _text("EuroBERT", "EuroBert", num_key_value_heads=2, bos_token_id=2, eos_token_id=3),
    Family("nomic-embed-text-v1.5", "NomicBertModel", _nomic),
    _text("gte-base-en-v1.5, Arctic m v2", "Gte", "cls"),
    _text("jina-embeddings-v3's backbone", "JinaEmbeddingsV3"),
    Family("EmbeddingGemma", "Gemma3TextModel", _embedding_gemma),
    _text("Qwen3-Embedding", "Qwen3", "lasttoken", side="left", **DECODER),
    _text("voyage-4-nano (bidirectional Qwen3)", "Qwen3", is_causal=False, **DECODER),
    _text("gte-Qwen2 (bidirectional)", "Qwen2", "lasttoken", is_causal=False, num_key_value_heads=2),
    _text("llama-nemotron-embed (bidirectional)", "Llama", is_causal=False, num_key_value_heads=2),
    _text("e5-mistral", "Mistral", "lasttoken", sliding_window=24, **DECODER),
    _text("Qwen3 MoE", "Qwen3Moe", "lasttoken", **MOE),
    Family("mdbr-leaf-ir-asym (Router)", "Router of BertModel", _router),
    Family("static-retrieval, potion", "StaticEmbedding", _static),
    Family("SPLADE", "BertForMaskedLM", _splade, "sparse"),
    Family("CSR (sparse autoencoder)", "SparseAutoEncoder", _codes, "sparse"),
    Family("GTE-ModernColBERT, LateOn", "ModernBertModel", _late, "multivector"),
    Family("ms-marco cross-encoders", "BertForSequenceClassification", _cross, "reranker"),
    Family("ettin-reranker (modules)", "ModernBertModel, Dense", _modular_cross, "reranker"),
)
"""Families, each tiny: what their real weights would add is checked at every export."""
