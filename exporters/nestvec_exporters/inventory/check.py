"""Refuse a checkpoint that declares what an export does not honour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nestvec_exporters.inventory.declaration import Declaration, matches
from nestvec_schemas.errors import CheckpointUnsupported, nearest

_MAX_SHOWN: Final = 3


def check_honoured(declarations: Iterable[Declaration]) -> None:
    """Raise CheckpointUnsupported for refused declarations: the first of them, and how many there are."""
    refused = [declaration for declaration in declarations if declaration.outcome == "refused"]
    if not refused:
        return
    first, count = refused[0], len(refused)
    shown = ", ".join(_describe(declaration) for declaration in refused[:_MAX_SHOWN])
    raise CheckpointUnsupported(
        f"the export would not honour what the checkpoint declares by {first.name}: {first.reason}",
        value=f"{shown} and {count - _MAX_SHOWN} more" if count > _MAX_SHOWN else shown,
        next_step="Correct or remove it; or, if it is known not to matter, add "
        f"--ignore {first.name} (--explain lists all declarations).",
    )


def check_patterns(declarations: Iterable[Declaration], patterns: Iterable[str]) -> None:
    """Raise CheckpointUnsupported for an ``--ignore`` that names nothing that the checkpoint declares."""
    declarations = list(declarations)
    for pattern in patterns:
        if not any(matches(pattern, declaration) for declaration in declarations):
            names = {declaration.name for declaration in declarations}
            raise CheckpointUnsupported(
                "--ignore names nothing that the checkpoint declares",
                value=pattern,
                next_step=f"Write FILE:KEY, as --explain lists them.{nearest(pattern, sorted(names))}",
            )


def _describe(declaration: Declaration) -> str:
    return f"{declaration.name} = {declaration.shown_value}" if declaration.shown_value else declaration.name
