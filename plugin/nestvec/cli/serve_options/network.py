"""Where the service listens, and how many it listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli.options import option, option_group
from nestvec.cli.serve_options.sizes import Bytes

if TYPE_CHECKING:
    from nestvec.service.settings import ConnectionLimits

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class NetworkArgs:
    """Where the service listens, and how many it listens to."""

    host: str
    port: int
    max_connections: int
    unread_bytes: int
    shutdown_seconds: int

    def connections(self) -> ConnectionLimits:
        """How many connections clients may open, how long they may take, and how long stopping may."""
        from nestvec.service.settings import ConnectionLimits

        return ConnectionLimits(
            connections=self.max_connections,
            client_connections=max(1, self.max_connections // 4),
            unread_bytes=self.unread_bytes,
            shutdown_seconds=self.shutdown_seconds,
        )


def network_options(command: F) -> F:
    """The fields of NetworkArgs."""
    return option_group(
        "Network",
        option("--host", default="127.0.0.1", help="Address to listen on."),
        option("--port", type=click.IntRange(0, 65535), default=8080, help="Port; 0 picks a free one."),
        option(
            "--max-connections",
            type=click.IntRange(1, 60_000),
            default=4096,
            help="Open connections; a quarter of them from one client address.",
        ),
        option(
            "--unread-bytes",
            type=Bytes(),
            default="64MiB",
            metavar="SIZE",
            help="Bytes of responses that clients have not read, over all connections; beyond it, the "
            "connections that have waited the longest are closed. The requests of a client that leaves more "
            "than a quarter unread wait.",
        ),
        option(
            "--shutdown-seconds",
            type=click.IntRange(0, 3600),
            default=30,
            help="After SIGTERM, how long to finish accepted requests.",
        ),
    )(command)
