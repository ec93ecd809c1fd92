"""The checkpoint as sentence-transformers runs it: what an export is made from and measured against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_code
from nestvec_exporters.checkpoints.layout import MODULES, transformer_folder
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.native.published_configs import published_settings
from nestvec_exporters.checkpoints.prompts import CheckpointPrompts, hidden_prefixes, named_prompts
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, table_rows, within_table
from nestvec_exporters.checkpoints.untrusted.custom_code import apply_native_settings
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.pooling import POOLING, PromptMask
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError, NestvecError, nearest

_POSITION_TABLES: Final = ("position_emb", "embed_positions", "pos_emb", "wpe")
"""Parts of the names of tables of learned or sinusoidal positions."""


@dataclass(frozen=True)
class SentenceModel:
    """A loaded checkpoint, in float32 and evaluation mode, and what a manifest says of it.

    ``pools_prompts``: whether pooling counts a prompt's tokens as a text's.
    """

    model: SentenceTransformer
    pooling: tuple[str, ...]
    dim: int
    layers: int
    heads: int
    hidden: int
    normalised: bool
    prompts: CheckpointPrompts
    pools_prompts: bool

    @property
    def transformer(self) -> Any:
        """The transformers model."""
        return self.model[0].auto_model

    @property
    def modules(self) -> tuple[Any, ...]:
        """The sentence-transformers modules, in order."""
        return tuple(self.model)


def load(checkpoint: Checkpoint) -> SentenceModel:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    trusted = checkpoint.trust_remote_code
    check_code(checkpoint.folder, trusted=trusted)
    settings = {} if trusted else published_settings(checkpoint.folder)
    try:
        model = SentenceTransformer(
            str(checkpoint.folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"},
            config_kwargs=settings,
            trust_remote_code=trusted,
            local_files_only=True,
        )
        missing = missing_weights(model[0].auto_model, transformer_folder(checkpoint.folder))
        check_complete(missing, ignored="pooler.")
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a text encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers loads it on its own"
            + ("." if trusted else " (trust_remote_code is not used)."),
        ) from error
    if not trusted:
        transformer: Any = model[0]
        apply_native_settings(transformer.auto_model.config, checkpoint.folder)
    model.truncate_dim = None
    without_messages(model)
    model.float().eval()
    return describe(model)


def without_messages(model: SentenceTransformer) -> None:
    """Have a model read texts plainly where it would write them as messages, by a chat template.

    The inventory refuses such a checkpoint unless its template is ignored on request.
    """
    modules: tuple[Any, ...] = tuple(model)
    for module in modules:
        modalities = getattr(module, "modality_config", None)
        if isinstance(modalities, dict) and {"text", "message"} <= set(modalities):
            module.modality_config = {name: entry for name, entry in modalities.items() if name != "message"}


def describe(model: SentenceTransformer) -> SentenceModel:
    """What a manifest says of a loaded model. Raises CheckpointUnsupported where its modules are unknown."""
    modules: tuple[Any, ...] = tuple(model)
    kinds = [type(module).__name__ for module in modules]
    unknown = [kind for kind in kinds if kind not in MODULES]
    if unknown or kinds[:2] != ["Transformer", "Pooling"]:
        raise CheckpointUnsupported(
            "the checkpoint's token vectors cannot be pooled",
            value=", ".join(kinds),
            next_step=f"Choose a text encoder made of: {', '.join(MODULES)}.",
        )
    prompts = named_prompts(model.prompts, model.default_prompt_name)
    modes = modules[1].pooling_mode
    pooling = (modes,) if isinstance(modes, str) else tuple(modes)
    config = modules[0].auto_model.config.get_text_config()
    return SentenceModel(
        model=model,
        pooling=pooling,
        dim=_width(model),
        layers=getattr(config, "num_hidden_layers", 0),
        heads=getattr(config, "num_attention_heads", 0),
        hidden=getattr(config, "hidden_size", 0),
        normalised=kinds[-1] == "Normalize",
        prompts=prompts,
        pools_prompts=modules[1].include_prompt,
    )


def _width(model: SentenceTransformer) -> int:
    """How many dims a vector has: a transformer of its own code can be wider than its configuration says."""
    try:
        return int(np.asarray(model.encode(["a"], show_progress_bar=False)).shape[-1])
    except Exception as error:
        first: Any = model[0]
        raise CheckpointUnsupported(
            f"sentence-transformers itself cannot embed a text by {type(first.auto_model).__name__}",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Choose another architecture, or correct the checkpoint's configuration.",
        ) from error


def with_overrides(source: SentenceModel, overrides: Overrides) -> SentenceModel:
    """The checkpoint with the pooling and the prompts that are asked for in place of its own.

    Raises EncoderError for a pooling that is not known.
    """
    prompts = named_prompts(source.model.prompts, source.model.default_prompt_name, overrides)
    pooling = source.pooling if overrides.pooling is None else pooling_modes(overrides.pooling)
    own: Any = source.modules[1]
    if overrides.pooling is None:
        return replace(source, prompts=prompts)
    width, counted = own.embedding_dimension, own.include_prompt
    source.model[1] = type(own)(width, pooling_mode=pooling, include_prompt=counted)
    dim = _width(source.model)
    return replace(source, prompts=prompts, pooling=pooling, dim=dim)


def shown_of(source: SentenceModel) -> PromptMask | None:
    """What takes the checkpoint's prompts out of pooling; None where pooling counts them, or takes the last
    token alone, which is never theirs.

    Raises CheckpointUnsupported where a prompt cannot be recognised by its tokens.
    """
    filled = any(source.prompts.values())
    if source.pools_prompts or not filled or source.pooling == ("lasttoken",):
        return None
    special = set(source.model.tokenizer.all_special_ids)
    return PromptMask(hidden_prefixes(tokenizer(source), special, source.prompts))


def pooling_modes(pooling: str) -> tuple[str, ...]:
    """The names in ``mean+cls``. Raises EncoderError."""
    names = tuple(pooling.split("+"))
    for name in names:
        if name not in POOLING:
            raise EncoderError(
                "there is no such pooling",
                value=name,
                next_step=f"Choose of {', '.join(POOLING)}, several with + between.{nearest(name, POOLING)}",
            )
    return names


def max_tokens(source: SentenceModel, requested: int | None) -> int:
    """The longest text in tokens: ``asked``, else the checkpoint's own limit.

    Raises CheckpointUnsupported where ``asked`` is more than the model has positions.
    """
    return max_text_tokens(source.model.max_seq_length, positions(source.transformer), requested)


def positions(transformer: Any) -> int | None:
    """How many tokens a text model's table of positions has room for; None where it has no table: rotary and
    relative positions go on beyond ``max_position_embeddings``."""
    declared = getattr(transformer.config.get_text_config(), "max_position_embeddings", None)
    for name, module in transformer.named_modules():
        table = getattr(module, "weight", None)
        if not _is_position_table(name) or table is None or table.ndim != 2:
            continue
        # RoBERTa and its kin count positions from padding_idx + 1.
        parent = transformer.get_submodule(name.rpartition(".")[0])
        counted = None not in (getattr(module, "padding_idx", None), getattr(parent, "padding_idx", None))
        room = int(table.shape[0]) - (int(parent.padding_idx) + 1 if counted else 0)
        return min(room, declared) if isinstance(declared, int) and declared > 0 else room
    return None


def _is_position_table(name: str) -> bool:
    own = name.rpartition(".")[2]
    return "vision" not in name and any(part in own for part in _POSITION_TABLES)


def tokenizer(source: SentenceModel) -> Tokenizer:
    """The checkpoint's tokenizer with truncation and padding off. Raises CheckpointUnsupported."""
    return within_table(fast_tokenizer(source.model.tokenizer), table_rows(source.transformer))
