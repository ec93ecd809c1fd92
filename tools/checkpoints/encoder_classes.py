"""Classes of text encoders at tiny size, by the names that people know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

POSITIONS: Final = 160

_T5: Final[Mapping[str, Any]] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")),
    **dict.fromkeys(("max_position_embeddings", "initializer_range")),
}
_LONG_T5: Final[Mapping[str, Any]] = {**_T5, "head": "EncoderModel", "local_radius": 8}
_XLM: Final[Mapping[str, Any]] = {
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "n_words": 200,
    **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")),
    **dict.fromkeys(("vocab_size", "initializer_range")),
}
_DEBERTA: Final[Mapping[str, Any]] = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "type_vocab_size": 0,
    "max_relative_positions": -1,
    "position_biased_input": False,
}
_MODERN: Final[Mapping[str, Any]] = {
    "num_hidden_layers": 4,
    "local_attention": 16,
    **dict.fromkeys(("bos_token_id", "cls_token_id"), 2),
    **dict.fromkeys(("eos_token_id", "sep_token_id"), 3),
}


@dataclass(frozen=True)
class EncoderClass:
    """A class of transformers."""

    kind: str
    """Its name without ``Model``."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of its configuration; one of None is left out."""


CLASSES: Final[Mapping[str, EncoderClass]] = {
    "albert": EncoderClass("Albert", {"embedding_size": 16}),
    "bert": EncoderClass("Bert"),
    "bert-generation": EncoderClass("BertGeneration", {"head": "Encoder"}),
    "bigbird": EncoderClass("BigBird", {"attention_type": "original_full"}),
    "camembert": EncoderClass("Camembert", {"pad_token_id": 1}),
    "data2vec": EncoderClass("Data2VecText"),
    "deberta": EncoderClass("Deberta", _DEBERTA),
    "deberta-v2": EncoderClass(
        "DebertaV2", {**_DEBERTA, "position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "layer_norm"}
    ),
    "distilbert": EncoderClass(
        "DistilBert",
        {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
        | dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")),
    ),
    "electra": EncoderClass("Electra", {"embedding_size": 16}),
    "ernie": EncoderClass("Ernie", {"use_task_id": True, "task_type_vocab_size": 3}),
    "esm": EncoderClass("Esm", {"position_embedding_type": "rotary", "mask_token_id": 10}),
    "eurobert": EncoderClass("EuroBert"),
    "flaubert": EncoderClass("Flaubert", _XLM),
    "gte": EncoderClass("Gte"),
    "ibert": EncoderClass("IBert"),
    "jina-v3": EncoderClass("JinaEmbeddingsV3"),
    "long-t5-local": EncoderClass("LongT5", {**_LONG_T5, "encoder_attention_type": "local"}),
    "longformer": EncoderClass("Longformer", {"attention_window": [16, 8]}),
    "luke": EncoderClass("Luke", {"entity_vocab_size": 10, "entity_emb_size": 8}),
    "megatron": EncoderClass("MegatronBert"),
    "mobilebert": EncoderClass("MobileBert", {"embedding_size": 16, "intra_bottleneck_size": 16}),
    "modernbert": EncoderClass("ModernBert", _MODERN),
    "mpnet": EncoderClass("MPNet", {"pad_token_id": 1}),
    "mt5": EncoderClass("MT5", {**_T5, "head": "EncoderModel"}),
    "nomic": EncoderClass("NomicBert"),
    "rembert": EncoderClass("RemBert", {"input_embedding_size": 16}),
    "roberta": EncoderClass("Roberta", {"pad_token_id": 1}),
    "roberta-prelayernorm": EncoderClass("RobertaPreLayerNorm", {"pad_token_id": 1}),
    "rocbert": EncoderClass("RoCBert", {"enable_pronunciation": False, "enable_shape": False}),
    "roformer": EncoderClass("RoFormer", {"embedding_size": 16, "rotary_value": True}),
    "splinter": EncoderClass("Splinter"),
    "squeezebert": EncoderClass("SqueezeBert", {"embedding_size": 32}),
    "t5": EncoderClass("T5", {**_T5, "head": "EncoderModel"}),
    "umt5": EncoderClass("UMT5", {**_T5, "head": "EncoderModel"}),
    "xlm": EncoderClass("XLM", _XLM),
    "xlm-roberta": EncoderClass("XLMRoberta", {"pad_token_id": 1}),
    "xlm-roberta-xl": EncoderClass("XLMRobertaXL", {"pad_token_id": 1}),
    "xmod": EncoderClass("Xmod", {"languages": ["en_XX"], "default_language": "en_XX"}),
}
"""Classes whose graphs give what the library gives, at every length and in every batch."""

READ_PADDING: Final[Mapping[str, EncoderClass]] = {
    "convbert": EncoderClass("ConvBert", {"embedding_size": 32}),
    "yoso": EncoderClass("Yoso"),
}
"""Classes that give a text another vector beside a longer text."""

REFUSED: Final[Mapping[str, tuple[EncoderClass, str]]] = {
    "fnet": (
        EncoderClass("FNet", {"num_attention_heads": None}),
        "graph of FNetModel cannot be written as ONNX",
    ),
    "long-t5-tglobal": (
        EncoderClass("LongT5", {**_LONG_T5, "encoder_attention_type": "transient-global"}),
        "graph of LongT5EncoderModel",
    ),
    "funnel": (
        EncoderClass(
            "Funnel",
            {"d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64, "block_sizes": [1, 1]}
            | dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"))
            | {"initializer_range": None},
        ),
        "graph of FunnelModel works only for the shapes",
    ),
    "led": (
        EncoderClass(
            "LED",
            {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "attention_window": 16}
            | {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
            | {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_encoder_position_embeddings": 160}
            | dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"))
            | {"max_position_embeddings": None, "initializer_range": None},
        ),
        "graph of LEDModel works only for the shapes",
    ),
    "nystromformer": (
        EncoderClass("Nystromformer", {"num_landmarks": 8, "segment_means_seq_len": 64}),
        "cannot embed a text by NystromformerModel",
    ),
}
"""Classes whose traces keep the number of tokens, or whose own code does, with the refusal's words."""
