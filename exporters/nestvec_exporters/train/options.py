"""What a training run is to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, TrainingFailed

if TYPE_CHECKING:
    from nestvec_exporters.train.linear.compatible import OldEncoder

DEFAULT_EPOCHS: Final = 3.0

DEFAULT_DIMS: Final = (256, 128, 64, 32)
"""Prefixes that are trained by default, as far as they are shorter than the encoder's vectors."""

TrainedPart = Literal["map", "encoder"]
"""What is trained: a linear map of the vectors, or the encoder itself with such a map."""

MIN_BATCH: Final = 8
MIN_TOKENS: Final = 8


@dataclass(frozen=True)
class TrainingLength:
    """How long to train. At most one of the three is set; DEFAULT_EPOCHS if none is.

    A run of minutes is repeatable by its seed only as far as the machine is equally fast.
    """

    epochs: float | None = None
    """Passes over the data."""

    steps: int | None = None
    """Optimizer steps."""

    minutes: float | None = None
    """Minutes of training on this machine."""

    def __post_init__(self) -> None:
        lengths = [value for value in (self.epochs, self.steps, self.minutes) if value is not None]
        if len(lengths) > 1 or any(value <= 0 for value in lengths):
            raise TrainingFailed(
                "a run's length is one positive number of epochs, steps or minutes",
                value=", ".join(map(str, lengths)),
                next_step="Give one of --epochs, --steps and --minutes.",
            )

    def steps_of(self, per_epoch: int) -> int | None:
        """The number of steps, with ``per_epoch`` in an epoch; None if minutes decide."""
        if self.minutes is not None:
            return None
        return self.steps or max(1, round((self.epochs or DEFAULT_EPOCHS) * per_epoch))


@dataclass(frozen=True)
class Hyperparameters:
    """How the optimizer runs. Raises TrainingFailed for values out of range."""

    length: TrainingLength = TrainingLength()

    batch: int = 32
    """Rows in a step."""

    learning_rate: float = 3e-4
    """AdamW's at its highest."""

    max_tokens: int = 128
    """Training texts are truncated to this many tokens."""

    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < MIN_BATCH or self.max_tokens < MIN_TOKENS or not 0 < self.learning_rate < 1:
            raise TrainingFailed(
                f"a batch has at least {MIN_BATCH} rows, a text at least {MIN_TOKENS} tokens, "
                "and a learning rate is between 0 and 1",
                value=f"{self.batch} rows, {self.max_tokens} tokens, rate {self.learning_rate}",
                next_step="Correct --batch, --max-tokens or --learning-rate.",
            )


LINEAR_MAP: Final = Hyperparameters(TrainingLength(steps=400), batch=160, learning_rate=1e-3, max_tokens=256)
"""The defaults for a linear map, whose steps take a fraction of a second."""


@dataclass(frozen=True)
class RunOutput:
    """Where the new checkpoint goes. Raises TrainingFailed if a run is both to be resumed and discarded."""

    folder: Path
    """The new checkpoint's folder."""

    resume: bool = False
    """Fail unless there is an interrupted run to resume."""

    force: bool = False
    """Discard an interrupted run, and replace an adapted checkpoint."""

    def __post_init__(self) -> None:
        if self.resume and self.force:
            raise TrainingFailed(
                "a run is either resumed or discarded",
                value="--resume --force",
                next_step="Keep one of the two.",
            )


@dataclass(frozen=True)
class AdaptOptions:
    """What to train on texts. Raises DimNotOffered and ExitNotOffered for impossible values."""

    checkpoint: str
    """A folder or a Hugging Face id."""

    output: RunOutput

    dims: tuple[int, ...] | None = None
    """Prefixes to train besides the whole vector; DEFAULT_DIMS if None."""

    exits: tuple[int, ...] = ()
    """Layers before the last to train as exits."""

    hyperparameters: Hyperparameters = Hyperparameters()

    hard_negatives: bool = True
    """Make batches of texts that are near one another, so that each is a hard negative of the others."""

    teacher: str | None = None
    """A cross-encoder's checkpoint whose scores of the pairs or triplets are learned."""

    part: TrainedPart = "encoder"
    """What to train. Exits and a teacher's scores need the encoder."""

    compatible_with: OldEncoder | None = None
    """The encoder whose stored vectors the result is to search; only for a map."""

    def __post_init__(self) -> None:
        check_dims(self.dims or ())
        if self.part == "map" and (self.exits or self.teacher is not None):
            raise TrainingFailed(
                "a linear map alone has neither exits nor a teacher",
                value="--exits" if self.exits else "--teacher",
                next_step="Train the encoder: --train encoder.",
            )
        if self.part == "encoder" and self.compatible_with is not None:
            raise TrainingFailed(
                "only a linear map can be trained to be compatible with stored vectors",
                value=f"--compatible-with {self.compatible_with.name}",
                next_step="Train a map: omit --train encoder, --exits, --scores and --teacher; or fit a "
                "bridge to the result: nestvec bridge.",
            )
        if len(set(self.exits)) < len(self.exits) or any(layer < 1 for layer in self.exits):
            raise ExitNotOffered(
                "the exits are not distinct layers",
                value=", ".join(map(str, self.exits)),
                next_step="Give each layer once, from 1: --exits 2,3,4.",
            )

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The checkpoints that a run reads."""
        return (self.checkpoint,)


def check_dims(dims: Sequence[int]) -> None:
    """Raise DimNotOffered for a dim below 1."""
    for dim in dims:
        if dim < 1:
            raise DimNotOffered("a vector has at least 1 dim", value=dim, next_step="Correct --dims.")


def training_dims(requested: Sequence[int] | None, dim: int) -> tuple[int, ...]:
    """The prefixes to train, longest first, ``dim`` itself among them. Raises DimNotOffered."""
    dims = [prefix for prefix in DEFAULT_DIMS if prefix < dim] if requested is None else list(requested)
    for prefix in dims:
        if prefix > dim:
            raise DimNotOffered(
                "the checkpoint's vectors have fewer dims",
                value=prefix,
                next_step=f"Give --dims from 1 to {dim}.",
            )
    return tuple(sorted({dim, *dims}, reverse=True))
