"""What a checkpoint wants before a query and before a document, and how a row of ids begins with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import PromptName

# The names that checkpoints give the two prompts, likeliest first.
_PROMPT_NAMES: dict[PromptName, tuple[str, ...]] = {
    "query": ("query", "search_query", "retrieval.query", "s2p_query"),
    "document": ("document", "passage", "corpus", "search_document", "retrieval.passage"),
}


def named_prompts(prompts: Mapping[str, str | None], default: str | None) -> dict[PromptName, str]:
    """The checkpoint's prompts as query and document; its default serves where neither is named."""
    by_role: dict[PromptName, str] = {}
    for name, aliases in _PROMPT_NAMES.items():
        texts = [text for alias in aliases if (text := prompts.get(alias))]
        text = texts[0] if texts else prompts.get(default or "")
        if text:
            by_role[name] = text
    return by_role


def prompts_of(own: Mapping[PromptName, str], overrides: Overrides) -> dict[PromptName, str]:
    """A checkpoint's prompts with those that are asked for in their place; an empty one is none."""
    requested = {"query": overrides.query_prompt, "document": overrides.document_prompt}
    prompts: dict[PromptName, str] = {}
    for name in _PROMPT_NAMES:
        prompt = requested[name]
        text = own.get(name) if prompt is None else prompt
        if text:
            prompts[name] = text
    return prompts


_CONTINUATIONS: Final = ("a", "Z", "7", "(", "-", "'", ".", " a", "\n", "é", "語", "🎈", "the", "ing", "un")
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
    start = len(_common_prefix([encode(after) for after in _CONTINUATIONS]))
    hidden_by_ids: dict[tuple[int, ...], int] = {}
    for prompt, count in hidden.items():
        shared = _common_prefix([encode(f"{prompt}{after}") for after in _CONTINUATIONS])
        if len(shared) <= start or hidden_by_ids.get(shared, count) != count:
            raise CheckpointUnsupported(
                "the checkpoint leaves its prompts out of pooling, and the tokens of one do not tell it "
                + ("from a text" if len(shared) <= start else "from another"),
                value=prompt,
                next_step="Give a longer prompt, one that ends with a mark such as ': ', or none.",
            )
        hidden_by_ids[shared] = count
    return tuple(Prefix(ids, count) for ids, count in hidden_by_ids.items())


def leading_prompt(text: str, prompts: Mapping[PromptName, str]) -> str:
    """The longest of the prompts that a text begins with; empty where there is none."""
    return max((prompt for prompt in prompts.values() if text.startswith(prompt)), key=len, default="")


def _common_prefix(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    columns = zip(*rows, strict=False)
    shared = []
    for column in columns:
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return tuple(shared)
