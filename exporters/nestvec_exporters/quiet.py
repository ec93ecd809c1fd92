"""Holding back what libraries say during an export, so that its stages can be read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, loading bars or log lines below ERROR, unless logging shows information anyway."""
    from transformers.utils import logging as shipped  # noqa: PLC0415 - slow

    library: Any = shipped  # its functions have no annotations
    if logging.getLogger().isEnabledFor(logging.INFO):
        yield
        return
    disabled = logging.root.manager.disable
    bars = library.is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        if bars:
            library.enable_progress_bar()
