"""The encoder half of translation models (NLLB, M2M100, SONAR's text encoder) and of BART and its kin.

In transformers' layout, mean pooled; a saved encoder alone (``M2M100Encoder``, as SONAR's is) is taken too.
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
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.architectures.decoder import plain
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.prompts import prompts_of
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.trace import Pooled
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_TAG: Final = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}|__[a-z]{2,3}__")
"""NLLB's ``eng_Latn``, mBART's ``en_XX``, M2M100's ``__en__``."""


class Tagged(Pooled):
    """A ``Pooled`` that reads a text's own tag, its second token then, in place of the first."""

    tags: Tensor

    def __init__(
        self, transformer: nn.Module, pooling: Sequence[str], tags: Sequence[int], exits: Sequence[int] = ()
    ) -> None:
        super().__init__(transformer, [POOLING[mode] for mode in pooling], nn.Identity(), exits)
        self.register_buffer("tags", torch.tensor(list(tags), dtype=torch.int64))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """See ``Pooled``."""
        if len(self.tags):
            own = (input_ids[:, 1:2].unsqueeze(2) == self.tags).any(dim=2).any(dim=1, keepdim=True)
            input_ids, attention_mask = (
                torch.where(own, torch.cat([one[:, 1:], one[:, :1] * 0], dim=1), one)
                for one in (input_ids, attention_mask)
            )
        return super().forward(input_ids, attention_mask)


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    asked = options.overrides
    pooling = sources.pooling_modes(asked.pooling or "mean")
    try:
        encoder = _encoder(checkpoint.folder)
        read = transformers.AutoTokenizer.from_pretrained(str(checkpoint.folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a text encoder",
            value=str(error).strip().partition("\n")[0],
            next_step="Check that transformers loads it and its tokenizer (trust_remote_code is not used).",
        ) from error
    tokenizer = sources.fast_tokenizer(read)
    config = encoder.config
    build = partial(Tagged, encoder, pooling, tags_of(tokenizer))
    ids = torch.ones((2, 16), dtype=torch.int64)
    half = Half(
        tower=Tower(
            inputs=INPUTS,
            output=OUTPUT,
            pooling="+".join(pooling),
            max_tokens=_max_tokens(config, read, options.max_tokens),
        ),
        build=build,
        example=dict.fromkeys(INPUTS, ids),
        axes={name: {1: "tokens"} for name in INPUTS},
        rows=text_rows,
        reference=partial(_reference, encoder, read, pooling),
        probes=probe_texts,
        save=partial(_save, tokenizer),
    )
    return Loaded(
        kind="dense",
        dim=config.d_model * len(pooling),
        normalised=False,
        halves={"text": plain(half, encoder, options)},
        layers=config.encoder_layers,
        prompts=prompts_of({}, asked),
    )


def tags_of(tokenizer: Tokenizer) -> list[int]:
    """The ids of the languages' tags, where the tokenizer puts one in front of every text."""
    template = json.loads(tokenizer.to_str()).get("post_processor") or {}
    single: list[dict[str, dict[str, str]]] = template.get("single") or [{}]
    first = single[0].get("SpecialToken", {}).get("id", "")
    if not _TAG.fullmatch(first):
        return []
    added = tokenizer.get_added_tokens_decoder().items()
    return [one for one, token in added if token.special and _TAG.fullmatch(token.content)]


def _encoder(folder: Path) -> Any:
    """The encoder half, float32. Raises CheckpointUnsupported where weights are missing."""
    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
    kind: Any = transformers.MODEL_MAPPING[type(config)]
    head = (read_config(folder).get("architectures") or [""])[0]
    alone = head.endswith("Encoder")
    if alone:
        kind = getattr(sys.modules[kind.__module__], head)
    model, found = kind.from_pretrained(
        str(folder), attn_implementation="eager", output_loading_info=True, local_files_only=True
    )
    missing = sorted(name for name in found["missing_keys"] if "decoder." not in name)
    if missing:
        raise CheckpointUnsupported(
            "the checkpoint's weights do not have all that its config.json names",
            value=missing[0],
            next_step="Download the checkpoint again, or correct its config.json.",
        )
    encoder = model if alone else model.get_encoder()
    return encoder.float().eval()


def _max_tokens(config: Any, tokenizer: Any, asked: int | None) -> int:
    """Raises CheckpointUnsupported where more is asked for than the encoder has positions."""
    limit = int(config.max_position_embeddings)
    if asked is not None and asked > limit:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many tokens",
            value=asked,
            next_step=f"Give --max-tokens {limit} or less.",
        )
    return asked or min(limit, int(tokenizer.model_max_length))


def _save(tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.save(str(folder / TOKENIZER))


def _reference(
    encoder: Any, tokenizer: Any, pooling: Sequence[str], texts: Sequence[str], tokens: int
) -> Vectors:
    """The encoder's own vectors, (n, dim) float32: one text at a time, without padding."""
    found = []
    with torch.no_grad():
        for text in texts:
            read = tokenizer(text, truncation=True, max_length=tokens, return_tensors="pt")
            mask = read["attention_mask"]
            states = encoder(input_ids=read["input_ids"], attention_mask=mask).last_hidden_state
            found.append(torch.cat([POOLING[mode](states, mask) for mode in pooling], dim=1).numpy())
    return np.concatenate(found)
