"""The encoder half of translation models (NLLB, M2M100, SONAR's text encoder) and of BART and its kin.

In transformers' layout, mean pooled; an encoder saved alone (``M2M100Encoder``, as SONAR's is) works too.
T5 and mT5 are loaded by ``sentence``, which knows their halves and what sentence-T5 puts behind them.

A model of several languages wants a tag in front of every text. The checkpoint's own source language stands
there by default; a text that begins with another tag (``fra_Latn Bonjour``) takes that one instead. So a
prompt may be a tag: ``--query-prompt "fra_Latn "`` for French questions to English documents.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.prompts import folder_prompts
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.graph.trace import PooledEncoder
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_TAG: Final = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}|__[a-z]{2,3}__")
"""NLLB's ``eng_Latn``, mBART's ``en_XX``, M2M100's ``__en__``."""


class LanguageTaggedEncoder(PooledEncoder):
    """A ``PooledEncoder`` that reads a text's own tag, then its second token, in place of the first."""

    tags: Tensor

    def __init__(
        self, transformer: nn.Module, pooling: Sequence[str], tags: Sequence[int], exits: Sequence[int] = ()
    ) -> None:
        super().__init__(transformer, [POOLING[mode] for mode in pooling], nn.Identity(), exits)
        self.register_buffer("tags", torch.tensor(list(tags), dtype=torch.int64))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """See ``PooledEncoder``."""
        if len(self.tags):
            own = (input_ids[:, 1:2].unsqueeze(2) == self.tags).any(dim=2).any(dim=1, keepdim=True)
            input_ids, attention_mask = (
                torch.where(own, torch.cat([tensor[:, 1:], tensor[:, :1] * 0], dim=1), tensor)
                for tensor in (input_ids, attention_mask)
            )
        return super().forward(input_ids, attention_mask)


class EncoderHalfTower(TextTower):
    """The encoder half of a model of transformers, pooled."""

    def __init__(self, encoder: Any, tokenizer: Any, pooling: Sequence[str], max_tokens: int) -> None:
        spec = Tower(inputs=INPUTS, output=OUTPUT, pooling="+".join(pooling), max_tokens=max_tokens)
        super().__init__(spec, fast_tokenizer(tokenizer))
        self.encoder, self.own_tokenizer, self.pooling = encoder, tokenizer, pooling

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The encoder, which reads a text's own language tag, and its pooling."""
        tags = language_tags(self.tokenizer)
        return LanguageTaggedEncoder(self.encoder, self.pooling, tags, exits).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The encoder's own vectors, (n, dim) float32: one text at a time, without padding."""
        rows = []
        with torch.no_grad():
            for text in inputs:
                read = self.own_tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
                mask = read["attention_mask"]
                states = self.encoder(input_ids=read["input_ids"], attention_mask=mask).last_hidden_state
                rows.append(torch.cat([POOLING[mode](states, mask) for mode in self.pooling], dim=1).numpy())
        return np.concatenate(rows)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    pooling = sources.pooling_modes(options.overrides.pooling or "mean")
    try:
        encoder = _encoder(checkpoint.folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(checkpoint.folder), local_files_only=True, trust_remote_code=False
        )
    except NestvecError:
        raise
    except Exception as error:  # a library raises anything on a damaged file
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a text encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that transformers loads it and its tokenizer (trust_remote_code is not used).",
        ) from error
    config = encoder.config
    max_tokens = _max_tokens(config, tokenizer, options.max_tokens)
    tower = EncoderHalfTower(encoder, tokenizer, pooling, max_tokens)
    return LoadedCheckpoint(
        kind="dense",
        dim=config.d_model * len(pooling),
        normalised=False,
        towers={"text": tower},
        layers=config.encoder_layers,
        prompts=folder_prompts(checkpoint.folder, options.overrides),
    )


def language_tags(tokenizer: Tokenizer) -> list[int]:
    """The ids of the languages' tags, where the tokenizer puts one in front of every text."""
    template = json.loads(tokenizer.to_str()).get("post_processor") or {}
    single: list[dict[str, dict[str, str]]] = template.get("single") or [{}]
    first = single[0].get("SpecialToken", {}).get("id", "")
    if not _TAG.fullmatch(first):
        return []
    added = tokenizer.get_added_tokens_decoder().items()
    return [token_id for token_id, token in added if token.special and _TAG.fullmatch(token.content)]


def _encoder(folder: Path) -> Any:
    """The encoder half, float32. Raises CheckpointUnsupported where weights are missing."""
    config = transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    kind: Any = transformers.MODEL_MAPPING[type(config)]
    head = (read_config(folder).get("architectures") or [""])[0]
    alone = head.endswith("Encoder")
    if alone:
        kind = getattr(sys.modules[kind.__module__], head)
    model, missing = read_model(kind, folder)
    check_complete(missing, ignored="decoder.")
    return model if alone else model.get_encoder()


def _max_tokens(config: Any, tokenizer: Any, requested: int | None) -> int:
    """Raises CheckpointUnsupported where ``requested`` exceeds the encoder's positions."""
    limit = int(config.max_position_embeddings)
    if requested is not None and requested > limit:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many tokens",
            value=requested,
            next_step=f"Give --max-tokens {limit} or less.",
        )
    return requested or min(limit, int(tokenizer.model_max_length))
