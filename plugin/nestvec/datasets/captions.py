"""Rows of a file as pictures with captions to train on, and how a picture is read within limits."""

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
    """``pictures`` as absolute paths, and the captions of each, those of the first column first."""

    images: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]


def read_captions(
    path: Path, columns: tuple[str, ...] | None, only: tuple[str, str] | None
) -> CaptionedImages:
    """Read a JSONL, CSV or Parquet file of pictures' paths, relative to its folder, and captions.

    ``columns`` are the picture's and those of captions, which may hold lists; the usual ones where it is
    None. ``only`` is a column and the value of the rows that are wanted. Empty cells have no caption.
    Raises FileUnreadable, and TrainingDataUnusable where a column is missing or no text, or no row is wanted.
    """
    selected: tuple[str, ...] = ()
    images: list[Path] = []
    captions: list[tuple[str, ...]] = []
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
                f"{where}: {selected[0]} is no path of a picture",
                value=name,
                next_step="Write its path, from the file's folder or from /.",
            )
        images.append((path.parent / name).absolute())
        captions.append(tuple(text for column in selected[1:] for text in _texts(row, column, where)))
    if only is not None and not images:
        raise TrainingDataUnusable(
            f"no row of {path.name} has this value in {only[0]}",
            value=only[1],
            next_step=f"There: {', '.join(list(values)[:8]) or 'no rows'}.{nearest(only[1], values)}",
        )
    return CaptionedImages(tuple(images), tuple(captions))


def open_image(path: Path) -> Image.Image:
    """A file's picture, upright, RGB or RGBA, within the limits that a service has unless told otherwise.

    Raises ImageUnreadable.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "there is no such file")
        with path.open("rb") as file:
            data = file.read(_LIMITS.max_bytes + 1)
    except OSError as error:
        raise ImageUnreadable(
            f"the picture cannot be read: {error.strerror or error}",
            value=str(path),
            next_step="Correct its path, or take the row out.",
        ) from error
    if len(data) > _LIMITS.max_bytes:
        raise ImageUnreadable(
            f"the picture has more than {_LIMITS.max_bytes} bytes",
            value=str(path),
            next_step="Store a smaller one.",
        )
    return decode(data, max_pixels=_LIMITS.max_pixels, shown=str(path))


def _select_columns(
    row: Mapping[str, object], columns: tuple[str, ...] | None, only: tuple[str, str] | None, name: str
) -> tuple[str, ...]:
    """The picture's column and those of captions, told from the first row. Raises TrainingDataUnusable."""
    for column in (*(columns or ()), *([only[0]] if only else [])):
        if column not in row:
            raise TrainingDataUnusable(
                f"{name} has no column of this name",
                value=column,
                next_step=f"There: {', '.join(row) or 'none'}.{nearest(column, row)}",
            )
    if columns is not None and len(columns) > 1:
        return columns
    image_column = next((candidate for candidate in _IMAGE_COLUMNS if candidate in row), None)
    caption_columns = tuple(
        candidate for candidate in _CAPTION_COLUMNS if candidate in row and candidate != (only or ("",))[0]
    )
    if columns is not None or image_column is None or not caption_columns:
        raise TrainingDataUnusable(
            f"it cannot be told which columns of {name} hold pictures and captions",
            value=", ".join(row) or "no columns",
            next_step="Name the picture's and one or more of captions with --columns, as image,caption,tags.",
        )
    return (image_column, *caption_columns)


def _texts(row: Mapping[str, object], column: str, where: str) -> list[str]:
    """A cell's captions: none of an empty one, several of a list. Raises TrainingDataUnusable."""
    cell = row.get(column)
    items = cell if isinstance(cell, list | tuple) else [cell]
    for item in items:
        if item is not None and not isinstance(item, str):
            raise TrainingDataUnusable(
                f"{where}: {column} is neither a text nor a list of texts",
                value=item,
                next_step="Name columns of texts with --columns, the picture's first.",
            )
    return [item for item in items if isinstance(item, str) and item.strip()]
