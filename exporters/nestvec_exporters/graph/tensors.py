"""Names of a graph's inputs and outputs, and their types and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nestvec_schemas.towers import EXIT_INPUT

INPUTS: Final = ("input_ids", "attention_mask")

OUTPUT: Final = "sentence_embedding"
"""An output named ``embedding`` clashes with a name inside BERT's graph."""


def exit_output(layer: int) -> str:
    """The output of one exit, except the deepest's, before exits are nested."""
    return f"{OUTPUT}_{layer}"


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph."""

    name: str

    dtype: str
    """numpy's name of its type."""

    dims: tuple[int | None, ...]
    """Its axes without the first, which is the batch; None where the size varies."""


MAX_BATCH: Final = 64
"""The most texts that the service puts into one batch."""

EXIT_SPEC: Final = TensorSpec(EXIT_INPUT, "int64", (1,))


def text_specs() -> tuple[TensorSpec, ...]:
    """The inputs of an encoder of texts: ids and mask."""
    return tuple(TensorSpec(name, "int64", (None,)) for name in INPUTS)
