"""The start of a connection: TLS, the startup message, authentication."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Final

from nestvec.pgwire.auth.accounts import Accounts
from nestvec.pgwire.auth.scram import MECHANISM, ScramExchange
from nestvec.pgwire.errors import PgError, protocol_violation
from nestvec.pgwire.protocol import responses
from nestvec.pgwire.protocol.messages import (
    GSSENC_REQUEST,
    SSL_REQUEST,
    CancelMessage,
    FieldReader,
    PasswordMessage,
    StartupMessage,
    decode_startup,
    decode_text,
)
from nestvec.pgwire.protocol.stream import MAX_LOGIN_BYTES, MessageStream

_MAX_REQUESTS: Final = 3
"""Requests of encryption before the startup message."""


@dataclass(frozen=True)
class Login:
    """Who connected."""

    user: str
    database: str
    parameters: dict[str, str]


async def read_start(stream: MessageStream, tls: ssl.SSLContext | None) -> StartupMessage | CancelMessage:
    """The startup message or a request to cancel, after TLS has begun if the client wants it.

    Raises ClientGone, PgError.
    """
    for _ in range(_MAX_REQUESTS):
        message = decode_startup(await stream.read_startup())
        if not isinstance(message, int):
            return message
        if message == SSL_REQUEST and tls is not None and not stream.secure:
            stream.write(b"S")
            await stream.start_tls(tls)
        elif message in (SSL_REQUEST, GSSENC_REQUEST):
            stream.write(b"N")
            await stream.drain()
    raise protocol_violation("a client asks for encryption again and again")


async def log_in(
    stream: MessageStream, start: StartupMessage, accounts: Accounts | None, *, tls_offered: bool
) -> Login:
    """Authenticate a client. Raises ClientGone, PgError."""
    user = start.parameters.get("user", "")
    if not user:
        raise PgError("28000", "no PostgreSQL user name specified in startup packet", severity="FATAL")
    if start.parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise PgError("0A000", "replication is not supported", severity="FATAL")
    unknown = [name for name in start.parameters if name.startswith("_pq_.")]
    if start.minor or unknown:
        stream.write(responses.negotiate_protocol(unknown))
    if tls_offered and not stream.secure and not is_loopback(stream.host):
        raise PgError(
            "28000",
            "connections from other hosts need TLS",
            hint="Connect with sslmode=require.",
            severity="FATAL",
        )
    if accounts is not None:
        await _scram(stream, user, accounts)
    elif not is_loopback(stream.host):
        raise PgError("28000", "without passwords only clients of this host may connect", severity="FATAL")
    stream.write(responses.AUTHENTICATION_OK)
    return Login(user, start.parameters.get("database", user), start.parameters)


def is_loopback(host: str) -> bool:
    """Whether an address is of this host."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


async def _scram(stream: MessageStream, user: str, accounts: Accounts) -> None:
    secrets = await asyncio.to_thread(accounts.secrets, user)
    exchange = ScramExchange(secrets)
    stream.write(responses.authentication_sasl([MECHANISM]))
    await stream.drain()
    initial = FieldReader(await _password(stream))
    if initial.text() != MECHANISM:
        raise protocol_violation("client selected an invalid SASL authentication mechanism")
    challenge = exchange.first(initial.value() or b"")
    stream.write(responses.authentication_sasl_continue(challenge))
    await stream.drain()
    proof = exchange.final(await _password(stream))
    if proof is None:
        raise PgError("28P01", f'password authentication failed for user "{user[:100]}"', severity="FATAL")
    stream.write(responses.authentication_sasl_final(proof))


async def _password(stream: MessageStream) -> bytes:
    message = await stream.read(MAX_LOGIN_BYTES)
    if not isinstance(message, PasswordMessage):
        raise protocol_violation("expected a response to authentication")
    return message.body


def options_of(text: str) -> dict[str, str]:
    """Settings in the startup message's ``options``: ``-c name=value --name=value``."""
    words, settings = decode_text(text.encode()).replace("\\ ", "\0").split(), dict[str, str]()
    for index, word in enumerate(words):
        assignment = words[index + 1] if word == "-c" and index + 1 < len(words) else ""
        if word.startswith("--") or (word.startswith("-c") and len(word) > 2):
            assignment = word[2:]
        name, equals, value = assignment.partition("=")
        if equals:
            settings[name.replace("-", "_")] = value.replace("\0", " ")
    return settings
