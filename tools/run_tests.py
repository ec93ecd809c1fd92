"""Run all tests: the unit tests beside the others, since either leaves a core of most machines idle.

Options are pytest's. The exit status is 0 only if both sets ran and passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

BESIDE = ("schemas/tests", "plugin/tests", "exporters/tests")
"""Run in the background; its output is printed at the end."""

FIRST = ("tests", "integration_tests")


def main(options: list[str]) -> int:
    """Run both sets. Returns the exit status."""
    command = [sys.executable, "-m", "pytest", *options]
    # Threads of two processes that wait by spinning would hold each other up.
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        beside = subprocess.Popen(
            [*command, *BESIDE], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            first = subprocess.run([*command, *FIRST], env=environment, check=False).returncode
            second = beside.wait()
        finally:
            beside.kill()
        output.seek(0)
        sys.stdout.write(f"\n{' '.join(BESIDE)}:\n{output.read()}\n")
    return first or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
