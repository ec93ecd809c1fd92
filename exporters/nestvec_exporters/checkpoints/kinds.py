"""Kinds of checkpoints, identified by their small files; the first match wins. No torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from nestvec_exporters.checkpoints.dual_layout import DUAL_MODULES
from nestvec_exporters.checkpoints.files import WEIGHTS, WORD_FILES, CheckpointFiles
from nestvec_exporters.checkpoints.untrusted.custom_code import has_own_modules
from nestvec_schemas.errors import CheckpointUnsupported

SENTENCE: Final = "sentence"
READY: Final = "ready"
CUSTOM: Final = "custom"
LATE_INTERACTION: Final = "late"

M3: Final = "m3"

SENTENCE_TRANSFORMERS_ROWS: Final = frozenset({SENTENCE, M3, "decoder"})
"""Kinds that sentence-transformers loads."""

TORCH_PACKAGES: Final = (
    "torch",
    "transformers",
    "sentence_transformers",
    "onnx",
    "onnxruntime",
    "tritonclient",
)


@dataclass(frozen=True)
class CheckpointKind:
    """A kind of checkpoint."""

    name: str
    """The module of ``architectures`` that loads it."""

    description: str
    """For people."""

    matches: Callable[[CheckpointFiles], bool]

    weights: tuple[str, ...] = WEIGHTS
    """Patterns of its large files."""

    storage: Literal["transformers", "safetensors", "own"] = "transformers"
    """What is checked before loading: safetensors beside the config.json of a type that transformers knows,
    safetensors of any type, or nothing, because the loader checks its own format."""

    packages: tuple[str, ...] = TORCH_PACKAGES
    """Packages that loading imports."""


def _is_static(files: CheckpointFiles) -> bool:
    """A table of vectors: a file of words, or a folder of Model2Vec, sentence-transformers or WordLlama."""
    if files.folder.is_file():
        return files.folder.suffix in WORD_FILES
    return (
        files.model_type == "model2vec"
        or files.modules[:1] == ("StaticEmbedding",)
        or (files.matches("*.npy") and files.matches("*.parquet"))
        or (files.matches("weights/*.safetensors") and files.matches("tokenizers/*.json"))
    )


DECODERS: Final = frozenset(
    {"codegen", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "granite", "llama"}
    | {"mistral", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "smollm3", "starcoder2"}
    | {"exaone4", "gemma4_text", "gpt_oss", "lfm2", "ministral", "ministral3", "mixtral", "nemotron"}
    | {"olmo3", "olmoe", "qwen2_moe", "qwen3_moe", "seed_oss", "stablelm"}
)
"""Decoders that are tested; others match the last row."""


def _is_decoder(files: CheckpointFiles) -> bool:
    scores = files.head.endswith("ForSequenceClassification")
    return files.transformer.get("model_type") in DECODERS and not scores


_SPARSE_MODULES: Final = frozenset({"SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder"})


def _is_sparse(files: CheckpointFiles) -> bool:
    """A SparseEncoder of sentence-transformers, or a masked language model, which ``sparse`` checks."""
    if files.modules:
        saved = files.json("config_sentence_transformers.json").get("model_type")
        return saved == "SparseEncoder" or not _SPARSE_MODULES.isdisjoint(files.modules)
    return files.head.endswith("ForMaskedLM")


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
"""Model types whose text and image towers share a vector space."""


def _is_dual(files: CheckpointFiles) -> bool:
    """Two towers, in transformers' layout or as the first module of sentence-transformers'."""
    first = files.modules[:1] in DUAL_MODULES and files.transformer.get("model_type") in DUAL_ENCODERS
    return first or files.model_type in DUAL_ENCODERS


ENCODER_DECODERS: Final = frozenset({"bart", "m2m_100", "marian", "mbart", "pegasus", "plbart"})


def _is_encoder_decoder(files: CheckpointFiles) -> bool:
    return files.model_type in ENCODER_DECODERS and not files.modules


def _is_token_free(files: CheckpointFiles) -> bool:
    bytewise = files.json("tokenizer_config.json").get("tokenizer_class") == "ByT5Tokenizer"
    return files.model_type == "canine" or (files.model_type == "t5" and bytewise and not files.modules)


def _is_ready_graph(files: CheckpointFiles) -> bool:
    """An ONNX graph without weights to export."""
    return bool(files.graphs) and not files.has_weights


def _is_late_interaction(files: CheckpointFiles) -> bool:
    declared = files.json("config_sentence_transformers.json").get("model_type")
    if declared in ("MultiVectorEncoder", "ColBERT") or "MultiVectorMask" in files.modules:
        return True
    projected = files.modules[:1] == ("Transformer",) and set(files.modules[1:]) == {"Dense"}
    return projected or files.head == "HF_ColBERT" or files.has("artifact.metadata")


def _is_cross_encoder(files: CheckpointFiles) -> bool:
    """A CrossEncoder of sentence-transformers, as it declares or by its modules, or a sequence classifier."""
    declared = files.json("config_sentence_transformers.json").get("model_type")
    classifies = files.head.endswith("ForSequenceClassification") and "Pooling" not in files.modules
    return declared == "CrossEncoder" or "LogitScore" in files.modules or classifies


M3_HEADS: Final = ("sparse_linear", "colbert_linear")
"""Files of BGE-M3's heads, without the suffix."""

VISION_LANGUAGE: Final = frozenset({"llava", "qwen2_5_vl", "qwen2_vl", "qwen3_vl"})
"""Types of language model that read images between words."""

CHECKPOINT_KINDS: Final[tuple[CheckpointKind, ...]] = (
    CheckpointKind(
        CUSTOM,
        "text encoders with modules of their own code, with --trust-remote-code",
        has_own_modules,
        ("*.safetensors", "*/*.safetensors"),
        storage="safetensors",
    ),
    CheckpointKind(
        "static",
        "tables of token or word vectors",
        _is_static,
        ("*.safetensors", "*.npy", "*.parquet"),
        storage="own",
    ),
    CheckpointKind(
        READY,
        "existing ONNX graphs",
        _is_ready_graph,
        weights=("*.safetensors",),
        storage="own",
        packages=("onnx", "onnxruntime", "tritonclient"),
    ),
    CheckpointKind(
        "cross",
        "cross-encoders: a score per query and document",
        _is_cross_encoder,
    ),
    CheckpointKind(LATE_INTERACTION, "late interaction (ColBERT): a vector per token", _is_late_interaction),
    CheckpointKind("dual", "texts and images in one space", _is_dual),
    CheckpointKind(
        "vlm", "an image and a text in one message", lambda files: files.model_type in VISION_LANGUAGE
    ),
    CheckpointKind("vision", "images only", lambda files: files.takes_images and not files.takes_text),
    CheckpointKind(
        "sparse",
        "masked language models that weight the words of their vocabulary",
        _is_sparse,
        ("*.safetensors", "*/*.safetensors"),
        storage="own",
    ),
    CheckpointKind(
        "router",
        "asymmetric encoders: queries and documents by weights of their own",
        lambda files: files.modules[:1] in (("Router",), ("Asym",)),
        ("*.safetensors", "*/*.safetensors"),
        storage="own",
    ),
    CheckpointKind(
        M3,
        "text encoders with heads of word weights and token vectors: BGE-M3",
        lambda files: files.has(
            *(f"{name}{suffix}" for name in M3_HEADS for suffix in (".safetensors", ".pt"))
        ),
    ),
    CheckpointKind("nvembed", "NV-Embed", lambda files: files.model_type == "nvembed", storage="safetensors"),
    CheckpointKind(
        "pixel",
        "PIXEL: images of text",
        lambda files: files.model_type == "pixel",
        weights=("*.safetensors", "*.ttf", "*.otf"),
        storage="safetensors",
    ),
    CheckpointKind("tokenfree", "without a vocabulary: CANINE, ByT5", _is_token_free),
    CheckpointKind(
        "encdec", "encoder halves: NLLB, M2M100, SONAR, BART, mBART, Marian, Pegasus", _is_encoder_decoder
    ),
    CheckpointKind("decoder", "decoder language models: LLaMA, Qwen, Mistral, CodeGen, Gemma", _is_decoder),
    CheckpointKind(SENTENCE, "text encoders that sentence-transformers runs", lambda files: True),
)


_DECLARED: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "CrossEncoder": ("modules that end in one score", frozenset({"cross", "ready"})),
    "SparseEncoder": ("SpladePooling or another sparse module", frozenset({"sparse", "ready"})),
    "MultiVectorEncoder": ("one transformer with a projection", frozenset({LATE_INTERACTION, "ready"})),
    # PyLate's name for it.
    "ColBERT": ("one transformer with a projection", frozenset({LATE_INTERACTION, "ready"})),
}
"""Model types of sentence-transformers: the form that can be exported, and the kinds that read it."""


def check_declared_kind(folder: Path, kind: CheckpointKind) -> None:
    """Raise CheckpointUnsupported if ``config_sentence_transformers.json`` declares another kind of model
    than the one that the files are read as."""
    declared = CheckpointFiles(folder).json("config_sentence_transformers.json").get("model_type")
    if declared in (None, "SentenceTransformer"):
        return
    form, names = _DECLARED.get(str(declared), ("a model type that nestvec knows", frozenset[str]()))
    if kind.name not in names:
        raise CheckpointUnsupported(
            "the checkpoint declares a model type that cannot be exported from its files "
            f"({kind.description})",
            value=declared,
            next_step=f"Choose a checkpoint with {form}. Known types: "
            f"{', '.join(['SentenceTransformer', *_DECLARED])}.",
        )


def architecture(name: str) -> CheckpointKind:
    """The kind with this name."""
    return next(kind for kind in CHECKPOINT_KINDS if kind.name == name)


def identify(folder: Path) -> CheckpointKind:
    """The kind of a checkpoint, by its small files."""
    files = CheckpointFiles(folder)
    return next(kind for kind in CHECKPOINT_KINDS if kind.matches(files))


def identify_weights(folder: Path) -> CheckpointKind:
    """The kind of a checkpoint's weights, whatever graphs are beside them."""
    files = CheckpointFiles(folder)
    return next(kind for kind in CHECKPOINT_KINDS if kind.name != READY and kind.matches(files))
