"""Inputs to model inputs: each tower reads them in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar, cast

from nestvec.images import ImagePolicy
from nestvec.service.batching.turns import turn_paused
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import (
    EmbedInput,
    InstructedText,
    ModelInput,
    PreparedInputs,
    QueryDocument,
    UnpromptedText,
    check_ids,
    counting_all,
    text_input,
)
from nestvec.service.preprocess.prepare_images import prepare_images
from nestvec.service.preprocess.prepare_messages import prepare_messages
from nestvec.service.preprocess.text_images import render_texts
from nestvec.service.preprocess.tokenizer import EncoderTokenizer, PairTokens, TextTokenizer, Tokens
from nestvec.service.preprocess.truncation import ChunkedInputs, Truncation, chunk_inputs
from nestvec.service.request_context import current_context
from nestvec.service.settings import MAX_INTERACTIVE_INPUTS
from nestvec_schemas.errors import BodyInvalid, NotOffered
from nestvec_schemas.late_interaction import KEEP_INPUT, Role, token_arrays
from nestvec_schemas.towers import MAIN_PART, Modality, Tower

_MAX_INLINE_CHARACTERS: Final = 4096
"""Characters that are tokenized without a thread: handing them over would take longer."""

_SLICE_INPUTS: Final = 256
_SLICE_CHARACTERS: Final = 1 << 17
"""What a thread tokenizes at once: some 50 ms of work, unless a text is longer."""

T = TypeVar("T")


async def prepare_inputs(
    encoder: LoadedEncoder,
    tower: Modality,
    inputs: Sequence[EmbedInput],
    truncation: Truncation,
    images: ImagePolicy,
    *,
    part: str = MAIN_PART,
    role: Role | None = None,
) -> PreparedInputs:
    """The model input of each input for one of the encoder's towers, or the error of one that is unreadable.

    ``images`` says where images may be fetched from, ``part`` which expert reads the texts, ``role`` which
    side of a search they are on, if a request says it. Raises BodyInvalid (token ids that the encoder does
    not know), NotOffered (inputs that it does not take).
    """
    if tower == "image":
        async with turn_paused():  # a slow host must not keep the client's other requests waiting
            return await prepare_images(encoder, inputs, images)
    rendering = encoder.manifest.towers["text"].rendering
    if rendering is not None:
        return await in_slices(inputs, lambda part: [*render_texts(encoder, rendering, part, truncation)])
    inline = len(inputs) <= MAX_INTERACTIVE_INPUTS and sum(map(len, inputs)) <= _MAX_INLINE_CHARACTERS
    if encoder.chat is not None:
        async with turn_paused():
            render = await prepare_messages(encoder, encoder.chat, inputs, truncation, images)
        return render() if inline else await asyncio.to_thread(render)

    def tokenize(values: Sequence[EmbedInput]) -> PreparedInputs:
        return tokenize_inputs(encoder, values, truncation, part=part, role=role)

    return tokenize(inputs) if inline else await in_slices(inputs, tokenize)


async def in_slices(inputs: Sequence[EmbedInput], work: Callable[[Sequence[EmbedInput]], list[T]]) -> list[T]:
    """What ``work`` returns for each input, on threads, a slice at a time: nothing stops a thread.

    Raises DeadlineExceeded between two slices, and what ``work`` does.
    """
    results: list[T] = []
    for part in slices(inputs):
        current_context().check_deadline("its texts were tokenized")
        results += await asyncio.to_thread(work, part)
    return results


async def chunk_in_slices(
    tokenizer: TextTokenizer,
    inputs: Sequence[EmbedInput],
    is_text: Sequence[bool],
    check_size: Callable[[int], None],
) -> ChunkedInputs:
    """The inputs in chunks, see ``chunk_inputs``, made on threads, a slice at a time.

    ``check_size`` may refuse the tokens of all chunks until then. Raises DeadlineExceeded between two slices,
    and what ``chunk_inputs`` and ``check_size`` do.
    """
    chunked, start, tokens = ChunkedInputs([], []), 0, 0
    for part in slices(inputs):
        current_context().check_deadline("its texts were tokenized")
        end = start + len(part)
        piece = await asyncio.to_thread(chunk_inputs, tokenizer, part, is_text[start:end])
        start = end
        chunked.inputs.extend(piece.inputs)
        chunked.weights.extend(piece.weights)
        tokens += sum(len(ids) for ids in piece.inputs if not isinstance(ids, str))
        check_size(tokens)
    return chunked


def slices(inputs: Sequence[EmbedInput]) -> Iterator[Sequence[EmbedInput]]:
    """The inputs in parts, each of which a thread tokenizes at once."""
    start = characters = 0
    for place, value in enumerate(inputs):
        if place > start and (place - start == _SLICE_INPUTS or characters + len(value) > _SLICE_CHARACTERS):
            yield inputs[start:place]
            start, characters = place, 0
        characters += len(value)
    if inputs:
        yield inputs[start:]


def tokenize_inputs(
    encoder: LoadedEncoder,
    inputs: Sequence[EmbedInput],
    truncation: Truncation,
    *,
    part: str = MAIN_PART,
    role: Role | None = None,
) -> PreparedInputs:
    """The model inputs of texts, token ids from the client and pairs, in their order."""
    tokenizer, tower = encoder.tokenizer_of(part), encoder.tower_of_part(part)
    if encoder.manifest.kind != "multivector" and not tower.omits_prompts and set(map(type, inputs)) == {str}:
        # Most requests: nothing in a text but its tokens matters.
        encoded = tokenizer.encode(cast(Sequence[str], inputs), truncation.side(tower))
        return [text_input(tokens.ids, tokens.total) for tokens in encoded]
    prompts = encoder.prompt_texts
    plain = [str(value) if isinstance(value, InstructedText) else value for value in inputs]
    # The tokens that mark a query or a document come first and must not be truncated.
    direction = "right" if encoder.manifest.kind == "multivector" else truncation.side(tower)
    texts = iter(tokenizer.encode([value for value in plain if isinstance(value, str)], direction))
    pairs = iter(
        _encode_pairs(encoder, [value for value in plain if isinstance(value, QueryDocument)], truncation)
    )
    prepared: PreparedInputs = []
    for value in plain:
        if isinstance(value, QueryDocument):
            pair = next(pairs)
            arrays = {"input_ids": pair.ids, "token_type_ids": pair.types}
            prepared.append(ModelInput(arrays, len(pair.ids), pair.total))
        elif isinstance(value, str):
            tokens = next(texts)
            if direction != truncation.side(tower) and tokens.total > len(tokens.ids):
                raise BodyInvalid(
                    f"{encoder.manifest.name} truncates texts on the right only, and one is too long",
                    value=f"{tokens.total} tokens",
                    next_step="Omit truncation_direction, or shorten the text.",
                )
            model_input = _token_input(tower, tokens, encoder.role_of(value, role))
            # A tokenizer that ignores case or white space gives other texts the tokens of a prompt.
            unprompted = tower.omits_prompts and (
                isinstance(value, UnpromptedText) or not value.startswith(prompts)
            )
            prepared.append(counting_all(model_input) if unprompted else model_input)
        else:
            check_ids(value, len(tokenizer))
            tokens = tokenizer.truncate(value, truncation.side(tower))
            prepared.append(_token_input(tower, tokens, role))
    return prepared


def _token_input(tower: Tower, tokens: Tokens, role: Role | None) -> ModelInput:
    """The model input of tokens; for late interaction, with what marks them as a query or a document."""
    if KEEP_INPUT not in tower.inputs:
        return text_input(tokens.ids, tokens.total)
    arrays = token_arrays(tokens.ids, tower.interaction, role)
    length = len(arrays[KEEP_INPUT])
    # A query that is filled up was not truncated: it has more tokens afterwards than before.
    lost = max(0, len(tokens.ids) - length) + tokens.total - len(tokens.ids)
    return ModelInput(arrays, length, length + lost)


def _encode_pairs(
    encoder: LoadedEncoder, pairs: Sequence[QueryDocument], truncation: Truncation
) -> list[PairTokens]:
    if not pairs:
        return []
    tokenizer = encoder.required_tokenizer
    if not isinstance(tokenizer, EncoderTokenizer):
        raise NotOffered(
            f"{encoder.manifest.name} does not take pairs of a query and a document", next_step="Send texts."
        )
    texts = [(pair.query, pair.document) for pair in pairs]
    tower = encoder.manifest.main_tower
    return tokenizer.encode_pairs(texts, truncation.side(tower), tower.pair)
