"""``nestvec serve``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, models_option

if TYPE_CHECKING:
    from nestvec.images import ImagePolicy
    from nestvec.images.address import Scheme
    from nestvec.service.embedder import Embedder
    from nestvec.service.settings import ServiceSettings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class ServeArgs:
    """The command's arguments."""

    models: Path
    names: tuple[str, ...]
    host: str
    port: int
    engine: Literal["onnx", "triton"]
    threads: int
    triton_url: str
    overlong: Literal["error", "truncate", "mean"]
    api_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    image_schemes: tuple[Scheme, ...]
    image_hosts: tuple[str, ...]
    image_roots: tuple[Path, ...]
    image_buckets: tuple[str, ...]
    image_private: bool
    s3_endpoint: str | None
    on_error: Literal["error", "zero"]
    otlp_endpoint: str | None
    log_format: Literal["text", "json"]
    shutdown_seconds: int


_FILE = click.Path(path_type=Path, dir_okay=False)


def _option(
    name: str, about: str, kind: Any = None, default: Any = None, metavar: str | None = None
) -> Callable[[F], F]:
    return click.option(
        name, type=kind, default=default, metavar=metavar, help=about, show_default=default is not None
    )


@click.command(cls=args_command(ServeArgs), short_help=COMMANDS["serve"].short_help)
@models_option
@click.option("--encoder", "names", multiple=True, metavar="NAME", help="Serve only this one (repeatable).")
@_option("--host", "Address to listen at.", default="127.0.0.1")
@_option("--port", "Port; 0 takes a free one.", click.IntRange(0, 65535), 8080)
@_option(
    "--engine", "onnx: in this process. triton: a Triton server.", click.Choice(["onnx", "triton"]), "onnx"
)
@_option("--threads", "Threads of the onnx engine (0: one a core).", click.IntRange(0, 1024), 0)
@_option("--triton-url", "Triton's gRPC address.", default="127.0.0.1:8001", metavar="HOST:PORT")
@_option(
    "--overlong",
    "Texts longer than the encoder takes, where a request does not say: refused, cut, or embedded in "
    "chunks and averaged.",
    click.Choice(["error", "truncate", "mean"]),
    "truncate",
)
@_option("--api-keys", "File of API keys, one a line; a change is seen within a second.", _FILE)
@_option("--tls-cert", "Certificate chain (PEM): serve https.", _FILE)
@_option("--tls-key", "The certificate's unencrypted key (PEM).", _FILE)
@click.option(
    "--image-scheme",
    "image_schemes",
    multiple=True,
    type=click.Choice(["data", "https", "http", "file", "s3"]),
    help="Where pictures may come from (repeatable). Default: data, https and what is named below.",
)
@click.option(
    "--image-host",
    "image_hosts",
    multiple=True,
    metavar="HOST",
    help="Only from this host, or *.HOST (repeatable).",
)
@click.option(
    "--image-root",
    "image_roots",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
    help="Folder that file: may read (repeatable).",
)
@click.option(
    "--image-bucket",
    "image_buckets",
    multiple=True,
    metavar="BUCKET",
    help="Bucket that s3: may read (repeatable).",
)
@click.option("--image-private", is_flag=True, help="Also from hosts whose addresses are not public.")
@_option("--s3-endpoint", "Of an S3 store that is not Amazon's.", metavar="URL")
@_option(
    "--on-error",
    "A picture that cannot be had: the request is refused, or its vector is zero.",
    click.Choice(["error", "zero"]),
    "error",
)
@_option("--otlp-endpoint", "Send traces to this OTLP/HTTP collector.", metavar="URL")
@_option(
    "--log-format",
    "Of the log on standard error; nestvec -v serve adds a line a request.",
    click.Choice(["text", "json"]),
    "text",
)
@_option("--shutdown-seconds", "SIGTERM: finish what was taken for so long.", click.IntRange(0, 3600), 30)
def command(args: ServeArgs) -> None:
    """Serve the encoders in a model repository: TEI's /embed, OpenAI's /v1/embeddings, Cohere's /v2/embed.

    /health and /metrics need no API key. SIGTERM finishes what was taken; a second one does not wait.

    \b
    Example:
      nestvec serve --models models --port 8080 --api-keys keys.txt
    """
    from nestvec.service.observability.logs import set_log_format
    from nestvec.service.server import base_url, bind, create_server, open_embedder, serve

    set_log_format(args.log_format)
    with bind(args.host, args.port) as listener:
        embedder = open_embedder(args.models, args.names, settings_of(args))
        server = create_server(embedder)
        _tell(embedder, base_url(listener, tls=args.tls_cert is not None))
        serve(server, listener)


def settings_of(args: ServeArgs) -> ServiceSettings:
    """What the arguments mean to the service."""
    from nestvec.engines.factory import EngineOptions
    from nestvec.service.settings import AccessSettings, ConnectionLimits, ServiceSettings

    return ServiceSettings(
        overlong=args.overlong,
        engine=EngineOptions(args.engine, args.threads, args.triton_url),
        limits=ConnectionLimits(shutdown_seconds=args.shutdown_seconds),
        guard=AccessSettings(args.api_keys, args.tls_cert, args.tls_key),
        images=_images(args),
        on_error=args.on_error,
        otlp=args.otlp_endpoint,
    )


def _images(args: ServeArgs) -> ImagePolicy:
    from nestvec.images import ImagePolicy

    schemes: set[Scheme] = set(args.image_schemes) or {"data", "https"}
    schemes |= {"file"} if args.image_roots else set()
    schemes |= {"s3"} if args.image_buckets else set()
    return ImagePolicy(
        schemes=frozenset(schemes),
        hosts=args.image_hosts,
        allow_private=args.image_private,
        roots=args.image_roots,
        buckets=args.image_buckets,
        s3_endpoint=args.s3_endpoint,
    )


def _tell(embedder: Embedder, service: str) -> None:
    for name, encoder in embedder.encoders.items():
        manifest = encoder.manifest
        dims = ", ".join(str(dim) for dim in manifest.dims)
        click.echo(f"{name}: {manifest.source}, {manifest.precision}, dims {dims}")
    click.echo(f"Serving at {service} (interactive docs: {service}/docs)")
