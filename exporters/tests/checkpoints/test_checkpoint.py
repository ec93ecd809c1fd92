from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file
from sentence_transformers.models import Dense, LayerNorm, Normalize, Pooling

from nestvec_exporters.checkpoints import checkpoint
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_code, read_checkpoint
from nestvec_exporters.checkpoints.layout import MODULES, read_modules
from nestvec_exporters.graph.trace import HEAD_MODULES
from nestvec_exporters.text_encoders import sentence_model
from nestvec_schemas.errors import CheckpointError, CheckpointNotFound, CheckpointUnsupported

Write = Callable[..., Path]
Damage = Callable[[Path], object]


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def edit(folder: Path, file: str = "config.json", **fields: object) -> None:
    path = folder / file
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**found, **fields}))


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


BAD: dict[str, tuple[Damage, type[CheckpointError], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), CheckpointNotFound, "has no config.json"),
    "config is not JSON": (
        lambda f: (f / "config.json").write_text("{"),
        CheckpointUnsupported,
        "config.json is not JSON",
    ),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), CheckpointUnsupported, "list"),
    "config nests without end": (
        lambda f: (f / "config.json").write_text("[" * 100_000),
        CheckpointUnsupported,
        "is not JSON",
    ),
    "config is huge": (
        lambda f: (f / "config.json").write_text(" " * (5 << 20)),
        CheckpointUnsupported,
        "larger than 4 MiB",
    ),
    "an adapter": (adapter, CheckpointUnsupported, "of a kind that cannot be merged into its base"),
    "no tokenizer": (no_tokenizer, CheckpointUnsupported, "no tokenizer, so it cannot encode text: bert"),
    "pickled weights": (
        only_pickle,
        CheckpointUnsupported,
        r"can run code when loaded: pytorch_model",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), CheckpointUnsupported, "no weights"),
    "cut weights": (cut, CheckpointUnsupported, "model.safetensors is damaged"),
    "an LFS pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        CheckpointUnsupported,
        "git lfs pull",
    ),
    "modules.json is an object": (
        lambda f: (f / "modules.json").write_text("{}"),
        CheckpointUnsupported,
        "does not list modules",
    ),
    "modules.json is empty": (
        lambda f: (f / "modules.json").write_text("[]"),
        CheckpointUnsupported,
        "one Transformer followed by one Pooling",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_told_before_its_weights_are_loaded(case: str, copy: Path) -> None:
    damage, error, says = BAD[case]
    damage(copy)
    with pytest.raises(error, match=says) as raised:
        read_checkpoint(str(copy))
    assert raised.value.next_step


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model_type": "bertt"}, "Did you mean 'bert'"),
        ({"model_type": None}, "no model_type"),
        ({"model_type": ["bert"]}, "does not know this architecture"),
        ({"model_type": "house", "auto_map": {"AutoModel": "house.Model"}}, "requires trust_remote_code"),
    ],
)
def test_an_architecture_that_transformers_lacks_is_told(
    fields: dict[str, Any], says: str, copy: Path
) -> None:
    edit(copy, **fields)
    with pytest.raises(CheckpointUnsupported, match=says):
        check_code(copy)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("sentence_transformers.models.StaticEmbedding", "StaticEmbedding. Known modules: Transformer"),
        ("house.modules.Pool", "does not run a checkpoint's code unless it is trusted: house.modules.Pool"),
        ("sentence_transformers.models.Transformer", "one Transformer followed by one Pooling"),
    ],
)
def test_a_module_that_is_not_known_is_named(
    kind: str, says: str, sentence_bert: Write, tmp_path: Path
) -> None:
    folder = sentence_bert(Pooling(32), Normalize())
    rows = json.loads((folder / "modules.json").read_text())
    rows[2]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(CheckpointUnsupported, match=says):
        read_checkpoint(str(folder))


def test_a_dense_module_is_looked_into(sentence_bert: Write) -> None:
    folder = sentence_bert(Pooling(32), Dense(32, 16), LayerNorm(16))
    assert [module.kind for module in read_modules(folder)] == [
        "Transformer",
        "Pooling",
        "Dense",
        "LayerNorm",
    ]
    read_checkpoint(str(folder))
    edit(folder / "2_Dense", activation_function="house.Swish")
    with pytest.raises(CheckpointUnsupported, match=r"not from torch\.nn: house\.Swish"):
        read_checkpoint(str(folder))
    edit(folder / "2_Dense", activation_function="torch.nn.modules.activation.Tanh")
    only_pickle(folder / "2_Dense")
    with pytest.raises(CheckpointUnsupported, match="pickled"):
        read_checkpoint(str(folder))


def test_each_known_module_has_its_part_in_the_graph() -> None:
    assert set(MODULES) == {"Transformer", "Pooling", *HEAD_MODULES}


def test_a_path_that_is_not_there_names_the_nearest(bert: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="Did you mean 'bert'"):
        read_checkpoint(str(bert.parent / "berd"))


@pytest.mark.parametrize("given", ["", "~nobody-here/x", "a/b/c", "./x", "has space/x", "x\0y"])
def test_what_is_neither_path_nor_id_is_told_without_a_download(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(checkpoint, "fetch")
    with pytest.raises(CheckpointNotFound, match="OWNER/NAME"):
        read_checkpoint(given)


def test_a_file_is_not_a_checkpoint(copy: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="this is another file"):
        read_checkpoint(str(copy / "config.json"))


def test_weights_that_lack_a_layer_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1." not in name}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointUnsupported, match=r"layer\.1\..* and \d+ more"):
        sentence_model.load(Checkpoint(copy, "copy"))


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    edit(copy, hidden_size=64)
    with pytest.raises(CheckpointUnsupported, match="cannot be loaded"):
        sentence_model.load(Checkpoint(copy, "copy"))


def test_a_vision_model_has_no_text(write_checkpoint: Write, tmp_path: Path) -> None:
    folder = write_checkpoint("ViT", vocab_size=None, max_position_embeddings=None, pad_token_id=None)
    no_tokenizer(folder)
    with pytest.raises(CheckpointUnsupported, match="cannot encode text: vit"):
        read_checkpoint(str(folder))


def test_half_precision_weights_are_read_as_float32(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    halved = {name: value.astype("float16") for name, value in weights.items()}
    save_file(halved, copy / "model.safetensors", metadata={"format": "pt"})
    edit(copy, dtype="float16")
    loaded = sentence_model.load(Checkpoint(copy, "copy"))
    assert {str(one.dtype) for one in loaded.transformer.parameters()} == {"torch.float32"}
