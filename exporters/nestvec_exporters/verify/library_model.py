"""A checkpoint's model as transformers runs it: loaded anew, with the attention that it chooses itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def open_model(kind: Any, folder: Path) -> Any:
    """By a class of transformers, in float32 and evaluation mode; none of the checkpoint's code runs."""
    model = kind.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    return model.float().eval()
