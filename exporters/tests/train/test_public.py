from __future__ import annotations

import subprocess
import sys

from nestvec_exporters import train


def test_the_public_names_are_these() -> None:
    assert train.__all__ == [
        "AdaptOptions",
        "Adapted",
        "Hyperparameters",
        "RunOutput",
        "TrainingData",
        "TrainingLength",
        "adapt",
    ]


def test_importing_loads_nothing_heavy() -> None:
    program = "import sys, nestvec_exporters.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "sentence_transformers"} & set(done.stdout.split())
