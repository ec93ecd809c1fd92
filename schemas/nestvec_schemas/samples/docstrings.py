"""Real texts that are on every machine with Python: the docstrings of its standard library.

The modules are imported in a child process (isolated mode, no input, a time limit), because importing some
of them has side effects, and because functions written in C have a docstring only when imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nestvec_schemas.errors import NestvecError

_CHILD = Path(__file__).with_name("_docstrings_child.py")
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Docstring:
    """The docstring of one object."""

    name: str
    """The object's full dotted name."""

    module: str
    """The module that exports it."""

    kind: str
    """``class``, ``method`` or ``function``."""

    text: str


def standard_library() -> tuple[Docstring, ...]:
    """The docstrings of the running Python's public functions, classes and methods, by name.

    About 3,000, all distinct. Raises NestvecError if the child process fails.
    """
    environment = {
        key: os.environ[key] for key in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ
    }
    with tempfile.TemporaryDirectory() as empty_folder:
        try:
            process = subprocess.run(  # noqa: S603 - our own file, run by our own interpreter
                [sys.executable, "-I", "-X", "utf8", str(_CHILD)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=empty_folder,
                env=environment,
                timeout=_TIMEOUT_SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise NestvecError(
                "the standard library's docstrings cannot be read",
                value=str(error).removesuffix("."),
                next_step=f"Run {_CHILD.name} with this Python to see the error.",
            ) from error
    rows = (json.loads(line) for line in process.stdout.splitlines())
    return tuple(Docstring(**row) for row in rows)


def sample_texts(count: int) -> tuple[str, ...]:
    """``count`` real texts, evenly spaced over the standard library; always the same ones."""
    texts = [docstring.text for docstring in standard_library()]
    step = max(1, len(texts) // count)
    return tuple(texts[::step][:count])
