"""The longest text that an encoder takes."""

from __future__ import annotations

from typing import Final

from nestvec_schemas.errors import CheckpointUnsupported

DEFAULT_TOKENS: Final = 8192
"""The longest text an encoder takes unless more is asked for: decoders state 32,768 and more, which no
service could batch."""

UNSTATED_TOKENS = 512


def limited(stated_by_it: int | None, limit: int | None, asked: int | None) -> int:
    """The longest text in tokens: ``asked``, else what is stated, at most as many as there are positions.

    Raises CheckpointUnsupported where ``asked`` is more than the model has positions.
    """
    if asked is None:
        own = stated_by_it or UNSTATED_TOKENS
        stated = own if own < 1 << 24 else (limit or UNSTATED_TOKENS)
        return min(stated, limit or stated, DEFAULT_TOKENS)
    check_positions(asked, limit)
    return asked


def check_positions(asked: int, limit: int | None) -> None:
    """Raise CheckpointUnsupported where ``asked`` tokens are more than ``limit`` (None: there is none)."""
    if limit is not None and asked > limit:
        raise CheckpointUnsupported(
            "the checkpoint does not take texts of this many tokens",
            value=asked,
            next_step=f"Give --max-tokens {limit} or less.",
        )
