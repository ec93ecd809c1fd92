from __future__ import annotations

import subprocess
import sys

import nestvec_exporters


def test_the_public_names_are_these() -> None:
    assert nestvec_exporters.__all__ == ["ExportOptions", "Listener", "Merge", "Overrides", "export"]


def test_importing_loads_nothing_heavy() -> None:
    program = "import sys, nestvec_exporters; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "onnx", "onnxruntime", "huggingface_hub"} & set(done.stdout.split())
