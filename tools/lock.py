"""The packages of the images, locked with hashes, and a bill of materials of each.

    python tools/lock.py lock     writes docker/requirements-*.txt
    python tools/lock.py sbom     writes dist/sbom-*.cdx.json (CycloneDX) from those

Needs the extra ``release``: uv and cyclonedx-bom.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"

PYTHON_VERSION = "3.12"
"""Of the images."""

EXTRAS = {
    "cpu": ("openvino", "triton", "tracing", "s3"),
    "gpu": ("gpu", "triton", "tracing", "s3"),
}
"""The extras in each image: all that options of ``nestvec serve`` need there."""

ADDITIONS = {
    # CUDA and cuDNN as packages, with the versions that this ONNX Runtime belongs to.
    "gpu": "onnxruntime-gpu[cuda,cudnn]",
    "build": "hatchling>=1.26",
}
"""Requirements besides those of pyproject.toml."""

HEADER = (
    "# Written by make lock: packages of docker/Dockerfile, with the hashes of the files that may be used.\n"
)


def requirements(name: str) -> Path:
    return DOCKER / f"requirements-{name}.txt"


def lock(name: str) -> None:
    """Resolve the packages of one image, as new as pyproject.toml allows."""
    addition, extras = ADDITIONS.get(name), EXTRAS.get(name, ())
    sources = ["pyproject.toml"] if extras else []
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", *sources, "-"),
        *(word for extra in extras for word in ("--extra", extra)),
        *("--python-version", PYTHON_VERSION, "--python-platform", "x86_64-manylinux_2_28"),
        *("--generate-hashes", "--no-annotate", "--no-header", "--quiet", "--upgrade"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, input=addition or "", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    requirements(name).write_text(HEADER + done.stdout)


def sbom(name: str) -> None:
    """The bill of materials of one image's Python packages."""
    target = ROOT / "dist" / f"sbom-{name}.cdx.json"
    target.parent.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "requirements", str(requirements(name))),
        *("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application"),
        *("--output-reproducible", "--output-format", "JSON", "--output-file", str(target)),
    ]
    subprocess.run(command, check=True)
    sys.stdout.write(f"{target.relative_to(ROOT)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("lock", "sbom"))
    if parser.parse_args().action == "lock":
        for name in (*EXTRAS, "build"):
            lock(name)
    else:
        for name in EXTRAS:
            sbom(name)


if __name__ == "__main__":
    main()
