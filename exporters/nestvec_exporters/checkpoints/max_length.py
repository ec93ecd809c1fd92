"""The longest text that an encoder accepts."""

from __future__ import annotations

from typing import Final

from nestvec_schemas.errors import CheckpointUnsupported

DEFAULT_MAX_TOKENS: Final = 8192
"""The longest text by default: decoders declare 32,768 tokens and more, which no service could batch."""

UNSTATED_MAX_TOKENS: Final = 512
"""The longest text where neither a tokenizer nor positions limit it."""

UNLIMITED: Final = 1 << 24
"""Tokenizers without a limit declare numbers from here on."""


def max_text_tokens(declared: int | None, positions: int | None, requested: int | None) -> int:
    """The longest text in tokens: ``requested``, otherwise ``declared``, up to ``positions``.

    Raises CheckpointUnsupported if ``requested`` exceeds the model's positions.
    """
    if requested is None:
        declared_or_default = declared or UNSTATED_MAX_TOKENS
        own_limit = (
            declared_or_default if declared_or_default < UNLIMITED else (positions or UNSTATED_MAX_TOKENS)
        )
        return min(own_limit, positions or own_limit, DEFAULT_MAX_TOKENS)
    check_positions(requested, positions)
    return requested


def check_positions(requested: int, positions: int | None) -> None:
    """Raise CheckpointUnsupported if ``requested`` tokens exceed ``positions``; None is no limit."""
    if positions is not None and requested > positions:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many tokens",
            value=requested,
            next_step=f"Give --max-tokens {positions} or less.",
        )
