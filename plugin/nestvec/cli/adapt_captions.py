"""What ``nestvec adapt`` does with ``--captions``: its options, its run and what it shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nestvec.cli.options import F

if TYPE_CHECKING:
    from nestvec_exporters.progress import Listener
    from nestvec_exporters.train.captions import AdaptedPair, TowerTraining

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_RATE = click.FloatRange(0, 10)

AUGMENT: Final = {"none": (False, False), "move": (True, False), "mirror": (True, True)}
"""Whether pictures are moved, and whether mirrored, by name."""


@dataclass(frozen=True)
class CaptionArgs:
    """The arguments that only pictures and captions have."""

    captions: Path | None
    image_checkpoint: str | None
    only: tuple[str, str] | None
    captions_a_step: int | None
    text_rate: float | None
    image_rate: float | None
    text_blocks: int | None
    image_blocks: int | None
    augment: str

    @property
    def names(self) -> list[str]:
        """The options that were given without --captions, as they are written."""
        names = [name for name, value in vars(self).items() if value is not None and name in _OWN]
        return [f"--{name.replace('_', '-')}" for name in names] if self.captions is None else []


_OWN = (
    "image_checkpoint",
    "only",
    "captions_a_step",
    "text_rate",
    "image_rate",
    "text_blocks",
    "image_blocks",
)


def _value(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """``split=train`` as a column and its value."""
    if value is None:
        return None
    column, equals, value_wanted = value.partition("=")
    if not (column and equals and value_wanted):
        raise click.BadParameter(f"'{value}' is not COLUMN=VALUE.", ctx, param)
    return column, value_wanted


_OPTIONS = (
    click.option("--captions", type=_FILE, help="Pictures with captions: learn to find each by the other."),
    click.option(
        "--image-checkpoint",
        metavar="CHECKPOINT",
        help="With --captions, an encoder or a classifier of pictures, beside a CHECKPOINT of texts.",
    ),
    click.option(
        "--only",
        callback=_value,
        metavar="COLUMN=VALUE",
        help="With --captions, take rows of this value alone: split=train.",
    ),
    click.option(
        "--captions-a-step",
        type=click.IntRange(1, 16),
        help="Captions of each picture that a step sees, drawn anew.  [default: 1]",
    ),
    click.option(
        "--text-rate",
        type=_RATE,
        help="The text tower's share of the learning rate; 0 leaves it as it is.  [default: 0.01]",
    ),
    click.option("--image-rate", type=_RATE, help="The same of the image tower.  [default: 0.1]"),
    click.option(
        "--text-blocks", type=click.IntRange(1), help="Train so many last blocks of it.  [default: all]"
    ),
    click.option("--image-blocks", type=click.IntRange(1), help="The same of the image tower."),
    click.option(
        "--augment",
        type=click.Choice(list(AUGMENT)),
        default="move",
        show_default=True,
        help="Pictures are moved a little, or mirrored too: where left and right mean nothing.",
    ),
)


def caption_options(command: F) -> F:
    """The options of AskedOfPictures."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def train_captions(
    args: CaptionArgs,
    columns: tuple[str, ...] | None,
    common: Mapping[str, Any],
    listener: Listener,
    stop: Callable[[], bool],
) -> AdaptedPair:
    """Read the rows and train; ``common`` are options by the names that the training has for them."""
    from nestvec.datasets.captions import open_image, read_captions
    from nestvec_exporters.train.captions import CaptionData, CaptionOptions, adapt_captions

    assert args.captions is not None  # noqa: S101 - asked before
    moved, mirrored = AUGMENT[args.augment]
    defaults = CaptionOptions(
        **common, image_checkpoint=args.image_checkpoint, moved=moved, mirrored=mirrored
    )
    options = replace(
        defaults,
        captions=args.captions_a_step or defaults.captions,
        text=_tower(defaults.text, args.text_rate, args.text_blocks),
        image=_tower(defaults.image, args.image_rate, args.image_blocks),
    )
    read = read_captions(args.captions, columns, args.only)
    data = CaptionData(args.captions.name, read.images, read.captions, open_image)
    return adapt_captions(options, data, listener, stop)


def _tower(defaults: TowerTraining, rate: float | None, blocks: int | None) -> TowerTraining:
    return replace(defaults, rate=defaults.rate if rate is None else rate, blocks=blocks)


def print_captions_result(adapted: AdaptedPair, to: Path, *, as_json: bool) -> None:
    """The figures; ends the command with 130 where it was stopped."""
    from nestvec.terminal.tables import print_json, print_table

    if as_json:
        print_json({"path": str(to), "finished": adapted.finished, **adapted.record()})
    elif adapted.finished:
        rows = [
            [direction, *(f"{adapted.before[direction][dim]:.3f} → {after[dim]:.3f}" for dim in adapted.dims)]
            for direction, after in adapted.after.items()
        ]
        title = f"{adapted.figure} over {adapted.held_out} held-out pictures, before → after, by dims"
        print_table(["way", *map(str, adapted.dims)], rows, title=title)
        click.echo(f"{to}: {adapted.rows} pictures, {adapted.steps} steps, {adapted.seconds:.0f} s")
        click.echo(f"Next: nestvec export {to} --to models")
    if not adapted.finished:
        click.echo("Stopped. The same command goes on from there.", err=True)
        sys.exit(130)
