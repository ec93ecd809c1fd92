"""Recurrent pooling of frames: a network that was trained to read vectors in their order (LRCN, Donahue et
al. 2015).

A checkpoint declares it in config.json's ``frame_pooling``: ``type`` (``lstm`` or ``gru``), ``hidden_size``,
``num_layers`` (else 1), ``bidirectional`` (else false), ``frames`` (how many are read, unless the export says
otherwise; else 16) and ``output``: ``last``, the last layer's state after the last frame, of both directions
concatenated, or ``mean``, the mean of its states. The weights are in ``frame_pooling.safetensors`` under the
names that torch.nn.LSTM and GRU give them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layout import read_config
from nestvec_schemas.errors import CheckpointUnsupported

FRAME_POOLING_FILE: Final = "frame_pooling.safetensors"
_FRAMES: Final = 16

State = tuple[Tensor, ...]
"""What a cell remembers, each (batch, hidden); the first is what it gives."""


def _lstm(inputs: Tensor, recurrent: Tensor, state: State) -> State:
    """Hochreiter & Schmidhuber 1997, as torch computes it."""
    enter, forget, new, leave = (inputs + recurrent).chunk(4, dim=1)
    cell = torch.sigmoid(forget) * state[1] + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


def _gru(inputs: Tensor, recurrent: Tensor, state: State) -> State:
    """Cho et al. 2014, as torch computes it."""
    (reset, update, new), (recurrent_reset, recurrent_update, old) = (
        inputs.chunk(3, dim=1),
        recurrent.chunk(3, dim=1),
    )
    fresh = torch.tanh(new + torch.sigmoid(reset + recurrent_reset) * old)
    keep = torch.sigmoid(update + recurrent_update)
    return ((1 - keep) * fresh + keep * state[0],)


@dataclass(frozen=True)
class Cell:
    """A kind of network."""

    network: Callable[..., nn.RNNBase]
    """torch's class."""

    states: int
    """Tensors in a state."""

    step: Callable[[Tensor, Tensor, State], State]
    """Projected inputs, projected state and state to the next state."""


CELLS: Final[dict[str, Cell]] = {"lstm": Cell(nn.LSTM, 2, _lstm), "gru": Cell(nn.GRU, 1, _gru)}


@dataclass(frozen=True)
class FramePooling:
    """A checkpoint's pooling of frames."""

    kind: str
    """A name in CELLS."""

    network: nn.RNNBase
    """torch's own, with the checkpoint's weights."""

    output: Literal["last", "mean"]

    frames: int
    """The default number of frames in an input."""

    @property
    def name(self) -> str:
        """What a manifest calls it."""
        return self.kind if self.output == "last" else f"{self.kind}-{self.output}"

    @property
    def dim(self) -> int:
        """Of the vectors that it gives."""
        return int(self.network.hidden_size) * (2 if self.network.bidirectional else 1)

    def of(self, vectors: Tensor) -> Tensor:
        """The vector, (1, dim), that torch gives for frames, (t, dim), all of which are present."""
        states, (last, *_) = self._run(vectors.unsqueeze(0))
        ways = 2 if self.network.bidirectional else 1
        if self.output == "mean":
            return states.mean(dim=1)
        return last[-ways:].transpose(0, 1).flatten(1)

    def _run(self, vectors: Tensor) -> tuple[Tensor, State]:
        states, last = self.network(vectors)
        return states, last if isinstance(last, tuple) else (last,)


class RecurrentPooling(nn.Module):
    """Frames' vectors, (n, frames, dim), and which of them are present, (n, frames) int64, to (n, dim).

    Absent frames follow those that are present. One step for each: ONNX's own operators take no mask.
    """

    def __init__(self, pooling: FramePooling) -> None:
        super().__init__()
        self.network, self.cell, self.output = pooling.network, CELLS[pooling.kind], pooling.output

    def forward(self, vectors: Tensor, frame_mask: Tensor) -> Tensor:
        """One vector per input."""
        directions = ("", "_reverse") if self.network.bidirectional else ("",)
        last: list[Tensor] = []
        for layer in range(self.network.num_layers):
            read = [self._read(f"l{layer}{direction}", vectors, frame_mask) for direction in directions]
            vectors, last = torch.cat([states for states, _ in read], dim=2), [states for _, states in read]
        if self.output == "last":
            return torch.cat(last, dim=1)
        weights = frame_mask.unsqueeze(2).to(vectors.dtype)
        return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

    def _read(self, name: str, vectors: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The states after each frame, (n, frames, hidden), and after the last one in reading order."""
        inputs = nn.functional.linear(vectors, *self._weights("ih", name))
        weight, bias = self._weights("hh", name)
        state: State = (torch.zeros((vectors.shape[0], self.network.hidden_size)),) * self.cell.states
        places = range(vectors.shape[1])
        outputs = {}
        for at in reversed(places) if name.endswith("_reverse") else places:
            new = self.cell.step(inputs[:, at], nn.functional.linear(state[0], weight, bias), state)
            present = frame_mask[:, at : at + 1] > 0
            state = tuple(torch.where(present, updated, old) for updated, old in zip(new, state, strict=True))
            outputs[at] = state[0]
        return torch.stack([outputs[at] for at in places], dim=1), state[0]

    def _weights(self, which: str, name: str) -> tuple[Tensor, Tensor | None]:
        bias = getattr(self.network, f"bias_{which}_{name}") if self.network.bias else None
        return getattr(self.network, f"weight_{which}_{name}"), bias


def read_frame_pooling(folder: Path, dim: int) -> FramePooling | None:
    """The pooling in a checkpoint's folder, for frames of ``dim``; None where none is declared.

    Raises CheckpointUnsupported.
    """
    settings = read_config(folder).get("frame_pooling")
    if settings is None:
        return None
    try:
        return _read(folder / FRAME_POOLING_FILE, settings, dim)
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, LookupError) as error:
        raise _unsupported(" ".join(str(error).split())[:200]) from error


def check_no_frame_pooling(folder: Path) -> None:
    """Raise CheckpointUnsupported where a checkpoint has a pooling of frames, and its kind takes none."""
    if read_config(folder).get("frame_pooling") is not None:
        raise CheckpointUnsupported(
            "a trained pooling of frames is supported for image checkpoints only",
            value="frame_pooling",
            next_step="Remove frame_pooling from its config.json; frames are then averaged.",
        )


def _read(file: Path, settings: Mapping[str, Any], dim: int) -> FramePooling:
    kind, output, frames = settings["type"], settings.get("output", "last"), settings.get("frames", _FRAMES)
    if kind not in CELLS or output not in ("last", "mean"):
        raise ValueError(f"{kind} and {output} are not {' or '.join(CELLS)} and last or mean")
    if not isinstance(frames, int) or frames < 2:
        raise ValueError(f"frames is {frames}, and a sequence has 2 or more")
    with safe_open(file, framework="pt") as opened:
        weights = {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118 - no dict
    network = CELLS[kind].network(
        dim,
        settings["hidden_size"],
        num_layers=settings.get("num_layers", 1),
        bidirectional=settings.get("bidirectional", False),
        bias="bias_ih_l0" in weights,
        batch_first=True,
    )
    network.load_state_dict(weights)
    return FramePooling(kind, network.eval(), output, frames)


def _unsupported(value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the checkpoint's frame_pooling in config.json and its weights do not make a pooling of frames",
        value=value,
        next_step=f"Give type (lstm or gru), hidden_size, num_layers and bidirectional as they were trained, "
        f"and {FRAME_POOLING_FILE} with the network's state_dict.",
    )
