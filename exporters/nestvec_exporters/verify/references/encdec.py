"""The encoder halves of translation models and their kin, as transformers' own classes run them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

import transformers
from torch import Tensor

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.verify.library_model import open_model
from nestvec_exporters.verify.pooled_text import PooledTextReference
from nestvec_exporters.verify.reference import Reference

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}|__[a-z]{2,3}__")


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the text tower; a prompt that is a language's tag becomes the source language."""
    encoder = _encoder(checkpoint.folder)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        str(checkpoint.folder), local_files_only=True, trust_remote_code=False
    )
    config = encoder.config
    limit = options.max_tokens or min(int(config.max_position_embeddings), int(tokenizer.model_max_length))

    def read(texts: list[str], prompt: str) -> tuple[Tensor, Tensor]:
        language = prompt.strip() if _LANGUAGE.fullmatch(prompt.strip()) else None
        own = getattr(tokenizer, "src_lang", None)
        if language is not None:
            tokenizer.src_lang, prompt = language.strip("_"), ""
        tensors = tokenizer(
            [f"{prompt}{text}" for text in texts],
            truncation=True,
            # A text's own tag stands beside the default one until the graph reads it: a token less is left.
            max_length=limit - (language is not None),
            padding=True,
            return_tensors="pt",
        )
        if language is not None:
            tokenizer.src_lang = own
        return tensors["input_ids"], tensors["attention_mask"]

    def count(text: str) -> int:
        return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])

    modes = (options.overrides.pooling or "mean").split("+")
    prompts = {str(name): text for name, text in options.overrides.prompts.items()}
    reference = PooledTextReference(encoder, read, count, modes, int(config.d_model))
    return {"text": reference.with_prompts(prompts)}


def _encoder(folder: Path) -> Any:
    """With the attention that transformers chooses."""
    config = transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    head = CheckpointFiles(folder).head
    kind: Any = transformers.MODEL_MAPPING[type(config)]
    if head.endswith("Encoder"):
        kind = getattr(sys.modules[kind.__module__], head)
    model = open_model(kind, folder)
    return model if head.endswith("Encoder") else model.get_encoder()
