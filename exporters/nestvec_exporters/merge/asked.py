"""What an export is asked to merge first, and what its coefficients are fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nestvec_exporters.merge.expression import read_expression
from nestvec_schemas.errors import CheckpointUnsupported, TrainingDataUnusable

if TYPE_CHECKING:
    from nestvec_exporters.adapt.data import TrainingData

BASE: Final = "base"
"""What an expression calls the checkpoint that the export itself names."""


@dataclass(frozen=True)
class Fit:
    """How coefficients are found: by so many steps on batches of ``data``'s rows, drawn by ``seed``.

    Raises TrainingDataUnusable for triplets and scores, which have no part in it.
    """

    data: TrainingData
    steps: int = 100
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.data.kind == "triplets" or self.data.scores is not None:
            raise TrainingDataUnusable(
                "coefficients are fitted on pairs or texts alone",
                value="scores" if self.data.scores is not None else self.data.kind,
                next_step="Give pairs of a query and a document that answers it, or texts.",
            )


@dataclass(frozen=True)
class Merge:
    """An expression like ``base+0.4*A-0.2*B``, and the checkpoints that its names stand for.

    A name that is none of ``names`` is a folder or a Hugging Face id. With ``fit`` the coefficients are where
    the search for better ones begins. Raises CheckpointUnsupported, with a
    caret below what is wrong in the expression, or for a name that it does not hold.
    """

    expression: str
    names: Mapping[str, str] = field(default_factory=dict)
    fit: Fit | None = None

    def __post_init__(self) -> None:
        asked = read_expression(self.expression)
        held = {asked.base.name, *(one.name for one in asked.terms)}
        for name in self.names:
            if name not in held:
                raise CheckpointUnsupported(
                    f"the expression of the merge does not hold what is called {name}",
                    value=self.expression,
                    next_step=f"Write {name} in it, or leave its checkpoint away.",
                )

    @property
    def base(self) -> str:
        """The checkpoint that differences are added to, as it was given."""
        name = read_expression(self.expression).base.name
        return self.names.get(name, name)

    def words(self) -> tuple[str, ...]:
        """The options of a ``nestvec export`` that merges the same."""
        bound = (word for name, given in self.names.items() for word in ("--with", f"{name}={given}"))
        fitted = () if self.fit is None else ("--fit", self.fit.data.name, "--fit-steps", str(self.fit.steps))
        return ("--merge", self.expression, *bound, *fitted)
