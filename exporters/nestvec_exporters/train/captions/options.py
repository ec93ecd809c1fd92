"""What a training run with pictures and captions is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nestvec_exporters.train.options import Length, check_begin, check_dims
from nestvec_schemas.errors import TrainingFailed

EPOCHS: Final = Length(epochs=10.0)
BATCH: Final = 64
RATE: Final = 1e-3
TOKENS: Final = 64


@dataclass(frozen=True)
class Tower:
    """How a tower is trained. ``rate`` is a share of the learning rate, 0 leaves the tower as it is; of its
    ``blocks`` so many at the end are trained, with what comes after them; all where it is None."""

    rate: float
    blocks: int | None = None


@dataclass(frozen=True)
class CaptionOptions:
    """What to train, and where to. ``checkpoint`` is of texts and pictures, or of texts with
    ``image_checkpoint`` of pictures: folders or Hugging Face ids. ``to`` is the new folder.

    ``dims`` are prefixes to train beside the full length. ``batch`` counts pictures a step, each with
    ``captions`` of its own drawn anew, cut at ``max_tokens``. ``text`` and ``image`` say how the towers are
    trained; projections move by ``learning_rate`` itself. ``moved`` has pictures shifted, zoomed and turned a
    little, ``mirrored`` every second one mirrored. ``resume`` demands an interrupted run to go on with;
    ``force`` forgets one, and replaces an adapted checkpoint.
    Raises DimNotOffered and TrainingFailed on values that no run could have.
    """

    checkpoint: str
    to: Path
    image_checkpoint: str | None = None
    dims: tuple[int, ...] | None = None
    length: Length = EPOCHS
    batch: int = BATCH
    captions: int = 1
    learning_rate: float = RATE
    max_tokens: int = TOKENS
    text: Tower = Tower(0.01)
    image: Tower = Tower(0.1)
    moved: bool = True
    mirrored: bool = False
    seed: int = 0
    resume: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        check_dims(self.dims or ())
        for name, tower in (("text", self.text), ("image", self.image)):
            if not 0 <= tower.rate <= 10 or (tower.blocks is not None and tower.blocks < 1):
                raise TrainingFailed(
                    f"the {name} tower's rate is from 0 to 10 times the learning rate, of at least 1 block",
                    value=f"{tower.rate} times, {tower.blocks} blocks",
                    next_step=f"Correct --{name}-rate or --{name}-blocks.",
                )
        if self.batch < 8 or self.captions < 1 or self.max_tokens < 8 or not 0 < self.learning_rate < 1:
            raise TrainingFailed(
                "a batch has at least 8 pictures of at least 1 caption, a text at least 8 tokens, "
                "and a learning rate is between 0 and 1",
                value=f"{self.batch} pictures, {self.captions} captions, {self.max_tokens} tokens, "
                f"rate {self.learning_rate}",
                next_step="Correct --batch, --captions-a-step, --max-tokens or --learning-rate.",
            )
        check_begin(resume=self.resume, force=self.force)
