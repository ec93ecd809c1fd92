"""Detect checkpoints of timm, and import timm."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nestvec_schemas.errors import CheckpointUnsupported


def is_timm(config: dict[str, Any]) -> bool:
    """Whether a ``config.json`` is timm's own; transformers' wrapper of timm has a ``model_type``."""
    return "pretrained_cfg" in config and not config.get("model_type")


def import_timm(architecture: object) -> Any:
    """The module ``timm``. Raises CheckpointUnsupported if it cannot be imported."""
    try:
        return import_module("timm")
    except ImportError as error:
        raise CheckpointUnsupported(
            f"the checkpoint needs timm, which cannot be imported ({error})",
            value=architecture,
            next_step="Run pip install timm, which installs torchvision; or choose the same network saved by "
            "transformers.",
        ) from error
    except RuntimeError as error:
        raise CheckpointUnsupported(
            f"the checkpoint needs timm, whose torchvision does not match the installed torch ({error})",
            value=architecture,
            next_step="Install the torchvision built for this torch, for a CPU build from "
            "https://download.pytorch.org/whl/cpu; or choose the same network saved by transformers.",
        ) from error
