"""``nestvec serve``."""

from __future__ import annotations

from pathlib import Path

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import models_option


@click.command(short_help=COMMANDS["serve"].short_help)
@models_option
@click.option(
    "--encoder", "names", multiple=True, metavar="NAME", help="Serve only this one (may be repeated)."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 takes a free one."
)
@click.option("--threads", type=click.IntRange(0, 1024), default=0, help="Engine threads (0: one a core).")
@click.option(
    "--no-truncate", is_flag=True, help="Refuse texts longer than the encoder takes, unless asked to cut."
)
def command(
    models: Path, names: tuple[str, ...], host: str, port: int, threads: int, no_truncate: bool
) -> None:
    """Serve the encoders in a model repository: TEI's /embed, OpenAI's /v1/embeddings, /info, /docs.

    \b
    Example:
      nestvec serve --models models --port 8080
    """
    from nestvec.service.server import address, bind, open_embedder, serve
    from nestvec.service.settings import Settings

    with bind(host, port) as listener:
        settings = Settings(auto_truncate=not no_truncate, threads=threads)
        embedder = open_embedder(models, names, settings)
        for name, encoder in embedder.encoders.items():
            manifest = encoder.manifest
            dims = ", ".join(str(dim) for dim in manifest.dims)
            click.echo(f"{name}: {manifest.source}, {manifest.precision}, dims {dims}")
        click.echo(f"Serving at {address(listener)} (interactive docs: {address(listener)}/docs)")
        serve(embedder, listener)
