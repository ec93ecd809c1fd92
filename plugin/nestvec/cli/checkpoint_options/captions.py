"""The options of ``nestvec adapt`` for captioned images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import click

from nestvec.cli.options import option, option_group

if TYPE_CHECKING:
    from nestvec_exporters.train.captions import CaptionOptions, TowerTraining

_RATE = click.FloatRange(0, 10)

AUGMENT: Final = {"none": (False, False), "move": (True, False), "mirror": (True, True)}
"""By name: whether images are moved, and whether they are mirrored."""


@dataclass(frozen=True)
class CaptionArgs:
    """How to train on captions; None is the default."""

    image_checkpoint: str | None
    only: tuple[str, str] | None
    captions_a_step: int | None
    text_rate: float | None
    image_rate: float | None
    text_blocks: int | None
    image_blocks: int | None
    augment: str

    def option_names(self) -> list[str]:
        """The options that have a value, as they are written; all but --augment, which has a default."""
        names = [name for name, value in vars(self).items() if value is not None and name != "augment"]
        return [f"--{name.replace('_', '-')}" for name in names]

    def over(self, defaults: CaptionOptions) -> CaptionOptions:
        """``defaults`` with the options that were given."""
        from nestvec_exporters.train.captions import Augmentation

        moved, mirrored = AUGMENT[self.augment]
        return replace(
            defaults,
            image_checkpoint=self.image_checkpoint,
            captions=self.captions_a_step or defaults.captions,
            text=_tower(defaults.text, self.text_rate, self.text_blocks),
            image=_tower(defaults.image, self.image_rate, self.image_blocks),
            augmentation=Augmentation(moved=moved, mirrored=mirrored),
        )


def _tower(defaults: TowerTraining, rate: float | None, blocks: int | None) -> TowerTraining:
    return replace(defaults, rate=defaults.rate if rate is None else rate, blocks=blocks)


def _column_value(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """``split=train`` as a column and its value."""
    if value is None:
        return None
    column, equals, cell = value.partition("=")
    if not (column and equals and cell):
        raise click.BadParameter(f"'{value}' is not COLUMN=VALUE. Write it as split=train.", ctx, param)
    return column, cell


CAPTION_OPTIONS = option_group(
    "With --captions",
    option(
        "--image-checkpoint",
        metavar="CHECKPOINT",
        help="Image encoder or classifier, if CHECKPOINT is a text encoder.",
    ),
    option(
        "--only",
        callback=_column_value,
        metavar="COLUMN=VALUE",
        help="Use only the rows with this value, for example split=train.",
    ),
    option(
        "--captions-a-step",
        type=click.IntRange(1, 16),
        show_default="1",
        help="Captions per image in a step, drawn anew for every step.",
    ),
    option(
        "--text-rate",
        type=_RATE,
        show_default="0.01",
        help="The text tower's learning rate, as a factor of --learning-rate; 0 freezes the tower.",
    ),
    option("--image-rate", type=_RATE, show_default="0.1", help="The same for the image tower."),
    option(
        "--text-blocks",
        type=click.IntRange(1),
        show_default="all",
        help="Train only this many of the text tower's last blocks.",
    ),
    option(
        "--image-blocks", type=click.IntRange(1), show_default="all", help="The same for the image tower."
    ),
    option(
        "--augment",
        type=click.Choice(list(AUGMENT)),
        default="move",
        help="move: shift images slightly. mirror: mirror them as well, if left and right mean nothing.",
    ),
)
