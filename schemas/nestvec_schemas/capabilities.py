"""What an encoder offers, and checks that a field's config requests no more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    DimNotOffered,
    ExitNotOffered,
    ExpertNotOffered,
    PromptNotOffered,
    SpecError,
    nearest,
)
from nestvec_schemas.prompt_roles import ROLES
from nestvec_schemas.towers import OutputKind


class Capabilities(Protocol):
    """What an encoder offers, as its manifest and the ``/info`` of a service say."""

    @property
    def kind(self) -> OutputKind:
        """What the encoder returns."""
        ...

    @property
    def dims(self) -> tuple[int, ...]:
        """The ladder of useful prefixes, longest first."""
        ...

    @property
    def layers(self) -> tuple[int, ...]:
        """The exits, deepest first."""
        ...

    @property
    def experts(self) -> Collection[str]:
        """The names of the experts."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """The prompts by name, ``query`` and ``document`` included where the encoder has them."""
        ...


_OTHER_USE: Final[Mapping[OutputKind, str]] = {
    "reranker": " This one reranks search results: RERANK BY in SQL.",
    "multivector": " This one reranks search results: RERANK BY in SQL.",
    "dense": " This one fills fields with dims.",
}
"""What an encoder is for whose vectors have another form."""


def check_form(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise SpecError if an encoder of this kind has no vectors of this form."""
    encoder, form = config.encoder, config.form
    if capabilities.kind == "sparse" and form != "sparse":
        raise SpecError(
            f"{encoder} is a sparse encoder, which has no vectors of the form {form}",
            value=encoder,
            next_step="Write form: sparse without dims; in SQL, SPARSEVEC.",
        )
    wanted_kind: OutputKind = "sparse" if form == "sparse" else "dense"
    if capabilities.kind != wanted_kind:
        raise SpecError(
            f"{encoder} is a {capabilities.kind} encoder, which has no vectors of the form {form}",
            value=encoder,
            next_step=f"Name a {wanted_kind} encoder.{_OTHER_USE.get(capabilities.kind, '')}",
        )


def check_dim(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise DimNotOffered if the dim is chosen and the encoder's ladder does not have it."""
    dim = config.dim
    if dim is not None and (type(dim) is not int or dim not in capabilities.dims):
        raise DimNotOffered(
            f"{config.encoder} does not offer vectors of this many dims",
            value=dim,
            next_step=f"Available: {_listed(capabilities.dims)}. Export it with --dims to offer others.",
        )


def check_exit(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise ExitNotOffered if the encoder does not stop after this layer."""
    exit = config.exit
    if exit is not None and (type(exit) is not int or exit not in capabilities.layers):
        raise ExitNotOffered(
            f"{config.encoder} has no exit after this layer",
            value=exit,
            next_step=f"Available: {_listed(sorted(capabilities.layers)) or 'the deepest'}. "
            "Export it with --exits to offer others.",
        )


def check_expert(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise ExpertNotOffered if the encoder has no expert of this name."""
    expert, experts = config.expert, capabilities.experts
    if expert is not None and expert not in experts:
        raise ExpertNotOffered(
            f"{config.encoder} has no expert of this name",
            value=expert,
            next_step=f"Available: {', '.join(experts) or 'none'}.{nearest(expert, experts)} "
            "Export it with --expert NAME=CHECKPOINT to offer others.",
        )


def check_prompt(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise PromptNotOffered if the encoder has no prompt of this name."""
    check_prompt_name(config.encoder, config.prompt, capabilities.prompts)


def check_query_prompt(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise PromptNotOffered if the encoder has no prompt of the name that is for queries."""
    check_prompt_name(config.encoder, config.query_prompt, capabilities.prompts)


def check_prompt_name(encoder: str, name: str | None, prompts: Mapping[str, str]) -> None:
    """Raise PromptNotOffered if ``prompts`` has no such name.

    The roles ``query`` and ``document`` always exist, with or without a text, and an empty name is no prompt.
    """
    if not name or name in ROLES or name in prompts:
        return
    names = tuple(dict.fromkeys((*ROLES, *sorted(prompts))))
    raise PromptNotOffered(
        f"{encoder} has no prompt of this name",
        value=name,
        next_step=f"Available: {', '.join(names)}.{nearest(name, names)} "
        "Export it with --prompt NAME=TEXT to offer others.",
    )


def check_top(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise SpecError if vectors of this form have no weights to choose from, or ``top`` is not a
    count."""
    top = config.top
    if top is None:
        return
    if config.form != "sparse":
        raise SpecError(
            f"top keeps the largest weights of a sparse vector, and the form is {config.form}",
            value=f"top {top}",
            next_step="Omit top and choose fewer dims, or name a sparse encoder with form sparse.",
        )
    if type(top) is not int or top < 1:
        raise SpecError(
            "top is not a number of weights", value=top, next_step="Write a whole number from 1, such as 64."
        )


Check = Callable[[EmbeddingConfig, Capabilities], None]

CHECKS: Final[Mapping[str, Check]] = {
    "form": check_form,
    "exit": check_exit,
    "expert": check_expert,
    "prompt": check_prompt,
    "query_prompt": check_query_prompt,
    "top": check_top,
    "dim": check_dim,
}
"""The check of each attribute of an EmbeddingConfig that an encoder may not offer."""


def check_config(config: EmbeddingConfig, capabilities: Capabilities) -> None:
    """Raise SpecError, DimNotOffered, ExitNotOffered, ExpertNotOffered or PromptNotOffered if the encoder
    does not offer the config."""
    for check in CHECKS.values():
        check(config, capabilities)


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, numbers))
