"""What is wrong with a spec, and the rules of names that several checks share."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)

NAME_RULE = "Use at most 255 letters, digits and _, starting with a letter or _."

TEXT_TYPES = ("VARCHAR", "TEXT")
"""Types of the fields that are embedded, split into words, and composed."""

RESERVED_NAMES = {"_seq", "_partition", "rowid", "timestamp", "iso", "interval", "$meta"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    where: str
    """The place in the spec, such as ``embeddings[0].dims``."""

    cause: str
    """A clause whose subject is the place."""

    value: object
    next_step: str
