"""``nestvec export``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import gathered, json_option

if TYPE_CHECKING:
    from nestvec_exporters.triton import Format
    from nestvec_schemas.manifest import Manifest, Precision

_NAME_LENGTH = 64


@dataclass(frozen=True)
class Asked:
    """The command's arguments; a name of None is made from the checkpoint's."""

    checkpoint: str
    models: Path
    name: str | None
    precision: Precision
    dims: tuple[int, ...] | None
    max_tokens: int | None
    force: bool
    format: Format
    gpus: tuple[int, ...] | None
    accelerate: bool
    as_json: bool


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``384,128`` as numbers; a usage error names the part that is none."""
    example = {"dims": "384,128", "gpus": "0,1"}[param.name or "dims"]
    if value is None:
        return None
    found = []
    for part in value.split(","):
        try:
            found.append(int(part))
        except ValueError:
            reason = f"'{part.strip()}' is not a whole number. Write them as {example}."
            raise click.BadParameter(reason, ctx, param) from None
    return tuple(found)


@click.command(cls=gathered(Asked), short_help=COMMANDS["export"].short_help)
@click.argument("checkpoint")
@click.option(
    "--to",
    "models",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    help="The model repository: a folder, made where it is absent.",
)
@click.option("--name", help="The encoder's name. Default: the checkpoint's, in lower case.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16: half the size, for GPUs. int8: a quarter, faster on a CPU, a little less exact.",
)
@click.option(
    "--dims",
    callback=_numbers,
    metavar="DIM,DIM,…",
    help="The prefixes to offer. Default: powers of two down to 32.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    help="Texts longer than this are cut. Default: what the checkpoint says.",
)
@click.option(
    "--format",
    type=click.Choice(["onnx", "tensorrt"]),
    default="onnx",
    show_default=True,
    help="tensorrt: with a TensorRT plan for Triton, built where TensorRT is installed.",
)
@click.option(
    "--gpus",
    callback=_numbers,
    metavar="GPU,GPU,…",
    help="The GPUs that Triton runs it on. Default: all that there are, else the CPU.",
)
@click.option(
    "--tensorrt", "accelerate", is_flag=True, help="Have Triton's ONNX Runtime run it through TensorRT."
)
@click.option("--force", is_flag=True, help="Replace an encoder of this name.")
@json_option
def command(asked: Asked) -> None:
    """Export CHECKPOINT, a local folder or a Hugging Face id, to a Triton model repository.

    The exported vectors are compared with the checkpoint's own on real sentences; where they differ by
    more than the precision allows, nothing is written.

    \b
    Example:
      nestvec export sentence-transformers/all-MiniLM-L6-v2 --to models --name minilm --dims 384,128,64
    """
    from nestvec.progress import stages
    from nestvec_exporters import ExportOptions, export

    options = ExportOptions(
        checkpoint=asked.checkpoint,
        models=asked.models,
        name=asked.name or default_name(asked.checkpoint),
        precision=asked.precision,
        dims=asked.dims,
        max_tokens=asked.max_tokens,
        force=asked.force,
        format=asked.format,
        gpus=asked.gpus or (),
        accelerate=asked.accelerate,
    )
    with stages() as on_stage:
        manifest = export(options, on_stage)
    _report(manifest, asked.models, as_json=asked.as_json)


def default_name(checkpoint: str) -> str:
    """An encoder's name from a path or id: its last part in lower case, with ``-`` for what may not be."""
    last = Path(checkpoint).name or Path(checkpoint).resolve().name
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("._-")[:_NAME_LENGTH] or "encoder"


def _report(manifest: Manifest, models: Path, *, as_json: bool) -> None:
    from nestvec.cli.output import print_json

    folder = models / manifest.name
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        shown = manifest.model_dump(mode="json")
        print_json({"path": str(folder), "bytes": size, "manifest": shown})
        return
    found = manifest.verification
    dims = ", ".join(map(str, manifest.dims))
    click.echo(
        f"{folder}: {manifest.dim} dims ({dims}), {manifest.precision}, "
        f"at most {manifest.towers['text'].max_tokens} tokens, {size / 1e6:.1f} MB\n"
        f"cosine to the checkpoint over {found.sentences} texts: {found.cosine_mean:.6f} on average, "
        f"{found.cosine_min:.6f} at least\n"
        f"Next: nestvec serve --models {models}"
    )
