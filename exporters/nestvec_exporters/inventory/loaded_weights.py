"""The weights of a checkpoint, as declarations: those that the loaded models do not take, or lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Final

from nestvec_exporters.checkpoints.recorded_loads import RecordedLoad
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.rules.weights import weight_rule

WEIGHTS_FILE: Final = "model.safetensors"

_FILLED: Final = "the files lack this weight, and transformers fills it with random numbers"


def weight_declarations(loads: Iterable[RecordedLoad], context: InventoryContext) -> list[Declaration]:
    """The weights that files have and models do not take, and those that models have and files lack.

    Weights of the same rule are put together under their common beginning; refused ones are not.
    """
    declarations: dict[tuple[str, str], Declaration] = {}
    for load in loads:
        file = _file(load.folder, context.folder)
        for name in load.unexpected:
            declarations[file, name] = weight_rule(name, context).judge(file, name, "a weight")
        for name in load.missing:
            if _is_needed(name, context):
                declarations[file, name] = Declaration(file, name, None, "refused", _FILLED)
    return _grouped(declarations)


def _is_needed(name: str, context: InventoryContext) -> bool:
    """Whether a missing weight is used: a pooler is not, where token vectors are pooled."""
    scores = context.has_classifier and "Pooling" not in context.files.modules
    return scores or ("pooler." not in name and "pooler_" not in name)


def _grouped(declarations: Mapping[tuple[str, str], Declaration]) -> list[Declaration]:
    """Declarations of the same file, rule and first name as a single one."""
    ordered = sorted(declarations.values(), key=_group)
    grouped: list[Declaration] = []
    for (file, outcome, reason, first), members in groupby(ordered, _group):
        names = list(members)
        if len(names) == 1 or outcome == "refused":
            grouped += names
        else:
            value = f"{len(names)} weights"
            grouped.append(Declaration(file, f"{first}.*", value, names[0].outcome, reason))
    return grouped


def _group(declaration: Declaration) -> tuple[str, str, str, str]:
    first = declaration.key.partition(".")[0]
    return declaration.file, declaration.outcome, declaration.reason, first


def _file(folder: Path, root: Path) -> str:
    """The name of the weights in a folder, inside the checkpoint's."""
    resolved = folder.resolve()
    if resolved == root.resolve() or not resolved.is_relative_to(root.resolve()):
        return WEIGHTS_FILE
    return f"{resolved.relative_to(root.resolve()).as_posix()}/{WEIGHTS_FILE}"
