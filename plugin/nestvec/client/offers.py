"""What an encoder offers, held against what is asked of it: before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nestvec.client.service_client import EncoderInfo
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, ExpertNotOffered, SpecError, nearest
from nestvec_schemas.spec.collection_spec import Form
from nestvec_schemas.towers import Kind

_ELSEWHERE: Final[Mapping[Kind, str]] = {
    "reranker": " This one ranks what a search finds: RERANK BY in SQL.",
    "multivector": " This one ranks what a search finds: RERANK BY in SQL.",
    "dense": " This one fills fields with dims.",
}
"""What an encoder is for whose vectors have another form."""


def check_kind(form: Form, encoder: str, info: EncoderInfo) -> None:
    """Raise SpecError where an encoder of this kind has no vectors of this form."""
    if info.kind == "sparse" and form != "sparse":
        raise SpecError(
            f"{encoder} is a sparse encoder, and has no vectors of the form {form}",
            value=encoder,
            next_step="Write form: sparse without dims; in SQL, SPARSEVEC.",
        )
    if info.kind != ("sparse" if form == "sparse" else "dense"):
        raise SpecError(
            f"{encoder} is a {info.kind} encoder, and has no vectors of the form {form}",
            value=encoder,
            next_step=f"Name a {'sparse' if form == 'sparse' else 'dense'} encoder."
            + _ELSEWHERE.get(info.kind, ""),
        )


def check_exit(exit: int | None, encoder: str, info: EncoderInfo) -> None:
    """Raise ExitNotOffered where an encoder does not stop after this layer."""
    if exit is None or (type(exit) is int and exit in info.layers):
        return
    raise ExitNotOffered(
        f"{encoder} has no exit after this layer",
        value=exit,
        next_step=f"It has {', '.join(map(str, info.layers)) or 'one'}; export it with --exits for others.",
    )


def check_expert(expert: str | None, encoder: str, info: EncoderInfo) -> None:
    """Raise ExpertNotOffered where an encoder has no weights of this name."""
    if expert is None or expert in info.experts:
        return
    there = f"It has {', '.join(info.experts)}" if info.experts else "It has none"
    raise ExpertNotOffered(
        f"{encoder} has no expert of this name",
        value=expert,
        next_step=f"{there}; export it with --expert NAME=CHECKPOINT for others."
        f"{nearest(expert, info.experts)}",
    )


def check_dim(dim: int, encoder: str, info: EncoderInfo) -> None:
    """Raise DimNotOffered where an encoder has no vectors of this many dims."""
    if isinstance(dim, bool) or not isinstance(dim, int) or dim not in info.dims:
        raise DimNotOffered(
            f"{encoder} does not offer vectors of this many dims",
            value=dim,
            next_step=f"It offers {', '.join(map(str, info.dims))}; export it with --dims to offer others.",
        )


def check_top(top: int | None, form: Form) -> None:
    """Raise SpecError where vectors of this form have no largest weights to be kept, or it is no number."""
    if top is None:
        return
    if form != "sparse":
        raise SpecError(
            f"vectors of the form {form} have no weights of words of which the largest could be kept",
            value=f"top {top}",
            next_step="Leave top away and choose fewer dims, or name a sparse encoder with form sparse.",
        )
    if type(top) is not int or top < 1:
        raise SpecError(
            "top is not a number of weights", value=top, next_step="Give a whole number from 1, such as 64."
        )
