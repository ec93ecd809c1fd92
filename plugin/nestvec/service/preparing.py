"""Inputs to rows of their graph: one function a modality."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nestvec.service.encoders import Encoder
from nestvec.service.inputs import Cut, Input, Pair
from nestvec.service.pool import LONE
from nestvec.service.rows import Row, text_row
from nestvec_schemas.errors import BodyInvalid, NestvecError, NotOffered
from nestvec_schemas.towers import Modality

Prepared = list[Row | NestvecError]
"""A row an input, or why there is none."""

_SHORT = 4096
"""Characters that are tokenised at once: a thread's hand-over takes longer."""


async def prepare(encoder: Encoder, tower: Modality, inputs: Sequence[Input], cut: Cut) -> Prepared:
    """The row of each input for one of the encoder's towers, or the error that keeps it from having one.

    Raises BodyInvalid (ids the encoder does not know), NotOffered (inputs that it does not take).
    """
    return await _PREPARERS[tower](encoder, inputs, cut) if inputs else []


async def _texts(encoder: Encoder, inputs: Sequence[Input], cut: Cut) -> Prepared:
    if len(inputs) <= LONE and sum(map(len, inputs)) <= _SHORT:
        return tokenise(encoder, inputs, cut)
    return await asyncio.to_thread(tokenise, encoder, inputs, cut)


def tokenise(encoder: Encoder, inputs: Sequence[Input], cut: Cut) -> Prepared:
    """The rows of texts, of ids that the client made, and of pairs, in their order."""
    tokeniser = encoder.tokeniser
    texts = [one for one in inputs if isinstance(one, str)]
    pairs = [one for one in inputs if isinstance(one, Pair)]
    encoded = iter(tokeniser.encode(texts, cut.direction))
    paired = iter(tokeniser.encode_pairs([(one.query, one.document) for one in pairs]) if pairs else ())
    rows: Prepared = []
    for one in inputs:
        if isinstance(one, Pair):
            tokens = next(paired)
            rows.append(
                Row({"input_ids": tokens.ids, "token_type_ids": tokens.types}, len(tokens.ids), tokens.whole)
            )
        elif isinstance(one, str):
            text = next(encoded)
            rows.append(text_row(text.ids, text.whole))
        else:
            _check_ids(one, len(tokeniser))
            taken = tokeniser.take(one, cut.direction)
            rows.append(text_row(taken.ids, taken.whole))
    return rows


async def _pictures(encoder: Encoder, inputs: Sequence[Input], cut: Cut) -> Prepared:
    raise NotOffered("no encoder here takes pictures", next_step="Send texts.")


_PREPARERS: dict[Modality, Callable[[Encoder, Sequence[Input], Cut], Awaitable[Prepared]]] = {
    "text": _texts,
    "image": _pictures,
}


def _check_ids(ids: Sequence[int], known: int) -> None:
    wrong = next((one for one in ids if not 0 <= one < known), None)
    if wrong is not None:
        raise BodyInvalid(
            "a token id is not one of the encoder's",
            value=wrong,
            next_step=f"Send ids from 0 to {known - 1}, or send the text.",
        )
