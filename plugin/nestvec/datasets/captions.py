"""Captioned images to train on, from the rows of a file, and how their images are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from nestvec.datasets.training_texts import iter_rows
from nestvec.images.decode import decode
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ImageUnreadable, TrainingDataUnusable, nearest

_IMAGE_COLUMNS: Final = ("image", "picture", "file_name", "path")
_CAPTION_COLUMNS: Final = ("caption", "captions", "text", "tags")
_LIMITS: Final = ImageLimits()


@dataclass(frozen=True)
class CaptionedImages:
    """Images with captions."""

    images: tuple[Path, ...]
    """Absolute paths."""

    captions: tuple[tuple[str, ...], ...]
    """The captions of each image, those of the first column first."""

    places: tuple[str, ...] = ()
    """Where the file has each image, such as ``line 3``."""


def read_captions(
    path: Path, columns: tuple[str, ...] | None, only: tuple[str, str] | None
) -> CaptionedImages:
    """Read a JSONL, CSV or Parquet file of captions and the paths of images, relative to its folder.

    ``columns`` are the image's and those of captions, which may hold lists; None selects the usual names.
    ``only`` is a column and the value of the rows to read. Empty cells have no caption. Raises
    FileUnreadable, and TrainingDataUnusable for a column that is missing or not text, and without rows.
    """
    selected: tuple[str, ...] = ()
    images: list[Path] = []
    captions: list[tuple[str, ...]] = []
    places: list[str] = []
    values: dict[str, None] = {}
    for place, row in iter_rows(path):
        selected = selected or _select_columns(row, columns, only, path.name)
        if only is not None:
            values[str(row.get(only[0]))] = None
            if str(row.get(only[0])) != only[1]:
                continue
        where = f"{path.name}, {place}"
        name = row.get(selected[0])
        if not isinstance(name, str) or not name:
            raise TrainingDataUnusable(
                f"{where}: {selected[0]} is not the path of an image",
                value=name,
                next_step="Write its path, absolute or relative to the file's folder.",
            )
        images.append((path.parent / name).absolute())
        places.append(place)
        captions.append(tuple(text for column in selected[1:] for text in _texts(row, column, where)))
    if only is not None and not images:
        raise TrainingDataUnusable(
            f"no row of {path.name} has this value in {only[0]}",
            value=only[1],
            next_step=f"Available: {', '.join(list(values)[:8]) or 'no rows'}.{nearest(only[1], values)}",
        )
    return CaptionedImages(tuple(images), tuple(captions), tuple(places))


def open_image(path: Path) -> Image.Image:
    """The image in a file, upright, RGB or RGBA, within the default limits of the service.

    Raises ImageUnreadable.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "there is no such file")
        with path.open("rb") as file:
            data = file.read(_LIMITS.max_bytes + 1)
    except OSError as error:
        raise ImageUnreadable(
            f"the image cannot be read: {error.strerror or error}",
            value=str(path),
            next_step="Correct its path, or remove the row.",
        ) from error
    if len(data) > _LIMITS.max_bytes:
        raise ImageUnreadable(
            f"the image has more than {_LIMITS.max_bytes} bytes",
            value=str(path),
            next_step="Store a smaller one.",
        )
    return decode(data, max_pixels=_LIMITS.max_pixels, shown=str(path))


def _select_columns(
    row: Mapping[str, object], columns: tuple[str, ...] | None, only: tuple[str, str] | None, name: str
) -> tuple[str, ...]:
    """The image's column and those of captions, by the first row. Raises TrainingDataUnusable."""
    for column in (*(columns or ()), *([only[0]] if only else [])):
        if column not in row:
            raise TrainingDataUnusable(
                f"{name} has no column of this name",
                value=column,
                next_step=f"Available: {', '.join(row) or 'none'}.{nearest(column, row)}",
            )
    if columns is not None and len(columns) > 1:
        return columns
    image_column = next((candidate for candidate in _IMAGE_COLUMNS if candidate in row), None)
    caption_columns = tuple(
        candidate for candidate in _CAPTION_COLUMNS if candidate in row and candidate != (only or ("",))[0]
    )
    if columns is not None or image_column is None or not caption_columns:
        raise TrainingDataUnusable(
            f"cannot determine which columns of {name} hold images and captions",
            value=", ".join(row) or "no columns",
            next_step="Name the image's column and those of captions with --columns: image,caption,tags.",
        )
    return (image_column, *caption_columns)


def _texts(row: Mapping[str, object], column: str, where: str) -> list[str]:
    """A cell's captions: none if it is empty, several if it is a list. Raises TrainingDataUnusable."""
    cell = row.get(column)
    items = cell if isinstance(cell, list | tuple) else [cell]
    for item in items:
        if item is not None and not isinstance(item, str):
            raise TrainingDataUnusable(
                f"{where}: {column} is neither a text nor a list of texts",
                value=item,
                next_step="Name columns of texts with --columns, after the image's.",
            )
    return [item for item in items if isinstance(item, str) and item.strip()]
