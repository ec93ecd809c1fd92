"""Prompts that an export adds to a checkpoint's own, or chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nestvec_schemas.errors import EncoderError
from nestvec_schemas.prompt_roles import ROLES
from nestvec_schemas.towers import Role


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """The prompts of queries and documents, by text or by name. Raises EncoderError for both of one role."""

    query_prompt: str | None = None
    """Put before each query; empty for nothing."""

    document_prompt: str | None = None
    """Put before each document; empty for nothing."""

    query_prompt_name: str | None = None
    """Which of the prompts is put before queries."""

    document_prompt_name: str | None = None
    """Which of the prompts is put before documents."""

    more_prompts: Mapping[str, str] = field(default_factory=dict)
    """Prompts by name, added to the checkpoint's own or in place of one of them."""

    def __post_init__(self) -> None:
        for role in ROLES:
            if self.prompt_text(role) is not None and self.prompt_name(role) is not None:
                raise EncoderError(
                    f"the prompt of a {role} is either a text or the name of one",
                    value=f"--{role}-prompt and --{role}-prompt-name",
                    next_step="Omit one of the two.",
                )
        for name in self.more_prompts:
            if not name.strip() or name in ROLES:
                right = f"--{name}-prompt TEXT" if name in ROLES else "--prompt NAME=TEXT"
                raise EncoderError(
                    "a prompt cannot have this name",
                    value=name or "an empty name",
                    next_step=f"Write {right}.",
                )

    @property
    def prompts(self) -> dict[str, str]:
        """The texts of the roles that are set, and the added prompts."""
        by_role = {"query": self.query_prompt, "document": self.document_prompt}
        return {name: text for name, text in by_role.items() if text} | dict(self.more_prompts)

    def prompt_text(self, role: Role) -> str | None:
        """The text that is requested for a role."""
        return self.query_prompt if role == "query" else self.document_prompt

    def prompt_name(self, role: Role) -> str | None:
        """The name that is requested for a role."""
        return self.query_prompt_name if role == "query" else self.document_prompt_name

    def prompt_args(self) -> list[str]:
        """The options of a ``nestvec export`` that ask for the same."""
        named = {
            "--query-prompt": self.query_prompt,
            "--document-prompt": self.document_prompt,
            "--query-prompt-name": self.query_prompt_name,
            "--document-prompt-name": self.document_prompt_name,
        }
        args = [word for name, value in named.items() if value is not None for word in (name, value)]
        return [*args, *(word for pair in self.more_prompts.items() for word in ("--prompt", "=".join(pair)))]
