"""Folders that name code of their own are refused, and a canary shows that none of it ran."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.checkpoints.untrusted import check_no_code, module_classes
from nestvec_schemas.errors import CheckpointUnsupported

Write = Callable[..., Path]

TRANSFORMER = "sentence_transformers.models.Transformer"
ROUTER = "sentence_transformers.models.Router"


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def modules(folder: Path, *types: object) -> None:
    rows = [
        {"idx": n, "name": str(n), "path": "" if n == 0 else f"{n}_X", "type": t} for n, t in enumerate(types)
    ]
    write(folder / "modules.json", rows)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def hostile(canary: Path) -> Callable[[Path], Path]:
    """Puts a module that writes the canary into a folder."""

    def place(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        source = f"import pathlib\npathlib.Path({str(canary)!r}).write_text('ran')\nclass Evil:\n    pass\n"
        (folder / "evil.py").write_text(source, encoding="utf-8")
        return folder

    return place


def cross_encoder(folder: Path) -> None:
    modules(folder, TRANSFORMER, "evil.Evil")


def nested_router(folder: Path) -> None:
    modules(folder, ROUTER)
    write(folder / "router_config.json", {"types": {"query_0_Router": ROUTER}, "structure": {"query": []}})
    inner = folder / "query_0_Router"
    write(inner / "router_config.json", {"types": {"query_0_Evil": "evil.Evil"}, "structure": {"query": []}})


def nested_modules(folder: Path) -> None:
    modules(folder, TRANSFORMER, "sentence_transformers.models.Pooling")
    modules(folder / "1_X" / "deeper", "evil.Evil")


def an_activation(folder: Path) -> None:
    write(folder / "2_Dense" / "config.json", {"activation_function": "evil.Evil"})


def an_activation_of_torch(folder: Path) -> None:
    write(folder / "2_Dense" / "config.json", {"activation_function": "torch.hub.load"})


def a_score_s_activation(folder: Path) -> None:
    config = folder / "config.json"
    content = json.loads(config.read_text()) if config.is_file() else {}
    write(config, {**content, "sentence_transformers": {"activation_fn": "evil.Evil"}})


HOSTILE = [
    cross_encoder,
    nested_router,
    nested_modules,
    an_activation,
    an_activation_of_torch,
    a_score_s_activation,
]


@pytest.mark.parametrize("name_code", HOSTILE)
def test_a_class_of_the_checkpoint_s_own_is_refused_at_any_depth(
    name_code: Callable[[Path], None], tmp_path: Path
) -> None:
    name_code(tmp_path / "folder")
    with pytest.raises(CheckpointUnsupported, match=r"own code|not from torch"):
        check_no_code(tmp_path / "folder")


@pytest.mark.parametrize("name_code", HOSTILE)
def test_an_export_runs_nothing_of_it(
    name_code: Callable[[Path], None],
    write_checkpoint: Write,
    hostile: Callable[[Path], Path],
    canary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = hostile(write_checkpoint("Bert", head="ForSequenceClassification", num_labels=1))
    name_code(folder)
    # As if the user stood in the checkpoint's folder: its modules could be imported.
    monkeypatch.chdir(folder)
    with pytest.raises(CheckpointUnsupported):
        export(ExportOptions(str(folder), tmp_path / "models", "evil"))
    assert not canary.exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("place", ["/etc", "../other", "a/../../other", "..\\other"])
def test_a_module_outside_the_folder_is_refused(place: str, tmp_path: Path) -> None:
    write(tmp_path / "rows" / "modules.json", [{"idx": 0, "path": place, "type": TRANSFORMER}])
    write(tmp_path / "routes" / "router_config.json", {"types": {place: TRANSFORMER}})
    for folder in (tmp_path / "rows", tmp_path / "routes"):
        with pytest.raises(CheckpointUnsupported, match="outside the checkpoint"):
            check_no_code(folder)


def test_word_embeddings_import_a_class_and_are_refused(tmp_path: Path) -> None:
    modules(tmp_path, "sentence_transformers.models.WordEmbeddings")
    with pytest.raises(CheckpointUnsupported, match="cannot be exported: WordEmbeddings"):
        check_no_code(tmp_path)


def test_a_router_too_large_to_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "router_config.json", {"types": {"query_0": "evil.Evil"}, "padding": " " * (5 << 20)})
    with pytest.raises(CheckpointUnsupported, match="larger than 4 MiB"):
        check_no_code(tmp_path)


def test_what_sentence_transformers_saves_is_accepted(tmp_path: Path) -> None:
    modules(tmp_path, TRANSFORMER, "sentence_transformers.base.modules.pooling.Pooling", ROUTER)
    write(tmp_path / "2_X" / "router_config.json", {"types": {"query_0": TRANSFORMER}})
    write(tmp_path / "3_Dense" / "config.json", {"activation_function": "torch.nn.modules.activation.Tanh"})
    write(tmp_path / "config.json", {"activation_function": "gelu_new", "types": None})
    (tmp_path / "notes.json").write_text("not JSON")
    check_no_code(tmp_path)


def test_modules_of_pylate_only_where_nothing_imports_them(tmp_path: Path) -> None:
    modules(tmp_path, TRANSFORMER, "pylate.models.Dense.Dense")
    check_no_code(tmp_path, pylate=True)
    with pytest.raises(CheckpointUnsupported, match=r"own code.*pylate\.models\.Dense\.Dense"):
        check_no_code(tmp_path)


@pytest.mark.parametrize("name", [None, 7, "", "Evil", "sentence_transformers.util.misc.import_from_string"])
def test_a_type_that_is_no_module_is_refused(name: object, tmp_path: Path) -> None:
    modules(tmp_path, TRANSFORMER, name)
    with pytest.raises(CheckpointUnsupported):
        check_no_code(tmp_path)


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    modules(tmp_path, TRANSFORMER)
    check_no_code(tmp_path)


def test_a_folder_of_countless_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_classes, "MAX_FILES", 3)
    for number in range(4):
        write(tmp_path / f"{number}.json", {})
    with pytest.raises(CheckpointUnsupported, match="more than 3 JSON files"):
        read_checkpoint(str(tmp_path))
