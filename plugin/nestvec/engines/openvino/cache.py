"""What OpenVINO compiled, kept on disk with the precision that was chosen, so that a start takes no second.

A folder for each encoder and way to run it, of this user alone: OpenVINO loads what is in there unchecked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

_DECISION: Final = "decision.json"
_BUILDING: Final = ".building-"
_MAX_UNUSED_SECONDS: Final = 30 * 86400.0
_FORMAT: Final = 1
"""Part of every key: raised when decisions are made in another way."""


@dataclass(frozen=True)
class Decision:
    """How OpenVINO runs an encoder."""

    precision: str
    """``bf16`` or ``fp32``; that of an int8 graph."""
    cosine: float | None = None
    """The smallest one of the probe's outputs to those in fp32; None if it was not measured."""
    reason: str = ""
    """Why the precision is not bf16, where that was possible."""
    refusal: str = ""
    """Why OpenVINO does not run the encoder; empty if it does."""


def cache_key(content: dict[str, Any]) -> str:
    """The name of an entry, for everything that what is in it depends on."""
    canonical = json.dumps({**content, "format": _FORMAT}, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class CompiledCache:
    """A folder of compiled encoders; several processes may use it at once."""

    def __init__(self, root: Path | None) -> None:
        """``root`` is created if need be; None, or a folder that others may write to, for no cache."""
        self._root = root if root is not None and _is_private(root) else None

    def find(self, key: str) -> tuple[Decision, Path] | None:
        """An entry's decision, and the folder for OpenVINO; None if there is none, or it is unreadable."""
        if self._root is None:
            return None
        path = self._root / key / _DECISION
        try:
            decision = Decision(**json.loads(path.read_bytes()))
            os.utime(path)
        except (OSError, ValueError, TypeError):
            return None
        return decision, path.parent

    def new_folder(self) -> Path | None:
        """An empty folder to compile into, before ``store``; None without a cache."""
        if self._root is None:
            return None
        try:
            return Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._root))
        except OSError as error:
            logger.warning("%s cannot be written, and nothing compiled is kept: %s", self._root, error)
            return None

    def store(self, key: str, decision: Decision, folder: Path | None) -> None:
        """Make ``folder`` the entry of ``key``, unless another process has made one meanwhile."""
        if self._root is None or folder is None:
            return
        try:
            (folder / _DECISION).write_text(json.dumps(asdict(decision)), encoding="utf-8")
            self._remove_unused()
            if self.find(key) is None:
                shutil.rmtree(self._root / key, ignore_errors=True)  # unreadable
            folder.rename(self._root / key)
        except OSError:  # there is one by now, or the disk is full
            shutil.rmtree(folder, ignore_errors=True)

    def _remove_unused(self) -> None:
        assert self._root is not None  # noqa: S101 - ``store`` checks it
        oldest = time.time() - _MAX_UNUSED_SECONDS
        for entry in self._root.iterdir():
            path = entry if entry.name.startswith(_BUILDING) else entry / _DECISION
            try:
                is_unused = path.stat().st_mtime < oldest
            except OSError:
                continue
            if is_unused:
                shutil.rmtree(entry, ignore_errors=True)


def _is_private(root: Path) -> bool:
    """Whether a folder, created if need be, is writable by this user alone."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.stat()
    except OSError as error:
        logger.warning("the cache of the engine is not used: %s", error)
        return False
    owner = getattr(os, "getuid", lambda: status.st_uid)()
    if status.st_uid != owner or (os.name == "posix" and status.st_mode & 0o022):
        logger.warning("the cache of the engine is not used: others may write to %s", root)
        return False
    return True
