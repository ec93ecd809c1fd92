"""The halves of an encoder, and what kind of answer it gives: how a manifest says that it is fed and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from nestvec_schemas.late_interaction import Interaction
from nestvec_schemas.preprocessing.chat import ChatLayout
from nestvec_schemas.preprocessing.patches import Patching
from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.preprocessing.text_rendering import Rendering

Kind = Literal["dense", "sparse", "multivector", "reranker"]
"""What an encoder answers with: a vector an input; a weight for each word of its vocabulary (SPLADE); a
vector a token (ColBERT); or, for a query with a document, a score (a cross-encoder)."""

Modality = Literal["text", "image"]

TokenScheme = Literal["tokenizer", "bytes", "codepoints"]
"""How a text becomes ids: by ``tokenizer.json``, or without one (``preprocessing.byte_tokens``)."""

Activation = Literal["identity", "sigmoid"]
"""What makes the score that a reranker's authors publish of what its graph gives."""

MAIN_PART: Final = ""
"""The part of an encoder that lies in its own folder."""


class Record(BaseModel):
    """A value of a manifest: frozen, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tower(Record):
    """One half of an encoder: what its graph takes and gives.

    ``max_tokens`` is the longest text in tokens; of a tower that reads pictures, what one of them costs in a
    batch, in patches. A text becomes ids by ``scheme``; a picture becomes pixels by ``picture``, and a tower
    of several ``frames`` reads so many of them as one input, or fewer where ``frame_mask`` is among its
    ``inputs``. A text that is drawn is so by ``rendering``. A
    tower with ``chat`` reads messages: a text, a picture, or both at once.
    ``interaction`` is how a tower that gives a vector a token tells queries from documents. A reranker's
    graph gives a logit whatever its ``activation``: the service makes of it what each face asks for (a
    sigmoid, unless raw scores are), and who wants the numbers of the authors' own code applies this.
    ``alone``: the graph runs one input at a time, because its int8 activations have one scale a batch and an
    answer would depend a little on what shares it: scores must not.
    """

    inputs: tuple[str, ...]
    output: str
    pooling: str
    max_tokens: Annotated[int, Field(ge=1)]
    scheme: TokenScheme = "tokenizer"
    picture: ImageTransform | None = None
    patching: Patching | None = None
    frames: Annotated[int, Field(ge=1)] = 1
    rendering: Rendering | None = None
    interaction: Interaction | None = None
    activation: Activation | None = None
    alone: bool = False
    chat: ChatLayout | None = None


def first_tower(towers: Mapping[Modality, Tower]) -> Modality:
    """The tower whose graph lies in the encoder's own folder: the text's, unless there is none."""
    return "text" if "text" in towers else "image"


def part_of(towers: Mapping[Modality, Tower], tower: Modality, expert: str | None = None) -> str:
    """The part of an encoder, a Triton model of its own, that holds a tower's graph, or an expert's."""
    return expert or (MAIN_PART if tower == first_tower(towers) else tower)
