"""Ready graphs of tiny checkpoints, as somebody else would write them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Transformer

from nestvec_exporters.checkpoints.quiet import quiet

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

SaveReady = Callable[..., tuple[Path, Path]]


class TokenVectors(torch.nn.Module):
    """A BERT's token vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        passed = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return passed.last_hidden_state


@pytest.fixture(scope="session")
def bert_graph(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The BERT's ``last_hidden_state``, of ids, mask and token types."""
    path = tmp_path_factory.mktemp("graphs") / "model.onnx"
    model = transformers.AutoModel.from_pretrained(bert, attn_implementation="eager").eval()
    ids = torch.ones((2, 5), dtype=torch.int64)
    free = {0: "batch", 1: "sequence"}
    with quiet(), torch.no_grad():
        torch.onnx.export(
            TokenVectors(model),
            (ids, ids, ids * 0),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=list(INPUTS),
            output_names=["last_hidden_state"],
            dynamic_axes=dict.fromkeys((*INPUTS, "last_hidden_state"), free),
        )
    return path


@pytest.fixture
def save_ready(bert: Path, bert_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> SaveReady:
    """Saves the BERT with modules after it in sentence-transformers' layout, once with its weights, and once
    with the graph in their place: both folders."""

    def save(
        modules: Sequence[Any], *, transformer: dict[str, Any] | None = None, **settings: Any
    ) -> tuple[Path, Path]:
        work = tmp_path_factory.mktemp("ready")
        model = SentenceTransformer(
            modules=[Transformer(str(bert), **(transformer or {})), *modules], device="cpu", **settings
        )
        model.save(str(work / "weights"), create_model_card=False)
        folder = Path(shutil.copytree(work / "weights", work / "graph"))
        (folder / "model.safetensors").unlink()
        (folder / "onnx").mkdir()
        shutil.copy(bert_graph, folder / "onnx" / "model.onnx")
        return work / "weights", folder

    return save
