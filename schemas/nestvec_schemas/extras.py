"""The packages of optional parts, checked before any work is done."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from nestvec_schemas.errors import NestvecError


def require_packages(doing: str, packages: Iterable[str], extra: str) -> None:
    """Raise NestvecError if a package is not installed; ``extra`` is the extra of nestvec that has them
    all."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise NestvecError(
            f"{doing} needs packages that are not installed",
            value=", ".join(missing),
            next_step=f"Install them: pip install 'nestvec[{extra}]'.",
        )
