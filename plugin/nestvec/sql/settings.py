"""What SET changes, for one connection: each setting's name, how it is read, what it is for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from nestvec.ingest.image_check import OnError

DEFAULT_SERVICE: Final = "http://127.0.0.1:8080"
"""Where ``nestvec serve`` answers unless it is told otherwise."""

_MAX_WIDTH: Final = 65_536
"""Of nprobe, in Milvus; no more candidates are of use either."""

CONSISTENCY_LEVELS: Final = ("Strong", "Bounded", "Session", "Eventually")
"""Milvus's consistency levels, by its own names for them."""


@dataclass(frozen=True)
class SessionSettings:
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
class SettingSpec:
    """One that SET changes: ``read`` makes a value of a text; its ValueError says what is taken instead."""

    field: str
    parse: Callable[[str], Any]
    description: str


def _parse_recall(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError("Give a share from 0 to 1, 0.99 for instance.")
    return share


def _parse_shortlist(text: str) -> str:
    shortlist = text.lower()
    if shortlist not in ("", "off") and not re.fullmatch(r"[1-9]\d{0,5}:[1-9]\d{0,4}", shortlist):
        raise ValueError("Give dim:size ('64:100'), or off, or DEFAULT.")
    return shortlist


def _parse_service(text: str) -> str | None:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc):
        raise ValueError("Give an address, 'http://127.0.0.1:8080' for instance.")
    return text.rstrip("/") or None


def _parse_models(text: str) -> Path | None:
    return Path(text) if text else None


def _parse_consistency(text: str) -> str:
    level_name = next((level for level in CONSISTENCY_LEVELS if level.lower() == text.lower()), None)
    if text and level_name is None:
        raise ValueError(f"Give one of {', '.join(CONSISTENCY_LEVELS).lower()}.")
    return level_name or ""


def _parse_partitions(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    if not all(names):
        raise ValueError("Give names with commas between them: 'first,second'.")
    return names


def _parse_on_error(text: str) -> str:
    policy = text.lower() or "reject"
    if policy not in get_args(OnError):
        raise ValueError(f"Give one of {', '.join(get_args(OnError))}.")
    return policy


def _parse_width(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > _MAX_WIDTH:
        raise ValueError(f"Give a whole number from 1 to {_MAX_WIDTH:,}, or DEFAULT.")
    return int(text)


SETTINGS: Final = {
    "nestvec.recall": SettingSpec(
        "recall", _parse_recall, "Share of the exact answer that a search must find, 0 to 1."
    ),
    "nestvec.shortlist": SettingSpec(
        "shortlist", _parse_shortlist, "Shortlist of a search: dim:size, off, or empty (planned)."
    ),
    "nestvec.service": SettingSpec("service", _parse_service, "Address of the service that EMBED asks."),
    "nestvec.models": SettingSpec(
        "models", _parse_models, "Encoders to serve here where no service answers."
    ),
    "nestvec.consistency": SettingSpec(
        "consistency",
        _parse_consistency,
        "Of reads: strong, bounded, session, eventually, or empty.",
    ),
    "nestvec.partitions": SettingSpec(
        "partitions", _parse_partitions, "Partitions that reads look in: a,b; empty for all."
    ),
    "nestvec.on_error": SettingSpec(
        "on_error",
        _parse_on_error,
        "A row whose picture cannot be had: reject, or as the service does: service.",
    ),
    # By pgvector's names for them.
    "hnsw.ef_search": SettingSpec(
        "ef_search", _parse_width, "Candidates of a search by HNSW; 0 for Milvus's choice."
    ),
    "ivfflat.probes": SettingSpec(
        "probes", _parse_width, "Lists that a search by IVF reads; 0 for Milvus's choice."
    ),
}


def with_setting(settings: SessionSettings, name: str, text: str) -> SessionSettings:
    """The settings with one set to what a text says. Raises ValueError that says what is taken instead."""
    spec = SETTINGS[name]
    return replace(settings, **{spec.field: spec.parse(text)})


def with_default(settings: SessionSettings, defaults: SessionSettings, name: str) -> SessionSettings:
    """The settings with one as it is in ``to``."""
    field = SETTINGS[name].field
    return replace(settings, **{field: getattr(defaults, field)})


def format_setting(settings: SessionSettings, name: str) -> str:
    """The value of one as SET would take it."""
    value = getattr(settings, SETTINGS[name].field)
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
