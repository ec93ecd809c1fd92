"""Which files were ingested into collections whose keys Milvus generates: again, and their rows are doubled.

A record is in the user's state folder, since neither the file nor the collection says it.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, ValidationError

from nestvec.ingest.journal import IngestIdentity

_TAIL_BYTES: Final = 1 << 20


class FinishedIngest(BaseModel):
    """A file that was ingested to its end."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    rows: int
    """Rows that were stored."""

    finished: float
    """Seconds since 1970."""

    collection_id: int = 0
    """Milvus's id of the collection; 0 if it has none, as in Milvus Lite."""

    @property
    def day(self) -> str:
        """The local day of its end: ``2026-11-29``."""
        return time.strftime("%Y-%m-%d", time.localtime(self.finished))


def read_finished(path: Path, identity: IngestIdentity) -> FinishedIngest | None:
    """The earlier ingest of a file of this content into the same collection; None if there is no record."""
    try:
        return FinishedIngest.model_validate_json(_record_path(path, identity).read_bytes())
    except (OSError, ValidationError):
        return None


def write_finished(path: Path, identity: IngestIdentity, finished: FinishedIngest) -> None:
    """Record an ingest. A state folder that is not writable keeps no record."""
    with suppress(OSError):
        record = _record_path(path, identity)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(finished.model_dump_json())


def _record_path(path: Path, identity: IngestIdentity) -> Path:
    with path.open("rb") as file:
        file.seek(max(0, identity.size - _TAIL_BYTES), os.SEEK_SET)
        tail = hashlib.sha256(file.read(_TAIL_BYTES)).hexdigest()
    parts = (identity.target, identity.collection, str(identity.size), identity.head_sha256, tail)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return user_state_path("nestvec") / "ingested" / f"{name}.json"
