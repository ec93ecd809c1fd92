"""Where the service listens, and who may call it."""

from __future__ import annotations

import re
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

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
"""An origin as browsers write it: in lower case, without a path."""


@dataclass(frozen=True)
class NetworkArgs:
    """Where the service listens, and who may call it."""

    host: str
    port: int
    api_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    cors_origin: tuple[str, ...]
    accept_token_ids: bool
    shutdown_seconds: int

    def access(self) -> AccessSettings:
        """Who may use the service."""
        from nestvec.service.settings import AccessSettings

        return AccessSettings(
            self.api_keys, self.tls_cert, self.tls_key, self.cors_origin, self.accept_token_ids
        )

    def connections(self) -> ConnectionLimits:
        """How long clients may take, and how long stopping may."""
        from nestvec.service.settings import ConnectionLimits

        return ConnectionLimits(shutdown_seconds=self.shutdown_seconds)


def _check_origins(_: click.Context, __: click.Parameter, origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise click.BadParameter(
                f"{origin!r} is not an origin. Write scheme and host as browsers send them, without a path: "
                "https://app.example.com or http://localhost:3000."
            )
    return origins


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
            "--cors-origin",
            multiple=True,
            metavar="ORIGIN",
            callback=_check_origins,
            help="Origin whose pages may call the service from a browser, such as https://app.example.com; "
            "* for all (repeatable).",
        ),
        option(
            "--accept-token-ids",
            is_flag=True,
            help="Take token ids on OpenAI's and vLLM's paths; they must be of the encoder's own tokenizer.",
        ),
        option(
            "--shutdown-seconds",
            type=click.IntRange(0, 3600),
            default=30,
            help="After SIGTERM, how long to finish accepted requests.",
        ),
    )(command)
