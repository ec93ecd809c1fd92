"""NV-Embed (Lee et al. 2024): a Mistral without its causal mask, and latent attention over its tokens.

Its own code is not run. ``config.json`` has ``model_type`` nvembed, the Mistral's settings in
``text_config`` and the pooling's in ``latent_attention_config``; weights in safetensors are named
``embedding_model.NAME`` and ``latent_attention_model.NAME`` (``crossattention``). Every text ends with the
end token, a cut one too. Prompts are left out of pooling, by the number of their tokens without the begin
token, from the first token of the text on: that one is left out and the prompt's last one is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer, processors
from torch import nn
from transformers import MistralConfig, MistralModel

from nestvec_exporters.architectures.decoder import lift_mask, plain
from nestvec_exporters.architectures.sentence import PROMPTED
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import read_config, read_json
from nestvec_exporters.checkpoints.max_length import DEFAULT_TOKENS
from nestvec_exporters.checkpoints.prompts import prefixes_of, prompts_of
from nestvec_exporters.graph.cross_attention import Trained, trained_pooling
from nestvec_exporters.graph.pooling import Shown
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.trace import Normalise, Pooled
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_OWN: Final = ("model_type", "architectures", "auto_map", "_name_or_path", "torch_dtype", "dtype")


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    folder, config = checkpoint.folder, read_config(checkpoint.folder)
    prompts = prompts_of({}, options.overrides)
    trained = trained_pooling(folder, config)
    if trained is None or options.overrides.pooling is not None:
        raise CheckpointUnsupported(
            "this architecture's pooling is its latent attention",
            value=options.overrides.pooling or "no latent_attention_model in its safetensors",
            next_step="Leave --pooling away, or download the checkpoint again.",
        )
    transformer = _mistral(folder, config)
    lift_mask(transformer)
    counts = _counts(folder, config, prompts)
    build = partial(Pooled, transformer, [trained.pool], _head(trained), shown=_shown(folder, counts))
    ids = torch.ones((2, 16), dtype=torch.int64)
    limit = transformer.config.max_position_embeddings
    tokens = min(options.max_tokens or DEFAULT_TOKENS, limit)
    half = Half(
        tower=Tower(inputs=INPUTS, output=OUTPUT, pooling="latent", max_tokens=tokens),
        build=build,
        example=dict.fromkeys(INPUTS, ids),
        axes={name: {1: "tokens"} for name in INPUTS},
        rows=text_rows,
        reference=partial(_reference, _Own(transformer, trained, counts), folder),
        probes=partial(_probes, counts),
        save=partial(_save, folder),
    )
    return Loaded(
        kind="dense",
        dim=transformer.config.hidden_size,
        normalised=trained.normalised,
        halves={"text": plain(half, transformer, options)},
        layers=transformer.config.num_hidden_layers,
        prompts=prompts,
    )


def _counts(folder: Path, config: dict[str, Any], prompts: Mapping[PromptName, str]) -> dict[str, int]:
    """How many tokens each prompt leaves out of pooling; empty where pooling counts them."""
    if not config.get("is_mask_instruction", True) or config.get("padding_side", "right") != "right":
        return {}
    tokenizer = _tokenizer(folder)
    return {one: len(tokenizer.encode(one, add_special_tokens=False).ids) for one in prompts.values()}


def _shown(folder: Path, counts: Mapping[str, int]) -> Shown | None:
    if not counts:
        return None
    tokenizer = _tokenizer(folder)

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    return Shown(prefixes_of(ids, counts))


def _probes(counts: Mapping[str, int]) -> Sequence[str]:
    """Texts, some with each prompt that is left out of pooling as well."""
    texts = probe_texts()
    return (*texts, *(f"{prompt}{text}" for prompt in counts for text in texts[:PROMPTED]))


def _head(trained: Trained) -> nn.Module:
    return Normalise() if trained.normalised else nn.Identity()


def _mistral(folder: Path, config: dict[str, Any]) -> Any:
    """The transformer, float32. Raises CheckpointUnsupported where weights are missing."""
    told = {name: one for name, one in config.get("text_config", {}).items() if name not in _OWN}
    known: Any = MistralModel
    model, found = known.from_pretrained(
        str(folder),
        config=MistralConfig(**told),
        key_mapping={r"^embedding_model\.": ""},
        attn_implementation="eager",
        output_loading_info=True,
        local_files_only=True,
    )
    if found["missing_keys"]:
        raise CheckpointUnsupported(
            "the checkpoint's weights do not have all that its config.json names",
            value=sorted(found["missing_keys"])[0],
            next_step="Download the checkpoint again, or correct its config.json.",
        )
    model.config.use_cache = False
    return model.float().eval()


def _save(source: Path, folder: Path) -> None:
    _tokenizer(source).save(str(folder / TOKENIZER))


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer, which ends every text with the end token as NV-Embed's code does."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    told = read_json(folder / "tokenizer_config.json").get("eos_token", "</s>")
    end = str(told["content"] if isinstance(told, dict) else told)
    known = tokenizer.token_to_id(end)
    if known is None:
        raise CheckpointUnsupported(
            "the checkpoint's tokenizer does not have its own end token",
            value=end,
            next_step="Download the checkpoint again, or correct its tokenizer_config.json.",
        )
    return _ended(tokenizer, end, known)


def _ended(tokenizer: Tokenizer, end: str, known: int) -> Tokenizer:
    """The tokenizer with the end token behind what its template puts around a text already.

    Of two templates in a row only one would take effect. Raises CheckpointUnsupported.
    """
    if tokenizer.post_processor is None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, known)]
        )
        return tokenizer
    whole = json.loads(tokenizer.to_str())
    template = whole["post_processor"]
    if template["type"] != "TemplateProcessing":
        raise CheckpointUnsupported(
            "the checkpoint's tokenizer ends its texts in a way that nestvec does not know",
            value=template["type"],
            next_step="Give it the tokenizer.json that NV-Embed came with.",
        )
    last = {"SpecialToken": {"id": end, "type_id": 0}}
    if template["single"][-1] != last:
        template["single"].append(last)
        template["special_tokens"][end] = {"id": end, "ids": [known], "tokens": [end]}
    return Tokenizer.from_str(json.dumps(whole))


@dataclass(frozen=True)
class _Own:
    """What NV-Embed's own code is made of: transformer, pooling, and tokens left out by prompt."""

    transformer: Any
    trained: Trained
    counts: Mapping[str, int]


def _reference(own: _Own, folder: Path, texts: Sequence[str], tokens: int) -> Vectors:
    """The vectors, (n, dim) float32, in torch: one text at a time, without padding."""
    tokenizer, head = _tokenizer(folder), _head(own.trained)
    tokenizer.enable_truncation(tokens)
    found = []
    with torch.no_grad():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            mask = torch.ones_like(ids)
            states = own.transformer(ids, attention_mask=mask).last_hidden_state
            prompt = max((one for one in own.counts if text.startswith(one)), key=len, default="")
            mask[:, : own.counts.get(prompt, 0)] = 0
            found.append(head(own.trained.pool(states, mask)).numpy())
    return np.concatenate(found)
