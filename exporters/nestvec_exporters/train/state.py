"""The state of an interrupted run in safetensors, which cannot contain code."""

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
from torch.optim import Optimizer

from nestvec_schemas.errors import TrainingFailed

_METADATA_KEY = "nestvec"


@dataclass(frozen=True)
class SavedState:
    """What a file of state contains."""

    tensors: dict[str, Tensor]

    record: dict[str, Any]
    """Everything else, in JSON's form."""


def save_state(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write a file, replacing an older one; it is complete at any moment."""
    temporary = path.with_name(f"{path.name}.new")
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, temporary, {_METADATA_KEY: json.dumps(record)})
    temporary.replace(path)


def read_state(path: Path) -> SavedState | None:
    """What was saved there, None if nothing was. Raises TrainingFailed if it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()[_METADATA_KEY])
            return SavedState({name: file.get_tensor(name) for name in file.keys()}, record)  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingFailed(
            "the state of an interrupted run cannot be read",
            value=f"{path} ({error})",
            next_step="Start again with --force.",
        ) from error


def copy_parameters(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """A copy of parameters as they are, on the CPU."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}


@torch.no_grad()
def restore_parameters(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Set parameters to what ``copy_parameters`` returned."""
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


def add_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with ``prefix/`` before their names."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def strip_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that ``add_prefix`` named, by their own names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """The moments of an optimizer, to be saved."""
    tensors: dict[str, Tensor] = {}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= add_prefix(str(number), values)
    return tensors


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what ``optimizer_state`` returned; learning rates stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, moment = name.partition("/")
        state.setdefault(int(number), {})[moment] = tensor
    if state:
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
