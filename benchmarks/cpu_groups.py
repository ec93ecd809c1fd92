"""The CPU time of a command with all of its processes, by a control group."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CpuGroup:
    """A control group that counts the CPU time of the processes in it."""

    folder: Path | None
    """None where there are none, or no right to make one."""

    @property
    def entering(self) -> list[str]:
        """What is put before a command that runs in it."""
        if self.folder is None:
            return []
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "enter"]

    def seconds(self) -> float:
        if self.folder is None:
            return float("nan")
        first = self.folder / "cpuacct.usage"
        if first.exists():
            return int(first.read_text()) / 1e9
        return int((self.folder / "cpu.stat").read_text().split()[1]) / 1e6


@contextmanager
def cpu_group() -> Iterator[CpuGroup]:
    for parent in (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")):
        folder = parent / f"nestvec-bulk-{os.getpid()}-{time.monotonic_ns()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / "cpuacct.usage").exists() or (folder / "cpu.stat").exists():
            try:
                yield CpuGroup(folder)
            finally:
                with suppress(OSError):
                    folder.rmdir()
            return
        folder.rmdir()
    yield CpuGroup(None)
