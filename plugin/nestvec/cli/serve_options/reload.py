"""The options of a running service, read again: which it takes up, and which need a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from nestvec.cli.options import parsed_arguments
from nestvec_schemas.errors import ServiceError

if TYPE_CHECKING:
    from nestvec.service.operation.declared_options import DeclaredOptions, DeclaredSource

_LIVE: Final = frozenset(
    {
        "encoder",
        "alias",
        "overlong",
        "max_connections",
        "unread_bytes",
        "shutdown_seconds",
        "allowed_host",
        "accept_token_ids",
        "idle",
        "memory_budget",
        "deadline_seconds",
        "max_deadline_seconds",
        "milvus_deadline_seconds",
        "max_requests",
        "queue_tokens",
        "client_share",
        "max_inputs",
        "max_body",
        "body_memory",
        "cache_size",
        "cache_seconds",
        "image_scheme",
        "image_host",
        "image_root",
        "image_bucket",
        "image_private",
        "image_memory",
        "s3_endpoint",
        "on_error",
    }
)
"""Parameters that a running service takes up. A change of any other is reported as one that needs a
restart."""

Values = Mapping[str, Any]


def declared_source(ctx: click.Context, declare: Callable[[Values], DeclaredOptions]) -> DeclaredSource:
    """Reads the config file and the environment again, below the command line of ``ctx``.

    ``declare`` makes them of the values of all parameters.
    """
    started = dict(ctx.params)

    def read() -> DeclaredOptions:
        from dataclasses import replace

        try:
            values = _parse_again(ctx)
            live = {name: values[name] if name in _LIVE else value for name, value in started.items()}
            declared = declare(live)
        except click.ClickException as error:
            raise ServiceError(
                "the options cannot be read again",
                value=error.format_message(),
                next_step="Correct the configuration, then reload.",
            ) from error
        needs_restart = (
            _key(name) for name in started if name not in _LIVE and values[name] != started[name]
        )
        options = {_key(name): live[name] for name in started if name in _LIVE}
        return replace(declared, options=options, needs_restart=tuple(sorted(needs_restart)))

    return read


def _parse_again(ctx: click.Context) -> dict[str, Any]:
    """The values of all parameters as they are now."""
    again = ctx.command.make_context(ctx.info_name, list(parsed_arguments(ctx)), parent=ctx.parent)
    return again.params


def _key(name: str) -> str:
    return name.replace("_", "-")
