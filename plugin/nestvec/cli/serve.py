"""``nestvec serve``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, build_args
from nestvec.cli.serve_options.access import AccessArgs, access_options
from nestvec.cli.serve_options.cache import CacheArgs, cache_options
from nestvec.cli.serve_options.config_file import config_options, print_config
from nestvec.cli.serve_options.engine import EngineArgs, engine_options
from nestvec.cli.serve_options.images import ImageArgs, image_options
from nestvec.cli.serve_options.limits import LimitArgs, limit_options
from nestvec.cli.serve_options.network import NetworkArgs, network_options
from nestvec.cli.serve_options.observability import ObservabilityArgs, observability_options
from nestvec.cli.serve_options.openvino import OpenVinoArgs, openvino_options
from nestvec.cli.serve_options.reload import declared_source
from nestvec.cli.serve_options.repository import RepositoryArgs, repository_options

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder
    from nestvec.service.operation.declared_options import DeclaredOptions
    from nestvec.service.settings import ServiceSettings


@dataclass(frozen=True)
class ServeArgs:
    """The command's arguments."""

    encoders: RepositoryArgs
    network: NetworkArgs
    access: AccessArgs
    engine: EngineArgs
    openvino: OpenVinoArgs
    limits: LimitArgs
    cache: CacheArgs
    images: ImageArgs
    observability: ObservabilityArgs
    print_config: bool


@click.command("serve", cls=args_command(ServeArgs), short_help=COMMANDS["serve"].short_help)
@repository_options
@network_options
@access_options
@engine_options
@openvino_options
@limit_options
@cache_options
@image_options
@observability_options
@config_options
def command(args: ServeArgs) -> None:
    """Serve the encoders in a model repository: TEI's /embed, OpenAI's /v1/embeddings, Cohere's /v2/embed.

    /health, /livez and /metrics need no API key. SIGTERM finishes the accepted requests; a second one stops
    at once.
    SIGHUP reads keys, encoders and the options in --config again, without dropping a request.
    A repeatable option takes several values from its environment variable, separated by spaces.

    \b
    Example:
      nestvec serve --models models --port 8080 --api-keys keys.txt
    """
    from nestvec.service.observability.logs import service_log
    from nestvec.service.operation.hangup import Hangup
    from nestvec.service.server import (
        bind,
        create_server,
        end_process,
        listening_url,
        open_embedder,
        serve,
    )

    if args.print_config:
        print_config(click.get_current_context())
        return
    hangup = Hangup()
    hangup.install()
    with (
        service_log(args.observability.log_format),
        bind(args.network.host, args.network.port) as listener,
    ):
        embedder = open_embedder(
            args.encoders.models,
            args.encoders.encoder,
            settings_of(args),
            declared=declared_source(click.get_current_context(), declare),
        )
        server = create_server(embedder)
        _print_start(embedder, listening_url(listener, tls=args.access.tls_cert is not None))
        hangup.attach(server.operations.request_reload, server.handle_exit)
        serve(server, listener)
    if server.was_forced:
        end_process()


def settings_of(args: ServeArgs) -> ServiceSettings:
    """The service's settings from the arguments."""
    from nestvec.service.settings import ServiceSettings

    return ServiceSettings(
        overlong=args.encoders.overlong,
        on_error=args.images.on_error,
        engine=args.engine.options(args.openvino),
        connections=args.network.connections(),
        load=args.limits.load(),
        cache=args.cache.limits(),
        access=args.access.settings(args.network.host),
        images=args.images.policy(),
        otlp_endpoint=args.observability.otlp_endpoint,
    )


def declare(values: Mapping[str, Any]) -> DeclaredOptions:
    """What a service is to take up, from the values of all parameters. Raises click's UsageError."""
    from nestvec.service.operation.declared_options import DeclaredOptions

    args = build_args(ServeArgs, dict(values))
    return DeclaredOptions(
        aliases=args.encoders.alias, encoders=args.encoders.encoder, settings=settings_of(args)
    )


def _print_start(embedder: Embedder, service: str) -> None:
    for name, encoder in embedder.encoders.items():
        manifest = encoder.manifest
        dims = ", ".join(str(dim) for dim in manifest.dims)
        state = "" if embedder.encoders.instance(name).resident else ", loaded when it is needed"
        click.echo(f"{name}: {manifest.source}, {manifest.precision}, dims {dims}{state}")
    for alias, name in sorted(embedder.encoders.aliases.items()):
        click.echo(f"{alias}: another name for {name}")
    for line in _engine_lines(embedder):
        click.echo(line)
    click.echo(f"Serving at {service} (interactive docs: {service}/docs)")


def _engine_lines(embedder: Embedder) -> list[str]:
    """What runs the encoders, a line for each engine and precision, with the reason if it is not the first
    choice."""
    encoders: dict[str, list[str]] = {}
    for instance in embedder.encoders.instances:
        engine = embedder.engine_info(instance.name)
        address = embedder.settings.engine.triton_url
        where = [address] if engine.name == "triton" else [engine.device, engine.provider]
        where += [engine.precision] if engine.precision else []
        where += [] if engine.cosine is None else [f"cosine to fp32 {engine.cosine:.5f}"]
        line = f"Engine: {engine.name} {engine.version} ({', '.join(where)})"
        line += f"; {engine.reason}" if engine.reason else ""
        encoders.setdefault(line, []).append(instance.name)
    if len(encoders) == 1:
        return [*encoders]
    return [line.replace("Engine:", f"Engine of {', '.join(names)}:", 1) for line, names in encoders.items()]
