"""Fit a bridge from an encoder of texts to one of images, on images with captions, and fold it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from nestvec.bridge.build import check_served, check_served_name
from nestvec.bridge.vectors import PromptedText, embed_images, embed_texts
from nestvec.datasets.captions import CaptionedImages, open_image, read_captions
from nestvec_exporters.bridge.install import check_bridgeable, install_bridge, next_exit
from nestvec_exporters.bridge.joint import MIN_IMAGES, CaptionedVectors, fit_joint_space
from nestvec_exporters.progress import Listener
from nestvec_exporters.space_maps.mapping import BridgeMaps
from nestvec_schemas.bridges.bridge import Bridge, bridge_key, served_name
from nestvec_schemas.errors import ImageUnreadable, SampleUnusable
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import find_encoder, read_manifest

_CHECKED_TEXTS: Final = 32
_MAX_LISTED: Final = 5
_MAX_NAME: Final = 40
"""Characters of a file's name in a list."""


@dataclass(frozen=True)
class JointRequest:
    """Which bridge to fit, and on what."""

    models: Path
    image: str
    text: str

    pairs: Path
    """A file of captions and the paths of their images, as ``nestvec adapt --captions`` reads it."""

    columns: tuple[str, ...] | None = None
    """Its columns: the image's, then those of captions; the usual names if None."""

    size: int = 4000
    """The most images to fit on."""

    seed: int = 0


@dataclass(frozen=True)
class BuiltJoint:
    """A bridge as it was installed."""

    name: str
    """As it is served."""

    bridge: Bridge


def build_joint_space(request: JointRequest, listener: Listener | None = None) -> BuiltJoint:
    """Fit the map from the text encoder's space into the image encoder's; fold it into the former.

    Raises EncoderNotFound, NotOffered (encoders that have no such bridge), FileUnreadable,
    TrainingDataUnusable, SampleUnusable (too few images with captions), ImageUnreadable (all that cannot be
    read, with their places), SpecError, EngineError and CheckpointError.
    """
    listener = listener or Listener()
    folders = [find_encoder(request.models, name) for name in (request.image, request.text)]
    old, new = (read_manifest(folder) for folder in folders)
    name = bridge_key(old.name)
    check_bridgeable(old, folders[0], as_new=False, modality="image")
    check_bridgeable(new, folders[1], as_new=True)
    check_served_name(new, name, folders[1])
    captioned = _sample(read_captions(request.pairs, request.columns, None), request)
    texts = [PromptedText(text, "query") for captions in captioned.captions for text in captions]
    listener.stage("reading the images")
    _check_images(captioned, request.pairs.name, listener.step)
    listener.stage(f"embedding {len(captioned.images)} images by {old.name}")
    images = embed_images(folders[0], captioned.images, listener.step)
    listener.stage(f"embedding {len(texts)} captions by {new.name}")
    captions = embed_texts(folders[1], texts, on_step=listener.step)
    rows = np.repeat(np.arange(len(images)), [len(of_image) for of_image in captioned.captions])
    listener.stage("fitting the bridge")
    fit = fit_joint_space(CaptionedVectors(images, captions, rows), request.seed)
    bridge = Bridge(
        fingerprint=encoder_fingerprint(old),
        mapped_from=encoder_fingerprint(new),
        exit=next_exit(new, name),
        dim=old.dim,
        dims=old.dims,
        method=fit.method,
        sample=request.pairs.name,
        texts=len(images),
        compared=fit.compared,
        recall=fit.recall,
        held_out_images=fit.held_out,
    )
    listener.stage("comparing what a service gives with the fitted map")
    served = served_name(new.name, name)
    maps = BridgeMaps(fit.mapping)
    check = check_served(served, texts[:_CHECKED_TEXTS], maps)
    install_bridge(folders[1], name, bridge, maps, check)
    return BuiltJoint(served, bridge)


def _sample(captioned: CaptionedImages, request: JointRequest) -> CaptionedImages:
    """The images that have captions, or as many of them as are to be fitted on.

    An image of several rows is one with the captions of all: of two copies, one could be fitted on and the
    other measured on.
    """
    own: dict[Path, tuple[str, dict[str, None]]] = {}
    for path, texts, place in zip(captioned.images, captioned.captions, captioned.places, strict=True):
        if texts:
            own.setdefault(path, (place, {}))[1].update(dict.fromkeys(texts))
    if len(own) < MIN_IMAGES:
        raise SampleUnusable(
            f"{request.pairs.name} has too few images with captions to fit a bridge",
            value=f"{len(own)} images with captions",
            next_step=f"Give at least {MIN_IMAGES}; a few thousand are best.",
        )
    paths = list(own)
    if len(paths) > request.size:
        rows = np.random.default_rng(request.seed).permutation(len(paths))[: request.size]
        paths = [paths[row] for row in np.sort(rows)]
    return CaptionedImages(
        tuple(paths),
        tuple(tuple(own[path][1]) for path in paths),
        tuple(own[path][0] for path in paths),
    )


def _check_images(captioned: CaptionedImages, name: str, on_step: Callable[[int, int], None]) -> None:
    """Raise ImageUnreadable with the places of those that cannot be read."""
    unreadable: list[str] = []
    for number, (path, place) in enumerate(zip(captioned.images, captioned.places, strict=True), 1):
        try:
            open_image(path).close()
        except ImageUnreadable:
            unreadable.append(f"{place}, {path.name[-_MAX_NAME:]}")
        on_step(number, len(captioned.images))
    if unreadable:
        more = len(unreadable) - _MAX_LISTED
        listed = "; ".join(unreadable[:_MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")
        raise ImageUnreadable(
            f"{len(unreadable)} of {len(captioned.images)} images of {name} cannot be read",
            value=listed,
            next_step="Correct their paths, or remove these rows.",
        )
