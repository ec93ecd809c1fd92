"""Merge checkpoints into one: base + Σ coefficient · (other - base)."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.checkpoint import SMALL_FILES, TRAINING_RECORD, Checkpoint, read_checkpoint
from nestvec_exporters.checkpoints.layout import (
    Module,
    read_config,
    read_json,
    read_modules,
    transformer_folder,
)
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.merge.weight_files import (
    INDEX_FILE,
    WEIGHTS_FILE,
    Addend,
    StoredTensor,
    stored_tensors,
    write_merged,
)
from nestvec_exporters.merge_expression import Expression, Operand, parse_expression
from nestvec_schemas.errors import CheckpointError, CheckpointNotFound, CheckpointUnsupported, nearest

MERGE_RECORD: Final = "nestvec_merge.json"
"""The file that marks a merged checkpoint: its expression, and the checkpoints of its names."""

_KINDS_WITH_WEIGHTS = ("Transformer", "Dense", "LayerNorm")
_MAX_SHOWN = 3

Terms = Sequence[tuple[Operand, Checkpoint]]


def merge_checkpoints(expression: str, into: Path, names: Mapping[str, str] | None = None) -> Path:
    """Write the checkpoint of an expression like ``base+0.4*A-0.2*B`` to ``into``, and return that folder.

    ``names`` maps names in the expression to checkpoints; any other name is a folder or a Hugging Face id.
    ``merge_expression`` documents the grammar. Configuration, tokenizer, pooling and prompts are the base's;
    weights are float32. ``into`` must be absent or empty, and appears complete or not at all.
    Raises CheckpointNotFound; CheckpointUnsupported if the expression is invalid (with a caret at the
    position) or tensors, modules or tokenizers differ; CheckpointError if ``into`` cannot be written.
    Source: Ilharco et al. 2023, "Editing Models with Task Arithmetic".
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CheckpointError(
            "the merged checkpoint needs an empty folder",
            value=str(into),
            next_step="Give a folder that does not exist.",
        )
    parsed, base, terms, parts = _read_parts(expression, names or {})
    _write(into, parsed, base, terms, parts)
    return into


def read_merge(
    expression: str, names: Mapping[str, str]
) -> tuple[Expression, Checkpoint, tuple[Checkpoint, ...], int]:
    """The expression, its base, the checkpoints of its terms, and their number of layers.

    Raises as ``merge_checkpoints`` does.
    """
    parsed, base, terms, parts = _read_parts(expression, names)
    return parsed, base, tuple(other for _, other in terms), _layer_count(parts[0].own)


@dataclass(frozen=True)
class _ModuleWeights:
    """A module's weights."""

    module: Module

    own: Mapping[str, StoredTensor]
    """The base's."""

    addends: Sequence[Addend]
    """What is added to them."""


def _read_parts(
    expression: str, names: Mapping[str, str]
) -> tuple[Expression, Checkpoint, Terms, tuple[_ModuleWeights, ...]]:
    """An expression's checkpoints, and their weights by module. Raises CheckpointError if they differ."""
    parsed = parse_expression(expression)
    base = _read_operand(parsed, parsed.base, names)
    terms = [(operand, _read_operand(parsed, operand, names)) for operand in parsed.terms]
    for operand, other in terms:
        _check_compatible(parsed, operand, base, other)
    modules = _modules_with_weights(base)
    by_module = [_addends(parsed, terms, number) for number in range(len(modules))]
    owns = [stored_tensors(module.folder) for module in modules]
    for own, addends in zip(owns, by_module, strict=True):
        _check_tensors(parsed, own, addends)
    _check_layers(parsed, owns[0])
    return (
        parsed,
        base,
        terms,
        tuple(map(_ModuleWeights, modules, owns, by_module)),
    )


def _write(
    into: Path, expression: Expression, base: Checkpoint, terms: Terms, parts: Sequence[_ModuleWeights]
) -> None:
    """Write beside ``into``, then rename. Raises CheckpointError."""
    try:
        into.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".nestvec-merge-", dir=into.absolute().parent) as work:
            folder = Path(work) / "merged"
            _copy_small_files(
                base,
                folder,
                adapted=all(checkpoint.trained for checkpoint in (base, *(other for _, other in terms))),
            )
            for number, part in enumerate(parts):
                place = folder / part.module.folder.relative_to(base.folder)
                place.mkdir(parents=True, exist_ok=True)
                write_merged(place / WEIGHTS_FILE, part.own, part.addends, layered=number == 0)
            _write_record(folder, expression, base, terms)
            if into.is_dir():
                into.rmdir()
            folder.rename(into)
    except OSError as error:
        raise CheckpointError(
            "the merged checkpoint cannot be written",
            value=f"{error.filename or into} ({error.strerror or error})",
            next_step="Give a folder that you may write to, on a disk with room.",
        ) from error


def _read_operand(expression: Expression, operand: Operand, names: Mapping[str, str]) -> Checkpoint:
    """The checkpoint of an operand; errors point into the expression."""
    try:
        return read_checkpoint(names.get(operand.name, operand.name))
    except CheckpointError as error:
        kind = CheckpointNotFound if isinstance(error, CheckpointNotFound) else CheckpointUnsupported
        near = nearest(operand.name, names) if isinstance(error, CheckpointNotFound) else ""
        pointed_error = expression.error(
            error.cause, error.value, operand.position, f"{error.next_step}{near}{_minus_hint(operand)}"
        )
        raise kind(
            pointed_error.cause, value=pointed_error.value, next_step=pointed_error.next_step
        ) from error


def _minus_hint(operand: Operand) -> str:
    """A hint if a minus may have been read as part of a name."""
    return " To subtract, write spaces around - or a coefficient: A-1*B." if "-" in operand.name else ""


def _modules_with_weights(checkpoint: Checkpoint) -> tuple[Module, ...]:
    """The modules with weights; a checkpoint of transformers is one. Raises CheckpointUnsupported."""
    modules = read_modules(checkpoint.folder) or (Module("Transformer", checkpoint.folder),)
    for module in modules:
        if not module.folder.resolve().is_relative_to(checkpoint.folder.resolve()):
            raise CheckpointUnsupported(
                "a module of the checkpoint is outside its folder",
                value=str(module.folder),
                next_step="Download the checkpoint again.",
            )
    return tuple(module for module in modules if module.kind in _KINDS_WITH_WEIGHTS)


def _addends(expression: Expression, terms: Terms, module: int) -> tuple[Addend, ...]:
    return tuple(
        Addend(
            operand.name, stored_tensors(_modules_with_weights(other)[module].folder), operand.coefficients
        )
        for operand, other in terms
    )


def _check_compatible(expression: Expression, operand: Operand, base: Checkpoint, other: Checkpoint) -> None:
    """Raise CheckpointUnsupported unless architecture, modules and tokenizer are the base's."""
    configs = [read_config(transformer_folder(checkpoint.folder)) for checkpoint in (base, other)]
    if any("quantization_config" in config for config in configs):
        raise expression.error(
            "quantised weights cannot be merged",
            operand.name,
            operand.position,
            "Merge checkpoints in float32, float16 or bfloat16, and quantise the export.",
        )
    kinds = [config.get("model_type") for config in configs]
    if kinds[0] != kinds[1]:
        raise expression.error(
            f"{operand.name} has another architecture than the base, {kinds[0]}",
            kinds[1],
            operand.position,
            "Merge checkpoints that were trained from the same base.",
        )
    modules = [
        ", ".join(module.kind for module in _modules_with_weights(checkpoint)) for checkpoint in (base, other)
    ]
    if modules[0] != modules[1]:
        raise expression.error(
            f"{operand.name} has other modules with weights than the base ({modules[0]})",
            modules[1],
            operand.position,
            "Merge before nestvec adapt, which adds a module: adapt the merged checkpoint."
            if other.trained != base.trained
            else "Merge checkpoints that were trained from the same base.",
        )
    difference = _tokenizers_differ(base, other)
    if difference is not None:
        raise expression.error(
            f"{operand.name} has another tokenizer than the base, so its weights belong to other tokens",
            f"they differ in {difference}",
            operand.position,
            "Merge checkpoints that were trained from the same base.",
        )


def _tokenizers_differ(base: Checkpoint, other: Checkpoint) -> str | None:
    """The setting in which two tokenizers differ, except for truncation and padding; None if none does."""
    with quiet():
        first, second = (_load_tokenizer(checkpoint) for checkpoint in (base, other))
    return next((key for key in {**first, **second} if first.get(key) != second.get(key)), None)


def _load_tokenizer(checkpoint: Checkpoint) -> dict[str, Any]:
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow

    home = transformer_folder(checkpoint.folder)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(home), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise CheckpointUnsupported(
            f"the tokenizer of {checkpoint.source} cannot be loaded",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that transformers loads it on its own.",
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"vocabulary": tokenizer.get_vocab()}
    read: dict[str, Any] = json.loads(backend.to_str())
    # Truncation and padding are the base's.
    return {key: value for key, value in read.items() if key not in ("truncation", "padding")}


def _check_tensors(
    expression: Expression, own: Mapping[str, StoredTensor], addends: Iterable[Addend]
) -> None:
    """Raise CheckpointUnsupported unless the weights have the same names and shapes."""
    mine = {name for name, tensor in own.items() if tensor.merges}
    for operand, addend in zip(expression.terms, addends, strict=True):
        theirs = {name for name, tensor in addend.tensors.items() if tensor.merges}
        for cause, names in (
            ("lacks tensors of the base", mine - theirs),
            ("has tensors that the base lacks", theirs - mine),
        ):
            if names:
                more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
                raise expression.error(
                    f"{operand.name} {cause}",
                    f"{', '.join(sorted(names)[:_MAX_SHOWN])}{more}",
                    operand.position,
                    "Save both with the same model class, such as sentence-transformers'.",
                )
        for name in sorted(mine):
            shapes = [list(tensors[name].shape) for tensors in (own, addend.tensors)]
            if shapes[0] != shapes[1]:
                raise expression.error(
                    f"tensor {name} has another shape in {operand.name} than in the base, {shapes[0]}",
                    shapes[1],
                    operand.position,
                    "Merge checkpoints that were trained from the same base.",
                )


def _check_layers(expression: Expression, own: Mapping[str, StoredTensor]) -> None:
    """Raise CheckpointUnsupported unless a list of coefficients has one for each layer."""
    count = _layer_count(own)
    for operand in expression.terms:
        listed = len(operand.coefficients.layers)
        if listed and listed != count:
            raise expression.error(
                f"the base has {count} layers, and the list has another number of coefficients",
                f"{listed} coefficients",
                operand.coefficients_position,
                f"Write {count} numbers, or one for all: 0.4*{operand.name}.",
            )


def _layer_count(own: Mapping[str, StoredTensor]) -> int:
    return max((tensor.layer for tensor in own.values() if tensor.layer is not None), default=-1) + 1


def _copy_small_files(base: Checkpoint, folder: Path, *, adapted: bool) -> None:
    """Copy the base's small files, including those of its modules; weights are written later."""
    folders = {base.folder, *(module.folder for module in read_modules(base.folder))}
    for source in folders:
        target = folder / source.relative_to(base.folder)
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted({path for pattern in SMALL_FILES for path in source.glob(pattern)}):
            unwanted = path.name == INDEX_FILE or (path.name == TRAINING_RECORD and not adapted)
            if path.is_file() and not unwanted:
                shutil.copyfile(path, target / path.name)
    config = folder / transformer_folder(base.folder).relative_to(base.folder) / "config.json"
    settings = read_json(config)
    # Weights are written as float32; another dtype here would have them rounded when loaded.
    for key in ("dtype", "torch_dtype"):
        if key in settings:
            settings[key] = "float32"
    config.write_text(json.dumps(settings, indent=2) + "\n")


def _write_record(folder: Path, expression: Expression, base: Checkpoint, terms: Terms) -> None:
    sources = {expression.base.name: base.source} | {operand.name: other.source for operand, other in terms}
    record = {"expression": expression.text, "checkpoints": sources}
    (folder / MERGE_RECORD).write_text(json.dumps(record, indent=2) + "\n")
