"""Run all tests, several parts at a time: one more than the machine has cores, since each waits now and then.

Options are pytest's. The exit status is 0 only if all parts ran and passed. What a part prints, its slowest
tests at the end, is shown while it runs if no earlier part still runs, and otherwise after those.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_INTEGRATION: Final = Path("integration_tests")
_SQL: Final = ("test_sql*.py", "test_pgwire*.py")
_MAX_AT_ONCE: Final = 4
"""Each may take 4 GB."""

_POLL_SECONDS: Final = 0.2


def _files(*patterns: str) -> tuple[str, ...]:
    return tuple(sorted({str(path) for pattern in patterns for path in _INTEGRATION.glob(pattern)}))


def _all_but(files: tuple[str, ...], patterns: str) -> tuple[str, ...]:
    return tuple(file for file in _files(patterns) if file not in files)


def parts() -> tuple[tuple[str, ...], ...]:
    """What each process is given, the longest first; a new file of a folder is in one of them by itself."""
    sql = _files(*_SQL)
    return (
        ("exporters/tests", "schemas/tests", "tests"),
        _all_but(sql, "test_[!a-h]*.py"),
        _all_but(sql, "test_[a-h]*.py"),
        ("integration_tests/postgresql", *sql),
        ("plugin/tests", *(f"--ignore=plugin/tests/{folder}" for folder in ("deploy", "service"))),
        ("plugin/tests/service",),
        ("integration_tests/triton",),
        ("integration_tests/verify",),
        # Helm's library is Go: its runtime stays out of the process of other tests.
        ("plugin/tests/deploy",),
    )


class _Part:
    """One pytest, and what it has printed."""

    def __init__(self, arguments: tuple[str, ...], options: list[str], environment: dict[str, str]) -> None:
        self.name = " ".join(arguments)
        self.output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by ``close``
        self._read = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--durations=15", *options, *arguments],
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env=environment,
        )

    def show(self) -> None:
        """Print what was not printed yet."""
        length = os.fstat(self.output.fileno()).st_size
        sys.stdout.buffer.write(os.pread(self.output.fileno(), length - self._read, self._read))
        sys.stdout.buffer.flush()
        self._read = length

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


def _run(options: list[str], environment: dict[str, str]) -> Iterator[_Part]:
    """Run all parts. Gives each that has ended, when all that it printed is shown."""
    waiting, started = list(parts()), list[_Part]()
    at_once = min(_MAX_AT_ONCE, (os.cpu_count() or 1) + 1)
    try:
        while waiting or started:
            while waiting and sum(part.process.poll() is None for part in started) < at_once:
                started.append(_Part(waiting.pop(0), options, environment))
            ended = started[0].process.poll() is not None
            started[0].show()
            if ended:
                yield started[0]
                started.pop(0).close()
            else:
                time.sleep(_POLL_SECONDS)
    finally:
        for part in started:
            part.close()


def main(options: list[str]) -> int:
    """Run all parts. Returns the exit status."""
    lines: list[str] = []
    status = 0
    with tempfile.TemporaryDirectory(prefix="nestvec-exports-") as exports:
        # Threads of processes that wait by spinning would hold each other up.
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment = {**threads, **os.environ, "NESTVEC_TEST_EXPORTS": exports}
        # Hundreds of commands are started, which would each compile the project's modules again.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for part in _run(options, environment):
            code = part.process.returncode
            status = status or code
            name = part.name if len(part.name) < 90 else f"{part.name[:80]} …"
            lines.append(f"{'passed' if code == 0 else f'FAILED ({code})'}: {name}")
    sys.stdout.write("\n".join(["", *lines, ""]))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
