"""``nestvec encoders``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import json_option, models_option

if TYPE_CHECKING:
    from nestvec_schemas.manifest import Manifest

_COLUMNS = ("name", "dims", "exits", "precision", "takes", "nesting", "pooling", "MB", "cosine")


@dataclass(frozen=True)
class Listed:
    """One encoder's folder: its manifest and size in bytes, or why it cannot be used."""

    name: str
    manifest: Manifest | None = None
    size: int = 0
    error: str = ""


@click.command(short_help=COMMANDS["encoders"].short_help)
@models_option
@click.option("--check", is_flag=True, help="Compare every file with its checksum, too.")
@json_option
def command(models: Path, check: bool, as_json: bool) -> None:
    """List the encoders in a model repository. Exit code 1 where one of them is damaged.

    \b
    Example:
      nestvec encoders --models models
    """
    from nestvec.cli.output import print_json
    from nestvec_schemas.repository import encoder_names

    listed = [read(models / name, check=check) for name in encoder_names(models)]
    if as_json:
        print_json([_json(one) for one in listed])
    elif not listed:
        click.echo(
            f"There is no encoder in {models}. "
            f"Export one: nestvec export CHECKPOINT --to {models} --name NAME"
        )
    else:
        _print(listed)
    if any(one.error for one in listed):
        raise click.exceptions.Exit(1)


def read(folder: Path, *, check: bool = False) -> Listed:
    """What is in an encoder's folder; ``check`` compares its files with their checksums."""
    from nestvec_schemas.errors import EncoderError, ManifestCorrupt
    from nestvec_schemas.repository import file_path, read_manifest, verify_files

    try:
        manifest = read_manifest(folder)
        lost = [name for name in manifest.files if not file_path(folder, name).is_file()]
        if lost:
            raise ManifestCorrupt(
                f"{folder} lacks files that its manifest lists",
                value=", ".join(lost),
                next_step="Export the encoder again.",
            )
        if check:
            verify_files(folder, manifest)
    except EncoderError as error:
        return Listed(folder.name, error=str(error))
    size = sum(file_path(folder, name).stat().st_size for name in manifest.files)
    return Listed(folder.name, manifest, size)


def _json(one: Listed) -> dict[str, object]:
    if one.manifest is None:
        return {"name": one.name, "error": one.error}
    return {"name": one.name, "bytes": one.size, "manifest": one.manifest.model_dump(mode="json")}


def _print(listed: Sequence[Listed]) -> None:
    from nestvec.cli.output import print_table

    sound = [(one, one.manifest) for one in listed if one.manifest is not None]
    if sound:
        print_table(_COLUMNS, [_row(one, manifest) for one, manifest in sound])
    for one, manifest in sound:
        if manifest.experts:
            click.echo(f"{one.name} has experts: {', '.join(manifest.experts)}")
    for one in listed:
        if one.error:
            click.secho(f"{one.name}: {one.error}", fg="red", err=True)


def _row(one: Listed, manifest: Manifest) -> tuple[object, ...]:
    from nestvec.cli.towers import takes

    return (
        one.name,
        " ".join(map(str, manifest.dims)),
        " ".join(map(str, manifest.layers)),
        manifest.precision,
        takes(manifest),
        manifest.nesting,
        ", ".join(dict.fromkeys(one.pooling for one in manifest.towers.values())),
        f"{one.size / 1e6:.1f}",
        manifest.verification.cosine_mean,
    )
