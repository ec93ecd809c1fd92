"""Adapters beside an encoder's weights, such as jina-embeddings-v3's tasks, as experts of the encoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.native.adapters import Adapter, adapters_in, check_adapter, merge_adapter
from nestvec_exporters.graph.tower import TowerModel
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import EXPERT_NAME

Tower = TypeVar("Tower", bound=TowerModel)


def adapter_experts(
    checkpoint: Checkpoint, load_tower: Callable[[], Tower], transformer_of: Callable[[Tower], object]
) -> dict[str, TowerModel]:
    """The checkpoint's adapters by the names that requests choose them by, each merged into its own copy.

    ``load_tower`` loads the base anew. Raises CheckpointUnsupported.
    """
    adapters = adapters_in(checkpoint.folder)
    for adapter in adapters:
        check_adapter(adapter)
    names = [expert_name(adapter) for adapter in adapters]
    experts: dict[str, TowerModel] = {}
    for name, adapter in zip(names, adapters, strict=True):
        tower = load_tower()
        # peft replaces layers inside the model, which so stays the tower's own.
        merge_adapter(transformer_of(tower), adapter)
        experts[name] = tower
    return experts


def expert_name(adapter: Adapter) -> str:
    """An adapter's folder, with ``_`` for what a name cannot have. Raises CheckpointUnsupported."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", adapter.name)
    if not EXPERT_NAME.fullmatch(name) or name in ("text", "image"):
        raise CheckpointUnsupported(
            "an adapter's folder has no name for an expert",
            value=adapter.name,
            next_step="Rename it: a letter, then at most 31 letters, digits, '_' and '-'; not text or image.",
        )
    return name
