"""Files that hold a pooling which was trained for a decoder, told by the names of their tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nestvec_schemas.errors import CheckpointUnsupported

LAYERS_FILE: Final = "attn_pool.safetensors"
"""The pooling over layers."""

LATENT_PREFIX: Final = "latent_attention_model."
"""Tensors of the pooling by latent attention, in any file of the folder."""


def trained_pooling_files(folder: Path) -> list[Path]:
    """The files that hold nothing but a trained pooling. Raises CheckpointUnsupported for a damaged one."""
    return [path for path in sorted(folder.glob("*.safetensors")) if _holds_pooling(path)]


def _holds_pooling(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - only an export needs it

    if path.name == LAYERS_FILE:
        return True
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointUnsupported(
            f"{path.name} is damaged", value=str(error), next_step="Download the checkpoint again."
        ) from error
    return bool(names) and all(name.startswith(LATENT_PREFIX) for name in names)
