"""Sparse encoders: a masked language model's logits as weights of words (SPLADE and its kin).

In sentence-transformers' SparseEncoder layout (Transformer or MLMTransformer, then SpladePooling; also behind
a Router whose queries are read by a SparseStaticEmbedding alone) and in transformers' own (``*ForMaskedLM``).
The latter does not say what it is for: a checkpoint with splade in its name is taken for one; any other is
refused until ``--pooling`` says ``splade``, or ``mean`` for a dense encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sentence_transformers import SparseEncoder
from torch import Tensor, nn

from nestvec_exporters.architectures import sentence
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_architecture, check_code
from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.layouts.sparse_layout import SparseLayout, read_sparse_layout
from nestvec_exporters.checkpoints.max_length import DEFAULT_MAX_TOKENS, max_text_tokens
from nestvec_exporters.checkpoints.prompts import named_prompts
from nestvec_exporters.checkpoints.tokenizer import (
    fast_tokenizer,
    table_rows,
    truncation_side,
    within_table,
)
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower, TowerModel
from nestvec_exporters.graph.vocabulary import (
    ACTIVATIONS,
    TERM_WEIGHTINGS,
    TermWeighting,
    TokenWeightLookup,
    term_weights_class,
    weight_terms,
)
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.static.table import without_special_tokens
from nestvec_exporters.text_encoders.sentence_model import positions
from nestvec_exporters.text_encoders.sparse_codes import AUTO_ENCODER, CodesTower
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError, nearest
from nestvec_schemas.towers import QUERY_EXPERT, Tower
from nestvec_schemas.vectors import Vectors

_SAYS_SO = "splade"


class SparseTower(TextTower):
    """A masked language model and how the logits of its words become weights."""

    def __init__(self, model: SparseEncoder, weighting: str, max_tokens: int | None) -> None:
        transformer: Any = model[0].auto_model
        spec = Tower(
            inputs=INPUTS,
            output=OUTPUT,
            pooling=weighting,
            max_tokens=max_text_tokens(model.max_seq_length, positions(transformer), max_tokens),
            truncation_side=truncation_side(model.tokenizer),
        )
        super().__init__(spec, within_table(fast_tokenizer(model.tokenizer), table_rows(transformer)))
        self.model, self.transformer = model, transformer
        self.weighting = _with_limit(TERM_WEIGHTINGS[weighting], model)
        transformer.config.use_cache = False
        self.module_class, self.dim = term_weights_class(transformer, self.weighting)
        self.heads = getattr(transformer.config, "num_attention_heads", 0)
        self.hidden = getattr(transformer.config, "hidden_size", 0)

    @property
    def layers(self) -> int:
        """Layers of the language model."""
        return getattr(self.transformer.config, "num_hidden_layers", 0) or 1

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The language model and its weighting."""
        return self.module_class(self.transformer, self.weighting, exits).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own weights, (n, words) float32, one text at a time.

        Of a weighting that is not its own: of its own logits.
        """
        self.model.max_seq_length = max_tokens
        if self.spec.pooling == _own_weighting(self.model[1]):
            return _encoded(self.model, inputs)
        weights = []
        with torch.no_grad():
            for text in inputs:
                features = self.model[0](self.model.preprocess([text]))
                logits, mask = features["token_embeddings"], features["attention_mask"]
                weights.append(weight_terms(self.weighting, logits, mask)[0].numpy())
        return np.asarray(weights, np.float32)


class TokenWeightTower(TextTower):
    """A weight for each token, which no model reads: of "inference-free" queries.

    sentence-transformers adds no special tokens to these texts.
    """

    layers = 1
    own_files = True

    def __init__(self, model: SparseEncoder, dim: int, max_tokens: int | None) -> None:
        # A table has no positions: its tokenizer's limit, where one is set.
        limit = min(int(model.tokenizer.model_max_length), DEFAULT_MAX_TOKENS)
        spec = Tower(inputs=INPUTS, output=OUTPUT, pooling="idf", max_tokens=max_tokens or limit)
        super().__init__(spec, without_special_tokens(fast_tokenizer(model.tokenizer)))
        self.model, self.dim = model, dim

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The table of weights."""
        table: Any = self.model[0]
        weights: Tensor = table.weight
        # A table that was read from words may end before the vocabulary does.
        padded = nn.functional.pad(weights, (0, self.dim - len(weights)))
        return TokenWeightLookup(padded, exits, top=self.model.max_active_dims).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own weights, (n, words) float32, one text at a time."""
        tokenizer: Any = self.model.tokenizer
        before = tokenizer.model_max_length
        tokenizer.model_max_length = max_tokens
        try:
            weights = _encoded(self.model, inputs)
            return np.pad(weights, ((0, 0), (0, self.dim - weights.shape[1])))
        finally:
            tokenizer.model_max_length = before


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not weigh words."""
    layout = read_sparse_layout(checkpoint.folder)
    pooling = options.overrides.pooling
    if not layout.kinds and pooling in POOLING:
        check_architecture(checkpoint.folder)
        return sentence.load(checkpoint, options)
    if not layout.kinds:
        check_architecture(checkpoint.folder)
    weighting = _chosen_weighting(checkpoint, layout, pooling)
    model = _sparse_encoder(checkpoint, layout)
    if AUTO_ENCODER in layout.kinds:
        codes = CodesTower(model, options.max_tokens)
        return _sparse_checkpoint(model, codes, {}, options)
    first: Any = model[0]
    routes = dict(first.sub_modules) if type(first).__name__ == "Router" else {"document": model}
    active = model.max_active_dims
    tower = _document_tower(list(routes.get("document", ())), weighting, options.max_tokens, active)
    queries = list(routes.get(QUERY_EXPERT, ()))
    experts = {QUERY_EXPERT: _query_tower(queries, tower, options.max_tokens, active)} if queries else {}
    return _sparse_checkpoint(model, tower, experts, options)


def _sparse_checkpoint(
    model: SparseEncoder,
    tower: SparseTower | TokenWeightTower | CodesTower,
    experts: Mapping[str, TowerModel],
    options: ExportOptions,
) -> LoadedCheckpoint:
    return LoadedCheckpoint(
        kind="sparse",
        dim=tower.dim,
        normalised=False,
        towers={"text": tower},
        layers=tower.layers,
        prompts=named_prompts(model.prompts, model.default_prompt_name, options.overrides),
        experts=experts,
    )


def _with_limit(weighting: TermWeighting, model: SparseEncoder) -> TermWeighting:
    """A weighting that keeps no more weights than sentence-transformers does."""
    limits = [limit for limit in (weighting.top, model.max_active_dims) if limit is not None]
    return replace(weighting, top=min(limits, default=None))


def _chosen_weighting(checkpoint: Checkpoint, layout: SparseLayout, requested: str | None) -> str | None:
    """The requested weighting, or the one in the checkpoint's name; None leaves it to its modules."""
    if requested is not None and requested not in TERM_WEIGHTINGS:
        raise CheckpointUnsupported(
            "unknown weighting of a masked language model's words",
            value=requested,
            next_step=f"Choose {', '.join(TERM_WEIGHTINGS)}.{nearest(requested, TERM_WEIGHTINGS)}",
        )
    if requested is not None or layout.kinds:
        return requested
    config = read_config(checkpoint.folder)
    named = f"{checkpoint.source} {config.get('_name_or_path', '')}"
    if _SAYS_SO not in named.lower():
        raise CheckpointUnsupported(
            "the checkpoint is a masked language model and does not say how it embeds",
            value=", ".join(map(str, config.get("architectures", ()))),
            next_step="Give --pooling splade for one weight per word, or --pooling mean for a dense vector.",
        )
    return _SAYS_SO


def _sparse_encoder(checkpoint: Checkpoint, layout: SparseLayout) -> SparseEncoder:
    """The checkpoint as sentence-transformers runs it, in float32. Raises CheckpointUnsupported."""
    for home in layout.transformers:
        check_code(home, home, trusted=checkpoint.trust_remote_code)
    try:
        model: SparseEncoder = SparseEncoder(
            str(checkpoint.folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"} if layout.transformers else {},
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
        )
        for home in layout.transformers:
            check_complete(missing_weights(_masked_model(model), home), ignored="pooler.")
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a sparse encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers' SparseEncoder loads it on its own.",
        ) from error
    model.float().eval()
    return model


def _masked_model(model: SparseEncoder) -> Any:
    """The masked language model among a model's modules."""
    return next(module.auto_model for module in model.modules() if hasattr(module, "auto_model"))


def _document_tower(
    modules: Sequence[Any], weighting: str | None, max_tokens: int | None, active: int | None
) -> SparseTower | TokenWeightTower:
    """The tower of documents, which is that of queries too unless they have their own; it keeps at most the
    ``active`` largest weights."""
    kinds = [type(module).__name__ for module in modules]
    model = _encoder_of(modules, active) if modules else None
    if model is not None and kinds == ["SparseStaticEmbedding"]:
        return TokenWeightTower(model, int(modules[0].num_dimensions), max_tokens)
    if model is None or kinds[1:] != ["SpladePooling"] or not hasattr(modules[0], "auto_model"):
        raise CheckpointUnsupported(
            "the checkpoint's modules do not give weights of words",
            value=", ".join(kinds) or "none for documents",
            next_step="Choose one of a masked language model followed by SpladePooling.",
        )
    return SparseTower(model, weighting or _own_weighting(modules[1]), max_tokens)


def _own_weighting(pooling: Any) -> str:
    """What a SpladePooling computes."""
    return ACTIVATIONS[pooling.activation_function, pooling.pooling_strategy]


def _encoder_of(modules: Sequence[Any], active: int | None) -> SparseEncoder:
    return SparseEncoder(modules=list(modules), device="cpu", max_active_dims=active).eval()


def _query_tower(
    modules: Sequence[Any],
    documents: SparseTower | TokenWeightTower,
    max_tokens: int | None,
    active: int | None,
) -> TokenWeightTower:
    """The tower of queries that no model reads."""
    kinds = [type(module).__name__ for module in modules]
    if kinds != ["SparseStaticEmbedding"]:
        raise CheckpointUnsupported(
            "the checkpoint encodes queries with modules that cannot be exported",
            value=", ".join(kinds),
            next_step="Choose one whose queries go through a SparseStaticEmbedding.",
        )
    model = _encoder_of(modules, active)
    tower = TokenWeightTower(model, documents.dim, max_tokens)
    if tower.model.tokenizer.get_vocab() != documents.model.tokenizer.get_vocab() or (
        modules[0].num_dimensions > documents.dim
    ):
        raise CheckpointUnsupported(
            "the checkpoint's queries and documents do not share a vocabulary",
            value=f"{modules[0].num_dimensions} and {documents.dim} words",
            next_step="Choose one in which they share the tokenizer.",
        )
    return tower


def _encoded(model: Any, texts: Sequence[str]) -> Vectors:
    encode: Callable[..., Any] = model.encode
    weights = encode(list(texts), batch_size=1, convert_to_sparse_tensor=False, show_progress_bar=False)
    return np.asarray([row.numpy() for row in weights], np.float32)
