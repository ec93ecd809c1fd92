"""The roles of prompts, which their names tell: before what is searched for, and before what is stored.

The names are those of sentence-transformers (``query``, ``document``), E5 (``passage``), Nomic
(``search_query``), Jina (``retrieval.query``), Stella (``s2p_query``), E5-Mistral (``web_search_query``), and
MTEB (``Retrieval-query``). Capitals and separators do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_args

from nestvec_schemas.towers import Role

ROLES: Final[tuple[Role, ...]] = get_args(Role)

ROLE_NAMES: Final[Mapping[Role, tuple[str, ...]]] = {
    "query": (
        "query",
        "queries",
        "search_query",
        "retrieval_query",
        "web_search_query",
        "s2p_query",
        "question",
        "retrieval_question",
    ),
    "document": (
        "document",
        "documents",
        "passage",
        "passages",
        "corpus",
        "search_document",
        "search_passage",
        "retrieval_document",
        "retrieval_passage",
        "retrieval_corpus",
        "s2p_document",
        "s2p_passage",
        "doc",
    ),
}
"""The names of each role, likeliest first, with ``_`` for every separator."""

_SEPARATORS: Final = re.compile(r"[\s._:/-]+")


def plain_name(name: str) -> str:
    """A prompt's name in lower case, with ``_`` for every separator: ``Retrieval-query``, ``retrieval.query``
    and ``retrieval_query`` are the same."""
    return _SEPARATORS.sub("_", name.strip().lower())


def role_of(name: str) -> Role | None:
    """The role that a prompt's name says; None for the name of another task."""
    plain = plain_name(name)
    return next((role for role, names in ROLE_NAMES.items() if plain in names), None)


def role_candidates(prompts: Mapping[str, str], role: Role) -> tuple[str, ...]:
    """The names of the prompts for a role, likeliest first; of an empty prompt only if there is no other."""
    names = [name for name in prompts if role_of(name) == role]
    names.sort(key=lambda name: (not prompts[name], ROLE_NAMES[role].index(plain_name(name)), name != role))
    filled = tuple(name for name in names if prompts[name])
    return filled or tuple(names)


def similar_prompt(prompts: Mapping[str, str], name: str) -> str | None:
    """The prompt with this name, whatever its capitals and separators; None if there is none."""
    if name in prompts:
        return name
    return next((own for own in prompts if plain_name(own) == plain_name(name)), None)
