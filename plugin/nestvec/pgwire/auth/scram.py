"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Final

from nestvec.pgwire.errors import PgError

MECHANISM: Final = "SCRAM-SHA-256"
ITERATIONS: Final = 4096
"""As PostgreSQL's ``scram_iterations``."""

_FIRST: Final = re.compile(rb"([ny]),(?:a=[^,]*)?,(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]{1,200}))(?:,.*)?", re.S)
_FINAL: Final = re.compile(rb"(c=([^,]*),r=([\x21-\x2b\x2d-\x7e]{1,400})),p=([^,]*)", re.S)


@dataclass(frozen=True)
class Verifier:
    """What a server keeps of one password."""

    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True)
class ScramSecrets:
    """The passwords that one user may have; all share a salt, which the user is told before the proof."""

    salt: bytes
    verifiers: tuple[Verifier, ...]


def make_verifier(password: str, salt: bytes) -> Verifier:
    """The keys of a password."""
    salted = hashlib.pbkdf2_hmac("sha256", prepare(password), salt, ITERATIONS)
    client_key = _hmac(salted, b"Client Key")
    return Verifier(hashlib.sha256(client_key).digest(), _hmac(salted, b"Server Key"))


def prepare(password: str) -> bytes:
    """A password as both sides normalize it; one of printable ASCII is unchanged."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogateescape")


class ScramExchange:
    """One authentication: ``first`` returns the challenge, ``final`` the server's proof. Each raises
    PgError."""

    def __init__(self, user_secrets: ScramSecrets, nonce: str | None = None) -> None:
        self._secrets = user_secrets
        self._nonce = (nonce or secrets.token_urlsafe(24)).encode()
        self._client_bare = self._server_first = self._channel = b""

    def first(self, message: bytes) -> bytes:
        """The challenge for the client's first message."""
        match = _FIRST.fullmatch(message)
        if match is None:
            raise _malformed()
        self._channel = match[1] + b",,"
        self._client_bare = message[message.index(b"n=", 2) :]
        self._nonce = match[3] + self._nonce
        salt = base64.b64encode(self._secrets.salt)
        self._server_first = b"r=%s,s=%s,i=%d" % (self._nonce, salt, ITERATIONS)
        return self._server_first

    def final(self, message: bytes) -> bytes | None:
        """The server's proof for the client's last message; None for a wrong password."""
        match = _FINAL.fullmatch(message)
        if match is None or match[3] != self._nonce:
            raise _malformed()
        try:
            proof, channel = base64.b64decode(match[4], validate=True), base64.b64decode(match[2])
        except binascii.Error as error:
            raise _malformed() from error
        if channel != self._channel or len(proof) != hashlib.sha256().digest_size:
            raise _malformed()
        signed = b",".join((self._client_bare, self._server_first, match[1]))
        server_key = b""
        for verifier in self._secrets.verifiers:
            signature = _hmac(verifier.stored_key, signed)
            client_key = bytes(left ^ right for left, right in zip(proof, signature, strict=True))
            if hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key):
                server_key = verifier.server_key
        if not server_key:
            return None
        return b"v=" + base64.b64encode(_hmac(server_key, signed))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _malformed() -> PgError:
    return PgError("08P01", "malformed SCRAM message", severity="FATAL")
