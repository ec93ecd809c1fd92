"""What ``nestvec export --explain`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nestvec_exporters import ExportOptions
    from nestvec_exporters.inventory.declaration import Declaration

_COLUMNS = ("file", "key", "value", "outcome", "reason")


def print_declarations(options: ExportOptions, *, as_json: bool) -> None:
    """Print every declaration of a checkpoint, and what an export with these options makes of it.

    Raises CheckpointUnsupported, after printing, if the export would.
    """
    from nestvec.terminal.progress import stages
    from nestvec.terminal.tables import print_json, print_table
    from nestvec_exporters.architectures import explain_checkpoint
    from nestvec_exporters.inventory.check import check_honoured

    with stages() as shown:
        shown.stage("reading the checkpoint's declarations")
        declarations = explain_checkpoint(options)
    if as_json:
        print_json([dict(zip(_COLUMNS, _row(declaration), strict=True)) for declaration in declarations])
    else:
        print_table(_COLUMNS, [_row(declaration) for declaration in declarations])
        click.echo(_summary(declarations))
    check_honoured(declarations)


def _row(declaration: Declaration) -> tuple[str, ...]:
    shown = declaration.shown_value
    return (declaration.file, declaration.key, shown, declaration.outcome, declaration.reason)


def _summary(declarations: Sequence[Declaration]) -> str:
    counts = Counter(declaration.outcome for declaration in declarations)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts)) or "nothing is declared"
