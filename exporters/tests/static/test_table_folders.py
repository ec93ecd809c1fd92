from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from nestvec_exporters.static.table_layouts import read_embedding_table
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError

Write = Callable[..., Path]
IDS = 22


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(IDS, 8)).astype(np.float32)


def test_model2vec_with_weights_and_mapping(model2vec: Write, vectors: np.ndarray) -> None:
    mapping = np.arange(IDS) // 2
    folder = model2vec(
        vectors[:11], {"normalize": True, "max_length": 99}, weights=np.ones(IDS), mapping=mapping
    )
    table = read_embedding_table(folder)
    assert table.normalised and table.max_tokens == 99 and table.lookup.unknown == 0
    assert table.lookup.rows is not None and table.lookup.rows.tolist() == mapping.tolist()
    assert [*table.tokenizer.encode("heat zebra flow").ids] == [4, 0, 5]


def test_static_embedding_counts_every_token(model2vec: Write, vectors: np.ndarray) -> None:
    folder = model2vec(vectors)
    (folder / "config.json").unlink()
    table = read_embedding_table(folder)
    assert table.lookup.unknown is None and not table.normalised
    with pytest.raises(EncoderError, match="supports mean pooling only: sif"):
        read_embedding_table(folder, "sif")


def test_wordllama_is_its_longest_table(model2vec: Write, vectors: np.ndarray, tmp_path: Path) -> None:
    home = tmp_path / "wordllama"
    (home / "weights").mkdir(parents=True)
    (home / "tokenizers").mkdir()
    for dim in (4, 8):
        table = {"embedding.weight": np.ascontiguousarray(vectors[:, :dim]).astype(np.float16)}
        save_file(table, home / "weights" / f"l2_supercat_{dim}.safetensors")
    tokenizer = home / "tokenizers" / "l2_supercat_tokenizer_config.json"
    shutil.copy(model2vec(vectors) / "tokenizer.json", tokenizer)
    table = read_embedding_table(home)
    assert table.trained and table.vectors.shape == (IDS, 8)
    assert [*table.tokenizer.encode("heat").ids] == [4] == table.reference_ids("heat")
    assert table.dims is None
    train = home / "config" / "train"
    train.mkdir(parents=True)
    for content, dims in (("dims = [16, 8, 2, 4]", (8, 4, 2)), ("", None)):
        (train / "l2_supercat.toml").write_text(f"[matryoshka]\n{content}\n")
        assert read_embedding_table(home).dims == dims
    for content in ("dims = 4", "dims = ['a']", "dims = [4"):
        (train / "l2_supercat.toml").write_text(f"[matryoshka]\n{content}\n")
        with pytest.raises(CheckpointUnsupported, match=r"l2_supercat\.toml: .*dims = \[256, 128, 64\]"):
            read_embedding_table(home)
    (train / "l2_supercat.toml").unlink()
    tokenizer.unlink()
    with pytest.raises(CheckpointUnsupported, match="tokenizer of a static encoder cannot be read"):
        read_embedding_table(home)


def damaged(vectors: np.ndarray) -> np.ndarray:
    bad = vectors.copy()
    bad[3, 3] = np.nan
    return bad


def test_what_does_not_fit_is_told(model2vec: Write, vectors: np.ndarray) -> None:
    for tensors, says in (
        ({"vectors": vectors[:9]}, "fewer rows than its tokenizer has tokens, 22: 9"),
        ({"vectors": damaged(vectors)}, "numbers that are not finite"),
        ({"vectors": vectors, "weights": np.ones(5)}, r"lacks a weight for each of its 22 tokens: \(5,\)"),
        ({"vectors": vectors[:5], "mapping": np.arange(IDS)}, "maps a token to a row beyond its 5: 21"),
        ({"vectors": vectors[0]}, "has no vectors"),
    ):
        with pytest.raises(CheckpointUnsupported, match=says):
            read_embedding_table(model2vec(**tensors))


def test_what_follows_a_static_embedding_must_be_known(model2vec: Write, vectors: np.ndarray) -> None:
    folder = model2vec(vectors, {"normalize": True})
    (folder / "config.json").unlink()
    path = folder / "modules.json"
    path.write_text(path.read_text().replace("Normalize", "Dense"))
    with pytest.raises(CheckpointUnsupported, match="StaticEmbedding, Dense"):
        read_embedding_table(folder)
