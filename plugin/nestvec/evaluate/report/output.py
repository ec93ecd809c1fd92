"""Result files, written completely or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from nestvec.evaluate.rows import ResultRow
from nestvec_schemas.errors import DatasetUnusable


def check_writable(path: Path | str | None) -> None:
    """Raise DatasetUnusable, before any work, if a file cannot be written at ``path``."""
    if path is None:
        return
    folder = Path(path).absolute().parent
    if Path(path).is_dir() or not os.access(folder, os.W_OK):
        raise DatasetUnusable(
            "the result cannot be written here",
            value=str(path),
            next_step="Name a file in an existing folder that you may write to.",
        )


def write_rows(rows: Sequence[ResultRow], target: str) -> None:
    """The rows as a JSON list; ``-`` is standard output."""
    text = orjson.dumps(list(rows), option=orjson.OPT_INDENT_2).decode() + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(target), text)


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file and rename it to ``path``. Raises DatasetUnusable."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DatasetUnusable(
            "the result cannot be written",
            value=f"{path} ({error.strerror or error})",
            next_step="Name a file on a disk with enough space.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
