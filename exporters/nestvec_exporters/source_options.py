"""What of a checkpoint an export reads: its weights, or an ONNX graph that lies beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from nestvec_schemas.errors import EncoderError

SourceForm = Literal["weights", "onnx"]

_FORMS: Final = ("weights", "onnx")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What of a checkpoint is read. Raises EncoderError."""

    read_from: SourceForm | None = None
    """``onnx`` takes a ready graph where there are weights too; None prefers the weights."""

    onnx_file: str | None = None
    """The graph to take of several, such as ``onnx/model_O2.onnx``; it implies ``onnx``."""

    onnx_output: str | None = None
    """The output of the graph to take of several."""

    def __post_init__(self) -> None:
        if self.read_from not in (None, *_FORMS):
            raise EncoderError(
                "unknown form of a checkpoint",
                value=self.read_from,
                next_step=f"Choose one of {', '.join(_FORMS)}.",
            )
        if self.read_from == "weights" and (self.onnx_file or self.onnx_output):
            raise EncoderError(
                "an export reads either a checkpoint's weights or a graph, not both",
                value=self.onnx_file or self.onnx_output,
                next_step="Choose --from onnx, or omit --onnx-file and --onnx-output.",
            )

    @property
    def takes_graph(self) -> bool:
        """Whether a graph is wanted even where there are weights."""
        return self.read_from == "onnx" or bool(self.onnx_file or self.onnx_output)

    def source_args(self) -> list[str]:
        """The options of a ``nestvec export`` that ask for the same."""
        named = {
            "--from": self.read_from,
            "--onnx-file": self.onnx_file,
            "--onnx-output": self.onnx_output,
        }
        return [word for name, value in named.items() if value is not None for word in (name, value)]
