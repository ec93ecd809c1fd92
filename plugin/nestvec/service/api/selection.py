"""Which encoder, dim, exit and expert a request means: query string, body and model's name together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query

from nestvec.service.settings import OnError, Overlong
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.model_name import SEPARATOR, parse_model_name

T = TypeVar("T")

EncoderQuery = Annotated[
    str | None,
    Query(alias="encoder", description="Encoder, or ENCODER@EXPERT@EXIT; not needed where there is one."),
]
DimQuery = Annotated[
    int | None, Query(alias="dim", description="First so many numbers of each vector, normalised again.")
]
ExitQuery = Annotated[
    int | None, Query(alias="exit", description="Layer to stop after (else the deepest): see /info.")
]
ExpertQuery = Annotated[
    str | None, Query(alias="expert", description="Expert of the encoder (else its own weights): see /info.")
]
OnErrorQuery = Annotated[
    OnError | None,
    Query(alias="on_error", description="A picture that cannot be had: an error, or a zero vector for it."),
]
OverlongQuery = Annotated[
    Overlong | None,
    Query(alias="overlong", description="Texts too long: an error, cut, or the mean of their chunks."),
]

EXIT_DESCRIPTION = "Layer to stop after (else the deepest)."
"""What a body's field ``exit`` says of itself."""


@dataclass(frozen=True)
class QueryFields:
    """What stands in the query string: it survives where Milvus writes path and body itself."""

    encoder: str | None
    dim: int | None
    exit: int | None
    overlong: Overlong | None
    expert: str | None = None
    on_error: OnError | None = None


async def _query_fields(
    encoder: EncoderQuery = None,
    dim: DimQuery = None,
    exit: ExitQuery = None,
    overlong: OverlongQuery = None,
    expert: ExpertQuery = None,
    on_error: OnErrorQuery = None,
) -> QueryFields:
    return QueryFields(encoder, dim, exit, overlong, expert, on_error)


QueryString = Annotated[QueryFields, Depends(_query_fields)]


@dataclass(frozen=True)
class EncoderSelection:
    """None is the only encoder, the full length, the deepest exit, no expert."""

    encoder: str | None = None
    dim: int | None = None
    exit: int | None = None
    expert: str | None = None


@dataclass(frozen=True)
class BodyFields:
    """The same from a body, with the name that the face gives the dim."""

    encoder: str | None = None
    dim: int | None = None
    exit: int | None = None
    dim_name: str = "dimensions"


def select_encoder(query: QueryFields, body: BodyFields | None = None) -> EncoderSelection:
    """What query string and body ask for together; the encoder is the query string's where it names one.

    Raises BodyInvalid where they ask for different dims, exits or experts, ExitNotOffered for ``minilm@-``.
    """
    body = body or BodyFields()
    name = query.encoder or body.encoder
    encoder, exit, expert = parse_model_name(name) if name else (None, None, None)
    exits = {f"exit={query.exit}": query.exit, f"exit={body.exit}": body.exit, f"encoder={name}": exit}
    experts = {f"expert={query.expert}": query.expert, f"encoder={name}": expert}
    # What a client calls its model is not looked at where the query string names another encoder.
    if body.encoder and body.encoder != name and body.encoder.partition(SEPARATOR)[0] == encoder:
        _, exits[f"model={body.encoder}"], experts[f"model={body.encoder}"] = parse_model_name(body.encoder)
    dims = {f"dim={query.dim}": query.dim, f"{body.dim_name}={body.dim}": body.dim}
    return EncoderSelection(
        encoder, _agreed_value("dims", dims), _agreed_value("exits", exits), _agreed_value("experts", experts)
    )


def _agreed_value(what: str, values: Mapping[str, T | None]) -> T | None:
    """The one value that every place that names one asks for. Raises BodyInvalid where two differ."""
    stated_values = {label: value for label, value in values.items() if value is not None}
    if len(set(stated_values.values())) > 1:
        raise BodyInvalid(
            f"the request asks for different {what}",
            value=", ".join(stated_values),
            next_step="Ask for one of them.",
        )
    return next(iter(stated_values.values()), None)
