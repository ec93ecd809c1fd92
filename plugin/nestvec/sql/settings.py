"""The settings of a connection that SET changes: their names, how their values are parsed, what they do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from nestvec_schemas.on_error import OnError

DEFAULT_SERVICE: Final = "http://127.0.0.1:8080"
"""Where ``nestvec serve`` listens by default."""

_MAX_WIDTH: Final = 65_536
"""Milvus's limit of nprobe; more candidates are of no use either."""

CONSISTENCY_LEVELS: Final = ("Strong", "Bounded", "Session", "Eventually")
"""Milvus's names of its consistency levels."""


ITERATIVE_SCANS: Final = ("off", "strict_order", "relaxed_order")
"""pgvector's names of what follows a search that returns fewer rows than LIMIT."""


@dataclass(frozen=True)
class IndexSettings:
    """How searches by an index are made, by pgvector's names."""

    ef_search: int = 0
    """Candidates of a search with an HNSW index; 0 for as many as ``nestvec.recall`` needs."""
    probes: int = 0
    """Lists that a search with an IVF index reads; 0 for as many as ``nestvec.recall`` needs."""
    iterative_scan: str = "strict_order"
    """``strict_order``: fill LIMIT, and be exact where that is cheap. ``relaxed_order``: fill LIMIT by wider
    searches of the index only. ``off``: whatever one search of the index returns."""
    dual_reading: str = "off"
    """``on``: a search of a column whose encoder is being replaced is fused with one by its new vectors;
    ``auto``: if ANALYZE found that this finds more."""


ROLLBACKS: Final = ("error", "warn", "ignore")


@dataclass(frozen=True)
class SessionSettings:
    """The settings of one connection."""

    service: str | None = None
    """Address at which EMBED finds encoders; None for the default of ``nestvec serve``."""
    models: Path | None = None
    """A model repository that nestvec serves itself if no service answers; None for never."""
    consistency: str = ""
    """Milvus's consistency level of reads; empty for the level of the collection."""
    partitions: tuple[str, ...] = ()
    """Partitions that reads search; empty for all."""
    recall: float = 0.99
    """Share of the exact result, 0 to 1, that an approximate search has to find."""
    shortlist: str = ""
    """The shortlist, ``dim:size`` or ``off``; empty for the planner's choice."""
    index: IndexSettings = IndexSettings()
    """How searches by an index are made."""
    on_error: OnError = "reject"
    """What happens to a row whose image cannot be fetched."""
    rollback: str = "error"
    """What a rollback after changes does, which it cannot undo: ``error``, ``warn`` or ``ignore``."""
    retry_seconds: float = 600.0
    """How long a write waits for a service or a Milvus that does not respond, since its last success."""


@dataclass(frozen=True)
class SettingSpec:
    """How SET changes one setting."""

    field: str
    """The field of ``SessionSettings``, or ``index`` and a field of ``IndexSettings``, with a dot."""
    parse: Callable[[str], Any]
    """Converts a text to a value; its ValueError says which values are valid."""
    description: str


def _parse_recall(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError("Use a share from 0 to 1, such as 0.99.")
    return share


def _parse_shortlist(text: str) -> str:
    shortlist = text.lower()
    if shortlist not in ("", "off") and not re.fullmatch(r"[1-9]\d{0,5}:[1-9]\d{0,4}", shortlist):
        raise ValueError("Use dim:size ('64:100'), off or DEFAULT.")
    return shortlist


def _parse_service(text: str) -> str | None:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc):
        raise ValueError("Use an address, such as 'http://127.0.0.1:8080'.")
    return text.rstrip("/") or None


def _parse_models(text: str) -> Path | None:
    return Path(text) if text else None


def _parse_consistency(text: str) -> str:
    level_name = next((level for level in CONSISTENCY_LEVELS if level.lower() == text.lower()), None)
    if text and level_name is None:
        raise ValueError(f"Use one of {', '.join(CONSISTENCY_LEVELS).lower()}.")
    return level_name or ""


def _parse_partitions(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    if not all(names):
        raise ValueError("Separate names with commas: 'first,second'.")
    return names


def _parse_on_error(text: str) -> str:
    policy = text.lower() or "reject"
    if policy not in get_args(OnError):
        raise ValueError(f"Use one of {', '.join(get_args(OnError))}.")
    return policy


def _parse_rollback(text: str) -> str:
    policy = text.lower() or "error"
    if policy not in ROLLBACKS:
        raise ValueError(f"Use one of {', '.join(ROLLBACKS)}.")
    return policy


def _parse_seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text):
        raise ValueError("Use a number of seconds, such as 600; 0 does not wait.")
    return float(text)


def _parse_width(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > _MAX_WIDTH:
        raise ValueError(f"Use a whole number from 0 to {_MAX_WIDTH:,}, or DEFAULT.")
    return int(text)


def _parse_dual_reading(text: str) -> str:
    mode = text.lower() or "off"
    if mode not in ("on", "off", "auto"):
        raise ValueError("Use on, off or auto.")
    return mode


def _parse_iterative_scan(text: str) -> str:
    mode = text.lower() or IndexSettings.iterative_scan
    if mode not in ITERATIVE_SCANS:
        raise ValueError(f"Use one of {', '.join(ITERATIVE_SCANS)}.")
    return mode


SETTINGS: Final = {
    "nestvec.recall": SettingSpec(
        "recall", _parse_recall, "Share of the exact result that a search must find, 0 to 1."
    ),
    "nestvec.shortlist": SettingSpec(
        "shortlist", _parse_shortlist, "Shortlist of a search: dim:size, off, or empty (planner's choice)."
    ),
    "nestvec.service": SettingSpec("service", _parse_service, "Address of the service that EMBED calls."),
    "nestvec.models": SettingSpec(
        "models", _parse_models, "Model repository to serve if no service answers."
    ),
    "nestvec.consistency": SettingSpec(
        "consistency",
        _parse_consistency,
        "Consistency of reads: strong, bounded, session, eventually, or empty.",
    ),
    "nestvec.partitions": SettingSpec(
        "partitions", _parse_partitions, "Partitions that reads search: a,b; empty for all."
    ),
    "nestvec.on_error": SettingSpec(
        "on_error",
        _parse_on_error,
        "A row whose image cannot be fetched: reject, or zero, for a service with --on-error zero.",
    ),
    "nestvec.retry_seconds": SettingSpec(
        "retry_seconds",
        _parse_seconds,
        "Seconds that a write waits for a service or a Milvus that is busy, restarts or is gone.",
    ),
    "nestvec.rollback": SettingSpec(
        "rollback",
        _parse_rollback,
        "A rollback after changes, which it cannot undo: error, warn or ignore.",
    ),
    "nestvec.dual_reading": SettingSpec(
        "index.dual_reading",
        _parse_dual_reading,
        "During an upgrade, fuse searches of old and new vectors: on, off, or auto (as ANALYZE measured).",
    ),
    # pgvector's names.
    "hnsw.ef_search": SettingSpec(
        "index.ef_search", _parse_width, "Candidates of a search by HNSW; 0 for what nestvec.recall needs."
    ),
    "ivfflat.probes": SettingSpec(
        "index.probes", _parse_width, "Lists that a search by IVF reads; 0 for what nestvec.recall needs."
    ),
    "hnsw.iterative_scan": SettingSpec(
        "index.iterative_scan",
        _parse_iterative_scan,
        "Fewer rows than LIMIT: strict_order (exact), relaxed_order (wider searches), off (as they are).",
    ),
    "ivfflat.iterative_scan": SettingSpec(
        "index.iterative_scan", _parse_iterative_scan, "Another name of hnsw.iterative_scan."
    ),
}


_UNUSED: Final = """
    hnsw.max_scan_tuples hnsw.scan_mem_multiplier ivfflat.max_probes maintenance_work_mem work_mem
    enable_seqscan enable_indexscan max_parallel_workers_per_gather max_parallel_maintenance_workers
    parallel_setup_cost min_parallel_table_scan_size"""
UNUSED_SETTINGS: Final = frozenset(_UNUSED.split())
"""Settings of PostgreSQL and pgvector that SET takes and that change nothing here."""


def with_setting(settings: SessionSettings, name: str, text: str) -> SessionSettings:
    """The settings with one changed. Raises ValueError, which says which values are valid."""
    spec = SETTINGS[name]
    return _replaced(settings, spec.field, spec.parse(text))


def with_default(settings: SessionSettings, defaults: SessionSettings, name: str) -> SessionSettings:
    """The settings with one as it is in ``defaults``."""
    field = SETTINGS[name].field
    return _replaced(settings, field, _value(defaults, field))


def format_setting(settings: SessionSettings, name: str) -> str:
    """The value of a setting, as SET takes it."""
    value = _value(settings, SETTINGS[name].field)
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def _value(settings: SessionSettings, field: str) -> Any:
    return attrgetter(field)(settings)


def _replaced(settings: SessionSettings, field: str, value: Any) -> SessionSettings:
    outer, _, inner = field.partition(".")
    changes: dict[str, Any] = {outer: replace(settings.index, **{inner: value}) if inner else value}
    return replace(settings, **changes)
