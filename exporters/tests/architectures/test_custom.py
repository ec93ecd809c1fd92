"""Checkpoints with code of their own: exported as it computes where it is trusted, and not run elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from own_code import write_bidirectional, write_fold, write_layout, write_reranker, write_unknown_type
from sentence_transformers import SentenceTransformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.untrusted.custom_code import (
    custom_classes,
    native_settings,
    unexplained_classes,
)
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

TEXTS = ["a shock wave in a thin film", "heat", "Gas flows over a plate, a cone, and a shell: lift and drag."]
WIDTHS = {"class": 24, "class in a layout": 24, "module": 16, "class and module": 12}


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """transformers keeps the modules that it imported by the name of the checkpoint's folder."""
    yield
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


@pytest.fixture
def folder_of(write_checkpoint: Write, tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """A small Qwen3 with code of its own, and the canary that this code writes."""

    def write(code: str) -> tuple[Path, Path]:
        folder, canary = write_checkpoint("Qwen3", num_key_value_heads=2, head_dim=8), tmp_path / "canary"
        if code.startswith("class"):
            write_bidirectional(folder, canary, width=24)
        if code == "class in a layout":
            write_layout(folder, 24)
        if code.endswith("module"):
            write_layout(folder, 32 if code == "module" else 24, "house_modules.Fold")
            write_fold(folder, canary, WIDTHS[code])
        return folder, canary

    return write


@pytest.mark.parametrize("code", WIDTHS)
def test_it_runs_only_where_it_is_trusted(
    code: str, folder_of: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, canary = folder_of(code)
    with pytest.raises(CheckpointUnsupported, match=r"own code.*--trust-remote-code"):
        export(ExportOptions(str(folder), tmp_path, "house"))
    assert not canary.exists()
    manifest = export(ExportOptions(str(folder), tmp_path, "house", trust_remote_code=True, verify="quick"))
    assert canary.exists()
    assert (manifest.dim, manifest.trust_remote_code) == (WIDTHS[code], True)
    assert json.loads((tmp_path / "house" / "encoder.json").read_text())["trust_remote_code"] is True
    library = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True, local_files_only=True)
    rows = [{"input_ids": np.asarray(library.tokenizer(text)["input_ids"], np.int64)} for text in TEXTS]
    exported = np.stack(compare.run_graph(tmp_path / "house" / GRAPH, rows))
    assert cosines(library.encode(TEXTS), exported).min() > 0.9999


def test_transformers_own_class_gives_other_vectors(
    folder_of: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, _ = folder_of("class in a layout")
    plain = tmp_path / "plain"
    shutil.copytree(folder, plain)
    config = json.loads((plain / "config.json").read_text())
    del config["auto_map"]
    (plain / "config.json").write_text(json.dumps(config))
    native = SentenceTransformer(str(plain), device="cpu", local_files_only=True).encode(TEXTS)
    own = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True, local_files_only=True)
    assert native.shape[1] == 32
    assert own.encode(TEXTS).shape[1] == 24


def test_a_type_that_only_its_code_knows(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Bert")
    write_unknown_type(folder)
    with pytest.raises(CheckpointUnsupported, match=r"AutoConfig: modeling_house\.HouseConfig"):
        export(ExportOptions(str(folder), tmp_path, "house"))
    trusted = ExportOptions(str(folder), tmp_path, "house", trust_remote_code=True, verify="quick")
    assert export(trusted).verification.cosine_min > 0.9999


def test_a_reranker_of_its_own_class(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("Bert", head="ForSequenceClassification", num_labels=1)
    write_reranker(folder)
    with pytest.raises(CheckpointUnsupported, match=r"AutoModelForSequenceClassification: modeling_house"):
        export(ExportOptions(str(folder), tmp_path, "house"))
    trusted = ExportOptions(str(folder), tmp_path, "house", trust_remote_code=True, verify="quick")
    manifest = export(trusted)
    assert (manifest.kind, manifest.verification.cosine_min > 0.9999) == ("reranker", True)


def test_a_class_that_is_ignored_must_still_fit_its_weights(
    folder_of: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, canary = folder_of("class in a layout")
    ignored = ("config.json:auto_map", "config.json:house_width", "1_Module/config.json:*")
    with pytest.raises(CheckpointUnsupported, match=r"linear\.weight|HouseModel"):
        export(ExportOptions(str(folder), tmp_path, "house", ignore=ignored))
    assert not canary.exists()


def test_a_manifest_without_trust_says_so(bert: Path, tmp_path: Path) -> None:
    manifest = export(ExportOptions(str(bert), tmp_path, "bert", verify="quick"))
    assert manifest.trust_remote_code is False


def config(folder: Path, **fields: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fields), "utf-8")
    return folder


GTE = "Alibaba-NLP/gte-Qwen2-1.5B-instruct--modeling_qwen"


def test_published_code_that_transformers_reproduces_is_no_obstacle(tmp_path: Path) -> None:
    auto_map = {"AutoModel": f"{GTE}.Qwen2Model", "AutoModelForCausalLM": f"{GTE}.Qwen2ForCausalLM"}
    folder = config(tmp_path / "gte", model_type="qwen2", auto_map=auto_map)
    assert len(custom_classes(folder)) == 2
    assert not unexplained_classes(folder, "decoder")
    assert native_settings(folder) == {"is_causal": False}
    # The same class of another repository, or of the folder itself, can be anything.
    for reference in ("someone/else--modeling_qwen.Qwen2Model", "modeling_qwen.Qwen2Model"):
        config(folder, model_type="qwen2", auto_map={"AutoModel": reference})
        assert unexplained_classes(folder, "decoder")
        assert not native_settings(folder)
    config(folder, model_type="qwen3", auto_map={"AutoModel": f"{GTE}.Qwen2Model"})
    assert unexplained_classes(folder, "decoder")


def test_a_class_that_does_not_matter_can_be_ignored_by_name(tmp_path: Path) -> None:
    folder = config(tmp_path / "x", model_type="qwen2", auto_map={"AutoModel": "modeling_qwen.Qwen2Model"})
    assert unexplained_classes(folder, "decoder")
    assert not unexplained_classes(folder, "decoder", ("config.json:auto_map",))


@pytest.mark.parametrize(
    ("kind", "auto_class", "loaded"),
    [
        ("decoder", "AutoModelForCausalLM", False),
        ("cross", "AutoModelForSequenceClassification", True),
        ("sparse", "AutoModelForMaskedLM", True),
        ("sentence", "AutoModelForMaskedLM", False),
        ("ready", "AutoModel", False),
        ("ready", "AutoTokenizer", True),
        ("vlm", "AutoProcessor", True),
    ],
)
def test_only_classes_that_the_library_would_load_matter(
    kind: str, auto_class: str, loaded: bool, tmp_path: Path
) -> None:
    folder = config(tmp_path / "x", model_type="bert", auto_map={auto_class: "modeling_x.X"})
    assert bool(unexplained_classes(folder, kind)) is loaded
