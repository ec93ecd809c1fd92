"""What is embedded, as a client sends it and as a graph takes it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec.engines.contract import Batch
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NestvecError
from nestvec_schemas.preprocessing.collate import Arrays, pad_rows
from nestvec_schemas.towers import COUNT_ALL, MAIN_PART, Modality

DIGEST_BYTES: Final = 16


@dataclass(frozen=True)
class QueryDocument:
    """A query with a document, for a cross-encoder to score."""

    query: str
    document: str

    def __len__(self) -> int:
        return len(self.query) + len(self.document)


@dataclass(frozen=True)
class InstructedText:
    """A value for a chat model, and the instruction that says what to do with it."""

    value: str
    instruction: str

    def __str__(self) -> str:
        return f"{self.instruction}{self.value}"

    def __len__(self) -> int:
        return len(self.value) + len(self.instruction)


class UnpromptedText(str):
    """A text without a prompt, though it starts like one: pooling omits none of its tokens."""


@dataclass(frozen=True)
class InputPart:
    """A text, or an image's address, as its client calls it."""

    modality: Modality
    value: str


class PlainText(str):
    """A text that its client calls one, though it is an image's address."""


EmbedInput = str | Sequence[int] | QueryDocument | InstructedText
"""A text or an image's address, token ids, or one of the above."""


@dataclass(frozen=True)
class ModelInput:
    """One input as its graph takes it."""

    arrays: Arrays
    """Arrays by the graph's input names."""
    length: int
    """Its cost in a batch, in tokens."""
    total: int
    """The same before truncation."""


PreparedInputs = list[ModelInput | NestvecError]
"""For each input its model input, or the error that says why it has none."""


def text_input(ids: NDArray[np.int64], total: int | None = None) -> ModelInput:
    """The model input of a text's ids, (t,) int64, which had ``total`` tokens before truncation."""
    return ModelInput({"input_ids": ids}, len(ids), len(ids) if total is None else total)


def counting_all(model_input: ModelInput) -> ModelInput:
    """The same text with COUNT_ALL as the mask of its tokens."""
    mask = np.full_like(model_input.arrays["input_ids"], COUNT_ALL)
    return replace(model_input, arrays={**model_input.arrays, "attention_mask": mask})


def collate(inputs: Sequence[ModelInput], exit: int = 0, part: str = MAIN_PART, generation: int = 0) -> Batch:
    """Inputs of one part of an encoder as a padded batch for one exit, and for one opening of the encoder."""
    arrays = pad_rows([model_input.arrays for model_input in inputs])
    tokens = sum(model_input.length for model_input in inputs)
    return Batch(arrays, exit, part, tokens, generation)


def collate_ids(ids: Sequence[NDArray[np.int64]], exit: int = 0) -> Batch:
    """The ids of n texts as one batch for one exit, padded on the right with zeros that the mask hides."""
    return collate([text_input(row) for row in ids], exit)


def input_digest(value: EmbedInput) -> tuple[str, bytes]:
    """The kind of an input, and DIGEST_BYTES bytes that identify it among those of its kind.

    Raises EmptyInput.
    """
    if isinstance(value, QueryDocument):
        texts = (
            value.query.encode("utf-8", "surrogatepass"),
            value.document.encode("utf-8", "surrogatepass"),
        )
        # The length separates the query's end from the document's beginning.
        kind, data = f"pair {len(texts[0])}", texts[0] + texts[1] if all(texts) else b""
    elif isinstance(value, InstructedText):
        instruction, data = (
            part.encode("utf-8", "surrogatepass") for part in (value.instruction, value.value)
        )
        kind, data = f"instructed {len(instruction)}", instruction + data if data else b""
    elif isinstance(value, str):
        kind = "unprompted text" if isinstance(value, UnpromptedText) else "text"
        data = value.encode("utf-8", "surrogatepass")
    else:
        kind, data = "ids", np.asarray(value, "<i8").tobytes()
    if not data:
        raise EmptyInput("a text is empty", next_step="Send at least one character or token.")
    return kind, hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def check_ids(ids: Sequence[int], vocabulary_size: int) -> None:
    """Raise BodyInvalid for a token id that is not in the vocabulary."""
    values = np.asarray(ids, np.int64)
    unknown = values[(values < 0) | (values >= vocabulary_size)]
    if unknown.size:
        raise BodyInvalid(
            "a token id is not in the encoder's vocabulary",
            value=int(unknown[0]),
            next_step=f"Send ids from 0 to {vocabulary_size - 1}, or send the text.",
        )


def with_position(error: NestvecError, place: int, count: int) -> NestvecError:
    """The error, naming which of a request's ``count`` inputs it is about; ``place`` counts from 0."""
    if count == 1:
        return error
    return error.reworded(cause=f"input {place + 1} of {count}: {error.cause}")
