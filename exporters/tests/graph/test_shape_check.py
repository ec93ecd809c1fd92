"""A graph that works only for the shapes that it was traced with is refused, by the name of its class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.trace import trace_tower
from nestvec_schemas.errors import CheckpointUnsupported

Write = Callable[..., Path]

FUNNEL = {
    "block_sizes": [1, 1],
    "d_model": 32,
    "n_head": 4,
    "d_head": 8,
    "d_inner": 64,
    **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")),
    **dict.fromkeys(("max_position_embeddings", "initializer_range")),
}
MAMBA = dict.fromkeys(("num_attention_heads", "intermediate_size", "max_position_embeddings"))
COHERE = {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "bos_token_id": 2, "eos_token_id": 3}


@pytest.mark.parametrize(("kind", "fields"), [("Mamba", MAMBA), ("Funnel", FUNNEL), ("Cohere2", COHERE)])
def test_classes_that_compute_with_lengths_in_python(
    kind: str,
    fields: dict[str, Any],
    write_checkpoint: Write,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = write_checkpoint(kind, **fields)
    capfd.readouterr()
    says = rf"the graph of {kind}Model works only for the shapes .*fails at /transformer/.* input_ids 3×64"
    with pytest.raises(CheckpointUnsupported, match=says):
        export(ExportOptions(str(folder), tmp_path, "frozen"))
    written = capfd.readouterr()
    assert written.out == written.err == ""
    assert not (tmp_path / "frozen").exists()


class Silent(nn.Module):
    """Fails nowhere, and is wrong for every other length: the mean over as many tokens as were traced."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        """Sums over the tokens, weighted by their places from a number that the trace keeps."""
        tokens = self.embeddings(input_ids) * attention_mask[:, :, None]
        length = int(input_ids.shape[1])
        first = tokens[:, : max(length // 2, 1)].sum(dim=1)
        return (first + tokens[:, -1] * length,)


def test_a_graph_that_does_not_fail_is_compared(
    bert: Path, text_tower: Callable[[Path], TowerModel], tmp_path: Path
) -> None:
    tower = text_tower(bert)
    whole = tower.module

    def module(exits: Sequence[int] = ()) -> nn.Module:
        transformer: Any = whole(exits).transformer
        return Silent(transformer.embeddings.word_embeddings).eval()

    tower.module = module  # type: ignore[method-assign]
    with pytest.raises(
        CheckpointUnsupported, match=r"the graph of Silent .*: it gives other vectors for input"
    ):
        trace_tower(tower, tmp_path / "graph.onnx")


def test_what_cannot_be_traced_says_so_once(
    write_checkpoint: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_checkpoint("FNet", num_attention_heads=None)
    capfd.readouterr()
    with pytest.raises(CheckpointUnsupported, match=r"cannot be written as ONNX: .*fft_fftn"):
        export(ExportOptions(str(folder), tmp_path, "untraceable"))
    written = capfd.readouterr()
    assert written.out == written.err == ""


def test_inputs_of_any_shape_pass(
    bert: Path, text_tower: Callable[[Path], TowerModel], tmp_path: Path
) -> None:
    with torch.no_grad():
        trace_tower(text_tower(bert), tmp_path / "graph.onnx")
    assert (tmp_path / "graph.onnx").is_file()
