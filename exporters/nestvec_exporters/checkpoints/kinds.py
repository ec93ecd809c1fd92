"""Kinds of checkpoints: the first row that fits a checkpoint's small files. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from nestvec_exporters.checkpoints.files import GRAPHS, WEIGHTS, WORD_FILES, CheckpointFiles

SENTENCE: Final = "sentence"

SENTENCE_TRANSFORMERS_ROWS: Final = frozenset({SENTENCE, "decoder"})
"""Rows whose checkpoints sentence-transformers loads."""

TORCH_PACKAGES: Final = ("torch", "transformers", "sentence_transformers", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Architecture:
    """A row: what ``fits`` is loaded by the file of this folder that is called ``name``.

    ``about`` is for people; ``weights`` are the names of the large files; ``needs`` are the packages that
    loading imports. ``lies``: how it lies on disk, and so what is checked before that: as ``transformers``
    writes it, safetensors beside the config.json of a type that it knows; as ``safetensors`` of any type; in
    a way of its ``own``, which its file checks.
    """

    name: str
    description: str
    matches: Callable[[CheckpointFiles], bool]
    weights: tuple[str, ...] = WEIGHTS
    storage: Literal["transformers", "safetensors", "own"] = "transformers"
    packages: tuple[str, ...] = TORCH_PACKAGES


def _is_static(small: CheckpointFiles) -> bool:
    """A table of vectors: a file of words, or Model2Vec's, sentence-transformers', WordLlama's folder."""
    if small.folder.is_file():
        return small.folder.suffix in WORD_FILES
    return (
        small.model_type == "model2vec"
        or small.modules[:1] == ("StaticEmbedding",)
        or (small.some("*.npy") and small.some("*.parquet"))
        or (small.some("weights/*.safetensors") and small.some("tokenizers/*.json"))
    )


DECODERS: Final = frozenset(
    {"codegen", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "granite", "llama"}
    | {"mistral", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "smollm3", "starcoder2"}
)
"""Decoders that were tried; others fall to the last row."""


def _is_decoder(small: CheckpointFiles) -> bool:
    scores = small.head.endswith("ForSequenceClassification")
    return small.transformer.get("model_type") in DECODERS and not scores


_SPARSE_MODULES: Final = frozenset({"SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder"})


def _is_sparse(small: CheckpointFiles) -> bool:
    """A SparseEncoder of sentence-transformers; or a masked language model, which ``sparse`` asks about."""
    if small.modules:
        saved = small.json("config_sentence_transformers.json").get("model_type")
        return saved == "SparseEncoder" or not _SPARSE_MODULES.isdisjoint(small.modules)
    return small.head.endswith("ForMaskedLM")


DUAL_ENCODERS: Final = frozenset(
    {
        "align",
        "altclip",
        "blip",
        "chinese_clip",
        "clip",
        "metaclip_2",
        "nestvec-pooled-dual",
        "siglip",
        "siglip2",
        "vision-text-dual-encoder",
    }
)
"""Types of model whose text tower and image tower give vectors of one space."""

ENCODER_DECODERS: Final = frozenset({"bart", "m2m_100", "marian", "mbart", "pegasus", "plbart"})


def _is_encoder_decoder(small: CheckpointFiles) -> bool:
    return small.model_type in ENCODER_DECODERS and not small.modules


def _is_token_free(small: CheckpointFiles) -> bool:
    bytewise = small.json("tokenizer_config.json").get("tokenizer_class") == "ByT5Tokenizer"
    return small.model_type == "canine" or (small.model_type == "t5" and bytewise and not small.modules)


def _is_ready_graph(small: CheckpointFiles) -> bool:
    """A graph and no weights to make one of."""
    return small.has(*GRAPHS) and not any(small.folder.glob("*.safetensors"))


def _is_late_interaction(small: CheckpointFiles) -> bool:
    projected = small.modules[:1] == ("Transformer",) and set(small.modules[1:]) == {"Dense"}
    return projected or small.head == "HF_ColBERT" or small.has("artifact.metadata")


VISION_LANGUAGE: Final = frozenset({"llava", "qwen2_5_vl", "qwen2_vl"})
"""Types of language model that read pictures between words."""

ARCHITECTURES: Final[tuple[Architecture, ...]] = (
    Architecture(
        "static",
        "tables of token or word vectors",
        _is_static,
        ("*.safetensors", "*.npy", "*.parquet"),
        storage="own",
    ),
    Architecture(
        "ready",
        "ONNX graphs that somebody else wrote",
        _is_ready_graph,
        weights=("*.onnx", "*.onnx_data", "*.onnx.data"),
        storage="own",
        packages=("onnx", "onnxruntime"),
    ),
    Architecture(
        "cross",
        "cross-encoders: a query with a document to one score",
        lambda small: small.head.endswith("ForSequenceClassification") and "Pooling" not in small.modules,
    ),
    Architecture("late", "late interaction (ColBERT): a vector a token", _is_late_interaction),
    Architecture("dual", "texts and pictures in one space", lambda small: small.model_type in DUAL_ENCODERS),
    Architecture(
        "vlm", "a picture and a text in one message", lambda small: small.model_type in VISION_LANGUAGE
    ),
    Architecture("vision", "pictures alone", lambda small: small.sees and not small.reads),
    Architecture(
        "sparse",
        "masked language models that weigh the words of their vocabulary",
        _is_sparse,
        ("*.safetensors", "*/*.safetensors"),
        storage="own",
    ),
    Architecture("nvembed", "NV-Embed", lambda small: small.model_type == "nvembed", storage="safetensors"),
    Architecture(
        "pixel",
        "PIXEL: pictures of text",
        lambda small: small.model_type == "pixel",
        weights=("*.safetensors", "*.ttf", "*.otf"),
        storage="safetensors",
    ),
    Architecture("tokenfree", "no vocabulary: CANINE, ByT5", _is_token_free),
    Architecture(
        "encdec", "encoder halves: NLLB, M2M100, SONAR, BART, mBART, Marian, Pegasus", _is_encoder_decoder
    ),
    Architecture("decoder", "decoder language models: LLaMA, Qwen, Mistral, CodeGen, Gemma", _is_decoder),
    Architecture(SENTENCE, "text encoders as sentence-transformers runs them", lambda small: True),
)


def architecture(name: str) -> Architecture:
    """The row of this name."""
    return next(row for row in ARCHITECTURES if row.name == name)


def identify(folder: Path) -> Architecture:
    """The row that fits a checkpoint's small files."""
    small = CheckpointFiles(folder)
    return next(row for row in ARCHITECTURES if row.matches(small))
