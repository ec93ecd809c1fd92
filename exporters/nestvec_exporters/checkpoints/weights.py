"""Load a transformers model with a checkpoint's weights, and tell which weights are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nestvec_exporters.checkpoints.recorded_loads import load_of
from nestvec_schemas.errors import CheckpointUnsupported

_MAX_SHOWN = 3


def read_model(model_class: Any, folder: Path) -> tuple[Any, tuple[str, ...]]:
    """Load a model class of transformers, in float32 and evaluation mode; also return missing weights' names.

    Attention is eager, so that ONNX Runtime can fuse it. Raises CheckpointUnsupported.
    """
    try:
        model, loading_info = model_class.from_pretrained(
            str(folder),
            attn_implementation="eager",
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that transformers loads it on its own (trust_remote_code is not used).",
        ) from error
    return model.float().eval(), tuple(sorted(loading_info["missing_keys"]))


def missing_weights(model: Any, folder: Path) -> tuple[str, ...]:
    """The weights of a loaded model that its checkpoint in ``folder`` lacks.

    transformers fills missing ones with random numbers, and reports them only if asked: unless loads are
    recorded (``recorded_loads``), this reads the weights a second time.
    """
    load = load_of(model)
    if load is not None:
        return load.missing
    _, loading_info = type(model).from_pretrained(
        str(folder),
        config=model.config,
        output_loading_info=True,
        local_files_only=True,
        trust_remote_code=False,  # the class is chosen already
    )
    return tuple(sorted(loading_info["missing_keys"]))


def check_complete(missing: Sequence[str], *, ignored: str | None = None) -> None:
    """Raise CheckpointUnsupported if weights are missing whose names do not contain ``ignored``."""
    missing = [name for name in missing if ignored is None or ignored not in name]
    if missing:
        more = f" and {len(missing) - _MAX_SHOWN} more" if len(missing) > _MAX_SHOWN else ""
        raise CheckpointUnsupported(
            "the checkpoint lacks weights that its config.json declares",
            value=", ".join(missing[:_MAX_SHOWN]) + more,
            next_step="Download the checkpoint again, or correct its config.json.",
        )
