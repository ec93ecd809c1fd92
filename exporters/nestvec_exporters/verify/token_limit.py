"""The longest text of a library's model: what was asked for, and no more than it has positions for."""

from __future__ import annotations

from typing import Any

from nestvec_exporters.text_encoders.sentence_model import positions


def limit_tokens(model: Any, transformer: Any, requested: int | None) -> None:
    """Set ``model.max_seq_length`` to ``requested`` tokens, or keep its own.

    RoBERTa and its kin have fewer positions than their config says; the library fails on texts that need
    them all, where no limit is set.
    """
    own = model.max_seq_length
    available = positions(transformer)
    limits = [limit for limit in (requested or own, available) if limit is not None]
    if limits and min(limits) != own:
        model.max_seq_length = min(limits)
