"""Which encoder, dim, exit, expert and prompt a request selects, by query string, body and model name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Query

from nestvec.service.bodies.cached_query import CachedQuery
from nestvec.service.preprocess.modality import Modalities
from nestvec.service.preprocess.truncation import Overlong
from nestvec_schemas.bridges.bridge import bridged_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.model_name import encoder_of, fingerprint_of, parse_model_name
from nestvec_schemas.on_error import OnError
from nestvec_schemas.towers import Modality

EncoderQuery = Annotated[
    str | None,
    Query(
        alias="encoder",
        description="Encoder, or ENCODER@EXPERT@EXIT. Optional if the service has one encoder.",
    ),
]
AsQuery = Annotated[
    str | None,
    Query(
        alias="as",
        description="Another encoder, in whose space the vectors are wanted: by a bridge of the encoder, see "
        "/info. The same as the encoder ENCODER.as.OTHER. Texts that a request calls queries may have a map "
        "of their own; all others have that of documents.",
    ),
]
DimQuery = Annotated[
    int | None,
    Query(alias="dim", description="Length of the vectors: their first numbers, normalised again."),
]
ExitQuery = Annotated[
    int | None, Query(alias="exit", description="Layer to stop after, see /info. Default: the deepest.")
]
ExpertQuery = Annotated[
    str | None,
    Query(alias="expert", description="Expert of the encoder, see /info. Default: its own weights."),
]
PromptQuery = Annotated[
    str | None,
    Query(
        alias="prompt",
        description="Name of the prompt put before each text, see /info; empty for none. "
        "Default: the encoder's default prompt.",
    ),
]
QueryPromptQuery = Annotated[
    str | None,
    Query(
        alias="query_prompt",
        description="Name of the prompt put before texts that a request calls queries. Default: prompt.",
    ),
]
FingerprintQuery = Annotated[
    str | None,
    Query(
        alias="fingerprint",
        description="Fingerprint of the encoder, see /info: a request for another encoder of its name is "
        "refused. Fields are registered with it.",
    ),
]
OnErrorQuery = Annotated[
    OnError | None,
    Query(
        alias="on_error",
        description="If an image cannot be fetched: reject the request, or return a zero vector.",
    ),
]
ModalityQuery = Annotated[
    Modality | None,
    Query(
        alias="modality",
        description="What the inputs are, for an encoder of texts and images. Default: images where they are "
        "addresses of images, else texts.",
    ),
]
OverlongQuery = Annotated[
    Overlong | None,
    Query(
        alias="overlong",
        description="If a text is longer than the encoder takes: error, truncate, or mean (of its chunks).",
    ),
]

EXIT_DESCRIPTION: Final = "Layer to stop after. Default: the deepest."
ENCODER_DESCRIPTION: Final = "Encoder. Optional if the service has one."
PROMPT_DESCRIPTION: Final = (
    "Name of the prompt put before each text, see /info. Default: the encoder's default."
)
DIM_DESCRIPTION: Final = "Length of the vectors: their first numbers, normalised again."


@dataclass(frozen=True)
class QueryFields:
    """The fields of the query string, which survives even though Milvus writes path and body itself."""

    config: EmbeddingConfig
    """``encoder`` is a model name, with an expert and an exit if it has them."""

    overlong: Overlong | None = None
    on_error: OnError | None = None
    modality: Modality | None = None

    def select_modality(self, body: Modalities) -> Modalities:
        """What the inputs are, by query string and body. Raises BodyInvalid if they disagree."""
        modalities = {body} if body is None or isinstance(body, str) else set(body)
        if self.modality is None:
            return body
        if body is None or modalities == {self.modality}:
            return self.modality
        names = ", ".join(sorted({name or "both in an input" for name in modalities}))
        raise BodyInvalid(
            "the request names different modalities",
            value=f"modality={self.modality} in the query string, {names} in the body",
            next_step="Name one of them.",
        )


async def _query_fields(
    encoder: EncoderQuery = None,
    bridge: AsQuery = None,
    dim: DimQuery = None,
    exit: ExitQuery = None,
    overlong: OverlongQuery = None,
    expert: ExpertQuery = None,
    on_error: OnErrorQuery = None,
    prompt: PromptQuery = None,
    query_prompt: QueryPromptQuery = None,
    fingerprint: FingerprintQuery = None,
    modality: ModalityQuery = None,
) -> QueryFields:
    name = (encoder or "") if bridge is None else _bridged(encoder, bridge)
    config = EmbeddingConfig(name, dim, exit, expert, prompt=prompt, query_prompt=query_prompt)
    return QueryFields(replace(config, fingerprint=fingerprint), overlong, on_error, modality)


def _bridged(model_name: str | None, bridge: str) -> str:
    """The model name of an encoder's bridge. Raises BodyInvalid if no encoder is named."""
    if not model_name:
        raise BodyInvalid(
            "as= names an encoder to stand in for, and encoder= does not say which encoder does",
            value=f"as={bridge[:_MAX_CACHED_NAME]}",
            next_step="Add encoder=NAME to the address.",
        )
    encoder = encoder_of(model_name)
    return bridged_name(encoder, bridge) + model_name[len(encoder) :]


QueryString = Annotated[QueryFields, Depends(CachedQuery(_query_fields))]


_UNSPECIFIED: Final = EmbeddingConfig()

_CACHED: Final = 256
_MAX_CACHED_NAME: Final = 256
"""Selections that are kept, and characters of their names: most requests select the same."""

_CHOICES: Final = {
    **{name: default for name, default in _UNSPECIFIED.attributes().items() if name != "encoder"},
    "fingerprint": None,
}
"""What a request may state in several places, and its value where it does not."""


def select_encoder(
    query: QueryFields, body: EmbeddingConfig = _UNSPECIFIED, *, dim_name: str = "dimensions"
) -> EmbeddingConfig:
    """What query string and body select together; the query string's encoder takes precedence.

    ``body`` has the same fields, with a model name as its encoder; its dim is called ``dim_name``. Raises
    BodyInvalid if they name different dims, exits, experts, prompts or fingerprints, ExitNotOffered for
    ``minilm@-``.
    """
    key = id(query.config), id(body), dim_name
    selection = _selections.get(key)
    if selection is None:
        selected = _select(query.config, body, dim_name)
        if len(body.encoder) > _MAX_CACHED_NAME:
            return selected
        if len(_selections) >= _CACHED:
            _selections.clear()
        selection = _selections[key] = _Selection(query.config, body, selected)
    return selection.selected


def check_same_encoder(query: QueryFields, encoder: str | None) -> None:
    """Raise BodyInvalid for an ``encoder`` in the body beside another one in the query string.

    A body's ``model``, which clients send whether they mean it or not, gives way to the query string instead.
    """
    queried = query.config.encoder
    if encoder and queried and encoder_of(encoder) != encoder_of(queried):
        raise BodyInvalid(
            "the request names different encoders",
            value=f"encoder={queried[:_MAX_CACHED_NAME]} in the query string, "
            f"encoder={encoder[:_MAX_CACHED_NAME]} in the body",
            next_step="Name one of them.",
        )


class _Selection(NamedTuple):
    """What was selected, and by what, which lives as long as its id is a key."""

    query: EmbeddingConfig
    body: EmbeddingConfig
    selected: EmbeddingConfig


_selections: dict[tuple[int, int, str], _Selection] = {}


def body_config(encoder: str | None, dim: int | None = None, exit: int | None = None) -> EmbeddingConfig:
    """What a body selects; equal bodies mostly have the same object."""
    if encoder and len(encoder) > _MAX_CACHED_NAME:
        return EmbeddingConfig(encoder, dim, exit)
    return _body_config(encoder or "", dim, exit)


@lru_cache(_CACHED)
def _body_config(encoder: str, dim: int | None, exit: int | None) -> EmbeddingConfig:
    return EmbeddingConfig(encoder, dim, exit)


def _select(query: EmbeddingConfig, body: EmbeddingConfig, dim_name: str) -> EmbeddingConfig:
    name = query.encoder or body.encoder
    selected = parse_model_name(name)
    sources: list[tuple[EmbeddingConfig, str | None]] = [
        (query, None),
        (body, None),
        (selected, f"encoder={name}"),
    ]
    if body.encoder and body.encoder != name:
        # Where the query string names another encoder, the body's model name is ignored, but the encoder is
        # still the one of that fingerprint, or none.
        is_same = encoder_of(body.encoder) == selected.encoder
        named = parse_model_name(body.encoder) if is_same else EmbeddingConfig()
        named = replace(named, fingerprint=fingerprint_of(body.encoder))
        sources.append((named, f"model={body.encoder}"))
    agreed: dict[str, Any] = {}
    for attribute, default in _CHOICES.items():
        explicit = [source for source in sources if getattr(source[0], attribute) != default]
        values = {getattr(config, attribute) for config, _ in explicit}
        if len(values) > 1:
            body_name = dim_name if attribute == "dim" else attribute
            places = [
                label or f"{body_name if config is body else attribute}={getattr(config, attribute)}"
                for config, label in explicit
            ]
            raise BodyInvalid(
                f"the request names different {attribute}s",
                value=", ".join(dict.fromkeys(places)),
                next_step="Name one of them.",
            )
        if values:
            agreed[attribute] = values.pop()
    return replace(selected, **agreed)


def requested_model(query: QueryFields, model: str | None) -> str | None:
    """The model name for a response: the request's own, whatever it stands for; None if it names none.

    ``model`` is the body's or the path's. The query string's encoder takes precedence.
    """
    return query.config.encoder or model or None
