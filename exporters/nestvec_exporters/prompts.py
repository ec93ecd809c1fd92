"""What a checkpoint wants before a query and before a document."""

from __future__ import annotations

from collections.abc import Mapping

from nestvec_exporters.options import Overrides
from nestvec_schemas.manifest import PromptName

# The names that checkpoints give the two prompts, likeliest first.
_PROMPTS: dict[PromptName, tuple[str, ...]] = {
    "query": ("query", "search_query", "retrieval.query", "s2p_query"),
    "document": ("document", "passage", "corpus", "search_document", "retrieval.passage"),
}


def named_prompts(found: Mapping[str, str | None], default: str | None) -> dict[PromptName, str]:
    """The checkpoint's prompts as query and document; its default serves where neither is named."""
    given: dict[PromptName, str] = {}
    for name, aliases in _PROMPTS.items():
        texts = [text for alias in aliases if (text := found.get(alias))]
        text = texts[0] if texts else found.get(default or "")
        if text:
            given[name] = text
    return given


def prompts_of(own: Mapping[PromptName, str], asked: Overrides) -> dict[PromptName, str]:
    """A checkpoint's prompts with those that are asked for in their place; an empty one is none."""
    asked_for = {"query": asked.query_prompt, "document": asked.document_prompt}
    found: dict[PromptName, str] = {}
    for name in _PROMPTS:
        given = asked_for[name]
        text = own.get(name) if given is None else given
        if text:
            found[name] = text
    return found
