"""Configurations of image and chat processors, adapters, late interaction and text generation."""

from __future__ import annotations

from typing import Final

from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.rule import (
    RECORD,
    TRAINING,
    Rule,
    Rules,
    either,
    honoured,
    irrelevant,
    table,
)

PREPROCESSOR_FILES: Final = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "image_processor_config.json",
)
READS_IMAGES: Final = frozenset({"dual", "vision", "vlm"})
COLBERT_FILE: Final = "artifact.metadata"

_COLBERT_READ: Final = (
    "query_token_id",
    "doc_token_id",
    "query_maxlen",
    "doc_maxlen",
    "attend_to_mask_tokens",
    "mask_punctuation",
    "similarity",
    "dim",
)
_COLBERT_REST: Final = (
    "query_token|doc_token|ncells|centroid_score_threshold|ndocs|load_index_with_mmap|index_path"
    "|index_bsize|nbits|kmeans_niters|resume|pool_factor|clustering_mode|protected_tokens|bsize"
    "|accumsteps|lr|maxsteps|save_every|warmup|warmup_bert|relu|nway|use_ib_negatives|reranker"
    "|distillation_alpha|ignore_scores|model_name|interaction|checkpoint|triples|collection"
    "|queries|index_name|overwrite|root|experiment|index_root|name|rank|nranks|amp|gpus"
    "|avoid_fork_if_possible|config|meta|schedule|rerank|total_visible_gpus|only_query_linear"
)
"""What ColBERT writes of its training and indexing, between bars."""


def colbert_rules(context: InventoryContext) -> Rules:
    """``artifact.metadata`` of colbert-ir's ColBERT."""
    markers = either(
        context.kind in ("late", "ready"),
        honoured("lengths and markers of queries and documents"),
        "only late interaction has it",
    )
    return {
        **table(markers, *_COLBERT_READ),
        **table(irrelevant("training and indexing of ColBERT"), *_COLBERT_REST.split("|")),
    }


def whole_file_rules(context: InventoryContext) -> Rules:
    """Files that are judged as a whole, by name."""
    images = (
        honoured("the preprocessing of images")
        if context.kind in READS_IMAGES
        else irrelevant("the encoder reads texts alone")
    )
    rules: dict[str, Rule] = {
        **table(images, *PREPROCESSOR_FILES),
        "generation_config.json": irrelevant("text generation only"),
        "text_renderer_config.json": honoured("the image of a text"),
        "trainer_state.json": irrelevant(TRAINING),
        "nestvec_adapt.json": honoured("prefixes were trained"),
        "model_info.json": irrelevant(RECORD),
        "README.md": irrelevant(RECORD),
    }
    return rules
