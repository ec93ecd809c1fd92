"""Pictures with captions, ``pairs.jsonl``: searched by text and by picture, in each language of the captions.

A line is {"_id": …, "image": a path inside the folder, "caption": …}, with ``captions`` by language and
``split`` where it has them; where lines have a split, those of ``test`` are measured on.

Text to picture, a caption that several pictures share is asked once, and each of those pictures is right.
Picture to text, it stands once among the captions that are searched, and is right for each of them. So no
picture is wrong for having another's caption, and R@k is the share of queries with a right one among the
first k. In another language the pictures are the same, and those without a caption are never right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from nestvec.evaluate.dataset import PAIRS, Dataset, digest_of, duplicate, read_lines, read_record, wrong
from nestvec_schemas.errors import DatasetUnusable, nearest

ALL: Final = "all"
"""Every language that captions are there in, as a language that is asked for."""

_TEST = "test"
_FORM = (
    '{"_id": "…", "image": "images/….png", "caption": "…"}; captions (by language) and split may be added.'
)


@dataclass(frozen=True)
class _Pair:
    name: str
    address: str
    digest: str
    captions: Mapping[str | None, str]


def open_pairs(folder: Path, languages: Sequence[str] = ()) -> list[Dataset]:
    """Both directions of a set in its own language, and in each of ``languages`` or ALL that there are.

    Raises DatasetUnusable for a line that is none, a picture that is not there, and no captions at all.
    """
    pairs = _read(folder / PAIRS)
    found: list[Dataset] = []
    for language in _chosen(folder, pairs, languages):
        name = folder.resolve().name + (f" {language}" if language else "")
        found += _directions(name, pairs, language)
    return found


def _read(path: Path) -> list[_Pair]:
    pairs: dict[str, _Pair] = {}
    splits: dict[str, object] = {}
    for line, raw in read_lines(path):
        name, fields = read_record(path, line, raw, _FORM)
        if name in splits:
            raise duplicate(path, line, name)
        splits[name] = fields.get("split")
        if splits[name] in (None, _TEST):
            pairs[name] = _pair(path, line, raw, name, fields)
    if any(splits.values()):
        pairs = {name: one for name, one in pairs.items() if splits[name] == _TEST}
        if not pairs:
            raise DatasetUnusable(
                f"{path} has splits, and none of its lines is of the split {_TEST}",
                value=", ".join(sorted({str(one) for one in splits.values() if one})),
                next_step=f'Give some lines "split": "{_TEST}", or none of them a split.',
            )
    if not any(one.captions for one in pairs.values()):
        raise DatasetUnusable(
            f"{path} has no caption", value=f"{len(splits)} lines", next_step=f"Write {_FORM}"
        )
    return list(pairs.values())


def _pair(path: Path, line: int, raw: bytes, name: str, fields: Mapping[str, Any]) -> _Pair:
    image, caption, more = fields.get("image"), fields.get("caption"), fields.get("captions") or {}
    if not isinstance(image, str) or not image:
        raise wrong(path, line, "it has no image", raw, _FORM)
    texts: dict[str | None, Any] = {None: caption, **more} if isinstance(more, dict) else {None: ...}
    if not all(one is None or isinstance(one, str) for one in texts.values()):
        raise wrong(path, line, "its captions are not strings", raw, _FORM)
    place = path.parent / image
    try:
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetUnusable(
            f"line {line} of {path} names a picture that cannot be read",
            value=f"{image} ({error.strerror or error})",
            next_step=f"Correct its path, which begins in {path.parent}, or take the line out.",
        ) from error
    captions = {language: text.strip() for language, text in texts.items() if text and text.strip()}
    return _Pair(name, place.resolve().as_uri(), digest, captions)


def _chosen(folder: Path, pairs: Iterable[_Pair], asked: Sequence[str]) -> list[str | None]:
    """The set's own language, where it has captions, and those that are asked for."""
    there = dict.fromkeys(language for one in pairs for language in one.captions)
    named = [one for one in there if one is not None]
    for language in asked:
        if language not in (*named, ALL):
            raise DatasetUnusable(
                f"{folder / PAIRS} has no captions in this language",
                value=language,
                next_step=f"There: {', '.join(named) or 'none but its own'}.{nearest(language, named)}",
            )
    others = named if ALL in asked else [one for one in named if one in asked]
    return [*([None] if None in there else []), *others] or [*named[:1]]


def _directions(name: str, pairs: Sequence[_Pair], language: str | None) -> tuple[Dataset, Dataset]:
    captions = list(dict.fromkeys(one.captions[language] for one in pairs if language in one.captions))
    places = {caption: at for at, caption in enumerate(captions)}
    right: dict[str, dict[str, int]] = {str(at): {} for at in places.values()}
    back: dict[str, dict[str, int]] = {}
    for number, one in enumerate(pairs):
        if language in one.captions:
            place = str(places[one.captions[language]])
            right[place][str(number)] = 1
            back[one.name] = {place: 1}
    asked = [one for one in pairs if one.name in back]
    images = [one.address for one in pairs]
    by_text = Dataset(
        name=f"{name}, text→image",
        documents=len(pairs),
        digests={"query": digest_of(captions), "document": _contents(pairs)},
        ids=tuple(right),
        queries=tuple(captions),
        corpus=partial(iter, images),
        qrels=right,
        own=np.full(len(right), -1, np.int64),
        unjudged=0,
        towers={"query": "text", "document": "image"},
        language=language,
    )
    by_image = Dataset(
        name=f"{name}, image→text",
        documents=len(captions),
        digests={"query": _contents(asked), "document": digest_of(captions)},
        ids=tuple(back),
        queries=tuple(one.address for one in asked),
        corpus=partial(iter, captions),
        qrels=back,
        own=np.full(len(back), -1, np.int64),
        unjudged=len(pairs) - len(asked),
        towers={"query": "image", "document": "text"},
        language=language,
    )
    return by_text, by_image


def _contents(pairs: Iterable[_Pair]) -> str:
    """Of the pictures' files in order."""
    return digest_of([one.digest for one in pairs])
