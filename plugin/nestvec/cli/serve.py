"""``nestvec serve``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, encoder_option, models_option, option, option_group

if TYPE_CHECKING:
    from nestvec.images import ImagePolicy
    from nestvec.images.address import Scheme
    from nestvec.service.embedder import Embedder
    from nestvec.service.settings import ServiceSettings

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class NetworkArgs:
    """Where the service listens, and who may call it."""

    host: str
    port: int
    api_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None


@dataclass(frozen=True)
class EngineArgs:
    """What runs the encoders."""

    engine: Literal["onnx", "triton"]
    threads: int
    triton_url: str


@dataclass(frozen=True)
class ImageArgs:
    """Where images may come from."""

    image_scheme: tuple[Scheme, ...]
    image_host: tuple[str, ...]
    image_root: tuple[Path, ...]
    image_bucket: tuple[str, ...]
    image_private: bool
    s3_endpoint: str | None
    on_error: Literal["reject", "zero"]


@dataclass(frozen=True)
class ServeArgs:
    """The command's arguments."""

    models: Path

    encoder: tuple[str, ...]
    """The encoders to serve; empty for all in the repository."""

    overlong: Literal["error", "truncate", "mean"]
    network: NetworkArgs
    engine: EngineArgs
    images: ImageArgs
    shutdown_seconds: int
    log_format: Literal["text", "json"]
    otlp_endpoint: str | None


@click.command("serve", cls=args_command(ServeArgs), short_help=COMMANDS["serve"].short_help)
@models_option
@option_group(
    "Encoders",
    encoder_option("--encoder", help="Serve only this encoder (repeatable)."),
    option(
        "--overlong",
        type=click.Choice(["error", "truncate", "mean"]),
        default="truncate",
        help="What to do with a text longer than the encoder takes, unless a request says. error: reject the "
        "request. truncate: truncate the text. mean: average the vectors of its chunks.",
    ),
)
@option_group(
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
)
@option_group(
    "Engine",
    option(
        "--engine",
        type=click.Choice(["onnx", "triton"]),
        default="onnx",
        help="onnx: ONNX Runtime in this process. triton: a Triton server.",
    ),
    option(
        "--threads", type=click.IntRange(0, 1024), default=0, help="Threads of ONNX Runtime; 0: one per core."
    ),
    option("--triton-url", default="127.0.0.1:8001", metavar="HOST:PORT", help="Triton's gRPC address."),
)
@option_group(
    "Images",
    option(
        "--image-scheme",
        multiple=True,
        type=click.Choice(["data", "https", "http", "file", "s3"]),
        show_default="data, https, and the schemes of the roots and buckets",
        help="Scheme that an image's address may have (repeatable).",
    ),
    option(
        "--image-host", multiple=True, metavar="HOST", help="Fetch only from HOST, or *.HOST (repeatable)."
    ),
    option(
        "--image-root",
        multiple=True,
        type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
        help="Folder that file: addresses may read (repeatable).",
    ),
    option("--image-bucket", multiple=True, metavar="BUCKET", help="Bucket that s3: may read (repeatable)."),
    option("--image-private", is_flag=True, help="Fetch from hosts with private addresses, too."),
    option("--s3-endpoint", metavar="URL", help="Endpoint of an S3 store other than Amazon's."),
    option(
        "--on-error",
        type=click.Choice(["reject", "zero"]),
        default="reject",
        help="What to do with an image that cannot be fetched or decoded. reject: reject the request. zero: "
        "return a zero vector.",
    ),
)
@option_group(
    "Observability",
    option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Format of the log on standard error; nestvec -v serve logs every request.",
    ),
    option("--otlp-endpoint", metavar="URL", help="OTLP/HTTP collector to send traces to."),
)
def command(args: ServeArgs) -> None:
    """Serve the encoders in a model repository: TEI's /embed, OpenAI's /v1/embeddings, Cohere's /v2/embed.

    /health and /metrics need no API key. SIGTERM finishes the accepted requests; a second one stops at once.
    A repeatable option takes several values from its environment variable, separated by spaces.

    \b
    Example:
      nestvec serve --models models --port 8080 --api-keys keys.txt
    """
    from nestvec.service.observability.logs import set_log_format
    from nestvec.service.server import bind, create_server, listening_url, open_embedder, serve

    set_log_format(args.log_format)
    with bind(args.network.host, args.network.port) as listener:
        embedder = open_embedder(args.models, args.encoder, settings_of(args))
        server = create_server(embedder)
        _print_encoders(embedder, listening_url(listener, tls=args.network.tls_cert is not None))
        serve(server, listener)


def settings_of(args: ServeArgs) -> ServiceSettings:
    """The service's settings from the arguments."""
    from nestvec.engines.factory import EngineOptions
    from nestvec.service.settings import AccessSettings, ConnectionLimits, ServiceSettings

    return ServiceSettings(
        overlong=args.overlong,
        engine=EngineOptions(args.engine.engine, args.engine.threads, args.engine.triton_url),
        connections=ConnectionLimits(shutdown_seconds=args.shutdown_seconds),
        access=AccessSettings(args.network.api_keys, args.network.tls_cert, args.network.tls_key),
        images=_image_policy(args.images),
        on_error=args.images.on_error,
        otlp_endpoint=args.otlp_endpoint,
    )


def _image_policy(args: ImageArgs) -> ImagePolicy:
    from nestvec.images import ImagePolicy

    schemes: set[Scheme] = set(args.image_scheme) or {"data", "https"}
    schemes |= {"file"} if args.image_root else set()
    schemes |= {"s3"} if args.image_bucket else set()
    return ImagePolicy(
        schemes=frozenset(schemes),
        hosts=args.image_host,
        allow_private=args.image_private,
        roots=args.image_root,
        buckets=args.image_bucket,
        s3_endpoint=args.s3_endpoint,
    )


def _print_encoders(embedder: Embedder, service: str) -> None:
    for name, encoder in embedder.encoders.items():
        manifest = encoder.manifest
        dims = ", ".join(str(dim) for dim in manifest.dims)
        click.echo(f"{name}: {manifest.source}, {manifest.precision}, dims {dims}")
    click.echo(f"Serving at {service} (interactive docs: {service}/docs)")
