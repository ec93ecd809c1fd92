"""Run all tests in two processes at a time, since either leaves a core of most machines idle.

Options are pytest's. The exit status is 0 only if all sets ran and passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_INTEGRATION = Path("integration_tests")
_SQL = (
    "integration_tests/postgresql",
    *sorted(
        str(path) for pattern in ("test_sql*.py", "test_pgwire*.py") for path in _INTEGRATION.glob(pattern)
    ),
)

BESIDE = ("schemas/tests", "plugin/tests", "exporters/tests", *_SQL, "--ignore=plugin/tests/deploy")
"""Run in the background; its output is printed at the end. With SQL's, it takes as long as the others."""

APART = "plugin/tests/deploy"
"""Helm's library is Go: its runtime stays out of the process of the other tests."""

FIRST = ("tests", "integration_tests", *(f"--ignore={path}" for path in _SQL))


def main(options: list[str]) -> int:
    """Run all sets. Returns the exit status."""
    command = [sys.executable, "-m", "pytest", *options]
    # Threads of two processes that wait by spinning would hold each other up.
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        beside = subprocess.Popen(
            [*command, *BESIDE], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            first = subprocess.run([*command, *FIRST], env=environment, check=False).returncode
            apart = subprocess.run([*command, APART], env=environment, check=False).returncode
            second = beside.wait()
        finally:
            beside.kill()
        output.seek(0)
        sys.stdout.write(f"\nthe tests beside these:\n{output.read()}\n")
    return first or apart or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
