"""Declarations that a checkpoint's own code reads, where it is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from nestvec_exporters.checkpoints.untrusted.custom_code import (
    AUTO_MAP_FILES,
    custom_classes,
    has_own_modules,
)
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.declaration import Declaration

_REASON: Final = "the checkpoint's own code reads it, and the reference runs that code too"
_FILES: Final = frozenset({*AUTO_MAP_FILES, "modules.json"})


def read_by_own_code(declarations: Iterable[Declaration], context: InventoryContext) -> list[Declaration]:
    """The declarations, with refused ones of configurations as honoured where the code is trusted."""
    files = context.files
    trusted = context.options.trust_remote_code
    if not trusted or not (custom_classes(files.folder) or has_own_modules(files)):
        return list(declarations)
    return [
        replace(declaration, outcome="honoured", reason=_REASON)
        if declaration.outcome == "refused" and declaration.file.rpartition("/")[2] in _FILES
        else declaration
        for declaration in declarations
    ]
