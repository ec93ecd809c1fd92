"""Merge weights in safetensors files, one tensor in memory at a time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.merge_expression import Coefficients
from nestvec_schemas.errors import CheckpointUnsupported

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"

_FLOATS = ("F64", "F32", "F16", "BF16")
_FLOAT_BYTES = 4
_SLICE_ITEMS = 1 << 20
_INTEGER_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")
_EMBEDDING = re.compile(r"embed|(?:^|\.)(?:wte|wpe|shared)\.")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file."""

    file: Path
    name: str

    type: str
    """safetensors' name of its dtype, such as ``F32`` or ``I64``."""

    shape: tuple[int, ...]

    @property
    def merges(self) -> bool:
        """Whether it holds weights; integers such as positions and masks are taken from the base."""
        return self.type in _FLOATS

    @property
    def layer(self) -> int | None:
        """Its layer: the first number in its name; None if it belongs to no layer."""
        number = _LAYER.search(self.name)
        return int(number[1]) if number else None

    @property
    def embedding(self) -> bool:
        """Whether it precedes the layers."""
        return self.layer is None and _EMBEDDING.search(self.name) is not None


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a folder's weights by name, in their order. Raises CheckpointUnsupported."""
    from safetensors import safe_open  # noqa: PLC0415 - only an export needs it

    by_name: dict[str, StoredTensor] = {}
    for path in _weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                entry = file.get_slice(name)
                by_name[name] = StoredTensor(path, name, entry.get_dtype(), tuple(entry.get_shape()))
    for tensor in by_name.values():
        if not tensor.merges and tensor.type not in _INTEGER_BYTES:
            raise CheckpointUnsupported(
                f"tensor {tensor.name} has a dtype that cannot be merged",
                value=tensor.type,
                next_step="Merge checkpoints in float32, float16 or bfloat16, and quantise the export.",
            )
    return by_name


def _weight_files(folder: Path) -> Sequence[Path]:
    if (folder / INDEX_FILE).is_file():
        index = read_json(folder / INDEX_FILE)
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict) or not all(
            isinstance(file_name, str) for file_name in weight_map.values()
        ):
            raise CheckpointUnsupported(
                f"{INDEX_FILE} does not list the weights' files",
                value=folder.name,
                next_step="Download the checkpoint again.",
            )
        parts = [folder / Path(name).name for name in sorted(set(weight_map.values()))]
        for part in parts:
            if not part.is_file():
                raise CheckpointUnsupported(
                    "a file of the checkpoint's weights is missing",
                    value=part.name,
                    next_step="Download the checkpoint again.",
                )
        return parts
    single = folder / WEIGHTS_FILE
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))


@dataclass(frozen=True)
class Addend:
    """One term of a merge, within one module: its tensors and their coefficients."""

    name: str
    tensors: Mapping[str, StoredTensor]
    coefficients: Coefficients

    def coefficient(self, tensor: StoredTensor, *, layered: bool) -> float:
        """The coefficient of its difference from ``tensor``; modules after the transformer have no layers."""
        layer = tensor.layer if layered else None
        return self.coefficients.of(layer, embedding=layered and tensor.embedding)


def write_merged(
    path: Path, base: Mapping[str, StoredTensor], addends: Sequence[Addend], *, layered: bool = True
) -> None:
    """Write base + Σ coefficient · (addend - base) as float32, one tensor in memory at a time.

    Sums are computed in float64: a coefficient of 0 gives the base, one of 1 the addend, and the order of
    the addends does not matter. Raises CheckpointUnsupported if a sum is not finite.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    # Widest dtypes first, so that each tensor starts at a multiple of its item size.
    ordered = sorted(base.values(), key=lambda tensor: -_item_bytes(tensor))
    for tensor in ordered:
        size = math.prod(tensor.shape) * _item_bytes(tensor)
        kind = "F32" if tensor.merges else tensor.type
        header[tensor.name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            for data in _merged_bytes(tensor, addends, layered):
                file.write(data)


def _item_bytes(tensor: StoredTensor) -> int:
    return _FLOAT_BYTES if tensor.merges else _INTEGER_BYTES[tensor.type]


def _merged_bytes(tensor: StoredTensor, addends: Sequence[Addend], layered: bool) -> Iterator[bytes]:
    import torch  # noqa: PLC0415 - slow

    own = _read(tensor)
    if not tensor.merges:
        yield own.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return
    weighted = [(addend, addend.coefficient(tensor, layered=layered)) for addend in addends]
    # Sorted, so that rounding does not depend on the order of the terms.
    ordered = sorted(
        ((addend.name, weight, addend) for addend, weight in weighted if weight), key=itemgetter(0, 1)
    )
    others = [(weight, _read(addend.tensors[tensor.name])) for _, weight, addend in ordered]
    for start in range(0, own.numel(), _SLICE_ITEMS):
        part = own[start : start + _SLICE_ITEMS].double()
        total = torch.zeros_like(part)
        for weight, other in others:
            total += weight * (other[start : start + _SLICE_ITEMS].double() - part)
        merged = (part + total).float()
        if not torch.isfinite(merged).all():
            raise CheckpointUnsupported(
                f"the merge has numbers in tensor {tensor.name} that are not finite",
                value=", ".join(f"{weight:g} of {addend.name}" for addend, weight in weighted),
                next_step="Choose smaller coefficients, and check that no checkpoint contains NaN.",
            )
        yield merged.numpy().tobytes()


def _read(tensor: StoredTensor) -> torch.Tensor:
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(tensor.file, framework="pt") as file:
        stored: torch.Tensor = file.get_tensor(tensor.name)
    return stored.reshape(-1)
