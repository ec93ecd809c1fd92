from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch
from sentence_transformers.models import Dense, Pooling

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.merge import MERGE_RECORD, merge_checkpoints
from nestvec_exporters.text_encoders.sentence_model import load
from nestvec_schemas.errors import CheckpointError, CheckpointNotFound, CheckpointUnsupported

WEIGHTS = "model.safetensors"

Write = Callable[..., Path]
Tensors = dict[str, NDArray[np.float32]]


def weights(folder: Path) -> Tensors:
    return load_file(folder / WEIGHTS)


def perturbed(base: Path, folder: Path, seed: int) -> Path:
    """A copy with noise on every weight."""
    shutil.copytree(base, folder)
    rng = np.random.default_rng(seed)
    noisy = {
        name: (one + rng.normal(0, 0.05, one.shape)).astype(np.float32) for name, one in weights(base).items()
    }
    save_file(noisy, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def names(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The BERT as ``base``, and two copies with noise, ``A`` and ``B``."""
    work = tmp_path_factory.mktemp("merge")
    return {
        "base": str(bert),
        "A": str(perturbed(bert, work / "A", 1)),
        "B": str(perturbed(bert, work / "B", 2)),
    }


@pytest.fixture
def merge(names: dict[str, str], tmp_path: Path) -> Callable[[str], Tensors]:
    """The weights of an expression."""

    def run(expression: str) -> Tensors:
        return weights(merge_checkpoints(expression, tmp_path / str(len(list(tmp_path.iterdir()))), names))

    return run


def same(one: Tensors, two: Tensors) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_zero_is_the_base_and_one_the_other(names: dict[str, str], merge: Callable[[str], Tensors]) -> None:
    assert same(merge("base+0*A-0*B"), weights(Path(names["base"])))
    assert same(merge("base+1*A"), weights(Path(names["A"])))
    assert same(merge("base+A+0.3*base"), weights(Path(names["A"])))


def test_the_sum_is_of_differences(names: dict[str, str], merge: Callable[[str], Tensors]) -> None:
    base, a, b = (weights(Path(names[one])) for one in ("base", "A", "B"))
    for name, found in merge("base+0.4*A-0.2*B").items():
        wanted = base[name] + 0.4 * (a[name] - base[name]) - 0.2 * (b[name] - base[name])
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_order_of_terms_does_not_matter(merge: Callable[[str], Tensors]) -> None:
    one = merge("base+0.7*A-0.3*B+0.1*A")
    assert same(one, merge("base+0.1*A+0.7*A-0.3*B"))
    assert same(one, merge("base-0.3*B+0.7*A+0.1*A"))


def test_equal_coefficients_are_one_coefficient(merge: Callable[[str], Tensors]) -> None:
    assert same(merge("base+[0.5,0.5]*A"), merge("base+0.5*A"))
    assert same(merge("base-[0.3|0.3,0.3|0.3]*A"), merge("base-0.3*A"))


def test_each_layer_has_its_coefficient(names: dict[str, str], merge: Callable[[str], Tensors]) -> None:
    base, a = (weights(Path(names[one])) for one in ("base", "A"))
    found = merge("base+[0|1,0|1]*A")
    taken = {name for name in found if np.array_equal(found[name], a[name])}
    assert taken == {name for name in base if "layer.0." in name or name.startswith("pooler")}
    assert all(np.array_equal(found[name], base[name]) for name in base.keys() - taken)


def test_the_result_is_a_checkpoint_that_says_what_it_is(names: dict[str, str], tmp_path: Path) -> None:
    folder = merge_checkpoints("base+0.4*A", tmp_path / "merged", names)
    assert folder == tmp_path / "merged" and [one.name for one in tmp_path.iterdir()] == ["merged"]
    found = load(read_checkpoint(str(folder)))
    assert found.dim == 32
    assert json.loads((folder / MERGE_RECORD).read_text()) == {
        "expression": "base+0.4*A",
        "checkpoints": {"base": "bert", "A": "A"},
    }


def test_folders_stand_in_the_expression_itself(names: dict[str, str], tmp_path: Path) -> None:
    spaced = Path(shutil.copytree(names["A"], tmp_path / "a + b"))
    found = merge_checkpoints(f"{names['base']}+1*'{spaced}'", tmp_path / "merged")
    assert same(weights(found), weights(spaced))


def test_modules_with_weights_are_merged_too(
    names: dict[str, str], sentence_bert: Write, tmp_path: Path
) -> None:
    folder = sentence_bert(Pooling(32, pooling_mode="cls"), Dense(32, 16))
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    dense = Path("2_Dense") / WEIGHTS
    save_file({name: one + 1 for name, one in load_file(folder / dense).items()}, other / dense)
    found = merge_checkpoints(
        "base+[0|0,0|0.5]*other", tmp_path / "merged", {"base": str(folder), "other": str(other)}
    )
    for name, one in load_file(folder / dense).items():
        np.testing.assert_allclose(load_file(found / dense)[name], one + 0.5, atol=1e-6)
    assert load(Checkpoint(found, "merged")).pooling == ("cls",)
    with pytest.raises(CheckpointUnsupported, match=r"other modules.*\(Transformer, Dense\): Transformer"):
        merge_checkpoints("base+A", tmp_path / "again", {**names, "base": str(folder)})


def test_half_precision_is_added_up_whole_and_positions_are_the_bases(
    names: dict[str, str], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(names["base"], tmp_path / "half"))
    halves = {name: one.bfloat16() for name, one in load_torch(base / WEIGHTS).items()}
    save_torch({**halves, "embeddings.position_ids": torch.arange(3)}, base / WEIGHTS, {"format": "pt"})
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    found = merge_checkpoints("half+0.5*A", tmp_path / "merged", {**names, "half": str(base)})
    made, a = load_torch(found / WEIGHTS), load_torch(Path(names["A"]) / WEIGHTS)
    assert made.pop("embeddings.position_ids").tolist() == [0, 1, 2]
    for name, one in made.items():
        assert one.dtype == torch.float32
        assert torch.allclose(one, halves[name].float() * 0.5 + a[name] * 0.5, atol=1e-6)
    loaded = load(Checkpoint(found, "merged")).transformer.state_dict()
    assert torch.equal(loaded["embeddings.word_embeddings.weight"], made["embeddings.word_embeddings.weight"])


def test_weights_in_several_files_are_read(names: dict[str, str], tmp_path: Path) -> None:
    split = Path(shutil.copytree(names["A"], tmp_path / "split"))
    whole = weights(split)
    (split / WEIGHTS).unlink()
    parts = {f"model-0000{at}-of-00002.safetensors": list(whole)[at - 1 :: 2] for at in (1, 2)}
    for file, those in parts.items():
        save_file({name: whole[name] for name in those}, split / file, metadata={"format": "pt"})
    places = {name: file for file, those in parts.items() for name in those}
    index = split / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    found = merge_checkpoints("split+0*A", tmp_path / "merged", {**names, "split": str(split)})
    assert same(weights(found), whole) and not (found / index.name).exists()
    (split / next(iter(parts))).unlink()
    with pytest.raises(CheckpointUnsupported, match="is missing: model-00001"):
        merge_checkpoints("base+split", tmp_path / "again", {**names, "split": str(split)})


def drop(folder: Path) -> None:
    kept = {name: one for name, one in weights(folder).items() if "pooler" not in name}
    save_file(kept, folder / WEIGHTS)


def add(folder: Path) -> None:
    save_file({**weights(folder), "head.weight": np.ones(2, np.float32)}, folder / WEIGHTS)


def reshape(folder: Path) -> None:
    found = weights(folder)
    found["embeddings.word_embeddings.weight"] = np.ones((7, 32), np.float32)
    save_file(found, folder / WEIGHTS)


def not_finite(folder: Path) -> None:
    found = weights(folder)
    found["pooler.dense.bias"] = np.full(32, np.nan, np.float32)
    save_file(found, folder / WEIGHTS)


def other_words(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"##a"', '"##ä"'))


def other_kind(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "roberta"}))


def quantised(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": {}}))


UNLIKE: dict[str, tuple[Callable[[Path], None], str]] = {
    "lacking": (drop, r"bad lacks tensors of the base: pooler\.dense\.bias, pooler\.dense\.weight"),
    "more": (add, r"tensors that the base lacks: head\.weight"),
    "another shape": (
        reshape,
        r"word_embeddings\.weight has .* bad than in the base, \[200, 32\]: \[7, 32\]",
    ),
    "not finite": (not_finite, r"tensor pooler\.dense\.bias that are not finite: 0\.5 of bad"),
    "another tokenizer": (other_words, "another tokenizer.*: they differ in model"),
    "another architecture": (other_kind, "another architecture than the base, bert: roberta"),
    "quantised": (quantised, "quantised weights"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    case: str, names: dict[str, str], tmp_path: Path
) -> None:
    damage, says = UNLIKE[case]
    bad = Path(shutil.copytree(names["A"], tmp_path / "bad"))
    damage(bad)
    with pytest.raises(CheckpointUnsupported, match=says) as raised:
        merge_checkpoints("base+0.5*bad", tmp_path / "merged", {**names, "bad": str(bad)})
    assert raised.value.next_step
    assert [one.name for one in tmp_path.iterdir()] == ["bad"]


def test_a_list_of_another_length_than_the_layers_is_pointed_at(
    names: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointUnsupported, match=r"2 layers.*3 coefficients") as raised:
        merge_checkpoints("base+[1,2,3]*A", tmp_path / "merged", names)
    assert str(raised.value).endswith("base+[1,2,3]*A\n       ^")


def test_a_name_that_is_nothing_is_pointed_at(names: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"Did you mean '\./biomed'") as raised:
        merge_checkpoints("base+A+./bimed", tmp_path / "merged", {**names, "./biomed": names["A"]})
    assert str(raised.value).endswith("base+A+./bimed\n         ^")


def test_a_folder_that_is_not_empty_stays(names: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="needs an empty folder"):
        merge_checkpoints("base+A", tmp_path, names)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_module_outside_its_folder_is_refused(sentence_bert: Write, tmp_path: Path) -> None:
    folder = sentence_bert(Pooling(32), Dense(32, 16))
    (folder / "2_Dense").rename(tmp_path / "away")
    rows = json.loads((folder / "modules.json").read_text())
    rows[2]["path"] = "../away"
    (folder / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(CheckpointUnsupported, match="outside the checkpoint"):
        merge_checkpoints("it+it", tmp_path / "merged", {"it": str(folder)})
