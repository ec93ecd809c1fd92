"""The accounts of a server: none, one user, or the API keys of a file."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from nestvec.pgwire.auth.scram import ScramSecrets, make_verifier
from nestvec_schemas.errors import ServiceError

logger = logging.getLogger(__name__)

_MAX_FILE_BYTES: Final = 64 << 10
_MAX_KEYS: Final = 256
"""Each takes two milliseconds to read, and a fraction of one at every login."""
_REFRESH_SECONDS: Final = 1.0
_KEY: Final = re.compile(r"[\x21-\x7e]+")


class Accounts(Protocol):
    """Who may connect."""

    def secrets(self, user: str) -> ScramSecrets:
        """The passwords of a user; none for an unknown one, whose challenge looks as that of others."""
        ...


class PasswordAccount:
    """One user, with the password that a file holds."""

    def __init__(self, user: str, path: Path) -> None:
        """Read the file. Raises ServiceError."""
        password = _read(path).rstrip("\r\n")
        if not password or "\n" in password:
            raise ServiceError(
                "the password file does not have one line",
                value=str(path),
                next_step="Write the password alone into it.",
            )
        self._user = user.encode()
        self._pepper = secrets.token_bytes(16)
        self._secrets = _secrets((password,))

    def secrets(self, user: str) -> ScramSecrets:
        if hmac.compare_digest(user.encode("utf-8", "replace"), self._user):
            return self._secrets
        salt = hmac.digest(self._pepper, user.encode("utf-8", "replace"), "sha256")[:16]
        return ScramSecrets(salt, ())


class KeyAccounts:
    """Any user, with one of the API keys of a file as the password; it is read again when it changes.

    If the file is then unreadable, empty or malformed, the old keys stay in force and an error is logged.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises ServiceError."""
        self._path, self._clock = path, clock
        self._digest, self._secrets = _keys(path)
        self._read_at = clock()

    def secrets(self, user: str) -> ScramSecrets:
        now = self._clock()
        if now - self._read_at >= _REFRESH_SECONDS:
            self._read_at = now
            try:
                if _file_digest(self._path) != self._digest:
                    self._digest, self._secrets = _keys(self._path)
                    logger.info("%d API keys read from %s", len(self._secrets.verifiers), self._path)
            except ServiceError as error:
                logger.error("the API keys were not reloaded: %s", error)
        return self._secrets


def _secrets(passwords: tuple[str, ...]) -> ScramSecrets:
    salt = secrets.token_bytes(16)
    return ScramSecrets(salt, tuple(make_verifier(password, salt) for password in passwords))


def _file_digest(path: Path) -> bytes:
    return hashlib.sha256(_read(path).encode("utf-8", "surrogateescape")).digest()


def _keys(path: Path) -> tuple[bytes, ScramSecrets]:
    lines = (line.strip() for line in _read(path).splitlines())
    keys = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not keys or len(keys) > _MAX_KEYS or not all(map(_KEY.fullmatch, keys)):
        raise ServiceError(
            f"the file of API keys does not have 1 to {_MAX_KEYS} keys of printable ASCII, one per line",
            value=str(path),
            next_step="Correct it.",
        )
    return _file_digest(path), _secrets(keys)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ServiceError(
            "a file of passwords or keys cannot be read",
            value=f"{path} ({error.strerror})",
            next_step="Check the path and its permissions.",
        ) from error
    if len(data) > _MAX_FILE_BYTES:
        raise ServiceError(
            "a file of passwords or keys is larger than 64 KiB", value=str(path), next_step="Shorten it."
        )
    return data.decode("utf-8", "surrogateescape")
