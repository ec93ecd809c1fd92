"""A module's weights as numpy arrays, without torch."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, deserialize

from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array

_FILE: Final = "model.safetensors"
_MAX_BYTES: Final = 1 << 30
"""Of one module after the transformer."""

_DTYPES: Final = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def read_arrays(folder: Path, names: AbstractSet[str]) -> dict[str, Array]:
    """The arrays of these names, float32. Raises CheckpointUnsupported unless the file has just these."""
    path = folder / _FILE
    if not path.is_file():
        raise CheckpointUnsupported(
            f"the module in {folder.name} has no {_FILE}",
            value=", ".join(sorted(file.name for file in folder.glob("*"))[:8]) or "no files",
            next_step="Save it with safe_serialization=True: pickled weights can run code.",
        )
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointUnsupported(
            f"the module in {folder.name} is larger than {_MAX_BYTES >> 20} MiB",
            value=path.name,
            next_step="Check that modules.json names the module's own folder.",
        )
    try:
        parse: Any = deserialize
        entries: dict[str, dict[str, Any]] = dict(parse(path.read_bytes()))
    except SafetensorError as error:
        raise CheckpointUnsupported(
            f"{folder.name}/{_FILE} is damaged", value=str(error), next_step="Download the checkpoint again."
        ) from error
    if set(entries) != set(names):
        raise CheckpointUnsupported(
            f"the module in {folder.name} does not have the weights that its config.json declares",
            value=", ".join(sorted(set(entries) ^ set(names))),
            next_step=f"Expected: {', '.join(sorted(names))}.",
        )
    return {name: _array(name, entry) for name, entry in entries.items()}


def _array(name: str, entry: dict[str, Any]) -> Array:
    data, kind = bytes(entry["data"]), str(entry["dtype"])
    if kind == "BF16":
        values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    elif kind in _DTYPES:
        values = np.frombuffer(data, _DTYPES[kind])
    else:
        raise CheckpointUnsupported(
            "a module's weights have an unsupported type",
            value=f"{name}: {kind}",
            next_step="Save it in fp32.",
        )
    return np.asarray(values, np.float32).reshape(tuple(entry["shape"]))
