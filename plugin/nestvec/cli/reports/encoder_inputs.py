"""What an encoder takes, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestvec_schemas.manifest import Manifest


def describe_inputs(manifest: Manifest) -> str:
    """``text of 77 tokens, images of 224 × 224``: each tower's inputs, with the longest text and the size."""
    shown = []
    for name, tower in manifest.towers.items():
        size = (
            f" of {tower.image_transform.width} × {tower.image_transform.height}"
            if tower.image_transform
            else ""
        )
        if tower.patching is not None:
            size = f" of {tower.patching.most} patches of {tower.patching.edge} × {tower.patching.edge}"
        frames = f"{tower.frames} " if tower.frames > 1 else ""
        image = f"{frames}images{size}"
        if tower.chat is not None:
            shown.append(f"messages of {tower.max_tokens} tokens with an image{size}")
        else:
            shown.append(f"text of {tower.max_tokens} tokens" if name == "text" else image)
    return ", ".join(shown)
