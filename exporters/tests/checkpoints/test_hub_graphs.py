"""Which files of a Hugging Face model are downloaded, where it has weights and ONNX graphs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import onnx
import pytest
from huggingface_hub.utils._paths import filter_repo_objects
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.checkpoints.files import choose_graph
from nestvec_exporters.source_options import SourceOptions
from nestvec_schemas.errors import CheckpointUnsupported


class Hub:
    """A model on the hub, which counts what is downloaded."""

    def __init__(self, repository: Path, cache: Path) -> None:
        self.repository, self.cache = repository, cache

    @property
    def files(self) -> list[str]:
        return sorted(names_in(self.repository))

    @property
    def downloaded(self) -> set[str]:
        return names_in(self.cache)

    def snapshot_download(
        self, name: str, *, allow_patterns: list[str], ignore_patterns: list[str], **settings: Any
    ) -> str:
        self.cache.mkdir(exist_ok=True)
        chosen = filter_repo_objects(
            self.files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        for file in chosen:
            (self.cache / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.repository / file, self.cache / file)
        return str(self.cache)

    def model_info(self, name: str, **settings: Any) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in self.files])


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write_graph(path: Path, data: str) -> None:
    """A graph whose weights are in a file beside it."""
    path.parent.mkdir(exist_ok=True)
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "weights")
    shape: list[str | int | None] = ["n", 4]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weights],
    )
    model = helper.make_model(graph)
    onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=0)


@pytest.fixture
def hub(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    repository = Path(shutil.copytree(bert, tmp_path / "repository"))
    write_graph(repository / "onnx" / "model.onnx", "model.onnx_data")
    write_graph(repository / "onnx" / "model_O2.onnx", "weights of O2.bin")
    made = Hub(repository, tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, *args, **kw: made.model_info(*args))
    return made


GRAPH = {"onnx/model.onnx", "onnx/model.onnx_data"}
OTHER = {"onnx/model_O2.onnx", "onnx/weights of O2.bin"}


def test_weights_are_preferred(hub: Hub) -> None:
    read = read_checkpoint("some/encoder")
    assert (read.architecture, read.graph) == ("sentence", None)
    assert "model.safetensors" in hub.downloaded
    assert not hub.downloaded & (GRAPH | OTHER)


def test_the_graph_of_a_model_with_weights(hub: Hub) -> None:
    read = read_checkpoint("some/encoder", None, SourceOptions(read_from="onnx"))
    assert (read.architecture, read.graph) == ("ready", "onnx/model.onnx")
    # The weights are what it is compared with.
    assert {"model.safetensors", *GRAPH} <= hub.downloaded
    assert not hub.downloaded & OTHER


def test_a_graph_by_its_name(hub: Hub) -> None:
    read = read_checkpoint("some/encoder", None, SourceOptions(onnx_file="onnx/model_O2.onnx"))
    assert read.graph == "onnx/model_O2.onnx"
    assert hub.downloaded >= OTHER
    with pytest.raises(CheckpointUnsupported, match=r"Available: onnx/model\.onnx, onnx/model_O2\.onnx"):
        read_checkpoint("some/encoder", None, SourceOptions(onnx_file="onnx/model_O3.onnx"))


def test_a_model_without_weights(hub: Hub) -> None:
    (hub.repository / "model.safetensors").unlink()
    read = read_checkpoint("some/encoder")
    assert (read.architecture, read.graph) == ("ready", "onnx/model.onnx")
    assert hub.downloaded >= GRAPH
    with pytest.raises(CheckpointUnsupported, match="no weights in safetensors"):
        read_checkpoint("some/encoder", None, SourceOptions(read_from="weights"))


def test_modules_have_weights_of_their_own(hub: Hub) -> None:
    """Those of a Dense are none of the transformer."""
    (hub.repository / "2_Dense").mkdir()
    (hub.repository / "model.safetensors").rename(hub.repository / "2_Dense" / "model.safetensors")
    rows = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    (hub.repository / "modules.json").write_text(json.dumps(rows))
    assert read_checkpoint("some/encoder").architecture == "ready"
    assert {"2_Dense/model.safetensors", *GRAPH} <= hub.downloaded


def test_a_graph_whose_weights_are_elsewhere(hub: Hub) -> None:
    path = hub.repository / "onnx" / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../../../secrets"
    onnx.save(model, path)
    with pytest.raises(CheckpointUnsupported, match=r"outside the checkpoint: \.\./\.\./\.\./secrets"):
        read_checkpoint("some/encoder", None, SourceOptions(read_from="onnx"))


def test_two_whole_graphs_are_not_chosen_from_without_a_word() -> None:
    graphs = ("model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx")
    with pytest.raises(
        CheckpointUnsupported, match=r"several ONNX graphs: model\.onnx, onnx/model\.onnx.*--onnx-file"
    ):
        choose_graph(graphs, None)
    assert choose_graph(graphs, "onnx/model.onnx") == "onnx/model.onnx"
    assert choose_graph(graphs[1:], None) == "onnx/model.onnx"
