"""Who may call the service, by which names, keys and certificates."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli.options import option, option_group

if TYPE_CHECKING:
    from nestvec.service.settings import AccessSettings

F = TypeVar("F", bound=Callable[..., object])

_FILE = click.Path(path_type=Path, dir_okay=False)

_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST_PATTERN = re.compile(rf"\*|(\*\.)?{_LABEL}(\.{_LABEL})*\.?")
"""A host's name in lower case, ``*.`` and a name, or ``*``."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
"""An origin as browsers write it: in lower case, without a path."""


@dataclass(frozen=True)
class AccessArgs:
    """Who may call the service, by which names, keys and certificates."""

    api_keys: Path | None
    admin_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    allowed_host: tuple[str, ...]
    cors_origin: tuple[str, ...]
    accept_token_ids: bool
    ui: bool

    def settings(self, host: str) -> AccessSettings:
        """The settings of a service that listens on ``host``."""
        from nestvec.service.settings import AccessSettings

        return AccessSettings(
            api_keys=self.api_keys,
            admin_keys=self.admin_keys,
            tls_cert=self.tls_cert,
            tls_key=self.tls_key,
            cors_origins=self.cors_origin,
            accept_token_ids=self.accept_token_ids,
            ui=self.ui,
            allowed_hosts=(*filter(_is_name, (host,)), *self.allowed_host),
        )


def _check_origins(_: click.Context, __: click.Parameter, origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise click.BadParameter(
                f"{origin!r} is not an origin. Write scheme and host as browsers send them, without a path: "
                "https://app.example.com or http://localhost:3000."
            )
    return origins


def _check_hosts(_: click.Context, __: click.Parameter, hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not _HOST_PATTERN.fullmatch(host.lower()):
            raise click.BadParameter(
                f"{host!r} is not the name of a host. Write it without scheme and port: embed.example.com, "
                "*.example.com for all names below it, or * for any."
            )
    return hosts


def _is_name(host: str) -> bool:
    """Whether a host is written as a name, not as an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def access_options(command: F) -> F:
    """The fields of AccessArgs."""
    return option_group(
        "Access",
        option("--api-keys", type=_FILE, help="File of API keys, one per line; reread when it changes."),
        option(
            "--admin-keys",
            type=_FILE,
            help="File of the keys that POST /admin/reload takes; without it there is no such path.",
        ),
        option("--tls-cert", type=_FILE, help="Certificate chain (PEM); serves https."),
        option("--tls-key", type=_FILE, help="The certificate's unencrypted private key (PEM)."),
        option(
            "--allowed-host",
            multiple=True,
            metavar="NAME",
            callback=_check_hosts,
            show_default="localhost, IP addresses, and the name given as --host",
            help="Name by which clients may call the service: NAME, *.NAME for the names below it, or * for "
            "any (repeatable).",
        ),
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
            "--ui",
            is_flag=True,
            help="Serve the playground, a page at /ui to try the encoders in a browser.",
        ),
    )(command)
