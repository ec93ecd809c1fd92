"""A transformers model with the weights of a checkpoint, and what the checkpoint lacks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nestvec_schemas.errors import CheckpointUnsupported

_SHOWN = 3


def read_model(kind: Any, folder: Path) -> tuple[Any, tuple[str, ...]]:
    """A model of a class of transformers, in float32 and evaluation mode, and the weights that it lacks.

    Attention is written out, so that onnxruntime can fuse it. Raises CheckpointUnsupported.
    """
    try:
        model, loading_info = kind.from_pretrained(
            str(folder), attn_implementation="eager", output_loading_info=True, local_files_only=True
        )
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that transformers loads it on its own (trust_remote_code is not used).",
        ) from error
    return model.float().eval(), tuple(sorted(loading_info["missing_keys"]))


def check_complete(missing: tuple[str, ...]) -> None:
    """Raise CheckpointUnsupported where weights are missing: transformers fills them with random numbers."""
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise CheckpointUnsupported(
            "the checkpoint's weights do not have all that its config.json names",
            value=", ".join(missing[:_SHOWN]) + more,
            next_step="Download the checkpoint again, or correct its config.json.",
        )
