"""Rerankers: a query read together with a document, and one score for both (CrossEncoder).

A sequence classifier; a transformer with pooling and modules that end in a score; or a causal language model
that answers yes or no (``LogitScore``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sentence_transformers import CrossEncoder
from torch import nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import first_folder, read_json
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.rerankers.pair_template import read_pair_template
from nestvec_exporters.checkpoints.rerankers.score_activation import activation_of
from nestvec_exporters.checkpoints.tokenizer import (
    fast_tokenizer,
    table_rows,
    truncation_side,
    within_table,
)
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.pooling import pools_of
from nestvec_exporters.graph.scorers import (
    LanguageModelScore,
    LastTokenClassifier,
    PooledScore,
    SequenceClassifier,
)
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.graph.trace import HEAD_MODULES
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pairs import TYPE_IDS, TextPair, pair_rows, pairs_of, probe_pairs
from nestvec_exporters.text_encoders.sentence_model import positions
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.towers import Tower

LOGIT_POOLING: Final = "logit"
"""What a manifest calls the pooling of a reranker: its graph gives the logit, without an activation."""

_MODULES_WITH_WEIGHTS: Final = ("Dense", "LayerNorm")


class CrossEncoderTower(TextTower):
    """A cross-encoder: a query with a document to a logit."""

    def __init__(self, model: CrossEncoder, spec: Tower) -> None:
        transformer: Any = model.model
        super().__init__(spec, within_table(fast_tokenizer(model.tokenizer), table_rows(transformer)))
        self.model = model
        config = transformer.config.get_text_config()
        # Only encoders' attention is fused for int8.
        fused = not _is_decoder(model)
        self.heads = getattr(config, "num_attention_heads", 0) if fused else 0
        self.hidden = getattr(config, "hidden_size", 0) if fused else 0

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The transformer and what makes a score of what it gives."""
        return _graph(self.model).eval()

    def rows(self, folder: Path, inputs: Sequence[TextPair], max_tokens: int) -> list[Arrays]:
        """Pairs to rows of ids."""
        return pair_rows(folder, inputs, max_tokens, self.spec.pair, self.spec.truncation_side)

    def reference(self, inputs: Sequence[TextPair], max_tokens: int) -> Array:
        """The checkpoint's own logits, (n, 1) float32, one pair at a time."""
        self.model.max_seq_length = max_tokens
        scores = self.model.predict(
            list(inputs), batch_size=1, activation_fn=nn.Identity(), show_progress_bar=False
        )
        return np.asarray(scores, np.float32).reshape(-1, 1)

    def probes(self) -> Sequence[TextPair]:
        """Real texts as queries with documents."""
        return probe_pairs()

    def calibration_inputs(self, texts: Sequence[str]) -> Sequence[TextPair]:
        """The texts as queries with documents."""
        return pairs_of(texts)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a cross-encoder."""
    model = _model(checkpoint.folder, options)
    _check_padding(model)
    instruction = _instruction(model, options)
    transformer: Any = model.model
    transformer.config.use_cache = False
    config = transformer.config.get_text_config()
    pair = read_pair_template(model, instruction)
    joined = pair is None or pair.between is None
    has_types = joined and TYPE_IDS in model.tokenizer("a", "b") and getattr(config, "type_vocab_size", 0) > 1
    spec = Tower(
        inputs=(*INPUTS, TYPE_IDS) if has_types else INPUTS,
        output=OUTPUT,
        pooling=LOGIT_POOLING,
        max_tokens=max_text_tokens(model.max_seq_length, positions(transformer), options.max_tokens),
        activation=activation_of(CheckpointFiles(checkpoint.folder)),
        pair=pair,
        truncation_side=truncation_side(model.tokenizer),
        alone=options.precision == "int8-dynamic",
    )
    tower = CrossEncoderTower(model, spec)
    return LoadedCheckpoint(kind="reranker", dim=1, normalised=False, towers={"text": tower})


def _is_decoder(model: CrossEncoder) -> bool:
    """Whether the score is read at the last token."""
    transformer: Any = model.model
    classifier = hasattr(transformer, "score") and hasattr(transformer, "base_model")
    return _kinds(model)[1:] == ["LogitScore"] or classifier


def _kinds(model: CrossEncoder) -> list[str]:
    return [type(module).__name__ for module in model]


def _graph(model: CrossEncoder) -> nn.Module:
    """The module of a model, by its modules in sentence-transformers."""
    modules: tuple[Any, ...] = tuple(model)
    transformer: Any = model.model
    kinds = _kinds(model)
    if kinds == ["Transformer"]:
        return LastTokenClassifier(transformer) if _is_decoder(model) else SequenceClassifier(transformer)
    if kinds == ["Transformer", "LogitScore"]:
        words = [modules[1].true_token_id, modules[1].false_token_id]
        return LanguageModelScore(transformer, [word for word in words if word is not None])
    modes = modules[1].pooling_mode
    return PooledScore(
        transformer, pools_of((modes,) if isinstance(modes, str) else modes, None), modules[2:]
    )


def _check_modules(model: CrossEncoder) -> None:
    """Raise CheckpointUnsupported unless each module reads what the one before it gives."""
    modules: tuple[Any, ...] = tuple(model)
    kinds = _kinds(model)
    if kinds in (["Transformer"], ["Transformer", "LogitScore"]):
        return
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= set(HEAD_MODULES):
        raise _not_chained(", ".join(kinds))
    name = "sentence_embedding"
    for module in modules[2:]:
        source, target = (
            getattr(module, f"module_{end}_name", "sentence_embedding") for end in ("input", "output")
        )
        if source != name or (source != target and module is not modules[-1]):
            raise _not_chained(f"{type(module).__name__} from {source} to {target}")
        name = target
    if name != "scores":
        raise _not_chained(f"{kinds[-1]} gives {name}, not scores")
    if not modules[1].include_prompt:
        raise _not_chained("Pooling without the prompt")


def _not_chained(value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the cross-encoder's modules do not make one score of a pooled vector",
        value=value,
        next_step=f"Choose a checkpoint of Transformer, of Transformer and LogitScore, or of Transformer, "
        f"Pooling and {', '.join(HEAD_MODULES)}, the last of which gives scores.",
    )


def _check_padding(model: CrossEncoder) -> None:
    """Raise CheckpointUnsupported if a decoder looks for its last token before another padding token than the
    tokenizer's."""
    transformer: Any = model.model
    declared = transformer.config.get_text_config().pad_token_id
    padding = model.tokenizer.pad_token_id
    if _kinds(model) == ["Transformer"] and _is_decoder(model) and declared not in (None, padding):
        raise CheckpointUnsupported(
            "the padding token of config.json is not the tokenizer's, so that sentence-transformers' scores "
            "depend on what shares a batch",
            value=f"pad_token_id {declared}, and the tokenizer pads with {padding}",
            next_step="Set pad_token_id in config.json to the tokenizer's.",
        )


def _instruction(model: CrossEncoder, options: ExportOptions) -> str | None:
    """What precedes every query: the option's prompt, or the checkpoint's default.

    Raises CheckpointUnsupported for prompts without a default.
    """
    prompts = {name: text for name, text in model.prompts.items() if text}
    if options.overrides.query_prompt is not None:
        return options.overrides.query_prompt
    default = prompts.get(model.default_prompt_name or "")
    if prompts and default is None:
        raise CheckpointUnsupported(
            "the cross-encoder has prompts without a default, and no reranking API can name them",
            value=", ".join(prompts),
            next_step="Choose the text that precedes every query: --query-prompt TEXT, or '' for none.",
        )
    return default


def _check_weights(folder: Path) -> None:
    """Raise CheckpointUnsupported unless every module's weights are intact safetensors files."""
    rows = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    for row in rows:
        if str(row["type"]).rpartition(".")[2] in _MODULES_WITH_WEIGHTS:
            check_safetensors(folder / str(row.get("path", "")))


def _model(folder: Path, options: ExportOptions) -> CrossEncoder:
    """In float32 and evaluation mode. Raises CheckpointUnsupported."""
    _check_weights(folder)
    try:
        model = CrossEncoder(
            str(folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"},
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
        )
        check_complete(missing_weights(model.model, first_folder(folder)), ignored="pooler.")
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a cross-encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers' CrossEncoder loads it on its own.",
        ) from error
    _check_modules(model)
    labels = model.num_labels
    if labels != 1:
        raise CheckpointUnsupported(
            "the checkpoint is a classifier: a reranker has one score, and it has several labels",
            value=f"{labels} labels",
            next_step="Choose a checkpoint with one label, or an embedding checkpoint.",
        )
    model.float().eval()
    cross_encoder: CrossEncoder = model
    return cross_encoder
