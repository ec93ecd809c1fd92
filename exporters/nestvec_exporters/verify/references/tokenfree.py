"""CANINE and ByT5 as transformers runs them, with its own tokenizers."""

from __future__ import annotations

from typing import Any, Final

import torch
import transformers
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.verify.library_model import open_model
from nestvec_exporters.verify.pooled_text import PooledTextReference, ReadTexts
from nestvec_exporters.verify.reference import Reference

_CANINE_LENGTH: Final = 2048
"""What CANINE was trained with: every text is padded to it, because its convolutions see padding."""

_STEP: Final = 4
"""Every fourth real text is compared: rows of characters are long."""


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[str, Reference]:
    """The reference of the text tower."""
    folder = checkpoint.folder
    limit = loaded.main_tower.spec.max_tokens
    model: Any
    tokenizer: Any
    if CheckpointFiles(checkpoint.folder).model_type == "canine":
        model = open_model(transformers.CanineModel, folder)
        tokenizer = transformers.CanineTokenizer()
        block = int(model.config.local_transformer_stride)
        places = min(int(model.config.max_position_embeddings), int(model.config.num_hash_buckets))
        least = min(_CANINE_LENGTH, places) // block * block
    else:
        model = open_model(transformers.T5EncoderModel, folder)
        tokenizer, least, block = transformers.ByT5Tokenizer(), 0, 1
    modes = (options.overrides.pooling or "mean").split("+")
    read_texts = _reader(tokenizer, limit, least, block)
    reference = PooledTextReference(
        model,
        read_texts,
        lambda text: _count(tokenizer, text),
        modes,
        int(model.config.hidden_size),
    )
    prompts = {str(name): text for name, text in options.overrides.prompts.items()}
    return {"text": reference.with_prompts(prompts).with_fewer_texts(_STEP)}


def _reader(tokenizer: Any, limit: int, least: int, block: int) -> ReadTexts:
    """Reads texts, cut at ``limit`` tokens and padded to ``least`` at least, a multiple of ``block``."""

    def read(texts: list[str], prompt: str) -> tuple[Tensor, Tensor]:
        # A text has no special tokens: "</s>" is four bytes.
        tensors = tokenizer(
            [f"{prompt}{text}" for text in texts],
            truncation=True,
            max_length=limit,
            padding=True,
            return_tensors="pt",
            split_special_tokens=True,
        )
        ids, mask = tensors["input_ids"], tensors["attention_mask"]
        width = max(least, -(-ids.shape[1] // block) * block)
        more = (0, width - ids.shape[1])
        return nn.functional.pad(ids, more), torch.as_tensor(nn.functional.pad(mask, more))

    return read


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, verbose=False, split_special_tokens=True)["input_ids"])
