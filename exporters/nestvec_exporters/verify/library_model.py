"""A checkpoint's model as transformers runs it: loaded anew, with the attention that it chooses itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def open_model(kind: Any, folder: Path) -> Any:
    """By a class of transformers, in float32 and evaluation mode; none of the checkpoint's code runs."""
    model = kind.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    return model.float().eval()


def attention_heads(transformer: Any) -> int:
    """Attention heads of a model of transformers; 0 without attention, or for None."""
    config = getattr(transformer, "config", None)
    return 0 if config is None else getattr(config.get_text_config(), "num_attention_heads", 0) or 0


def token_count(tokenizer: Any, text: str) -> int:
    """Tokens of a text, special ones included, without truncation."""
    return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def filled_prompts(prompts: Mapping[str, str | None]) -> dict[str, str]:
    """The prompts of a library's model that have a text."""
    return {name: text for name, text in prompts.items() if text}
