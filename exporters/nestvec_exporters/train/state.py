"""An interrupted run on disk, in safetensors: nothing here can hold code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nestvec_schemas.errors import TrainingFailed

_KEY = "nestvec"


@dataclass(frozen=True)
class Saved:
    """Arrays by name, and what is said of them in JSON."""

    tensors: dict[str, Tensor]
    record: dict[str, Any]


def save(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write a file whole or not at all, in place of an older one."""
    new = path.with_name(f"{path.name}.new")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, new, {_KEY: json.dumps(record)})
    new.replace(path)


def read(path: Path) -> Saved | None:
    """What was saved there, None where nothing was. Raises TrainingFailed where it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()[_KEY])
            return Saved({name: file.get_tensor(name) for name in file.keys()}, record)  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingFailed(
            "what an interrupted run left behind cannot be read",
            value=f"{path} ({error})",
            next_step="Begin anew with --force.",
        ) from error


def copied(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """A copy of some parameters as they are."""
    return {name: one.detach().to("cpu", copy=True) for name, one in parameters.items()}


@torch.no_grad()
def put(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Set them to what ``copied`` gave."""
    for name, one in parameters.items():
        one.copy_(weights[name])


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with ``prefix/`` before their names."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def within(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that ``under`` named, by their own names again."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
