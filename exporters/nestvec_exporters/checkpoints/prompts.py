"""What a checkpoint wants before a query and before a document, and how a row of ids begins with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
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


_AFTER: Final = ("a", "Z", "7", "(", "-", "'", ".", " a", "\n", "é", "語", "🎈", "the", "ing", "un")
"""What may follow a prompt: its last tokens may be others for each of these."""


@dataclass(frozen=True)
class Prefix:
    """The ids that a row begins with where its text begins with a prompt, the begin token among them; and how
    many tokens from the first on pooling leaves out for it."""

    ids: tuple[int, ...]
    hidden: int


Encode = Callable[[str], Sequence[int]]
"""A text's ids, special tokens among them."""


def prefixes_of(encode: Encode, hidden: Mapping[str, int]) -> tuple[Prefix, ...]:
    """How rows begin with prompts; ``hidden`` says of each how many tokens pooling leaves out for it.

    A prompt's last token may grow together with the text behind it ("Query: " and "heat" to "▁heat"), so
    that fewer ids may be told by than are left out. Raises CheckpointUnsupported where none is left, or where
    they are those of another prompt.
    """
    start = len(_common([encode(after) for after in _AFTER]))
    found: dict[tuple[int, ...], int] = {}
    for prompt, count in hidden.items():
        shared = _common([encode(f"{prompt}{after}") for after in _AFTER])
        if len(shared) <= start or found.get(shared, count) != count:
            raise CheckpointUnsupported(
                "the checkpoint leaves its prompts out of pooling, and the tokens of one do not tell it "
                + ("from a text" if len(shared) <= start else "from another"),
                value=prompt,
                next_step="Give a longer prompt, one that ends with a mark such as ': ', or none.",
            )
        found[shared] = count
    return tuple(Prefix(ids, count) for ids, count in found.items())


def begun(text: str, prompts: Mapping[PromptName, str]) -> str:
    """The longest of the prompts that a text begins with; empty where there is none."""
    return max((one for one in prompts.values() if text.startswith(one)), key=len, default="")


def _common(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    columns = zip(*rows, strict=False)
    shared = []
    for column in columns:
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return tuple(shared)
