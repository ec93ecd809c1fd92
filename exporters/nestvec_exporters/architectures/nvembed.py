"""NV-Embed (Lee et al. 2024): a Mistral without its causal mask, and latent attention over its tokens.

Its own code is not run. ``config.json`` has ``model_type`` nvembed, the Mistral's settings in
``text_config`` and the pooling's in ``latent_attention_config``; weights in safetensors are named
``embedding_model.NAME`` and ``latent_attention_model.NAME`` (``graph.cross_attention``). Every text ends
with the end token, a truncated one too. Prompts are left out of pooling: as many tokens as a prompt has
without the begin token, counted from the first token of the text, so that the begin token is left out and the
prompt's last one is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer, processors
from torch import nn
from transformers import MistralConfig, MistralModel

from nestvec_exporters.architectures.decoder import make_bidirectional
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import read_config, read_json
from nestvec_exporters.checkpoints.max_length import DEFAULT_MAX_TOKENS
from nestvec_exporters.checkpoints.prompts import folder_prompts, prefixes_of
from nestvec_exporters.checkpoints.weights import check_complete
from nestvec_exporters.graph.cross_attention import TrainedPooling, trained_pooling
from nestvec_exporters.graph.pooling import PromptMask
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.graph.trace import Normalise, PooledEncoder
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders.sentence_tower import omitting_prompts, prompted_probes
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_NOT_MISTRAL: Final = ("model_type", "architectures", "auto_map", "_name_or_path", "torch_dtype", "dtype")


class NvEmbedTower(TextTower):
    """A bidirectional Mistral and its latent attention.

    ``hidden_tokens`` says of each prompt how many tokens pooling leaves out for it.
    """

    def __init__(
        self,
        transformer: Any,
        trained: TrainedPooling,
        tokenizer: Tokenizer,
        hidden_tokens: Mapping[str, int],
        max_tokens: int,
    ) -> None:
        spec = Tower(inputs=INPUTS, output=OUTPUT, pooling="latent", max_tokens=max_tokens)
        super().__init__(spec, tokenizer)
        self.transformer, self.pool, self.hidden_tokens = transformer, trained.pool, hidden_tokens
        self.head = Normalise() if trained.normalised else nn.Identity()
        self.prompt_mask = None
        if hidden_tokens:
            self.prompt_mask = PromptMask(prefixes_of(self._ids, hidden_tokens))
        self.spec = omitting_prompts(self.spec, self.prompt_mask)

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Transformer, latent attention and head."""
        return PooledEncoder(self.transformer, [self.pool], self.head, exits, self.prompt_mask).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The vectors, (n, dim) float32, in torch: one text at a time, without padding."""
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(max_tokens)
        vectors = []
        with torch.no_grad():
            for text in inputs:
                ids = torch.tensor([tokenizer.encode(text).ids])
                mask = torch.ones_like(ids)
                states = self.transformer(ids, attention_mask=mask).last_hidden_state
                prompts = (prompt for prompt in self.hidden_tokens if text.startswith(prompt))
                mask[:, : self.hidden_tokens.get(max(prompts, key=len, default=""), 0)] = 0
                vectors.append(self.head(self.pool(states, mask)).numpy())
        return np.concatenate(vectors)

    def probes(self) -> Sequence[str]:
        """Texts, some with each prompt that is left out of pooling as well."""
        return prompted_probes(tuple(self.hidden_tokens))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    folder, config = checkpoint.folder, read_config(checkpoint.folder)
    prompts = folder_prompts(folder, options.overrides)
    trained = trained_pooling(folder, config)
    if trained is None or options.overrides.pooling is not None:
        raise CheckpointUnsupported(
            "this architecture's pooling is its latent attention",
            value=options.overrides.pooling or "no latent_attention_model in its safetensors",
            next_step="Omit --pooling, or download the checkpoint again.",
        )
    transformer, tokenizer = _mistral(folder, config), _tokenizer(folder)
    make_bidirectional(transformer)
    max_tokens = min(options.max_tokens or DEFAULT_MAX_TOKENS, transformer.config.max_position_embeddings)
    hidden_tokens = _hidden_tokens(tokenizer, config, prompts)
    tower = NvEmbedTower(transformer, trained, tokenizer, hidden_tokens, max_tokens)
    return LoadedCheckpoint(
        kind="dense",
        dim=transformer.config.hidden_size,
        normalised=trained.normalised,
        towers={"text": tower},
        layers=transformer.config.num_hidden_layers,
        prompts=prompts,
    )


def _hidden_tokens(
    tokenizer: Tokenizer, config: dict[str, Any], prompts: Mapping[PromptName, str]
) -> dict[str, int]:
    """How many tokens pooling leaves out for each prompt; empty where pooling counts them."""
    if not config.get("is_mask_instruction", True) or config.get("padding_side", "right") != "right":
        return {}
    return {
        prompt: len(tokenizer.encode(prompt, add_special_tokens=False).ids)
        for prompt in prompts.values()
        if prompt
    }


def _mistral(folder: Path, config: dict[str, Any]) -> Any:
    """The transformer, float32. Raises CheckpointUnsupported where weights are missing."""
    text_config = {
        name: value for name, value in config.get("text_config", {}).items() if name not in _NOT_MISTRAL
    }
    model_class: Any = MistralModel
    model, loading_info = model_class.from_pretrained(
        str(folder),
        config=MistralConfig(**text_config),
        key_mapping={r"^embedding_model\.": ""},
        attn_implementation="eager",
        output_loading_info=True,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    check_complete(sorted(loading_info["missing_keys"]))
    model.config.use_cache = False
    return model.float().eval()


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer, which ends every text with the end token as NV-Embed's code does."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    eos_token = read_json(folder / "tokenizer_config.json").get("eos_token", "</s>")
    end = str(eos_token["content"] if isinstance(eos_token, dict) else eos_token)
    end_id = tokenizer.token_to_id(end)
    if end_id is None:
        raise CheckpointUnsupported(
            "the checkpoint's tokenizer does not have its own end token",
            value=end,
            next_step="Download the checkpoint again, or correct its tokenizer_config.json.",
        )
    return _ended(tokenizer, end, end_id)


def _ended(tokenizer: Tokenizer, end: str, end_id: int) -> Tokenizer:
    """The tokenizer with the end token behind what its template puts around a text already.

    Of two templates in a row only one would take effect. Raises CheckpointUnsupported.
    """
    if tokenizer.post_processor is None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, end_id)]
        )
        return tokenizer
    serialised = json.loads(tokenizer.to_str())
    template = serialised["post_processor"]
    if template["type"] != "TemplateProcessing":
        raise CheckpointUnsupported(
            "the checkpoint's tokenizer ends its texts in a way that nestvec does not know",
            value=template["type"],
            next_step="Give it the tokenizer.json that NV-Embed came with.",
        )
    last = {"SpecialToken": {"id": end, "type_id": 0}}
    if template["single"][-1] != last:
        template["single"].append(last)
        template["special_tokens"][end] = {"id": end, "ids": [end_id], "tokens": [end]}
    return Tokenizer.from_str(json.dumps(serialised))
