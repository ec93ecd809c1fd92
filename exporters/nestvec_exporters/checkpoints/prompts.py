"""A checkpoint's prompts for queries and documents, and the token ids that a prompt starts with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import PromptName

# The names that checkpoints give to the two prompts, likeliest first.
_PROMPT_NAMES: dict[PromptName, tuple[str, ...]] = {
    "query": ("query", "search_query", "retrieval.query", "s2p_query"),
    "document": ("document", "passage", "corpus", "search_document", "retrieval.passage"),
}


def named_prompts(prompts: Mapping[str, str | None], default: str | None) -> dict[PromptName, str]:
    """The checkpoint's prompts of queries and documents; its default prompt replaces a missing one."""
    by_role: dict[PromptName, str] = {}
    for name, aliases in _PROMPT_NAMES.items():
        texts = [text for alias in aliases if (text := prompts.get(alias))]
        text = texts[0] if texts else prompts.get(default or "")
        if text:
            by_role[name] = text
    return by_role


def prompts_of(own: Mapping[PromptName, str], overrides: Overrides) -> dict[PromptName, str]:
    """A checkpoint's prompts, replaced by those of ``overrides``; an empty prompt is omitted."""
    requested = {"query": overrides.query_prompt, "document": overrides.document_prompt}
    prompts: dict[PromptName, str] = {}
    for name in _PROMPT_NAMES:
        prompt = requested[name]
        text = own.get(name) if prompt is None else prompt
        if text:
            prompts[name] = text
    return prompts


_CONTINUATIONS: Final = ("a", "Z", "7", "(", "-", "'", ".", " a", "\n", "é", "語", "🎈", "the", "ing", "un")
"""What can follow a prompt, and change its last tokens."""


@dataclass(frozen=True)
class Prefix:
    """The start of a row whose text starts with a prompt."""

    ids: tuple[int, ...]
    """The row's first ids, begin token included."""

    hidden: int
    """How many tokens from the first on pooling omits."""


Encode = Callable[[str], Sequence[int]]
"""From a text to its ids, special tokens included."""


def prefixes_of(encode: Encode, hidden: Mapping[str, int]) -> tuple[Prefix, ...]:
    """How rows start with prompts; ``hidden`` is the number of tokens that pooling omits for each prompt.

    A prompt's last token can merge with the text after it ("Query: " and "heat" to "▁heat"), so fewer ids
    can identify a prompt than are omitted. Raises CheckpointUnsupported if no ids are left, or if they are
    another prompt's.
    """
    start = len(_common_prefix([encode(text) for text in _CONTINUATIONS]))
    hidden_by_ids: dict[tuple[int, ...], int] = {}
    for prompt, count in hidden.items():
        shared = _common_prefix([encode(f"{prompt}{text}") for text in _CONTINUATIONS])
        if len(shared) <= start or hidden_by_ids.get(shared, count) != count:
            raise CheckpointUnsupported(
                "the checkpoint omits its prompts from pooling, and the tokens of one do not distinguish it "
                + ("from a text" if len(shared) <= start else "from another prompt"),
                value=prompt,
                next_step="Give a longer prompt that ends with punctuation such as ': ', or none.",
            )
        hidden_by_ids[shared] = count
    return tuple(Prefix(ids, count) for ids, count in hidden_by_ids.items())


def leading_prompt(text: str, prompts: Mapping[PromptName, str]) -> str:
    """The longest prompt that a text starts with; empty if there is none."""
    return max((prompt for prompt in prompts.values() if text.startswith(prompt)), key=len, default="")


def _common_prefix(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    columns = zip(*rows, strict=False)
    shared = []
    for column in columns:
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return tuple(shared)
