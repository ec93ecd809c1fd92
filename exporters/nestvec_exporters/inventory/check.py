"""Refuse a checkpoint that declares what an export does not honour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nestvec_exporters.inventory.declaration import Declaration
from nestvec_schemas.errors import CheckpointUnsupported

_MAX_SHOWN: Final = 3


def check_honoured(declarations: Iterable[Declaration]) -> None:
    """Raise CheckpointUnsupported for refused declarations: the first of them, and how many there are."""
    refused = [declaration for declaration in declarations if declaration.outcome == "refused"]
    if not refused:
        return
    shown = "; ".join(_describe(declaration) for declaration in refused[:_MAX_SHOWN])
    more = f"; and {len(refused) - _MAX_SHOWN} more" if len(refused) > _MAX_SHOWN else ""
    raise CheckpointUnsupported(
        "the checkpoint declares what the export would not honour",
        value=shown + more,
        next_step="Correct or remove it; or, if it is known not to matter, add "
        f"--ignore {refused[0].name} (--explain lists all declarations).",
    )


def _describe(declaration: Declaration) -> str:
    value = f" = {declaration.shown_value}" if declaration.shown_value else ""
    return f"{declaration.name}{value} ({declaration.reason})"
