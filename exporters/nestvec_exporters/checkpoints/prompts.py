"""A checkpoint's prompts, which of them are for queries and documents, and the ids that they start with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.prompt_options import PromptOptions
from nestvec_schemas.errors import CheckpointUnsupported, nearest
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.prompt_roles import ROLES, role_candidates, role_of
from nestvec_schemas.towers import Role

CONFIG: Final = "config_sentence_transformers.json"
"""The file that holds a checkpoint's prompts."""


@dataclass(frozen=True, eq=False)
class CheckpointPrompts(Mapping[PromptName, str]):
    """A checkpoint's prompts by their own names; ``query`` and ``document`` are those of the two roles."""

    texts: Mapping[PromptName, str] = field(default_factory=dict)

    default: PromptName | None = None
    """The prompt of texts for which none is named."""

    notes: tuple[str, ...] = ()
    """What a user must know of them: a choice among several for a role, or a role that has none."""

    def __getitem__(self, name: PromptName) -> str:
        return self.texts[name]

    def __iter__(self) -> Iterator[PromptName]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


def read_prompts(config: Mapping[str, Any], overrides: PromptOptions) -> CheckpointPrompts:
    """The prompts that a ``config_sentence_transformers.json`` declares, with those of ``overrides``.

    Raises CheckpointUnsupported for prompts that are no texts by name, for a default that is not among them,
    and for a name in ``overrides`` that is not.
    """
    return named_prompts(config.get("prompts") or {}, config.get("default_prompt_name"), overrides)


_NO_OVERRIDES: Final = PromptOptions()


def named_prompts(
    own: Mapping[str, str | None], default: str | None, overrides: PromptOptions = _NO_OVERRIDES
) -> CheckpointPrompts:
    """A checkpoint's own prompts and those of ``overrides``, with the two roles.

    Raises CheckpointUnsupported for a name that is none of them, and where these are no texts by name.

    sentence-transformers adds an empty ``query`` and ``document`` to every checkpoint: these are no prompts.
    """
    readable = isinstance(own, Mapping) and all(isinstance(text, str | None) for text in own.values())
    if not readable or "" in own:
        raise CheckpointUnsupported(
            "the checkpoint's prompts are not texts by name",
            value=str(own)[:80],
            next_step=f"Correct prompts in its {CONFIG}.",
        )
    texts = {name: text or "" for name, text in own.items() if text or name not in ROLES}
    texts |= overrides.more_prompts
    if default is not None and default not in texts and default not in ROLES:
        raise _unknown(f"the default prompt in its {CONFIG}", default, texts)
    by_role: dict[PromptName, str] = {}
    notes: list[str] = []
    for role in ROLES:
        text, note = _text_of_role(role, texts, overrides)
        by_role |= {role: text} if text or role in texts else {}
        notes += [note] if note else []
    named = {name: text for name, text in texts.items() if name not in ROLES}
    prompts = {**by_role, **named}
    applies = default is not None and texts.get(default) and prompts.get(default)
    return CheckpointPrompts(prompts, default if applies else None, tuple(notes))


def folder_prompts(path: Path, overrides: PromptOptions) -> CheckpointPrompts:
    """The prompts that a checkpoint's folder declares, if it does, with those of ``overrides``.

    A checkpoint that is a file declares none. Raises what ``read_prompts`` does.
    """
    return read_prompts(CheckpointFiles(path).json(CONFIG) if path.is_dir() else {}, overrides)


def as_checkpoint_prompts(prompts: Mapping[PromptName, str]) -> CheckpointPrompts:
    """Prompts with their default and notes; a plain mapping has neither."""
    return prompts if isinstance(prompts, CheckpointPrompts) else CheckpointPrompts(prompts)


def _text_of_role(role: Role, texts: Mapping[str, str], overrides: PromptOptions) -> tuple[str, str]:
    """The text before queries or documents, and what a user must know of the choice."""
    text, name = overrides.prompt_text(role), overrides.prompt_name(role)
    if text is not None:
        return text, ""
    if name is not None:
        if name not in texts and name not in ROLES:
            raise _unknown(f"--{role}-prompt-name", name, texts)
        return texts.get(name, ""), ""
    names = role_candidates(texts, role)
    if names:
        others = [other for other in names[1:] if texts[other] != texts[names[0]]]
        if not others:
            return texts[names[0]], "" if texts[names[0]] else _without_prompt(role, texts)
        return texts[names[0]], (
            f"the prompt of a {role} is {names[0]}, not {', '.join(others)}; "
            f"--{role}-prompt-name chooses another"
        )
    return "", _without_prompt(role, texts)


def _without_prompt(role: Role, texts: Mapping[str, str]) -> str:
    """What a user must know of a role without a prompt; empty where no other prompt could be meant."""
    others = [name for name, text in texts.items() if text and role_of(name) is None]
    if not others:
        return ""
    plural = "queries" if role == "query" else "documents"
    return (
        f"no prompt is named as that of a {role}, so {plural} have none; the checkpoint's others: "
        f"{', '.join(others)}; --{role}-prompt-name NAME chooses one"
    )


def _unknown(what: str, name: str, texts: Mapping[str, str]) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"{what} is no prompt of the checkpoint",
        value=name,
        next_step=f"Available: {', '.join(texts) or 'no prompts'}.{nearest(name, texts)} "
        "Add one with --prompt NAME=TEXT.",
    )


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


def hidden_prefixes(
    tokenizer: Tokenizer, special_ids: Collection[int], prompts: Mapping[PromptName, str]
) -> tuple[Prefix, ...]:
    """How rows start with a checkpoint's prompts, whose tokens pooling omits (``include_prompt`` is false).

    The tokens are counted as sentence-transformers counts them: of the prompt alone, without an end token.
    ``tokenizer`` neither truncates nor pads. Raises CheckpointUnsupported where a prompt cannot be recognised
    by its tokens.
    """

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    hidden = {}
    for prompt in filter(None, prompts.values()):
        alone = ids(prompt)
        hidden[prompt] = len(alone) - (alone[-1] in special_ids)
    return prefixes_of(ids, hidden)


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
