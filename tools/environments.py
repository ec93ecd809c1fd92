"""Environments over the project's, for packages that it does not have: other versions, and large ones.

    .venv/bin/python tools/environments.py pymilvus-2.6
    .venv/bin/python tools/environments.py nightly

The first has pymilvus 2.6 and LlamaIndex, whose Milvus store wants it, in .venv-pymilvus-2.6; the second has
the packages of Delta and Lance tables (140 MB to download), Spark (460 MB) and DuckDB's extension for
PostgreSQL, in .venv-nightly. Run with the project's Python: an environment sees all that is installed there,
nestvec included, behind what it has.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("nestvec", "milvus-lite")
"""Of the project's environment; the tests start them beside their own Python."""


def pymilvus26() -> list[str]:
    """pymilvus 2.6 from the lowest version that the project takes, and the extra ``llamaindex``."""
    (pymilvus,) = (wanted for wanted in _project()["dependencies"] if wanted.startswith("pymilvus"))
    lowest = pymilvus.partition(",")[0]
    extra = [wanted for wanted in _extra("llamaindex") if "nestvec" not in wanted]
    return [f"{lowest},<3", *extra]


def nightly() -> list[str]:
    """The extras that only ``make nightly`` tests, and DuckDB's extension with the DuckDB that it is for."""
    return [*_extra("delta"), *_extra("lance"), *_extra("spark"), "duckdb-extension-postgres-scanner>=1.5,<2"]


ENVIRONMENTS: dict[str, Callable[[], list[str]]] = {"pymilvus-2.6": pymilvus26, "nightly": nightly}
"""What each has of its own."""


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _extra(name: str) -> list[str]:
    wanted: list[str] = _project()["optional-dependencies"][name]
    return wanted


def setup(name: str) -> None:
    """Make an environment; does nothing where it is whole."""
    venv, requirements = ROOT / f".venv-{name}", ENVIRONMENTS[name]()
    wanted, done = "\n".join([sys.prefix, *requirements, *PROGRAMS]), venv / "ready.txt"
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    packages = venv / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    # The last in the order of names: what the environment has itself comes before it on the path.
    below = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (packages / "zz_project.pth").write_text(below, encoding="utf-8")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # pip says that packages of the project's environment want pymilvus 3: langchain-milvus does.
    subprocess.run([*pip, *requirements], check=True)
    for program in PROGRAMS:
        _write_program(venv / "bin" / program)
    done.write_text(wanted, encoding="utf-8")


def _write_program(path: Path) -> None:
    (entry,) = entry_points(group="console_scripts", name=path.name)
    python, name = path.with_name("python").absolute(), entry.attr
    lines = [f"#!{python}", "import sys", f"from {entry.module} import {name}", f"sys.exit({name}())", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o755)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=ENVIRONMENTS)
    setup(parser.parse_args().name)


if __name__ == "__main__":
    main()
