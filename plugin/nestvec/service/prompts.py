"""Which prompt goes before a request's texts: the named one, the field's, or the checkpoint's default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, InstructedText, PlainText, UnpromptedText
from nestvec_schemas.capabilities import check_prompt_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid, PromptNotOffered
from nestvec_schemas.manifest import Manifest, PromptName
from nestvec_schemas.prompt_roles import ROLES, role_of, similar_prompt
from nestvec_schemas.towers import Role

NO_PROMPT: Final = ""
"""The name that stands for no prompt, not even the checkpoint's default."""


@dataclass(frozen=True)
class PromptChoice:
    """The prompt of a request."""

    name: PromptName | None
    """None for the checkpoint's default, empty for none."""

    role: Role | None = None
    """The side of a search that the texts are on; None if the request does not say it."""

    callers_own: bool = False
    """Whether the caller puts prompts before texts itself, as Milvus does."""


def choose_prompt(manifest: Manifest, name: PromptName | None, config: EmbeddingConfig) -> PromptChoice:
    """The prompt for a request whose body names ``name``: a prompt, or a role, for which ``config`` may name
    another one.

    Raises PromptNotOffered, and BodyInvalid if ``config`` names another prompt.
    """
    role: Role | None = "query" if name == "query" else "document" if name == "document" else None
    chosen = config.prompt if name is None else name
    if role is not None:
        chosen = config.prompt_name(role)
    elif name is not None and config.prompt not in (None, name):
        raise BodyInvalid(
            "the request names different prompts",
            value=f"prompt_name={name}, prompt={config.prompt}",
            next_step="Name one of them.",
        )
    check_prompt_name(manifest.name, chosen, manifest.prompts)
    callers_own = name is None and chosen == NO_PROMPT
    return PromptChoice(chosen, role or (role_of(chosen) if chosen else None), callers_own)


def prompt_for_task(manifest: Manifest, task: str) -> PromptName:
    """The prompt whose name is a task's, such as ``clustering``; NO_PROMPT if the encoder has no prompts.

    Raises PromptNotOffered.
    """
    name = similar_prompt(manifest.prompts, task)
    if name is not None or not any(manifest.prompts.values()):
        return name or NO_PROMPT
    raise PromptNotOffered(
        f"{manifest.name} has no prompt for this task",
        value=task,
        next_step=f"Available: {', '.join(dict.fromkeys((*ROLES, *sorted(manifest.prompts))))}.",
    )


def put_prompt(
    inputs: Sequence[EmbedInput], choice: PromptChoice, encoder: LoadedEncoder
) -> list[EmbedInput]:
    """Each text behind the chosen prompt; the default one only where a text does not begin with any, because
    Milvus puts prompts before texts itself. Raises BodyInvalid for token ids with a named prompt."""
    manifest = encoder.manifest
    prompts = encoder.prompt_texts
    if choice.name:
        inputs = with_prompt(inputs, choice.name, encoder)
    if choice.name is not None:
        without = not manifest.prompts.get(choice.name) and not choice.callers_own
        return [_unprompted(value, prompts) if without else value for value in inputs]
    if not manifest.default_prompt:
        return list(inputs)
    return [
        value
        if not isinstance(value, str) or value.startswith(prompts)
        else with_prompt([value], manifest.default_prompt, encoder)[0]
        for value in inputs
    ]


def _unprompted(value: EmbedInput, prompts: tuple[str, ...]) -> EmbedInput:
    """A text that is known to have no prompt, if it starts like one."""
    return UnpromptedText(value) if isinstance(value, str) and value.startswith(prompts) else value


def with_prompt(inputs: Sequence[EmbedInput], name: PromptName, encoder: LoadedEncoder) -> list[EmbedInput]:
    """Each text with the encoder's prompt of this name before it.

    Raises BodyInvalid for token ids, PromptNotOffered.
    """
    if not all(isinstance(value, str | InstructedText) for value in inputs):
        raise BodyInvalid("a prompt goes before text, not before token ids", next_step="Send the text.")
    prompt = encoder.manifest.prompt(name)
    if encoder.chat is not None:
        return [
            InstructedText(value, prompt) if isinstance(value, str) and value and prompt else value
            for value in inputs
        ]
    is_text = [bool(value) and encoder.tower_of(value) == "text" for value in inputs]
    return [_behind(prompt, value) if put else value for value, put in zip(inputs, is_text, strict=True)]


def _behind(prompt: str, text: EmbedInput) -> str:
    prompted = f"{prompt}{text}"
    return PlainText(prompted) if isinstance(text, PlainText) else prompted
