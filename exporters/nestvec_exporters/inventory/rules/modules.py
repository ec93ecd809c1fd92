"""``modules.json`` and the ``config.json`` of sentence-transformers' modules, by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.rule import (
    RECORD,
    TRAINING,
    Rule,
    Rules,
    honoured,
    irrelevant,
    limited,
    refused,
    table,
)

POOLING_FLAGS: Final[Mapping[str, str]] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Poolings by the keys that versions before 5.6 wrote."""

MODULE_ROW: Final[Rules] = {
    "idx": irrelevant("the rows' order decides"),
    "name": irrelevant("a module's name changes no vector"),
    "path": honoured("the module's folder"),
    "type": honoured("the module's class"),
    "kwargs": refused("arguments of a call are not passed to the module"),
}

ROUTER: Final[Rules] = {
    "types": honoured("the classes of the routes' modules"),
    "structure": honoured("the modules of each route"),
    "parameters.default_route": limited(
        honoured("the route of a request that does not say which side its texts are on"),
        lambda value: value != "query",
        "a text that no request calls a query is embedded as a document",
    ),
    "parameters.allow_empty_key": honoured("the route of a call without a task"),
    "parameters.route_mappings": refused("routes are chosen by query and document alone"),
}


def _pooling(context: InventoryContext) -> Rules:
    by = "the pooling of the graph"
    return {
        **table(honoured("compared with the transformer's width"), "embedding_dimension"),
        "word_embedding_dimension": honoured("compared with the transformer's width"),
        "pooling_mode": honoured(by),
        **table(honoured(by), *POOLING_FLAGS),
        "include_prompt": _include_prompt(context),
    }


def _include_prompt(context: InventoryContext) -> Rule:
    cut = context.cuts_beginnings
    rule = limited(
        honoured("whether prompts are pooled"),
        lambda value: value is not False or not context.prompted or not (cut or context.kind == "cross"),
        "texts are cut on the left, so that a prompt is not at the beginning of what is left of a long one"
        if cut
        else "a cross-encoder pools prompts too",
    )
    return replace(rule, refuses_off=True)


def _dense(context: InventoryContext) -> Rules:
    source = "token_embeddings" if context.late else "sentence_embedding"
    names = (None, source, "scores") if context.kind == "cross" else (None, source)
    by = "a layer of the graph"
    return {
        "in_features": honoured("compared with the width before it and with its weights"),
        "out_features": honoured("compared with its weights"),
        "bias": honoured(by),
        "activation_function": honoured(by),
        **table(
            limited(honoured(by), lambda value: value in names, f"the layer reads and writes {source}"),
            "module_input_name",
            "module_output_name",
        ),
        "use_residual": honoured(by),
    }


def _normalize(context: InventoryContext) -> Rules:
    names = (None, "token_embeddings" if context.late else "sentence_embedding")
    return table(
        limited(
            honoured("the graph's last step"), lambda value: value in names, f"only {names[1]} is normalised"
        ),
        "module_input_name",
        "module_output_name",
    )


_SPLADE: Final[Rules] = {
    "pooling_strategy": honoured("the weighting of words"),
    "activation_function": honoured("the weighting of words"),
    **table(honoured("compared with the vocabulary"), "embedding_dimension", "word_embedding_dimension"),
    "chunk_size": irrelevant("memory of a pass"),
}
_SPARSE_TABLE: Final[Rules] = {"frozen": irrelevant(TRAINING), "path": honoured("the table of weights")}
_SPARSE_AUTO_ENCODER: Final[Rules] = {
    **table(honoured("the sparse codes"), "input_dim", "hidden_dim", "k", "normalize"),
    **table(irrelevant(TRAINING), "k_aux", "dead_threshold"),
}
_STATIC: Final[Rules] = {
    "model_type": honoured("the format of the table"),
    "normalize": honoured("vectors are brought to length 1"),
    "max_length": honoured("the longest text of the encoder"),
    "embedding_dtype": irrelevant("the table is read in its own precision"),
    "vocabulary_quantization": honoured("the mapping from tokens to rows"),
    **table(
        irrelevant(RECORD),
        "architectures",
        "tokenizer_name",
        "base_model_name",
        "language",
        "library_version",
        "model2vec_version",
    ),
    **table(
        irrelevant("applied when the table was made"),
        "apply_pca",
        "apply_zipf",
        "sif_coefficient",
        "hidden_dim",
        "seq_length",
        "token_remove_pattern",
        "pooling",
    ),
}
_LOGIT_SCORE: Final[Rules] = table(
    honoured("the score of the yes token against the no token"),
    "true_token_id",
    "false_token_id",
    "module_input_name",
)
_MULTI_VECTOR_MASK: Final[Rules] = {
    "skiplist_words": honoured("documents omit these tokens"),
    **table(refused("tokens are omitted by words of documents alone"), "keep_only_token_ids"),
    "skiplist_tasks": honoured("documents, or queries, omit these tokens"),
}

_TABLES: Final[Mapping[str, Callable[[InventoryContext], Rules]]] = {
    "Pooling": _pooling,
    "Dense": _dense,
    "Normalize": _normalize,
    "LayerNorm": lambda context: {"dimension": honoured("compared with the width before it")},
    "Dropout": lambda context: {"dropout": irrelevant(TRAINING)},
    "SpladePooling": lambda context: _SPLADE,
    "SparseStaticEmbedding": lambda context: _SPARSE_TABLE,
    "SparseAutoEncoder": lambda context: _SPARSE_AUTO_ENCODER,
    "StaticEmbedding": lambda context: _STATIC,
    "LogitScore": lambda context: _LOGIT_SCORE,
    "MultiVectorMask": lambda context: _MULTI_VECTOR_MASK,
}


WEIGHTLESS: Final = frozenset(
    {"Dropout", "LogitScore", "MultiVectorMask", "Normalize", "Pooling", "SpladePooling"}
)
"""Classes that load no weights."""


def module_rules(module_class: str, context: InventoryContext) -> Rules | None:
    """The rules of a class's ``config.json``; None for a class without a table, which no loader reads."""
    rules = _TABLES.get(module_class)
    return None if rules is None else {"__version__": irrelevant(RECORD), **rules(context)}
