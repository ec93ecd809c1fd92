"""Checkpoints of timm: a network as timm builds it, without its classifier, and its own preparation.

``config.json`` has ``architecture``, ``model_args`` where the network was built with some, and
``pretrained_cfg``; weights in safetensors have timm's names. timm is not a dependency: it needs a torchvision
that was built for the installed torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layout import read_config
from nestvec_exporters.checkpoints.timm_config import import_timm
from nestvec_exporters.checkpoints.weights import check_complete
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.pixels import ImageTransform


def read_network(folder: Path) -> nn.Module:
    """The network, (n, 3, height, width) float32 to pooled features, in float32 and evaluation mode.

    Raises CheckpointUnsupported where timm does not know it, or its weights do not match.
    """
    config = read_config(folder)
    timm = import_timm(config.get("architecture"))
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(path))
    pool = config.get("global_pool")
    args = {**({"global_pool": pool} if pool else {}), **(config.get("model_args") or {}), "num_classes": 0}
    try:
        network = timm.create_model(config.get("architecture"), pretrained=False, exportable=True, **args)
        missing = network.load_state_dict(weights, strict=False).missing_keys
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointUnsupported(
            "timm cannot load the checkpoint",
            value=" ".join(str(error).split())[:200],
            next_step="Check that timm.create_model makes it with these model_args, or upgrade timm.",
        ) from error
    check_complete(tuple(sorted(missing)))
    loaded: nn.Module = network.float().eval()
    return loaded


class TimmProcessor:
    """timm's own way from an image to pixel values, called as an image processor of transformers is."""

    def __init__(self, folder: Path) -> None:
        config = read_config(folder)
        data = import_timm(config.get("architecture")).data
        data_config = data.resolve_data_config(pretrained_cfg=config["pretrained_cfg"])
        self._transform = data.create_transform(**data_config, is_training=False)

    def __call__(self, image: Any) -> dict[str, list[Tensor]]:
        """Pixel values of one image, (3, height, width) float32."""
        return {"pixel_values": [self._transform(image)]}


def timm_patch_edge(network: nn.Module) -> int | None:
    """The edge of a transformer's patches in pixels; None of any other network."""
    embed = getattr(network, "patch_embed", None)
    size = getattr(embed, "patch_size", None)
    return int(size[0]) if isinstance(size, tuple) and hasattr(network, "blocks") else None


def check_vector(network: nn.Module, transform: ImageTransform) -> None:
    """Raise CheckpointUnsupported where a network gives no vector of an image."""
    with torch.no_grad():
        shape = tuple(network(torch.zeros((1, 3, transform.height, transform.width))).shape)
    if len(shape) != 2:
        raise CheckpointUnsupported(
            "the checkpoint gives no vector of an image",
            value=" × ".join(map(str, shape[1:])),
            next_step="Name a global_pool in its config.json: avg, or token of a transformer.",
        )
