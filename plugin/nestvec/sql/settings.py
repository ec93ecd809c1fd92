"""What SET changes, for one connection: each setting's name, how it is read, what it is for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from nestvec.ingest.seeing import OnError

DEFAULT_SERVICE: Final = "http://127.0.0.1:8080"
"""Where ``nestvec serve`` answers unless it is told otherwise."""

_WIDEST: Final = 65_536
"""Of nprobe, in Milvus; no more candidates are of use either."""

LEVELS: Final = ("Strong", "Bounded", "Session", "Eventually")
"""Milvus's consistency levels, by its own names for them."""


@dataclass(frozen=True)
class Settings:
    """``service`` is where EMBED finds encoders (None: the default of the command line); ``models`` a
    repository that nestvec may serve itself where nothing answers there, None for never. ``consistency``
    is Milvus's level of reads, empty for the collection's own; ``partitions`` are those that reads look in,
    empty for all.

    ``recall`` is the share of the exact answer that an adaptive search has to find, 0 to 1; ``shortlist``
    overrides what the planner would choose for it: ``dim:size``, or ``off``, or empty. ``ef_search`` and
    ``probes`` are how widely an HNSW and an IVF index look, 0 for Milvus's own choice. ``on_error`` is what
    becomes of a row whose picture cannot be had: it is refused by its key (COPY leaves it out), or the
    service's own setting counts.
    """

    service: str | None = None
    models: Path | None = None
    consistency: str = ""
    partitions: tuple[str, ...] = ()
    recall: float = 0.99
    shortlist: str = ""
    ef_search: int = 0
    probes: int = 0
    on_error: OnError = "reject"


@dataclass(frozen=True)
class Setting:
    """One that SET changes: ``read`` makes a value of a text; its ValueError says what is taken instead."""

    field: str
    read: Callable[[str], Any]
    description: str


def _recall(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError("Give a share from 0 to 1, 0.99 for instance.")
    return share


def _shortlist(text: str) -> str:
    given = text.lower()
    if given not in ("", "off") and not re.fullmatch(r"[1-9]\d{0,5}:[1-9]\d{0,4}", given):
        raise ValueError("Give dim:size ('64:100'), or off, or DEFAULT.")
    return given


def _service(text: str) -> str | None:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc):
        raise ValueError("Give an address, 'http://127.0.0.1:8080' for instance.")
    return text.rstrip("/") or None


def _models(text: str) -> Path | None:
    return Path(text) if text else None


def _consistency(text: str) -> str:
    found = next((level for level in LEVELS if level.lower() == text.lower()), None)
    if text and found is None:
        raise ValueError(f"Give one of {', '.join(LEVELS).lower()}.")
    return found or ""


def _partitions(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    if not all(names):
        raise ValueError("Give names with commas between them: 'first,second'.")
    return names


def _on_error(text: str) -> str:
    found = text.lower() or "reject"
    if found not in get_args(OnError):
        raise ValueError(f"Give one of {', '.join(get_args(OnError))}.")
    return found


def _width(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > _WIDEST:
        raise ValueError(f"Give a whole number from 1 to {_WIDEST:,}, or DEFAULT.")
    return int(text)


SETTINGS: Final = {
    "nestvec.recall": Setting(
        "recall", _recall, "Share of the exact answer that a search must find, 0 to 1."
    ),
    "nestvec.shortlist": Setting(
        "shortlist", _shortlist, "Shortlist of a search: dim:size, off, or empty (planned)."
    ),
    "nestvec.service": Setting("service", _service, "Address of the service that EMBED asks."),
    "nestvec.models": Setting("models", _models, "Encoders to serve here where no service answers."),
    "nestvec.consistency": Setting(
        "consistency",
        _consistency,
        "Of reads: strong, bounded, session, eventually, or empty.",
    ),
    "nestvec.partitions": Setting(
        "partitions", _partitions, "Partitions that reads look in: a,b; empty for all."
    ),
    "nestvec.on_error": Setting(
        "on_error", _on_error, "A row whose picture cannot be had: reject, or as the service does: service."
    ),
    # By pgvector's names for them.
    "hnsw.ef_search": Setting("ef_search", _width, "Candidates of a search by HNSW; 0 for Milvus's choice."),
    "ivfflat.probes": Setting("probes", _width, "Lists that a search by IVF reads; 0 for Milvus's choice."),
}


def changed(settings: Settings, name: str, text: str) -> Settings:
    """The settings with one set to what a text says. Raises ValueError that says what is taken instead."""
    row = SETTINGS[name]
    return replace(settings, **{row.field: row.read(text)})


def restored(settings: Settings, to: Settings, name: str) -> Settings:
    """The settings with one as it is in ``to``."""
    field = SETTINGS[name].field
    return replace(settings, **{field: getattr(to, field)})


def shown(settings: Settings, name: str) -> str:
    """The value of one as SET would take it."""
    value = getattr(settings, SETTINGS[name].field)
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
