"""The grammar of cursors."""

from __future__ import annotations

import subprocess
import sys

import pytest

_REFUSED = """
import sys
from nestvec.pgwire.cursors import Cursors
from nestvec.pgwire.errors import PgError
from nestvec.pgwire.statement import Statement
try:
    Cursors().run(Statement(sys.argv[1] + " " * 1_000_000 + "b"))
except PgError as error:
    print(error)
"""


@pytest.mark.parametrize("words", ["FETCH a", "MOVE 1 FROM a", "CLOSE a"])
def test_a_statement_with_many_blanks_is_refused_in_linear_time(words: str) -> None:
    # Quadratic, it would take hours.
    done = subprocess.run(
        [sys.executable, "-c", _REFUSED, words], capture_output=True, text=True, timeout=600, check=True
    )
    assert "syntax error" in done.stdout
