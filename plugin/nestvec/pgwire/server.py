"""The server: accepts connections within its limits, cancels, drains."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import signal
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from pymilvus import MilvusClient

from nestvec.pgwire.catalog.answer import CatalogAnswers
from nestvec.pgwire.catalog.database import CatalogDatabase
from nestvec.pgwire.connection import PgConnection
from nestvec.pgwire.engine import StatementEngine, user_cancelled
from nestvec.pgwire.errors import PgError
from nestvec.pgwire.login import Login, log_in, options_of, read_start
from nestvec.pgwire.metrics import PgMetrics
from nestvec.pgwire.parameters import PgParameters
from nestvec.pgwire.protocol import responses
from nestvec.pgwire.protocol.messages import CancelMessage
from nestvec.pgwire.protocol.stream import ClientGone, CountingReader, MessageStream
from nestvec.pgwire.runner import StatementRunner
from nestvec.pgwire.settings import PgSettings
from nestvec.sql.local_services import LocalServices
from nestvec.sql.session import CallerData, Session
from nestvec.sql.settings import SETTINGS, SessionSettings, with_setting

logger = logging.getLogger(__name__)

_EXTRA: Final = 32
"""Connections above the limit that may still cancel a statement, or be told that there are too many."""
_BACKLOG: Final = 512


class PgServer:
    """One Milvus behind PostgreSQL's protocol."""

    def __init__(self, client: MilvusClient, settings: PgSettings, tls: ssl.SSLContext | None = None) -> None:
        self._settings, self._tls = settings, tls
        self._executor = ThreadPoolExecutor(settings.limits.threads, "nestvec-pg")
        self.engine = StatementEngine(client, self._executor, settings.serial_writes)
        self._catalog = CatalogDatabase(settings.database)
        self._services = LocalServices()
        self.metrics = PgMetrics()
        self._tasks = set[asyncio.Task[None]]()
        self._connections = dict[int, tuple[int, PgConnection | None]]()
        self._numbers = itertools.count(1)
        self._stopping: asyncio.Event | None = None

    async def serve(self, listener: socket.socket, *, signals: bool = False) -> None:
        """Serve until ``stop``, or a signal; then finish running statements.

        A second signal ends at once.
        """
        loop = asyncio.get_running_loop()
        self._stopping = stopping = asyncio.Event()
        if signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._signalled)
        server = await loop.create_server(self._protocol, sock=listener, backlog=_BACKLOG)
        try:
            await stopping.wait()
        finally:
            server.close()
            await self._drain()
            self._executor.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self._services.close)

    def stop(self) -> None:
        """Accept no more connections, and end once running statements are done."""
        if self._stopping is not None:
            self._stopping.set()

    def _signalled(self) -> None:
        if self._stopping is not None and self._stopping.is_set():
            for task in self._tasks:
                task.cancel()
        self.stop()

    async def _drain(self) -> None:
        shutdown = PgError("57P01", "terminating connection due to administrator command", severity="FATAL")
        for _, connection in self._connections.values():
            if connection is not None:
                connection.shut_down(shutdown)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.limits.shutdown_seconds)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = CountingReader()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connected(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return asyncio.StreamReaderProtocol(reader, connected)

    async def _connected(self, reader: CountingReader, writer: asyncio.StreamWriter) -> None:
        limits = self._settings.limits
        if len(self._tasks) > limits.connections + _EXTRA:
            self.metrics.refused("limit")
            writer.transport.abort()
            return
        stream = MessageStream(reader, writer, limits.message_bytes, limits.write_seconds)
        try:
            await self._session(stream)
        except ClientGone:
            logger.debug("a client closed its connection")
        except PgError as error:
            with suppress(ClientGone):
                stream.write(responses.error_response(_fatal(error)))
                await stream.drain()
        except asyncio.CancelledError:
            stream.transport.abort()
            raise
        except Exception:
            logger.exception("a connection failed unexpectedly")
        finally:
            await stream.close()

    async def _session(self, stream: MessageStream) -> None:
        access, limits = self._settings.access, self._settings.limits
        try:
            async with asyncio.timeout(limits.login_seconds):
                start = await read_start(stream, self._tls)
                if isinstance(start, CancelMessage):
                    self._cancel(start)
                    return
                if len(self._connections) >= limits.connections:
                    self.metrics.refused("limit")
                    raise PgError("53300", "sorry, too many clients already", severity="FATAL")
                number = next(self._numbers) & 0x7FFFFFFF
                secret = secrets.randbits(32)
                self._connections[number] = (secret, None)
                try:
                    login = await log_in(stream, start, access.accounts, tls_offered=self._tls is not None)
                except BaseException:
                    del self._connections[number]
                    raise
        except TimeoutError as error:
            self.metrics.refused("login timeout")
            raise ClientGone from error
        except PgError as error:
            self.metrics.refused("password" if error.sqlstate == "28P01" else "protocol")
            raise
        self.metrics.connections.inc()
        try:
            await self._serve_client(stream, login, number, secret)
        finally:
            self.metrics.connections.dec()
            del self._connections[number]

    async def _serve_client(self, stream: MessageStream, login: Login, number: int, secret: int) -> None:
        limits = self._settings.limits

        def report(name: str, value: str) -> None:
            stream.write(responses.parameter_status(name, value))

        parameters = PgParameters(report)
        parameters.start("session_authorization", login.user)
        started = login.parameters | options_of(login.parameters.get("options", ""))
        for name, value in started.items():
            parameters.start(name, value)
        # Clients may be elsewhere: they read and write no files of this machine.
        settings = _started_settings(self._settings.sql, started)
        session = Session(settings, caller=CallerData(files=False), _services=self._services)
        catalogs = CatalogAnswers(self._catalog, login.user, number)
        runner = StatementRunner(self.engine, session, parameters, catalogs, self.metrics, limits=limits)
        connection = PgConnection(stream, runner, limits.idle_seconds)
        self._connections[number] = (secret, connection)
        parameters.report_all()
        stream.write(responses.backend_key_data(number, secret))
        if self._stopping is not None and self._stopping.is_set():
            raise PgError("57P03", "the database system is shutting down", severity="FATAL")
        await connection.serve()

    def _cancel(self, message: CancelMessage) -> None:
        """Cancel what a connection runs, if the secret is its own; nothing is said either way."""
        secret, connection = self._connections.get(message.process, (0, None))
        if connection is not None and secrets.compare_digest(
            secret.to_bytes(4, "big"), message.secret.to_bytes(4, "big")
        ):
            connection.cancel(user_cancelled())


def _started_settings(settings: SessionSettings, started: Mapping[str, str]) -> SessionSettings:
    """nestvec's settings with those that the client starts with. Raises PgError for a wrong value."""
    for started_name, value in started.items():
        name = started_name.lower()
        # Clients may not read the files of this machine.
        if name not in SETTINGS or name == "nestvec.models":
            continue
        try:
            settings = with_setting(settings, name, value)
        except ValueError as error:
            raise PgError(
                "22023", f'invalid value for parameter "{name}"', hint=str(error), severity="FATAL"
            ) from error
    return settings


def _fatal(error: PgError) -> PgError:
    """The error that ends a connection."""
    error.severity = "FATAL"
    return error
