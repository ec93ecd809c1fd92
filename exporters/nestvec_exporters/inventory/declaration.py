"""A declaration of a checkpoint, and what an export makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

Outcome = Literal["honoured", "irrelevant", "ignored", "refused"]

_MAX_VALUE = 60


@dataclass(frozen=True)
class Declaration:
    """A key of a file, or a file as a whole."""

    file: str
    """Path inside the checkpoint's folder."""

    key: str
    """A dotted path of names, or a weight's name; empty for the file as a whole."""

    value: Any

    outcome: Outcome
    """``honoured``, ``irrelevant`` by a rule, ``ignored`` on request, or ``refused``."""

    reason: str
    """What honours it, the rule that makes it irrelevant, or why it is refused."""

    @property
    def name(self) -> str:
        """As ``--ignore`` takes it."""
        return f"{self.file}:{self.key}" if self.key else self.file

    @property
    def shown_value(self) -> str:
        """The value as JSON, shortened."""
        if self.value is None and not self.key:
            return ""
        text = json.dumps(self.value, ensure_ascii=False, default=str)
        return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"


def matches(pattern: str, declaration: Declaration) -> bool:
    """Whether an ``--ignore`` names a declaration: ``FILE:KEY`` with ``*`` for any characters, or ``FILE``
    for all of the file."""
    return pattern == declaration.file or fnmatchcase(declaration.name, pattern)


def compact(declarations: Iterable[Declaration]) -> dict[str, dict[str, str]]:
    """What a manifest stores: by file and key, the outcome and its reason."""
    files: dict[str, dict[str, str]] = {}
    for declaration in declarations:
        text = f"{declaration.outcome}: {declaration.reason}"
        files.setdefault(declaration.file, {})[declaration.key] = text
    return files
