"""Connections to Milvus, and its errors as nestvec's."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, NoReturn, Protocol

import grpc
from pymilvus import AsyncMilvusClient, MilvusClient, MilvusException
from pymilvus.client.connection_manager import ConnectionManager

from nestvec.milvus.address import ConnectSettings, MilvusAddress, parse_address
from nestvec.milvus.diagnose import check_listening, diagnose
from nestvec.milvus.null_vectors.clients import AsyncClient, Client, nullable_columns
from nestvec.milvus.pymilvus_features import unknown_type
from nestvec_schemas.errors import NestvecError, StoreInUse, StoreRefused, StoreUnreachable

_users_lock = Lock()
_users: Counter[str] = Counter()

_LITE_LOGGER = "milvus_lite.server_manager"


@contextmanager
def open_milvus(
    uri: str,
    *,
    token: str = "",
    database: str = "",
    create: bool = True,
    settings: ConnectSettings | None = None,
) -> Iterator[MilvusClient]:
    """A client of the Milvus at ``uri``: a ``.db`` path (Milvus Lite) or an address.

    At the end of the block it is closed, and a Lite database is released. Without ``create``, a ``.db`` must
    exist. Raises StoreInUse if another process has the ``.db`` open, otherwise StoreUnreachable.
    """
    address, settings = parse_address(uri, token=token, database=database), settings or ConnectSettings()
    if not create and address.is_lite and not Path(address.uri).exists():
        raise StoreUnreachable(
            "there is no Milvus Lite database at this path",
            value=address.uri,
            next_step="Correct --uri, or create a collection with nestvec collection create SPEC.yaml.",
        )
    _silence_loggers()
    with _lite_in_use(address):
        _check_server(address, settings)
        with _lite_failures() as failures:
            try:
                client = Client(address.uri, **_client_arguments(address, settings))
            except Exception as error:
                raise _open_error(address, settings, failures[0] if failures else error) from error
        try:
            if address.host and address.database:
                _check_database(address, client)
            yield client
        finally:
            client.close()


@asynccontextmanager
async def open_milvus_async(
    uri: str, *, token: str = "", database: str = "", settings: ConnectSettings | None = None
) -> AsyncIterator[AsyncMilvusClient]:
    """Async version of ``open_milvus``."""
    address, settings = parse_address(uri, token=token, database=database), settings or ConnectSettings()
    _silence_loggers()
    with _lite_in_use(address):
        # Opening a Lite database starts its server.
        client = await asyncio.to_thread(_open_async_client, address, settings)
        try:
            await _wait_until_connected(address, settings, client)
            yield client
        finally:
            await client.close()


def _open_async_client(address: MilvusAddress, settings: ConnectSettings) -> AsyncMilvusClient:
    _check_server(address, settings)
    with _lite_failures() as failures:
        try:
            return AsyncClient(address.uri, **_client_arguments(address, settings))
        except Exception as error:
            raise _open_error(address, settings, failures[0] if failures else error) from error


async def _wait_until_connected(
    address: MilvusAddress, settings: ConnectSettings, client: AsyncMilvusClient
) -> None:
    try:
        await client.__aenter__()
    except Exception as error:
        raise await asyncio.to_thread(_open_error, address, settings, error) from error
    if address.host and address.database:
        try:
            await client.list_collections()
        except (MilvusException, grpc.RpcError) as error:
            if _DATABASE_MISSING.search(str(error)):
                raise _no_database(address, None) from error


def _check_server(address: MilvusAddress, settings: ConnectSettings) -> None:
    """Raise StoreUnreachable for what can be said before Milvus is asked."""
    if address.host and not address.secure and settings.uses_tls:
        raise StoreUnreachable(
            "files and names for TLS have no meaning at an address without TLS",
            value=address.uri,
            next_step=f"Write https://{address.place}, or omit them.",
        )
    if address.secure:
        settings.tls_context()
    check_listening(address, settings)


def _client_arguments(address: MilvusAddress, settings: ConnectSettings) -> dict[str, Any]:
    """What both clients take besides the address."""
    return {
        "nullable": nullable_columns(address.uri, address.database, shared=not address.is_lite),
        "token": address.token,
        "db_name": address.database,
        "timeout": settings.timeout,
        "dedicated": True,
        **_tls_arguments(address, settings),
    }


def _tls_arguments(address: MilvusAddress, settings: ConnectSettings) -> dict[str, Any]:
    """What pymilvus takes: with a client's certificate the authority is ``ca_pem_path``, else
    ``server_pem_path``."""
    if not address.secure:
        return {}
    authority = str(settings.ca_file or "")
    names = {"server_name": settings.server_name} if settings.server_name else {}
    if settings.client_cert is None:
        return {"secure": True, "server_pem_path": authority, **names}
    certificate = {
        "client_pem_path": str(settings.client_cert),
        "client_key_path": str(settings.client_key),
        "ca_pem_path": authority,
    }
    return {"secure": True, **certificate, **names}


def _check_database(address: MilvusAddress, client: MilvusClient) -> None:
    """Raise StoreUnreachable if the server does not have the database; it says so only on the first use."""
    try:
        client.list_collections()
    except (MilvusException, grpc.RpcError) as error:
        # A user may lack the right to list, and use what it knows by name.
        if _DATABASE_MISSING.search(str(error)):
            raise _no_database(address, client) from error


def _no_database(address: MilvusAddress, client: MilvusClient | None) -> StoreUnreachable:
    available = ""
    if client is not None:
        with suppress(MilvusException, grpc.RpcError):
            available = f" Available: {', '.join(sorted(client.list_databases())[:20])}."
    return StoreUnreachable(
        "Milvus has no database of this name",
        value=address.database,
        next_step=f"Correct --database (database of nestvec.connect).{available}",
    )


def _silence_loggers() -> None:
    """Keep pymilvus, gRPC and Lite from logging a traceback of each error that is also raised."""
    if not logging.getLogger().isEnabledFor(logging.INFO):
        for name in ("pymilvus", "grpc", "milvus_lite.adapter"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _lite_in_use(address: MilvusAddress) -> Iterator[None]:
    """Count a user of a Lite database: the clients of a process share one server, which the last one
    stops."""
    if not address.is_lite or importlib.util.find_spec("milvus_lite") is None:
        yield
        return
    # Imported early: imports fail while a process exits, which may be when the client is closed.
    from milvus_lite.server_manager import server_manager_instance as serving  # noqa: PLC0415 - Lite alone

    from nestvec.milvus.lite import count_writes, open_once  # noqa: PLC0415 - it imports this module

    path = str(Path(address.uri).absolute())
    with _users_lock:
        open_once()
        count_writes()
        _users[path] += 1
    try:
        yield
    finally:
        with _users_lock:
            _users[path] -= 1
            if not _users[path]:
                _release_lite(serving, path)


def _release_lite(serving: Any, path: str) -> None:
    # An application may have clients of its own. This does not open a database that is not served.
    served = str(serving.start_and_get_uri(path)) if path in getattr(serving, "_servers", {}) else None
    if served is not None and all(connection.config.uri != served for connection in _managed_connections()):
        serving.release_server(path)


@contextmanager
def _lite_failures() -> Iterator[list[BaseException]]:
    """Collect what Milvus Lite only logs: pymilvus hides why a ``.db`` cannot be opened."""
    failures: list[BaseException] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                failures.append(record.exc_info[1])

    logger, handler = logging.getLogger(_LITE_LOGGER), Collector()
    logger.addHandler(handler)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield failures
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _open_error(address: MilvusAddress, settings: ConnectSettings, error: BaseException) -> NestvecError:
    if type(error).__name__ == "DataDirLockedError":
        return StoreInUse(
            "another process has this Milvus Lite database open",
            value=address.uri,
            next_step="Close that process, or run it once as a server (milvus-lite server --data-dir "
            f"{address.uri}) and give every client its http:// address.",
        )
    if address.is_lite and not Path(address.uri).absolute().parent.is_dir():
        return StoreUnreachable(
            "the folder of this Milvus Lite database does not exist",
            value=address.uri,
            next_step="Create the folder, or correct --uri.",
        )
    reason = getattr(error, "message", "") or str(error)
    refused = _refusal(address, error, reason)
    if refused is not None:
        return refused
    diagnosis = diagnose(address, settings)
    if diagnosis is not None:
        return diagnosis
    unknown = StoreUnreachable(
        f"cannot open Milvus at {address.uri}",
        value=reason,
        next_step="Use a path that ends in .db (Milvus Lite) or the address of a running Milvus."
        if address.is_lite
        else "If Milvus is still starting there, try again in a minute; else correct the address.",
    )
    unknown.may_pass = not address.is_lite  # a server that starts, or stops
    return unknown


def _refusal(address: MilvusAddress, error: BaseException, reason: str) -> StoreUnreachable | None:
    """The error if a server answered, and is starting, refused the token or the database, or is no Milvus."""
    cause = error if isinstance(error, grpc.RpcError) else error.__cause__
    status = cause.code() if isinstance(cause, grpc.RpcError) else getattr(error, "code", None)
    details = str(cause.details() if isinstance(cause, grpc.RpcError) else reason).lower()
    if _DATABASE_MISSING.search(details):
        return _no_database(address, None)
    if any(text in details for text in _STARTING):
        starting = StoreUnreachable(
            "Milvus is still starting", value=address.uri, next_step="Try again in a minute."
        )
        starting.may_pass = True
        return starting
    refused = status == grpc.StatusCode.UNAUTHENTICATED or any(text in details for text in _NOT_AUTHENTICATED)
    # gRPC says so of a certificate for another name too.
    if refused and "hostname" not in details:
        what = "does not accept the token" if address.token else "requires a token"
        return StoreUnreachable(
            f"Milvus {what}",
            value=address.uri,
            next_step="Give an API key, or USER:PASSWORD, with --token or NESTVEC_TOKEN (token of "
            "nestvec.connect).",
        )
    if status == grpc.StatusCode.UNIMPLEMENTED or _UNIMPLEMENTED in details:
        return StoreUnreachable(
            "another service than Milvus answers at this address, or a Milvus older than 2.3",
            value=address.uri,
            next_step="Correct the address, or update Milvus.",
        )
    return None


_DATABASE_MISSING = re.compile(r"database not found|database '[^']*' does not exist", re.IGNORECASE)
"""What Milvus and Milvus Lite say."""

_UNIMPLEMENTED = "sdk is incompatible with server"
"""What pymilvus 2.6 writes of gRPC's status of this name."""

_STARTING = ("milvus proxy is not ready yet", "service not ready")
"""What Milvus says until all of its parts run."""

_NOT_AUTHENTICATED = ("auth check failure", "hasn't authenticate", "unauthenticated", "missing authorization")


@contextmanager
def milvus_errors(doing: str) -> Iterator[None]:
    """Turn what pymilvus and gRPC raise into StoreRefused and StoreUnreachable; ``doing`` is the
    operation."""
    try:
        yield
    except CALL_ERRORS as error:
        raise_store_error(doing, error)


CALL_ERRORS: Final = (MilvusException, grpc.RpcError, ValueError)
"""What pymilvus and gRPC raise."""


def raise_store_error(doing: str, error: Exception) -> NoReturn:
    """Raise StoreRefused or StoreUnreachable for an error that is being handled; a ValueError as it is,
    unless pymilvus raises it for a type that it does not know."""
    if isinstance(error, MilvusException):
        original = _original_error(error)
        message = _RETRIED.sub("", original.message or str(original))
        raise StoreRefused(
            f"Milvus returned an error while {doing}",
            value=message,
            next_step=_next_step(message),
        ) from original
    if isinstance(error, grpc.RpcError):
        raise StoreUnreachable(
            f"the connection to Milvus was lost while {doing}",
            value=str(error),
            next_step="Check that the server is running, then try again.",
        ) from error
    refused = unknown_type(error) if isinstance(error, ValueError) else None
    if refused is None:
        raise error
    raise refused from error


def _original_error(error: MilvusException) -> MilvusException:
    """What the server said: pymilvus wraps it, without most of its codes, where it does not send the request
    again."""
    while _RETRIED.match(str(error.message)) and isinstance(error.__context__, MilvusException):
        error = error.__context__
    return error


_RETRIED = re.compile(r"^(?:\[\w+\] Retry (?:run out of \d+ retry times|timeout: \S+), message=)+")
"""What pymilvus writes before the message of the error that it wraps."""


def _next_step(message: str) -> str:
    if "connection" in message.lower() and "API" in message:
        return "The embedding service does not respond: start it with nestvec serve."
    if "fail connecting to server" in message.lower():
        return "Check that the server is running, then try again."
    if _DATABASE_MISSING.search(message):
        return "Correct --database (database of nestvec.connect)."
    if any(text in message.lower() for text in _NOT_AUTHENTICATED):
        return "Give an API key, or USER:PASSWORD, with --token or NESTVEC_TOKEN."
    if "not loaded" in message.lower():
        return "Load it: MilvusClient(uri).load_collection(name). nestvec does so only for Milvus Lite."
    return "Correct what the message names, then try again."


class HasServerVersion(Protocol):
    """A client, or pymilvus's own connection: what knows the version of its server."""

    def get_server_version(self) -> str:
        """The server's version string."""
        ...


def open_connections() -> list[HasServerVersion]:
    """The distinct connections that pymilvus clients of this process have open."""
    return [connection.handler for connection in _managed_connections()]


def _managed_connections() -> list[Any]:
    # A schema does not know its client; pymilvus's connection manager knows every client's connection, and
    # keeps a shared one after its last client is closed.
    manager = ConnectionManager.get_instance()
    shared: Mapping[str, Any] = getattr(manager, "_registry", {})
    dedicated: Mapping[int, Any] = getattr(manager, "_dedicated", {})
    shared_in_use = [connection for connection in shared.values() if connection.has_clients]
    return [*shared_in_use, *dedicated.values()]
