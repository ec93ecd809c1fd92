"""``nestvec serve``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command
from nestvec.cli.serve_options.engine import EngineArgs, engine_options
from nestvec.cli.serve_options.images import ImageArgs, image_options
from nestvec.cli.serve_options.network import NetworkArgs, network_options
from nestvec.cli.serve_options.observability import ObservabilityArgs, observability_options
from nestvec.cli.serve_options.repository import RepositoryArgs, repository_options

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder
    from nestvec.service.settings import ServiceSettings


@dataclass(frozen=True)
class ServeArgs:
    """The command's arguments."""

    encoders: RepositoryArgs
    network: NetworkArgs
    engine: EngineArgs
    images: ImageArgs
    observability: ObservabilityArgs


@click.command("serve", cls=args_command(ServeArgs), short_help=COMMANDS["serve"].short_help)
@repository_options
@network_options
@engine_options
@image_options
@observability_options
def command(args: ServeArgs) -> None:
    """Serve the encoders in a model repository: TEI's /embed, OpenAI's /v1/embeddings, Cohere's /v2/embed.

    /health and /metrics need no API key. SIGTERM finishes the accepted requests; a second one stops at once.
    A repeatable option takes several values from its environment variable, separated by spaces.

    \b
    Example:
      nestvec serve --models models --port 8080 --api-keys keys.txt
    """
    from nestvec.service.observability.logs import service_log
    from nestvec.service.server import bind, create_server, listening_url, open_embedder, serve

    with (
        service_log(args.observability.log_format),
        bind(args.network.host, args.network.port) as listener,
    ):
        embedder = open_embedder(args.encoders.models, args.encoders.encoder, settings_of(args))
        server = create_server(embedder)
        _print_encoders(embedder, listening_url(listener, tls=args.network.tls_cert is not None))
        serve(server, listener)


def settings_of(args: ServeArgs) -> ServiceSettings:
    """The service's settings from the arguments."""
    from nestvec.service.settings import ServiceSettings

    return ServiceSettings(
        overlong=args.encoders.overlong,
        on_error=args.images.on_error,
        engine=args.engine.options(),
        connections=args.network.connections(),
        access=args.network.access(),
        images=args.images.policy(),
        otlp_endpoint=args.observability.otlp_endpoint,
    )


def _print_encoders(embedder: Embedder, service: str) -> None:
    for name, encoder in embedder.encoders.items():
        manifest = encoder.manifest
        dims = ", ".join(str(dim) for dim in manifest.dims)
        click.echo(f"{name}: {manifest.source}, {manifest.precision}, dims {dims}")
    click.echo(f"Serving at {service} (interactive docs: {service}/docs)")
