"""What a training run on images with captions is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nestvec_exporters.train.options import Hyperparameters, RunOutput, TrainingLength, check_dims
from nestvec_schemas.errors import TrainingFailed

DEFAULTS: Final = Hyperparameters(TrainingLength(epochs=10.0), batch=64, learning_rate=1e-3, max_tokens=64)


@dataclass(frozen=True)
class TowerTraining:
    """How a tower is trained."""

    rate: float
    """The tower's share of the learning rate; 0 leaves it as it is."""

    blocks: int | None = None
    """Train only this many blocks at the end, and what follows them; all if None."""


@dataclass(frozen=True)
class Augmentation:
    """How images vary from step to step."""

    moved: bool = True
    """Shift, zoom and rotate each image slightly at random."""

    mirrored: bool = False
    """Mirror half of the images."""

    @property
    def any(self) -> bool:
        """Whether images vary at all."""
        return self.moved or self.mirrored


@dataclass(frozen=True)
class CaptionOptions:
    """What to train on captions. Raises DimNotOffered and TrainingFailed for impossible values."""

    checkpoint: str
    """A dual encoder, or a text encoder with ``image_checkpoint``: a folder or a Hugging Face id."""

    output: RunOutput

    image_checkpoint: str | None = None
    """An image encoder that becomes the image tower beside a text encoder."""

    dims: tuple[int, ...] | None = None
    """Prefixes to train besides the whole vector."""

    hyperparameters: Hyperparameters = DEFAULTS
    """``batch`` counts images; projections train at ``learning_rate`` itself."""

    captions: int = 1
    """Captions per image in a step, drawn anew each time."""

    text: TowerTraining = TowerTraining(0.01)

    image: TowerTraining = TowerTraining(0.1)

    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        check_dims(self.dims or ())
        for name, tower in (("text", self.text), ("image", self.image)):
            if not 0 <= tower.rate <= 10 or (tower.blocks is not None and tower.blocks < 1):
                raise TrainingFailed(
                    f"the {name} tower's rate is from 0 to 10 times the learning rate, of at least 1 block",
                    value=f"{tower.rate} times, {tower.blocks} blocks",
                    next_step=f"Correct --{name}-rate or --{name}-blocks.",
                )
        if self.captions < 1:
            raise TrainingFailed(
                "a step uses at least 1 caption of each image",
                value=self.captions,
                next_step="Correct --captions-a-step.",
            )

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The checkpoints that a run reads, the text encoder or dual encoder first."""
        return (
            (self.checkpoint,) if self.image_checkpoint is None else (self.checkpoint, self.image_checkpoint)
        )
