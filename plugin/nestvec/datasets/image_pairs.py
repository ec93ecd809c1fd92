"""Captioned images, ``pairs.jsonl``: searched by text and by image, in each language of the captions.

A line is {"_id": …, "image": a path inside the folder, "caption": …}, optionally with ``captions`` by
language and ``split``. If lines have a split, those of ``test`` are used.

A caption that several images share is one query from text to image, and each of those images is relevant.
From image to text it is one document, relevant for each of them. So no image counts as wrong because it
shares a caption, and R@k is the share of queries with a relevant result among the first k. Another language
has the same images; those without a caption in it are never relevant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from nestvec.datasets.beir import (
    PAIRS,
    Dataset,
    JudgedQueries,
    digest_of,
    duplicate_id,
    malformed_record,
    read_lines,
    read_record,
)
from nestvec.datasets.qrels import Qrels
from nestvec_schemas.errors import DatasetUnusable, nearest

ALL_LANGUAGES: Final = "all"
"""Stands for every language that has captions."""

_TEST = "test"
_RECORD_FORMAT = (
    '{"_id": "…", "image": "images/….png", "caption": "…"}; captions (by language) and split are optional.'
)


@dataclass(frozen=True)
class _CaptionedImage:
    name: str
    address: str
    digest: str
    captions: Mapping[str | None, str]


def open_pairs(folder: Path, languages: Sequence[str] = ()) -> list[Dataset]:
    """Both directions of a set in its own language, and in each of ``languages`` or, for ALL_LANGUAGES, in
    all.

    Raises DatasetUnusable for a malformed line, a missing image, or a set without captions.
    """
    pairs = _read(folder / PAIRS)
    datasets: list[Dataset] = []
    for language in _select_languages(folder, pairs, languages):
        name = folder.resolve().name + (f" {language}" if language else "")
        datasets += _directions(name, pairs, language)
    return datasets


def _read(path: Path) -> list[_CaptionedImage]:
    pairs: dict[str, _CaptionedImage] = {}
    splits: dict[str, object] = {}
    for line, raw in read_lines(path):
        name, fields = read_record(path, line, raw, _RECORD_FORMAT)
        if name in splits:
            raise duplicate_id(path, line, name)
        splits[name] = fields.get("split")
        if splits[name] in (None, _TEST):
            pairs[name] = _pair(path, line, raw, name, fields)
    if any(splits.values()):
        pairs = {name: image for name, image in pairs.items() if splits[name] == _TEST}
        if not pairs:
            raise DatasetUnusable(
                f"{path} has splits, but no line in the split {_TEST}",
                value=", ".join(sorted({str(image) for image in splits.values() if image})),
                next_step=f'Give some lines "split": "{_TEST}", or remove the splits.',
            )
    if not any(image.captions for image in pairs.values()):
        raise DatasetUnusable(
            f"{path} has no captions", value=f"{len(splits)} lines", next_step=f"Write {_RECORD_FORMAT}"
        )
    return list(pairs.values())


def _pair(path: Path, line: int, raw: bytes, name: str, fields: Mapping[str, Any]) -> _CaptionedImage:
    image, caption, more = fields.get("image"), fields.get("caption"), fields.get("captions") or {}
    if not isinstance(image, str) or not image:
        raise malformed_record(path, line, "it has no image", raw, _RECORD_FORMAT)
    texts: dict[str | None, Any] = {None: caption, **more} if isinstance(more, dict) else {None: ...}
    if not all(caption_text is None or isinstance(caption_text, str) for caption_text in texts.values()):
        raise malformed_record(path, line, "its captions are not strings", raw, _RECORD_FORMAT)
    place = path.parent / image
    try:
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetUnusable(
            f"line {line} of {path} names an image that cannot be read",
            value=f"{image} ({error.strerror or error})",
            next_step=f"Correct its path, which is relative to {path.parent}, or remove the line.",
        ) from error
    captions = {language: text.strip() for language, text in texts.items() if text and text.strip()}
    return _CaptionedImage(name, place.resolve().as_uri(), digest, captions)


def _select_languages(
    folder: Path, pairs: Iterable[_CaptionedImage], requested: Sequence[str]
) -> list[str | None]:
    """The set's own language, if it has captions, and those in ``requested``."""
    available = dict.fromkeys(language for name in pairs for language in name.captions)
    named = [name for name in available if name is not None]
    for language in requested:
        if language not in (*named, ALL_LANGUAGES):
            raise DatasetUnusable(
                f"{folder / PAIRS} has no captions in this language",
                value=language,
                next_step=f"Available: {', '.join(named) or 'its own only'}.{nearest(language, named)}",
            )
    others = named if ALL_LANGUAGES in requested else [name for name in named if name in requested]
    return [*([None] if None in available else []), *others] or [*named[:1]]


def _directions(name: str, pairs: Sequence[_CaptionedImage], language: str | None) -> tuple[Dataset, Dataset]:
    captions = list(dict.fromkeys(pair.captions[language] for pair in pairs if language in pair.captions))
    places = {caption: at for at, caption in enumerate(captions)}
    relevant_images: dict[str, dict[str, int]] = {str(at): {} for at in places.values()}
    relevant_captions: dict[str, dict[str, int]] = {}
    for number, pair in enumerate(pairs):
        if language in pair.captions:
            place = str(places[pair.captions[language]])
            relevant_images[place][str(number)] = 1
            relevant_captions[pair.name] = {place: 1}
    captioned = [pair for pair in pairs if pair.name in relevant_captions]
    images = [pair.address for pair in pairs]
    by_text = Dataset(
        name=f"{name}, text→image",
        queries=_without_own_documents(tuple(relevant_images), tuple(captions), relevant_images),
        document_count=len(pairs),
        read_corpus=partial(iter, images),
        digests={"query": digest_of(captions), "document": _images_digest(pairs)},
        towers={"query": "text", "document": "image"},
        language=language,
    )
    addresses = tuple(pair.address for pair in captioned)
    by_image = Dataset(
        name=f"{name}, image→text",
        queries=_without_own_documents(
            tuple(relevant_captions), addresses, relevant_captions, unjudged=len(pairs) - len(captioned)
        ),
        document_count=len(captions),
        read_corpus=partial(iter, captions),
        digests={"query": _images_digest(captioned), "document": digest_of(captions)},
        towers={"query": "image", "document": "text"},
        language=language,
    )
    return by_text, by_image


def _without_own_documents(
    ids: tuple[str, ...], inputs: tuple[str, ...], qrels: Qrels, unjudged: int = 0
) -> JudgedQueries:
    return JudgedQueries(ids, inputs, qrels, np.full(len(ids), -1, np.int64), unjudged)


def _images_digest(pairs: Iterable[_CaptionedImage]) -> str:
    """SHA-256 of the image files in this order."""
    return digest_of([pair.digest for pair in pairs])
