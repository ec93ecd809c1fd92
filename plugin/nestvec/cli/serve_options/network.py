"""Where the service listens, and who may call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli.options import option, option_group

if TYPE_CHECKING:
    from nestvec.service.settings import AccessSettings, ConnectionLimits

F = TypeVar("F", bound=Callable[..., object])

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class NetworkArgs:
    """Where the service listens, and who may call it."""

    host: str
    port: int
    api_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    shutdown_seconds: int

    def access(self) -> AccessSettings:
        """Who may use the service."""
        from nestvec.service.settings import AccessSettings

        return AccessSettings(self.api_keys, self.tls_cert, self.tls_key)

    def connections(self) -> ConnectionLimits:
        """How long clients may take, and how long stopping may."""
        from nestvec.service.settings import ConnectionLimits

        return ConnectionLimits(shutdown_seconds=self.shutdown_seconds)


def network_options(command: F) -> F:
    """The fields of NetworkArgs."""
    return option_group(
        "Network",
        option("--host", default="127.0.0.1", help="Address to listen on."),
        option("--port", type=click.IntRange(0, 65535), default=8080, help="Port; 0 picks a free one."),
        option("--api-keys", type=_FILE, help="File of API keys, one per line; reread when it changes."),
        option("--tls-cert", type=_FILE, help="Certificate chain (PEM); serves https."),
        option("--tls-key", type=_FILE, help="The certificate's unencrypted private key (PEM)."),
        option(
            "--shutdown-seconds",
            type=click.IntRange(0, 3600),
            default=30,
            help="After SIGTERM, how long to finish accepted requests.",
        ),
    )(command)
