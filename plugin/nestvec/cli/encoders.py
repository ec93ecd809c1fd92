"""``nestvec encoders``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import GroupedCommand, json_option, models_option, option, option_group

if TYPE_CHECKING:
    from nestvec_schemas.manifest import Manifest

_COLUMNS = ("name", "dims", "exits", "precision", "inputs", "nesting", "pooling", "MB", "cosine")


@dataclass(frozen=True)
class EncoderFolder:
    """One encoder's folder."""

    name: str
    manifest: Manifest | None = None

    size: int = 0
    """Bytes of its files."""

    error: str = ""
    """Why it cannot be used, if there is no manifest."""


@click.command("encoders", cls=GroupedCommand, short_help=COMMANDS["encoders"].short_help)
@models_option
@option_group("Encoders", option("--check", is_flag=True, help="Compare every file with its checksum."))
@json_option
def command(models: Path, check: bool, json: bool) -> None:
    """List the encoders in a model repository. The exit code is 1 if one of them is damaged.

    \b
    Example:
      nestvec encoders --models models
    """
    from nestvec.terminal.tables import print_json
    from nestvec_schemas.repository import encoder_names

    folders = [read_folder(models / name, check=check) for name in encoder_names(models)]
    if json:
        print_json([_json(folder) for folder in folders])
    elif not folders:
        click.echo(
            f"There are no encoders in {models}. "
            f"Export one: nestvec export CHECKPOINT --to {models} --name NAME"
        )
    else:
        _print(folders)
    if any(folder.error for folder in folders):
        raise click.exceptions.Exit(1)


def read_folder(folder: Path, *, check: bool = False) -> EncoderFolder:
    """What is in an encoder's folder; ``check`` compares its files with their checksums."""
    from nestvec_schemas.errors import EncoderError, ManifestCorrupt
    from nestvec_schemas.repository import file_path, read_manifest, verify_files

    try:
        manifest = read_manifest(folder)
        missing = [name for name in manifest.files if not file_path(folder, name).is_file()]
        if missing:
            raise ManifestCorrupt(
                f"{folder} lacks files that its manifest lists",
                value=", ".join(missing),
                next_step="Export the encoder again.",
            )
        if check:
            verify_files(folder, manifest)
    except EncoderError as error:
        return EncoderFolder(folder.name, error=str(error))
    size = sum(file_path(folder, name).stat().st_size for name in manifest.files)
    return EncoderFolder(folder.name, manifest, size)


def _json(folder: EncoderFolder) -> dict[str, object]:
    if folder.manifest is None:
        return {"name": folder.name, "error": folder.error}
    return {"name": folder.name, "bytes": folder.size, "manifest": folder.manifest.model_dump(mode="json")}


def _print(folders: Sequence[EncoderFolder]) -> None:
    from nestvec.terminal.tables import print_table

    sound = [(folder, folder.manifest) for folder in folders if folder.manifest is not None]
    if sound:
        print_table(_COLUMNS, [_row(folder, manifest) for folder, manifest in sound])
    for folder, manifest in sound:
        if manifest.experts:
            click.echo(f"{folder.name} has experts: {', '.join(manifest.experts)}")
        if manifest.prompts:
            default = f" (default: {manifest.default_prompt})" if manifest.default_prompt else ""
            click.echo(f"{folder.name} has prompts: {', '.join(manifest.prompts)}{default}")
    for folder in folders:
        if folder.error:
            click.secho(f"{folder.name}: {folder.error}", fg="red", err=True)


def _row(folder: EncoderFolder, manifest: Manifest) -> tuple[object, ...]:

    from nestvec.cli.reports.encoder_inputs import describe_inputs

    return (
        folder.name,
        " ".join(map(str, manifest.dims)),
        " ".join(map(str, manifest.layers)),
        manifest.precision,
        describe_inputs(manifest),
        manifest.nesting,
        ", ".join(dict.fromkeys(tower.pooling for tower in manifest.towers.values())),
        f"{folder.size / 1e6:.1f}",
        manifest.verification.cosine_mean,
    )
