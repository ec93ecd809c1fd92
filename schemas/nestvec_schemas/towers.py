"""The towers of an encoder: what their graphs take and give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from nestvec_schemas.late_interaction import Interaction
from nestvec_schemas.late_interaction import Role as Role
from nestvec_schemas.preprocessing.chat import ChatLayout
from nestvec_schemas.preprocessing.pair_template import PairTemplate
from nestvec_schemas.preprocessing.patches import Patching
from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.preprocessing.text_rendering import Rendering

OutputKind = Literal["dense", "sparse", "multivector", "reranker"]
"""What an encoder gives: a vector per input; a weight for each word of its vocabulary (SPLADE); a vector per
token (ColBERT); or, for a query with a document, a score (a cross-encoder)."""

Modality = Literal["text", "image"]

CODES_POOLING: Final = "codes"
"""What a manifest calls the pooling of a sparse encoder whose dims are the units of an autoencoder, not words
of its vocabulary."""

COUNT_ALL: Final = 2
"""The attention mask of a text without a prompt that starts like one, for a tower that omits prompts."""

QUERY_EXPERT: Final = "query"
"""The expert that embeds queries, if an encoder has one of this name: its own weights embed documents."""

TruncationSide = Literal["right", "left"]
"""Where a text longer than the encoder takes loses tokens."""

TokenScheme = Literal["tokenizer", "bytes", "codepoints"]
"""How a text becomes ids: by ``tokenizer.json``, or without one (``preprocessing.byte_tokens``)."""

Activation = Literal["identity", "sigmoid"]
"""What turns a reranker's logit into the score that its authors publish."""

EXIT_INPUT: Final = "exit"
"""The input of a graph with several exits: per row, the layer to stop after; 0 for the deepest."""

MAIN_PART: Final = ""
"""The name of the part of an encoder that is in its own folder."""


class Record(BaseModel):
    """A value of a manifest: frozen, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class FingerprintRecord(Record):
    """What identifies an encoder, as its export computed it (``nestvec_schemas.fingerprint``)."""

    fingerprint: str
    """Fingerprint of its vectors, whatever the precision of its weights."""

    variant: str
    """Fingerprint of its files, and so of this precision."""

    date: str
    """When it was exported, in UTC: ``2026-05-01T12:00:00Z``."""

    graphs: dict[str, str]
    """Per part, the SHA-256 of its graph before it took its precision, and of what was fitted for it."""


class Tower(Record):
    """One half of an encoder: what its graph takes and gives."""

    inputs: tuple[str, ...]
    """Names of the graph's inputs."""

    output: str
    """Name of the graph's output."""

    pooling: str
    max_tokens: Annotated[int, Field(ge=1)]
    """The longest text in tokens; of a tower that reads images, the patches that one of them costs in a
    batch."""

    truncation_side: TruncationSide = "right"
    """The side on which a longer text loses tokens, unless a request says otherwise."""

    scheme: TokenScheme = "tokenizer"
    image_transform: ImageTransform | None = Field(
        None, validation_alias=AliasChoices("image_transform", "picture"), serialization_alias="picture"
    )
    """How an image becomes pixels of one size."""

    patching: Patching | None = None
    """How an image of any shape becomes patches."""

    frames: Annotated[int, Field(ge=1)] = 1
    """Images of one input; fewer are allowed if ``frame_mask`` is among the inputs."""

    rendering: Rendering | None = None
    """How a text is drawn, for a tower that reads images of text."""

    interaction: Interaction | None = None
    """How a tower that gives a vector per token distinguishes queries from documents."""

    activation: Activation | None = None
    """What the authors of a reranker apply to its logit. The graph returns the logit in any case; the
    service returns its sigmoid, unless raw scores are requested."""

    pair: PairTemplate | None = None
    """What a reranker reads around a query and a document; None if only what its tokenizer puts there."""

    alone: bool = False
    """The graph runs one input at a time: its int8 activations have one scale per batch, so that a score
    would depend a little on what shares the batch."""

    omits_prompts: bool = False
    """The graph takes the tokens of a prompt at the start of a text out of pooling, unless the attention mask
    of the text's tokens is COUNT_ALL."""

    chat: ChatLayout | None = None
    """The layout of messages, for a tower that reads a text, an image, or both at once."""


def first_tower(towers: Mapping[Modality, Tower]) -> Modality:
    """The tower whose graph is in the encoder's own folder: the text tower, unless there is none."""
    return "text" if "text" in towers else "image"


def part_of(towers: Mapping[Modality, Tower], tower: Modality, expert: str | None = None) -> str:
    """The part of an encoder, a Triton model of its own, that holds a tower's graph, or an expert's."""
    return expert or (MAIN_PART if tower == first_tower(towers) else tower)
