"""A text encoder and an image encoder as one model of two towers (ConVIRT, Zhang et al. 2020)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModel

from nestvec_exporters.architectures.dual import FAMILIES, read_dual
from nestvec_exporters.architectures.vision import with_pooling
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_code
from nestvec_exporters.checkpoints.kinds import SENTENCE
from nestvec_exporters.checkpoints.tokenizer import read_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.sentence_model import SentenceModel
from nestvec_exporters.train.captions.two_tower import DualParts
from nestvec_exporters.vision.image_tower import read_preprocessing
from nestvec_exporters.vision.naflex import is_naflex
from nestvec_exporters.vision.pooled_dual import PooledDualEncoderConfig, PooledDualEncoderModel
from nestvec_schemas.errors import CheckpointUnsupported

_MODULES = ["Transformer", "Pooling"]


def load_dual_parts(checkpoint: Checkpoint, image: Checkpoint | None = None) -> DualParts:
    """Load a dual encoder, or compose one of a text and an image encoder. Raises CheckpointError."""
    if image is None:
        if checkpoint.architecture != "dual":
            raise CheckpointUnsupported(
                "the checkpoint is not a dual encoder of texts and images",
                value=checkpoint.source,
                next_step="Give one such as CLIP, or a text encoder with --image-checkpoint.",
            )
        if is_naflex(checkpoint.folder):
            raise CheckpointUnsupported(
                "training on images in their own aspect ratio (NaFlex) is not supported",
                value=checkpoint.source,
                next_step="Choose a checkpoint of one image size, such as google/siglip2-base-patch16-224.",
            )
        row, model = read_dual(checkpoint.folder)
        return DualParts(row, model, read_tokenizer(checkpoint.folder), checkpoint.folder)
    if checkpoint.architecture != SENTENCE or image.architecture != "vision":
        raise CheckpointUnsupported(
            "two towers are composed of a text encoder and an image encoder or classifier",
            value=f"{checkpoint.source} ({checkpoint.architecture}), {image.source} ({image.architecture})",
            next_step="Omit --image-checkpoint if CHECKPOINT has both towers; otherwise give one of each.",
        )
    return _compose(checkpoint, image)


def _compose(checkpoint: Checkpoint, image: Checkpoint) -> DualParts:
    """The towers, each with a projection to the text encoder's dims; the texts' is the identity."""
    source = sources.load(checkpoint)
    transformer, pooling = _text_transformer(source)
    check_code(image.folder, image.folder)
    preprocessing = read_preprocessing(image.folder)
    vision, missing = read_model(AutoModel, image.folder)
    # A classifier that reads one token has no pooler.
    check_complete(tuple(name for name in missing if "pooler" not in name.split(".")))
    module, vision_pooling = with_pooling(vision, preprocessing.transform, None, has_pooler=not missing)
    with torch.no_grad():
        width = module(
            torch.zeros((1, 3, preprocessing.transform.height, preprocessing.transform.width))
        ).shape[1]
    vision.config.hidden_size = int(width)
    config = PooledDualEncoderConfig.from_vision_text_configs(
        vision.config,
        transformer.config,
        projection_dim=source.dim,
        text_pooling=pooling,
        vision_pooling=vision_pooling,
    )
    model = PooledDualEncoderModel(config, vision, transformer)
    with torch.no_grad():
        model.text_projection.weight.copy_(torch.eye(source.dim))
    tokenizer = source.model.tokenizer
    tokenizer.model_max_length = sources.max_tokens(source, None)
    return DualParts(FAMILIES[config.model_type], model, tokenizer, image.folder)


def _text_transformer(source: SentenceModel) -> tuple[Any, str]:
    """A text encoder's transformer and pooling. Raises CheckpointUnsupported if it has further modules."""
    kinds = [type(module).__name__ for module in source.modules if type(module).__name__ != "Normalize"]
    model = source.transformer
    # The saved folder names the configuration, not the class.
    auto_classes: Any = AutoModel._model_mapping
    plain = type(model) is auto_classes.get(type(model.config), None)
    if kinds != _MODULES or len(source.pooling) != 1 or not plain:
        raise CheckpointUnsupported(
            "a text tower is a transformer with one kind of pooling and no further modules",
            value=f"{type(model).__name__}, {', '.join(kinds)}, {'+'.join(source.pooling)}",
            next_step="Choose another text encoder, such as all-MiniLM-L6-v2.",
        )
    return model, source.pooling[0]
