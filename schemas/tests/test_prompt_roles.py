from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.prompt_roles import ROLE_NAMES, ROLES, role_candidates, role_of, similar_prompt
from nestvec_schemas.towers import Role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("query", "query"),
        ("search_query", "query"),
        ("retrieval.query", "query"),
        ("Retrieval-query", "query"),
        ("s2p_query", "query"),
        ("web_search_query", "query"),
        ("passage", "document"),
        ("corpus", "document"),
        ("Retrieval-document", "document"),
        ("retrieval.passage", "document"),
        ("search_document", "document"),
        ("STS", None),
        ("s2s_query", None),
        ("Clustering", None),
        ("queryless", None),
        ("", None),
    ],
)
def test_the_role_of_a_name(name: str, role: Role | None) -> None:
    assert role_of(name) == role


def test_the_likeliest_name_is_first_and_an_empty_prompt_last() -> None:
    prompts = {"s2p_query": "s: ", "search_query": "q: ", "query": "", "passage": "", "Corpus": "c: "}
    assert role_candidates(prompts, "query") == ("search_query", "s2p_query")
    assert role_candidates(prompts, "document") == ("Corpus",)
    assert role_candidates({"passage": "", "document": ""}, "document") == ("document", "passage")
    assert role_candidates({"sts": "s: "}, "query") == ()


@given(st.dictionaries(st.sampled_from([*ROLE_NAMES["query"], *ROLE_NAMES["document"], "sts"]), st.text()))
def test_candidates_are_of_the_role_and_of_no_other(prompts: dict[str, str]) -> None:
    query, document = (role_candidates(prompts, role) for role in ROLES)
    assert not set(query) & set(document)
    assert {role_of(name) for name in query} <= {"query"}
    assert {role_of(name) for name in document} <= {"document"}
    assert all(prompts[name] for name in query) or not any(
        text for name, text in prompts.items() if role_of(name) == "query"
    )


def test_a_name_with_other_capitals_and_separators() -> None:
    prompts = {"Clustering": "c: ", "retrieval.query": "q: "}
    assert similar_prompt(prompts, "clustering") == "Clustering"
    assert similar_prompt(prompts, "Retrieval-query") == "retrieval.query"
    assert similar_prompt(prompts, "sts") is None
