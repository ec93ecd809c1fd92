"""The longest text that an encoder takes."""

from __future__ import annotations

from typing import Final

from nestvec_schemas.errors import CheckpointUnsupported

DEFAULT_MAX_TOKENS: Final = 8192
"""The longest text an encoder takes unless more is asked for: decoders state 32,768 and more, which no
service could batch."""

UNSTATED_MAX_TOKENS = 512


def max_text_tokens(declared: int | None, positions: int | None, requested: int | None) -> int:
    """The longest text in tokens: ``asked``, else what is stated, at most as many as there are positions.

    Raises CheckpointUnsupported where ``asked`` is more than the model has positions.
    """
    if requested is None:
        declared_or_default = declared or UNSTATED_MAX_TOKENS
        own_limit = (
            declared_or_default if declared_or_default < 1 << 24 else (positions or UNSTATED_MAX_TOKENS)
        )
        return min(own_limit, positions or own_limit, DEFAULT_MAX_TOKENS)
    check_positions(requested, positions)
    return requested


def check_positions(requested: int, positions: int | None) -> None:
    """Raise CheckpointUnsupported where ``asked`` tokens are more than ``limit`` (None: there is none)."""
    if positions is not None and requested > positions:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many tokens",
            value=requested,
            next_step=f"Give --max-tokens {positions} or less.",
        )
