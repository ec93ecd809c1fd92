"""Connections to Milvus, and its errors as nestvec's."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import grpc
from pymilvus import AsyncMilvusClient, MilvusClient, MilvusException
from pymilvus.client.connection_manager import ConnectionManager
from pymilvus.client.types import LoadState

from nestvec_schemas.errors import NestvecError, StoreInUse, StoreRefused, StoreUnreachable

CONNECT_SECONDS = 10.0

_users_lock = Lock()
_users: Counter[str] = Counter()

_LITE_LOGGER = "milvus_lite.server_manager"


@contextmanager
def open_milvus(
    uri: str, *, token: str = "", database: str = "", create: bool = True
) -> Iterator[MilvusClient]:
    """A client of the Milvus at ``uri``: a ``.db`` path (Milvus Lite) or an address.

    At the end of the block it is closed, and a Lite database is released. Without ``create``, a ``.db`` must
    exist. Raises StoreInUse if another process has the ``.db`` open, otherwise StoreUnreachable.
    """
    if not create and uri.endswith(".db") and not Path(uri).exists():
        raise StoreUnreachable(
            "there is no Milvus Lite database at this path",
            value=uri,
            next_step="Correct --uri, or create a collection with nestvec collection create SPEC.yaml.",
        )
    _silence_loggers()
    with _lite_in_use(uri):
        with _lite_failures() as failures:
            try:
                client = MilvusClient(
                    uri, token=token, db_name=database, timeout=CONNECT_SECONDS, dedicated=True
                )
            except Exception as error:
                raise _open_error(uri, failures[0] if failures else error) from error
        try:
            yield client
        finally:
            client.close()


@asynccontextmanager
async def open_milvus_async(
    uri: str, *, token: str = "", database: str = ""
) -> AsyncIterator[AsyncMilvusClient]:
    """Async version of ``open_milvus``."""
    _silence_loggers()
    with _lite_in_use(uri):
        # Opening a Lite database starts its server.
        client = await asyncio.to_thread(_open_async_client, uri, token, database)
        try:
            await _wait_until_connected(uri, client)
            yield client
        finally:
            await client.close()


def _open_async_client(uri: str, token: str, database: str) -> AsyncMilvusClient:
    with _lite_failures() as failures:
        try:
            return AsyncMilvusClient(
                uri, token=token, db_name=database, timeout=CONNECT_SECONDS, dedicated=True
            )
        except Exception as error:
            raise _open_error(uri, failures[0] if failures else error) from error


async def _wait_until_connected(uri: str, client: AsyncMilvusClient) -> None:
    try:
        await client.__aenter__()
    except Exception as error:
        raise _open_error(uri, error) from error


def _silence_loggers() -> None:
    """Keep pymilvus, gRPC and Lite from logging a traceback of each error that is also raised."""
    if not logging.getLogger().isEnabledFor(logging.INFO):
        for name in ("pymilvus", "grpc", "milvus_lite.adapter"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _lite_in_use(uri: str) -> Iterator[None]:
    """Count a user of a Lite database: the clients of a process share one server, which the last one
    stops."""
    if not uri.endswith(".db") or importlib.util.find_spec("milvus_lite") is None:
        yield
        return
    # Imported early: imports fail while a process exits, which may be when the client is closed.
    from milvus_lite.server_manager import server_manager_instance as serving  # noqa: PLC0415 - Lite alone

    path = str(Path(uri).absolute())
    with _users_lock:
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


def _open_error(uri: str, error: BaseException) -> NestvecError:
    if type(error).__name__ == "DataDirLockedError":
        return StoreInUse(
            "another process has this Milvus Lite database open",
            value=uri,
            next_step="Close that process, or run it once as a server (milvus-lite server --data-dir "
            f"{uri}) and give every client its http:// address.",
        )
    if uri.endswith(".db") and not Path(uri).absolute().parent.is_dir():
        return StoreUnreachable(
            "the folder of this Milvus Lite database does not exist",
            value=uri,
            next_step="Create the folder, or correct --uri.",
        )
    reason = getattr(error, "message", "") or str(error)
    return StoreUnreachable(
        f"cannot open Milvus at {uri}",
        value=reason,
        next_step="Use a path that ends in .db (Milvus Lite) or the address of a running Milvus.",
    )


def load_lite(client: MilvusClient, collection: str) -> None:
    """Load a collection of Milvus Lite, which opens with none loaded. On a server, that is up to its
    operator."""
    with milvus_errors(f"loading collection {collection}"):
        released = client.get_load_state(collection)["state"] == LoadState.NotLoad
        if released and is_lite(client):
            client.load_collection(collection)


@contextmanager
def milvus_errors(doing: str) -> Iterator[None]:
    """Turn what pymilvus and gRPC raise into StoreRefused and StoreUnreachable; ``doing`` is the
    operation."""
    try:
        yield
    except MilvusException as error:
        raise StoreRefused(
            f"Milvus returned an error while {doing}",
            value=error.message or str(error),
            next_step=_next_step(error.message),
        ) from error
    except grpc.RpcError as error:
        raise StoreUnreachable(
            f"the connection to Milvus was lost while {doing}",
            value=str(error),
            next_step="Check that the server is running, then try again.",
        ) from error


def _next_step(message: str) -> str:
    if "connection" in message.lower() and "API" in message:
        return "The embedding service does not respond: start it with nestvec serve."
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


def is_lite(client: HasServerVersion) -> bool:
    """Whether a connection's server is Milvus Lite, by its version string."""
    with milvus_errors("reading the server's version"):
        return "lite" in str(client.get_server_version()).lower()
