"""What a training run is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, TrainingFailed

EPOCHS: Final = 3.0
BATCH: Final = 32
RATE: Final = 3e-4
TOKENS: Final = 128
DIMS: Final = (256, 128, 64, 32)
"""Prefixes that are trained unless others are asked for; those that the encoder has no dims for fall away."""


@dataclass(frozen=True)
class Length:
    """How long to train: passes over the data, optimiser steps, or minutes of this machine.

    Exactly one is given; EPOCHS where none is. A run of minutes is the same for one seed only as far as the
    machine is as fast.
    """

    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.epochs, self.steps, self.minutes) if value is not None]
        if len(given) > 1 or any(value <= 0 for value in given):
            raise TrainingFailed(
                "a run's length is one number above 0: of epochs, of steps or of minutes",
                value=", ".join(map(str, given)),
                next_step="Give one of --epochs, --steps and --minutes.",
            )

    def steps_of(self, per_epoch: int) -> int | None:
        """The steps in all, of ``per_epoch`` an epoch; None where minutes decide."""
        if self.minutes is not None:
            return None
        return self.steps or max(1, round((self.epochs or EPOCHS) * per_epoch))


@dataclass(frozen=True)
class AdaptOptions:
    """What to train, and where to. ``checkpoint`` is a folder or a Hugging Face id, ``to`` the new folder.

    ``dims`` are prefixes to train beside the full length, ``exits`` layers before the last to train beside
    it. ``batch`` counts rows a step, ``max_tokens`` is where a training text is cut. ``near`` has a batch
    made of texts that are near one another, so that each is a hard negative of the others. ``teacher`` is a
    cross-encoder's checkpoint, whose scores of pairs or triplets are learned instead. ``resume``
    demands an interrupted run to go on with; ``force`` forgets one, and replaces an adapted checkpoint.
    Raises DimNotOffered, ExitNotOffered and TrainingFailed on values that no checkpoint could have.
    """

    checkpoint: str
    to: Path
    dims: tuple[int, ...] | None = None
    exits: tuple[int, ...] = ()
    length: Length = Length()
    batch: int = BATCH
    learning_rate: float = RATE
    max_tokens: int = TOKENS
    seed: int = 0
    near: bool = True
    teacher: str | None = None
    resume: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        check_dims(self.dims or ())
        if len(set(self.exits)) < len(self.exits) or any(layer < 1 for layer in self.exits):
            raise ExitNotOffered(
                "these are not different layers",
                value=", ".join(map(str, self.exits)),
                next_step="Give each layer once, from 1: --exits 2,3,4.",
            )
        if self.batch < _LEAST_BATCH or self.max_tokens < _LEAST_TOKENS or not 0 < self.learning_rate < 1:
            raise TrainingFailed(
                f"a batch has at least {_LEAST_BATCH} rows, a text at least {_LEAST_TOKENS} tokens, "
                "and a learning rate is between 0 and 1",
                value=f"{self.batch} rows, {self.max_tokens} tokens, rate {self.learning_rate}",
                next_step="Correct --batch, --max-tokens or --learning-rate.",
            )
        check_begin(resume=self.resume, force=self.force)


_LEAST_BATCH = 8
_LEAST_TOKENS = 8


def check_dims(dims: Sequence[int]) -> None:
    """Raise DimNotOffered where no vector has so many."""
    for dim in dims:
        if dim < 1:
            raise DimNotOffered("a vector has at least 1 dim", value=dim, next_step="Correct --dims.")


def check_begin(*, resume: bool, force: bool) -> None:
    """Raise TrainingFailed where an interrupted run is to be gone on with and forgotten."""
    if resume and force:
        raise TrainingFailed(
            "a run is resumed or forgotten, not both",
            value="--resume --force",
            next_step="Keep one of the two.",
        )


def prefixes(asked: Sequence[int] | None, dim: int) -> tuple[int, ...]:
    """The prefixes to train, longest first, ``dim`` itself among them. Raises DimNotOffered."""
    wanted = [one for one in DIMS if one < dim] if asked is None else list(asked)
    for one in wanted:
        if one > dim:
            raise DimNotOffered(
                "the checkpoint has no vectors of this many dims",
                value=one,
                next_step=f"Give --dims of 1 to {dim}.",
            )
    return tuple(sorted({dim, *wanted}, reverse=True))
