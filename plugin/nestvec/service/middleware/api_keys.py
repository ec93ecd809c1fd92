"""API keys from a file, and the check that requests have one of them."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from nestvec_schemas.errors import ServiceError, Unauthorized

logger = logging.getLogger(__name__)

PUBLIC_PATHS = ("/health", "/livez", "/readyz", "/metrics")

_MAX_FILE_BYTES = 64 << 10
_REFRESH_SECONDS = 1.0
_KEY_PATTERN = re.compile(rb"[\x21-\x7e]+")

_FileStamp = tuple[int, int, int]


class ApiKeys:
    """The keys in a file, one per line (``#`` begins a comment); the file is read again when it changes.

    Only their SHA-256 is kept. A change takes effect within a second; if the file is then unreadable,
    empty or malformed, the old keys stay in force and an error is logged.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises ServiceError."""
        self._path, self._clock = path, clock
        self._stamp = _file_stamp(path)
        self._hashes = _read_hashes(path)
        self._checked_at = clock()

    def accepts(self, key: bytes) -> bool:
        """Whether ``key`` is one of them, in constant time."""
        self._refresh()
        key_hash, accepted = hashlib.sha256(key).digest(), False
        for accepted_hash in self._hashes:
            accepted |= hmac.compare_digest(accepted_hash, key_hash)
        return accepted

    def client_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Who sent a request with an accepted ``Authorization: Bearer KEY``. Raises Unauthorized."""
        key = bearer_token(headers)
        if key is not None and self.accepts(key):
            return f"key {hashlib.sha256(key).hexdigest()[:16]}"
        raise Unauthorized(
            "the request has no API key" if key is None else "the service does not accept the API key",
            next_step="Send one as Authorization: Bearer KEY; in Milvus, it is the function's credential.",
        )

    def reload(self) -> None:
        """Read the file now. Raises ServiceError, and then the old keys stay in force."""
        stamp = _file_stamp(self._path)
        self._hashes = _read_hashes(self._path)
        self._stamp, self._checked_at = stamp, self._clock()

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._checked_at < _REFRESH_SECONDS:
            return
        self._checked_at = now
        stamp = _file_stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._hashes = _read_hashes(self._path)
        except ServiceError as error:
            logger.error("the API keys were not reloaded: %s", error)
        else:
            logger.info("%d API keys read from %s", len(self._hashes), self._path)


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key in the request's only Authorization header, None without one."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, key = values[0].partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" and key.strip() else None


def _file_stamp(path: Path) -> _FileStamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_hashes(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
            world_readable = os.fstat(file.fileno()).st_mode & 0o004
    except OSError as error:
        raise ServiceError(
            f"the file of API keys {path} cannot be read",
            value=error.strerror,
            next_step="Give a readable file with one key per line.",
        ) from error
    if len(data) > _MAX_FILE_BYTES:
        raise ServiceError(
            f"the file of API keys {path} is larger than {_MAX_FILE_BYTES} bytes",
            next_step="Give a file with one key per line.",
        )
    keys = [_parse_line(path, number, line) for number, line in enumerate(data.splitlines(), 1)]
    hashes = tuple(hashlib.sha256(key).digest() for key in keys if key)
    if not hashes:
        raise ServiceError(f"there is no API key in {path}", next_step="Write one key per line into it.")
    if world_readable:
        logger.warning("every user of this machine can read the API keys in %s; run chmod 600 on it", path)
    return hashes


def _parse_line(path: Path, number: int, line: bytes) -> bytes:
    key = line.strip()
    if not key or key.startswith(b"#"):
        return b""
    if not _KEY_PATTERN.fullmatch(key):
        raise ServiceError(
            f"line {number} of {path} is not an API key",
            next_step="A key is printable ASCII without spaces; a comment line begins with #.",
        )
    return key
