"""A text checkpoint and one of pictures as one model of two towers (ConVIRT, Zhang et al. 2020)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModel

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.architectures.dual import ROWS, read_dual
from nestvec_exporters.architectures.sentence_transformer import Source
from nestvec_exporters.architectures.vision import pooled
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_code
from nestvec_exporters.checkpoints.kinds import SENTENCE
from nestvec_exporters.checkpoints.tokenizer import read_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.train.captions.pair import Parts
from nestvec_exporters.vision.image_tower import read_preprocessing
from nestvec_exporters.vision.naflex import is_naflex
from nestvec_exporters.vision.pooled_dual import PooledDualEncoderConfig, PooledDualEncoderModel
from nestvec_schemas.errors import CheckpointUnsupported

_MODULES = ["Transformer", "Pooling"]


def read_parts(checkpoint: Checkpoint, image: Checkpoint | None) -> Parts:
    """What is trained: a checkpoint of texts and pictures, or one made of two. Raises CheckpointError."""
    if image is None:
        if checkpoint.architecture != "dual":
            raise CheckpointUnsupported(
                "this is no checkpoint of texts and pictures",
                value=checkpoint.source,
                next_step="Give one such as CLIP, or a text encoder with --image-checkpoint beside it.",
            )
        if is_naflex(checkpoint.folder):
            raise CheckpointUnsupported(
                "pictures in shapes of their own (NaFlex) are not trained on",
                value=checkpoint.source,
                next_step="Choose a checkpoint of one size, such as google/siglip2-base-patch16-224.",
            )
        row, model = read_dual(checkpoint.folder)
        return Parts(row, model, read_tokenizer(checkpoint.folder), checkpoint.folder)
    if checkpoint.architecture != SENTENCE or image.architecture != "vision":
        raise CheckpointUnsupported(
            "two towers are made of a text encoder and an encoder or classifier of pictures",
            value=f"{checkpoint.source} ({checkpoint.architecture}), {image.source} ({image.architecture})",
            next_step="Leave out --image-checkpoint where CHECKPOINT has both; else give one of each.",
        )
    return _composed(checkpoint, image)


def _composed(checkpoint: Checkpoint, image: Checkpoint) -> Parts:
    """The towers with projections to the text encoder's dims: its own vectors, and none yet of pictures."""
    source = sources.load(checkpoint)
    kind, pooling = _text(source)
    check_code(image.folder, image.folder)
    how = read_preprocessing(image.folder)
    vision, missing = read_model(AutoModel, image.folder)
    # What was trained to classify has no pooler where its classifier reads a token.
    check_complete(tuple(name for name in missing if "pooler" not in name.split(".")))
    module, vision_pooling = pooled(vision, how.picture, None, has_pooler=not missing)
    with torch.no_grad():
        width = module(torch.zeros((1, 3, how.picture.height, how.picture.width))).shape[1]
    vision.config.hidden_size = int(width)
    config = PooledDualEncoderConfig.from_vision_text_configs(
        vision.config,
        kind.config,
        projection_dim=source.dim,
        text_pooling=pooling,
        vision_pooling=vision_pooling,
    )
    model = PooledDualEncoderModel(config, vision, kind)
    with torch.no_grad():
        model.text_projection.weight.copy_(torch.eye(source.dim))
    tokenizer = source.model.tokenizer
    tokenizer.model_max_length = sources.max_tokens(source, None)
    return Parts(ROWS[config.model_type], model, tokenizer, image.folder)


def _text(source: Source) -> tuple[Any, str]:
    """A text encoder's transformer and pooling. Raises CheckpointUnsupported where it is made of more."""
    kinds = [type(module).__name__ for module in source.modules if type(module).__name__ != "Normalize"]
    model = source.transformer
    # The folder will name the configuration, not the class.
    known: Any = AutoModel._model_mapping
    plain = type(model) is known.get(type(model.config), None)
    if kinds != _MODULES or len(source.pooling) != 1 or not plain:
        raise CheckpointUnsupported(
            "a text tower is a transformer whose tokens are pooled in one way, and nothing behind that",
            value=f"{type(model).__name__}, {', '.join(kinds)}, {'+'.join(source.pooling)}",
            next_step="Choose another text encoder, such as all-MiniLM-L6-v2.",
        )
    return model, source.pooling[0]
