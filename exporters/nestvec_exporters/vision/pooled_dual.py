"""Any text tower beside any image tower, each pooled as it was trained: which transformers' class lacks.

transformers' VisionTextDualEncoder (ConVIRT, Zhang et al. 2020; LiT, Zhai et al. 2022) reads the pooler of
both towers. A sentence encoder has a mean in its place, a network of convolutions a pooler of three axes.
Importing this makes the Auto classes of transformers know ``model_type`` nestvec-pooled-dual.
"""

from __future__ import annotations

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor
from transformers import AutoConfig, AutoModel, VisionTextDualEncoderConfig, VisionTextDualEncoderModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

import nestvec_exporters.vision.efficientnet_lite  # noqa: F401 - an image tower may be one
from nestvec_exporters.graph.pooling import POOLING
from nestvec_exporters.vision.image_pooling import VISION_POOLING as VISION_POOLING
from nestvec_exporters.vision.image_tower import patch_edge


@strict
class PooledDualEncoderConfig(VisionTextDualEncoderConfig):
    """``text_pooling`` is a name in POOLING, ``vision_pooling`` in VISION_POOLING."""

    model_type = "nestvec-pooled-dual"

    text_pooling: str = "mean"
    vision_pooling: str = "pooler"


class PooledDualEncoderModel(VisionTextDualEncoderModel):
    """The same with these poolings; its weights have the names that they have there."""

    config_class = PooledDualEncoderConfig

    def pooled_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask, (n, tokens) int64, to what the text projection reads, (n, width) float32."""
        tokens = self.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return POOLING[self.config.text_pooling](tokens.float(), mask)

    def pooled_images(self, values: Tensor) -> Tensor:
        """Pixel values, (n, 3, height, width) float32, to what the visual projection reads, (n, width)."""
        patch = patch_edge(self.config.vision_config)
        patches = max(1, values.shape[2] // patch) * max(1, values.shape[3] // patch)
        pooled = VISION_POOLING[self.config.vision_pooling](self.vision_model(pixel_values=values), patches)
        assert pooled is not None  # noqa: S101 - tried when the model was made
        return pooled.float()

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> BaseModelOutputWithPooling:
        """As its parent answers: the projected vectors are ``pooler_output``."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        vectors: Tensor = self.text_projection(self.pooled_texts(input_ids, mask))
        return BaseModelOutputWithPooling(pooler_output=vectors)

    def get_image_features(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        """As its parent answers: the projected vectors are ``pooler_output``."""
        vectors: Tensor = self.visual_projection(self.pooled_images(pixel_values))
        return BaseModelOutputWithPooling(pooler_output=vectors)


AutoConfig.register(PooledDualEncoderConfig.model_type, PooledDualEncoderConfig, exist_ok=True)
AutoModel.register(PooledDualEncoderConfig, PooledDualEncoderModel, exist_ok=True)
