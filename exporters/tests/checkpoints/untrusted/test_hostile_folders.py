"""Folders that try to run code, or to read files that are not theirs, are refused; no canary is written."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.merge import merge_checkpoints
from nestvec_exporters.train.teacher import teacher_scores
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError

EVIL = "modeling_evil.Evil"


@dataclass(frozen=True)
class Opens:
    """Unpickled, it writes a file."""

    path: str

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


@dataclass(frozen=True)
class Place:
    """A BERT's folder, and the canary that its code would write."""

    folder: Path
    canary: Path

    def edit(self, name: str, **fields: Any) -> None:
        """Set keys of a JSON file."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        content = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**content, **fields}), "utf-8")

    def pickled(self) -> bytes:
        """What writes the canary once it is unpickled."""
        return pickle.dumps(Opens(str(self.canary)))


@pytest.fixture(scope="module")
def sentence_folder(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "sentence"
    modules = [Transformer(str(bert)), Pooling(32), Dense(32, 16)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    source = "import pathlib\npathlib.Path({!r}).write_text('ran')\nclass Evil:\n    pass\n"
    for name in ("evil.py", "modeling_evil.py"):
        (folder / name).write_text(source.format(str(folder.parent / "canary")), "utf-8")
    return folder


@pytest.fixture
def place(sentence_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder, canary = tmp_path / "hostile", tmp_path / "canary"
    shutil.copytree(sentence_folder, folder)
    for path in folder.glob("*evil.py"):
        path.write_text(path.read_text().replace(str(sentence_folder.parent / "canary"), str(canary)))
    # As if the user stood in the checkpoint's folder: its modules could be imported.
    monkeypatch.chdir(folder)
    return Place(folder, canary)


def rows(place: Place, number: int, kind: str) -> None:
    path = place.folder / "modules.json"
    modules = json.loads(path.read_text())
    modules[number]["type"] = kind
    path.write_text(json.dumps(modules), "utf-8")


def activation(name: str) -> Callable[[Place], None]:
    return lambda place: place.edit("2_Dense/config.json", activation_function=name)


def auto_map(file: str, **classes: Any) -> Callable[[Place], None]:
    return lambda place: place.edit(file, auto_map=classes)


def module(kind: str) -> Callable[[Place], None]:
    return lambda place: rows(place, 2, kind)


def loading(file: str = "sentence_bert_config.json", **fields: Any) -> Callable[[Place], None]:
    return lambda place: place.edit(file, **fields)


def zip_for_weights(place: Place) -> None:
    torch.save(Opens(str(place.canary)), place.folder / "model.safetensors")


def pickle_for_weights(place: Place) -> None:
    (place.folder / "model.safetensors").write_bytes(place.pickled())


def pickle_for_dense_weights(place: Place) -> None:
    (place.folder / "2_Dense" / "model.safetensors").unlink()
    (place.folder / "2_Dense" / "pytorch_model.bin").write_bytes(place.pickled())


def pickle_beside_others(place: Place) -> None:
    (place.folder / "model.safetensors").rename(place.folder / "other.safetensors")
    (place.folder / "pytorch_model.bin").write_bytes(place.pickled())


def pickle_in_the_index(place: Place) -> None:
    (place.folder / "model.safetensors").rename(place.folder / "other.safetensors")
    (place.folder / "shard.bin").write_bytes(place.pickled())
    place.edit("model.safetensors.index.json", metadata={}, weight_map={"embeddings": "shard.bin"})


def pickle_for_a_tokenizer(place: Place) -> None:
    (place.folder / "tokenizer.json").unlink()
    (place.folder / "tokenizer.model").write_bytes(place.pickled())
    place.edit("tokenizer_config.json", tokenizer_class="LlamaTokenizer")


def gguf_alone(place: Place) -> None:
    (place.folder / "model.safetensors").rename(place.folder / "model.gguf")


def link_to_a_file(place: Place) -> None:
    outside = place.folder.parent / "outside.json"
    (place.folder / "tokenizer.json").rename(outside)
    (place.folder / "tokenizer.json").symlink_to(outside)


def link_to_a_folder(place: Place) -> None:
    outside = place.folder.parent / "outside"
    (place.folder / "1_Pooling").rename(outside)
    (place.folder / "1_Pooling").symlink_to(outside)


def adapter_of_a_library(place: Place) -> None:
    mapping = {"parent_library": "evil", "base_model_class": "Evil"}
    place.edit("adapter_config.json", peft_type="LORA", auto_mapping=mapping, base_model_name_or_path="x/y")


def adapter_of_a_base_outside(place: Place) -> None:
    place.edit("adapter_config.json", peft_type="LORA", base_model_name_or_path="../../other")


def deep_configuration(place: Place) -> None:
    (place.folder / "config.json").write_text('{"a":' * 50_000 + "1" + "}" * 50_000)


def deep_tokenizer(place: Place) -> None:
    (place.folder / "tokenizer.json").write_text("[" * 50_000 + "]" * 50_000)


def huge_configuration(place: Place) -> None:
    place.edit("config.json", padding=" " * (5 << 20))


HOSTILE: dict[str, tuple[Callable[[Place], None], str]] = {
    "AutoModel of a known type": (auto_map("config.json", AutoModel=EVIL), f"AutoModel: {EVIL}"),
    "AutoConfig of a known type": (auto_map("config.json", AutoConfig=EVIL), f"AutoConfig: {EVIL}"),
    "code on the hub": (auto_map("config.json", AutoModel=f"a/b--{EVIL}"), f"a/b--{EVIL}.*Read a/b"),
    "tokenizer": (auto_map("tokenizer_config.json", AutoTokenizer=[EVIL, EVIL]), "AutoTokenizer"),
    "processor": (auto_map("processor_config.json", AutoProcessor=EVIL), "AutoProcessor"),
    "image processor": (auto_map("preprocessor_config.json", AutoImageProcessor=EVIL), "AutoImageProcessor"),
    "feature extractor": (
        auto_map("preprocessor_config.json", AutoFeatureExtractor=EVIL),
        "AutoFeatureExtractor",
    ),
    "video processor": (
        auto_map("video_preprocessor_config.json", AutoVideoProcessor=EVIL),
        "AutoVideoProcessor",
    ),
    "tokenizer in a module's folder": (
        auto_map("1_Pooling/tokenizer_config.json", AutoTokenizer=EVIL),
        "1_Pooling/tokenizer_config.json",
    ),
    "local module": (module("evil.Evil"), "evil.Evil"),
    "function of transformers": (
        module("transformers.dynamic_module_utils.get_class_from_dynamic_module"),
        "own code",
    ),
    "class of transformers": (module("transformers.AutoModel"), "own code"),
    "function of sentence-transformers": (
        module("sentence_transformers.util.misc.import_from_string"),
        "cannot be exported: import_from_string",
    ),
    "torch.load": (activation("torch.load"), "not from torch.nn: torch.load"),
    "torch.hub.load": (activation("torch.hub.load"), "not from torch.nn: torch.hub.load"),
    "function of torch.nn": (activation("torch.nn.functional.relu"), "not from torch.nn"),
    "utility of torch.nn": (activation("torch.nn.utils.stateless.functional_call"), "not from torch.nn"),
    "module of torch.nn.utils": (activation("torch.nn.utils.rnn.PackedSequence"), "not from torch.nn"),
    "activation's own class": (activation("evil.Evil"), "not from torch.nn"),
    "zip as safetensors": (zip_for_weights, "model.safetensors is damaged"),
    "pickle as safetensors": (pickle_for_weights, "model.safetensors is damaged"),
    "pickle of a module": (pickle_for_dense_weights, "pickled weights can run code"),
    "pickle beside safetensors": (pickle_beside_others, "other.safetensors|pytorch_model.bin"),
    "pickle in an index": (pickle_in_the_index, "shard.bin|other.safetensors|cannot be loaded"),
    "pickle as a tokenizer": (pickle_for_a_tokenizer, "tokenizer|sentencepiece"),
    "GGUF alone": (gguf_alone, "no weights in safetensors"),
    "link to a file": (link_to_a_file, "link that leads out of its folder: tokenizer.json"),
    "link to a folder": (link_to_a_folder, "link that leads out of its folder: 1_Pooling"),
    "library of an adapter": (adapter_of_a_library, "parent_library: evil"),
    "base of an adapter": (adapter_of_a_base_outside, "base checkpoint outside its folder"),
    "kernels": (
        loading("config.json", _attn_implementation="kernels-community/flash-attn"),
        "downloaded: kernels-community/flash-attn",
    ),
    "kernels in a nested configuration": (
        loading("config.json", text_config={"attn_implementation": "a/b:flash"}),
        "downloaded: a/b:flash",
    ),
    "kernels as an argument": (
        loading(model_kwargs={"attn_implementation": "kernels-community/x"}),
        "downloaded: kernels-community/x",
    ),
    "use_kernels": (loading(model_args={"use_kernels": True}), "use_kernels: True"),
    "GGUF as an argument": (loading(model_kwargs={"gguf_file": "../x.gguf"}), "gguf_file: ../x.gguf"),
    "tokenizer elsewhere": (loading(tokenizer_name_or_path="/etc"), "tokenizer_name_or_path: /etc"),
    "revision": (loading(config_args={"subfolder": "../other"}), "subfolder: ../other"),
    "quantisation": (
        loading("config.json", quantization_config={"quant_method": "evil"}),
        "quantised, which needs a library of its own to run: evil",
    ),
    "weights elsewhere": (
        loading("config.json", transformers_weights="../evil.bin"),
        "transformers_weights: ../evil.bin",
    ),
    "pickle as weights": (
        loading("config.json", transformers_weights="evil.bin"),
        "transformers_weights: evil.bin",
    ),
    "deep configuration": (deep_configuration, "config.json is not JSON"),
    "deep tokenizer": (deep_tokenizer, "tokenizer"),
    "huge configuration": (huge_configuration, "larger than 4 MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_by_name_and_nothing_of_it_runs(name: str, place: Place, tmp_path: Path) -> None:
    prepare, cause = HOSTILE[name]
    prepare(place)
    with pytest.raises(CheckpointUnsupported, match=cause) as raised:
        export(ExportOptions(str(place.folder), tmp_path / "models", "hostile"))
    assert raised.value.next_step
    assert not place.canary.exists()
    assert "evil" not in sys.modules
    assert not (tmp_path / "models" / "hostile").exists()


STILL_REFUSED = ("link to a file", "link to a folder", "kernels", "use_kernels", "weights elsewhere")


@pytest.mark.parametrize("name", STILL_REFUSED)
def test_trust_in_its_code_is_no_trust_in_files_elsewhere(name: str, place: Place) -> None:
    prepare, cause = HOSTILE[name]
    prepare(place)
    trusted = ExportOptions(str(place.folder), place.folder.parent, "hostile", trust_remote_code=True)
    with pytest.raises(CheckpointUnsupported, match=cause):
        read_checkpoint(str(place.folder), trusted)


def test_code_that_nothing_loads_does_no_harm(place: Place) -> None:
    place.edit("config.json", auto_map={"AutoModelForCausalLM": EVIL})
    (place.folder / "custom_generate").mkdir()
    shutil.copy(place.folder / "evil.py", place.folder / "custom_generate" / "generate.py")
    (place.folder / "config.yaml").write_text("!!python/object/apply:os.system ['true']\n", "utf-8")
    read_checkpoint(str(place.folder))
    assert not place.canary.exists()


def test_files_of_hugging_face_s_cache_are_links(sentence_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "models--a--b"
    snapshot, blobs = cache / "snapshots" / "0123", cache / "blobs"
    shutil.copytree(sentence_folder, snapshot)
    blobs.mkdir()
    for number, path in enumerate(sorted(snapshot.rglob("*.*"))):
        if path.is_file():
            path.rename(blobs / str(number))
            path.symlink_to(blobs / str(number))
    read_checkpoint(str(snapshot))
    (snapshot / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointUnsupported, match="link that leads out"):
        read_checkpoint(str(snapshot))


def test_a_table_of_objects_is_not_unpickled(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    with (folder / "vectors.npy").open("wb") as file:
        np.save(file, np.array([Opens(str(place.canary))], dtype=object), allow_pickle=True)
    (folder / "words.parquet").write_bytes(b"PAR1")
    shutil.copy(place.folder / "tokenizer.json", folder)
    with pytest.raises(NestvecError):
        export(ExportOptions(str(folder), tmp_path / "models", "table"))
    assert not place.canary.exists()


def test_adapt_s_teacher_and_merges_run_no_code(place: Place, bert: Path, tmp_path: Path) -> None:
    place.edit("config.json", auto_map={"AutoModelForSequenceClassification": EVIL, "AutoModel": EVIL})
    with pytest.raises(CheckpointUnsupported, match="own code"):
        teacher_scores(str(place.folder), [("a", "b")], 16)
    with pytest.raises(CheckpointUnsupported, match="own code"):
        merge_checkpoints("a+0.5*b", tmp_path / "merged", {"a": str(bert), "b": str(place.folder)})
    assert not place.canary.exists()
