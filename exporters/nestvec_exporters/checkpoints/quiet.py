"""Silence libraries during an export or a training run, so that its stages stay readable."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from tempfile import TemporaryFile
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, progress bars and log records below ERROR, unless INFO is enabled anyway."""
    if logging.getLogger().isEnabledFor(logging.INFO):
        yield
        return
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with _no_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def captured_output() -> Iterator[None]:
    """Discard what the block writes to standard output and standard error, by C++ too, as tracers do.

    Nothing else may write meanwhile: no other thread shows progress.
    """
    with TemporaryFile() as discarded:
        saved = []
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            try:
                saved.append((number, os.dup(number)))
            except OSError:  # closed, as of a service without a terminal
                continue
            os.dup2(discarded.fileno(), number)
        lines = StringIO()  # what Python prints, wherever its streams lead
        try:
            with redirect_stdout(lines), redirect_stderr(lines):
                yield
        finally:
            for number, copy in saved:
                os.dup2(copy, number)
                os.close(copy)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Disable transformers' progress bars; exporting an existing graph does not need transformers."""
    if find_spec("transformers") is None:
        yield
        return
    from transformers.utils import logging as shipped  # noqa: PLC0415 - slow

    library: Any = shipped  # its functions have no annotations
    bars = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            library.enable_progress_bar()
