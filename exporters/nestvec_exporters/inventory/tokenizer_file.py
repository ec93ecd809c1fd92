"""What a ``tokenizer.json`` says besides its vocabulary, which makes the file tens of megabytes large."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

_HEAD_BYTES: Final = 1 << 16
"""The truncation is written before the vocabulary."""

_MAX_BYTES: Final = 256 << 20
_DIRECTION: Final = re.compile(rb'"truncation"\s*:\s*\{[^{}]*"direction"\s*:\s*"(\w+)"')


def truncation_direction(path: Path) -> str | None:
    """The side on which it cuts long texts, in lower case; None if it does not say, or is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        match = _DIRECTION.search(file.read(_HEAD_BYTES))
    return None if match is None else match.group(1).decode("ascii", "replace").lower()


def lowers_case(path: Path) -> bool:
    """Whether its normaliser puts texts into lower case."""
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False  # the tokenizer cannot be read either, which is refused where it is
    return isinstance(content, dict) and _lowers(content.get("normalizer"))


def _lowers(normalizer: Any) -> bool:
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        return any(_lowers(part) for part in normalizer.get("normalizers") or ())
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))
