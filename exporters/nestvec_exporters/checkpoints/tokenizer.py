"""A checkpoint's tokenizer, as transformers has it and as a service reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER


def read_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer in its fast form. Raises CheckpointUnsupported where it has none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: PLC0415 - slow

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        # SigLIP's needs sentencepiece, where its tokenizer.json would do.
        if not (folder / TOKENIZER).is_file():
            raise _no_fast_tokenizer(
                folder, str(error).strip().partition("\n")[0] or type(error).__name__
            ) from error
        return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        return tokenizer
    if not (folder / TOKENIZER).is_file():
        raise _no_fast_tokenizer(folder, type(tokenizer).__name__)
    return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)


def plain_tokenizer(tokenizer: Any) -> Tokenizer:
    """What ``tokenizer.json`` is made of, with truncation and padding off."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _no_fast_tokenizer(folder: Path, value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the checkpoint's tokenizer has no fast form",
        value=value,
        next_step=f"Choose a checkpoint with a {TOKENIZER}.",
    )
