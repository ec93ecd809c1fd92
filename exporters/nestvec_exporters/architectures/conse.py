"""A classifier of pictures in a text encoder's space, without training (ConSE: Norouzi et al. 2013).

A picture's vector is the sum over its likeliest classes of each one's probability times the text encoder's
vector of "a photo of a" and the class's name: texts and pictures can then be compared, all in one graph.
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

from nestvec_exporters.architectures.registry import load as load_checkpoint
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.recurrent_pooling import check_no_pooling
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.vision.image_tower import (
    ImageTower,
    attention_of,
    image_half,
    patch_of,
    read_preprocessing,
    read_processor,
)
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import stacked
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
        """A vector a picture."""
        chances = torch.softmax(self.classifier(pixel_values=values).logits, dim=1)
        most, classes = chances.topk(self.likeliest, dim=1)
        vectors: Tensor = (most.unsqueeze(2) * self.vectors[classes]).sum(dim=1)
        return vectors


def beside(text: Loaded, image: Checkpoint, options: ExportOptions) -> Loaded:
    """A text encoder with an image tower. It has no exits: a picture is of no layer.

    The tower is made of a classifier, or is that of an encoder of texts and pictures in whose space the text
    encoder was trained to be (Reimers & Gurevych 2020: a multilingual one beside CLIP's pictures).
    Raises CheckpointUnsupported where ``text`` is no encoder of texts alone, ``image`` neither of the two, or
    its classes have no names.
    """
    _check_text(text)
    if image.architecture == "dual":
        return _sharing(text, load_checkpoint(image, options))
    half = _of_classifier(text, image, options)
    return replace(text, layers=1, halves={**text.halves, "image": half})


def _sharing(text: Loaded, other: Loaded) -> Loaded:
    if other.dim != text.dim:
        raise CheckpointUnsupported(
            "the pictures' vectors are not of the texts' space",
            value=f"{other.dim} dims against {text.dim}",
            next_step="Give --image-checkpoint the encoder that the text encoder was trained towards.",
        )
    halves = {**text.halves, "image": other.halves["image"]}
    return replace(text, layers=1, halves=halves, normalised=text.normalised and other.normalised)


def _of_classifier(text: Loaded, image: Checkpoint, options: ExportOptions) -> Half:
    check_no_pooling(image.folder)
    classifier = _classifier(image)
    config = classifier.config
    names = class_names(config.id2label, image.source)
    prompt = text.prompts.get("document", "")
    vectors = normalise(_vectors(text.first, [prompt + TEMPLATE.format(name) for name in names]))
    heads, hidden = attention_of(config)
    tower = ImageTower(
        module=Conse(classifier, vectors),
        processor=read_processor(image.folder),
        how=read_preprocessing(image.folder),
        pooling="conse",
        unit=True,
        frames=options.overrides.frames,
        patch=patch_of(config),
        heads=heads,
        hidden=hidden,
    )
    return image_half(tower)


def class_names(labels: Mapping[int, str], source: str) -> list[str]:
    """The names of the classes, in their order, synonyms and all. Raises CheckpointUnsupported."""
    names = [str(labels[at]).strip() for at in range(len(labels))]
    nameless = [name for name in names if not name or _PLACEHOLDER.fullmatch(name)]
    if nameless:
        raise CheckpointUnsupported(
            f"{len(nameless)} of the classes of {source} have no name, which their vectors are made of",
            value=nameless[0] or "an empty name",
            next_step="Give its config.json an id2label that names them.",
        )
    return names


def _vectors(half: Half, texts: Sequence[str]) -> Vectors:
    """What a text tower gives, (n, dim) float32, from batches of texts of like length where it can."""
    if half.build is None:
        return np.stack(list(half.reference(texts, half.tower.max_tokens)))
    with TemporaryDirectory() as folder, torch.no_grad():
        half.save(Path(folder))
        rows = half.rows(Path(folder), texts, half.tower.max_tokens)
        module = half.module(())
        order = np.argsort([len(next(iter(row.values()))) for row in rows], kind="stable")
        found = []
        for start in range(0, len(order), _BATCH):
            arrays = stacked([rows[at] for at in order[start : start + _BATCH]])
            given = [torch.from_numpy(arrays[name]) for name in half.example]
            found.append(module(*given)[-1].numpy())
    vectors: Vectors = np.concatenate(found)[np.argsort(order)]
    return vectors


def _classifier(image: Checkpoint) -> Any:
    from transformers import AutoModelForImageClassification  # noqa: PLC0415 - slow

    if image.architecture != "vision":
        raise CheckpointUnsupported(
            "this is no checkpoint of pictures alone, and an image tower is made of one",
            value=image.source,
            next_step="Give --image-checkpoint a classifier of pictures (ViTForImageClassification), or an "
            "encoder of texts and pictures (CLIP) that the text encoder was trained towards.",
        )
    model, missing = read_model(AutoModelForImageClassification, image.folder)
    check_complete(missing)
    return model


def _check_text(text: Loaded) -> None:
    if text.kind != "dense" or set(text.halves) != {"text"}:
        raise CheckpointUnsupported(
            "an image tower stands beside an encoder of texts that gives one vector each",
            value=f"{text.kind}, {' and '.join(text.halves)}",
            next_step="Leave out --image-checkpoint, or give another CHECKPOINT.",
        )
