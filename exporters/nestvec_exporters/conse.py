"""A classifier of images in a text encoder's space, without training (ConSE: Norouzi et al. 2013).

An image's vector is the sum over its likeliest classes of each one's probability times the text encoder's
vector of "a photo of a" and the class's name: texts and images can then be compared, all in one graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.architectures import load_checkpoint
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.recurrent_pooling import check_no_frame_pooling
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.vision.image_tower import (
    ImageModel,
    ImageTower,
    attention_shape,
    patch_edge,
    read_preprocessing,
    read_processor,
)
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import pad_rows
from nestvec_schemas.vectors import Vectors, normalise

LIKELIEST: Final = 10
TEMPLATE: Final = "a photo of a {}"

_BATCH: Final = 64
_PLACEHOLDER = re.compile(r"LABEL_\d+")


class Conse(nn.Module):
    """Pixel values, (n, 3, height, width) float32, to vectors, (n, dim), of no particular length.

    ``classifier`` gives ``logits``, (n, classes); ``vectors`` are those of its classes, (classes, dim).
    """

    def __init__(self, classifier: nn.Module, vectors: Vectors) -> None:
        super().__init__()
        self.classifier = classifier
        self.vectors: Tensor
        self.register_buffer("vectors", torch.from_numpy(vectors))
        self.likeliest = min(LIKELIEST, len(vectors))

    def forward(self, values: Tensor) -> Tensor:
        """One vector per image."""
        chances = torch.softmax(self.classifier(pixel_values=values).logits, dim=1)
        most, classes = chances.topk(self.likeliest, dim=1)
        vectors: Tensor = (most.unsqueeze(2) * self.vectors[classes]).sum(dim=1)
        return vectors


def add_image_tower(text: LoadedCheckpoint, image: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """A text encoder with an image tower. It has no exits, because images have none.

    The tower is made of a classifier, or is that of an encoder of texts and images towards whose space the
    text encoder was trained (Reimers & Gurevych 2020: a multilingual one beside CLIP's images).
    Raises CheckpointUnsupported where ``text`` is not an encoder of texts alone, ``image`` is neither of the
    two, or its classes have no names.
    """
    _check_text(text)
    if image.architecture == "dual":
        return _with_dual_encoder(text, load_checkpoint(image, options))
    tower = _classifier_tower(text, image, options)
    return replace(text, layers=1, towers={**text.towers, "image": tower})


def _with_dual_encoder(text: LoadedCheckpoint, other: LoadedCheckpoint) -> LoadedCheckpoint:
    if other.dim != text.dim:
        raise CheckpointUnsupported(
            "the images' vectors are not in the texts' space",
            value=f"{other.dim} dims against {text.dim}",
            next_step="Give --image-checkpoint the encoder that the text encoder was trained towards.",
        )
    towers = {**text.towers, "image": other.towers["image"]}
    return replace(text, layers=1, towers=towers, normalised=text.normalised and other.normalised)


def _classifier_tower(text: LoadedCheckpoint, image: Checkpoint, options: ExportOptions) -> ImageTower:
    check_no_frame_pooling(image.folder)
    classifier = _classifier(image)
    config = classifier.config
    names = class_names(config.id2label, image.source)
    prompt = text.prompts.get("document", "")
    vectors = normalise(_vectors(text.main_tower, [prompt + TEMPLATE.format(name) for name in names]))
    heads, hidden = attention_shape(config)
    model = ImageModel(
        module=Conse(classifier, vectors),
        processor=read_processor(image.folder),
        preprocessing=read_preprocessing(image.folder),
        pooling="conse",
        normalised=True,
        frames=options.overrides.frames,
        patch=patch_edge(config),
        heads=heads,
        hidden=hidden,
    )
    return ImageTower(model)


def class_names(labels: Mapping[int, str], source: str) -> list[str]:
    """The names of the classes, in their order, synonyms and all. Raises CheckpointUnsupported."""
    names = [str(labels[at]).strip() for at in range(len(labels))]
    nameless = [name for name in names if not name or _PLACEHOLDER.fullmatch(name)]
    if nameless:
        raise CheckpointUnsupported(
            f"{len(nameless)} of the classes of {source} have no name, from which their vectors are made",
            value=nameless[0] or "an empty name",
            next_step="Give its config.json an id2label that names them.",
        )
    return names


def _vectors(tower: TowerModel, texts: Sequence[str]) -> Vectors:
    """What a text tower gives, (n, dim) float32, from batches of texts of similar length where possible."""
    if tower.ready:
        return np.stack(list(tower.reference(texts, tower.spec.max_tokens)))
    with TemporaryDirectory() as folder, torch.no_grad():
        tower.save(Path(folder))
        rows = tower.rows(Path(folder), texts, tower.spec.max_tokens)
        module = tower.module()
        order = np.argsort([len(next(iter(row.values()))) for row in rows], kind="stable")
        batches = []
        for start in range(0, len(order), _BATCH):
            arrays = pad_rows([rows[at] for at in order[start : start + _BATCH]])
            arguments = [torch.from_numpy(arrays[name]) for name in tower.example]
            batches.append(module(*arguments)[-1].numpy())
    vectors: Vectors = np.concatenate(batches)[np.argsort(order)]
    return vectors


def _classifier(image: Checkpoint) -> Any:
    from transformers import AutoModelForImageClassification  # noqa: PLC0415 - slow

    if image.architecture != "vision":
        raise CheckpointUnsupported(
            "an image tower needs an image checkpoint, and this is not one",
            value=image.source,
            next_step="Give --image-checkpoint a classifier of images (ViTForImageClassification), or an "
            "encoder of texts and images (CLIP) that the text encoder was trained towards.",
        )
    model, missing = read_model(AutoModelForImageClassification, image.folder)
    check_complete(missing)
    return model


def _check_text(text: LoadedCheckpoint) -> None:
    if text.kind != "dense" or set(text.towers) != {"text"}:
        raise CheckpointUnsupported(
            "an image tower needs an encoder of texts that gives one vector each",
            value=f"{text.kind}, {' and '.join(text.towers)}",
            next_step="Omit --image-checkpoint, or give another CHECKPOINT.",
        )
