"""A real Triton server from PyPI's nvidia-pytriton, in an environment of its own; loopback only.

    python tools/triton/server.py setup [--venv .venv-triton]
    python tools/triton/server.py run --models models [--venv .venv-triton] [--grpc 8001] ...

Uses the standard library alone, so that any Python can run it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / ".venv-triton"

Control = Literal["none", "explicit", "poll"]


@dataclass(frozen=True)
class Ports:
    """Of Triton's three faces, on 127.0.0.1."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


def setup(venv: Path) -> None:
    """Make the environment, and beside it the backends folder; does nothing where it is whole."""
    wanted = (HERE / "requirements.txt").read_bytes()
    done = venv / "ready.txt"
    if not done.is_file() or done.read_bytes() != wanted:
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(HERE / "requirements.txt")], check=True)
        done.write_bytes(wanted)
    triton = _packages(venv) / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise SystemExit(f"nvidia-pytriton has no stub for Python {version}: use 3.11, 3.12 or 3.13.")
    if not (triton / "backends" / "python" / stub.name).exists():
        shutil.copy2(stub, triton / "backends" / "python" / stub.name)
    backends = venv / "backends"
    backends.mkdir(exist_ok=True)
    for name, target in (("python", triton / "backends" / "python"), ("onnxruntime", HERE / "onnxruntime")):
        link = backends / name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(target, target_is_directory=True)


def command(venv: Path, models: Path, ports: Ports, control: Control = "none") -> list[str]:
    """The command line that serves ``models``; with ``explicit`` nothing is loaded until it is asked for."""
    return [
        str(_packages(venv) / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        *("--model-repository", str(models.resolve())),
        *("--backend-directory", str(venv.resolve() / "backends")),
        *("--model-control-mode", control),
        *("--repository-poll-secs", "1") * (control == "poll"),
        *("--http-address", "127.0.0.1", "--http-port", str(ports.http)),
        *("--grpc-address", "127.0.0.1", "--grpc-port", str(ports.grpc)),
        *("--metrics-address", "127.0.0.1", "--metrics-port", str(ports.metrics)),
        # What a killed server leaves in /dev/shm can then be told from another's.
        *("--backend-config", f"python,shm-region-prefix-name={shared_memory(ports)}"),
        # One bad encoder must not take the others down.
        *("--exit-on-error", "false"),
    ]


def shared_memory(ports: Ports) -> str:
    """How the names begin of the files that this server makes in /dev/shm."""
    return f"nestvec_triton_{ports.grpc}_"


def environment(venv: Path) -> dict[str, str]:
    """What the process needs: this environment's Python first, libpython, and the wheel's own libraries."""
    libraries = [sysconfig.get_config_var("LIBDIR"), str(_packages(venv) / "nvidia_pytriton.libs")]
    before = os.environ.get("LD_LIBRARY_PATH")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PATH": os.pathsep.join([str(venv.resolve() / "bin"), os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *([before] if before else [])]),
        "VIRTUAL_ENV": str(venv.resolve()),
    }


def _packages(venv: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return venv.resolve() / "lib" / version / "site-packages"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("setup", "run"))
    parser.add_argument("--venv", type=Path, default=VENV)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--control", choices=("none", "explicit", "poll"), default="none")
    for name, port in vars(Ports()).items():
        parser.add_argument(f"--{name}", type=int, default=port)
    chosen = parser.parse_args()
    setup(chosen.venv)
    if chosen.action == "run":
        ports = Ports(chosen.http, chosen.grpc, chosen.metrics)
        line = command(chosen.venv, chosen.models, ports, chosen.control)
        os.execve(line[0], line, environment(chosen.venv))


if __name__ == "__main__":
    main()
