"""The graph of a static encoder, against arithmetic in numpy of its own and against sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointNotFound, ExitNotOffered
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Vectors, cosines, normalise

Rows = dict[str, np.ndarray]
Write = Callable[..., Path]
Export = Callable[..., tuple[Manifest, Vectors]]

TEXTS = ["heat flow in a shock wave", "The bank of the river, money from zebras", "rows", "the the the of"]


@pytest.fixture
def exported(tmp_path: Path) -> Export:
    def run(source: Path, **options: object) -> tuple[Manifest, Vectors]:
        given = ExportOptions(str(source), tmp_path / "models", "tiny", force=True, **options)  # type: ignore[arg-type]
        manifest = export(given)
        folder = tmp_path / "models" / "tiny"
        return manifest, encoder_vectors(folder, TEXTS, manifest.main_tower.max_tokens)

    return run


def mean(rows: Rows, text: str) -> Vectors:
    known = [rows[word] for word in text.lower().replace(",", " , ").split() if word in rows]
    return np.mean(known, axis=0)


def test_words_are_averaged_and_unknown_ones_are_not(rows: Rows, text_file: Write, exported: Export) -> None:
    manifest, found = exported(text_file(rows), dims=(4,))
    assert (
        manifest.source == "words.txt" and manifest.dims == (8, 4) and manifest.main_tower.pooling == "mean"
    )
    expected = normalise(np.stack([mean(rows, text) for text in TEXTS]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_text_binary_and_packed_are_the_same(
    rows: Rows, text_file: Write, binary_file: Write, exported: Export
) -> None:
    np.testing.assert_array_equal(exported(text_file(rows))[1], exported(binary_file(rows))[1])


@pytest.mark.parametrize(("precision", "least"), [("fp16", 0.99999), ("int8", 0.999)])
def test_lower_precisions_are_near(
    precision: str, least: float, rows: Rows, text_file: Write, exported: Export, tmp_path: Path
) -> None:
    _, found = exported(text_file(rows), precision=precision)
    assert cosines(found, np.stack([mean(rows, text) for text in TEXTS])).min() > least


def test_sif_weighs_by_rank(rows: Rows, text_file: Write, exported: Export) -> None:
    manifest, found = exported(text_file(rows), overrides=Overrides(pooling="sif"))
    assert manifest.main_tower.pooling == "sif"
    odds = 1 / np.arange(1, len(rows) + 1)
    weighted = {
        word: row * 1e-4 / (1e-4 + p) for (word, row), p in zip(rows.items(), odds / odds.sum(), strict=True)
    }
    expected = normalise(np.stack([mean(weighted, text) for text in TEXTS]).astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_model2vec_as_its_library_computes_it(model2vec: Write, exported: Export) -> None:
    rng = np.random.default_rng(2)
    vectors, weights = rng.normal(size=(11, 8)).astype(np.float32), rng.uniform(0.1, 1, 22)
    mapping = rng.integers(0, 11, 22)
    folder = model2vec(vectors, {"normalize": True}, weights=weights, mapping=mapping)
    manifest, found = exported(folder)
    assert manifest.normalised and manifest.main_tower.max_tokens == 512
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text, vector in zip(TEXTS, found, strict=True):
        ids = [one for one in tokenizer.encode(text, add_special_tokens=False).ids if one]
        own = (vectors[mapping[ids]] * weights[ids][:, None]).mean(axis=0)
        np.testing.assert_allclose(vector, own / np.linalg.norm(own), atol=1e-6)


def test_static_embedding_as_sentence_transformers_has_it(model2vec: Write, exported: Export) -> None:
    folder = model2vec(np.random.default_rng(3).normal(size=(22, 8)).astype(np.float32))
    (folder / "config.json").unlink()
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(exported(folder)[1], expected, atol=1e-6)


def test_the_sense_is_the_one_that_the_context_is_near(tmp_path: Path, exported: Export) -> None:
    path = tmp_path / "senses.txt"
    path.write_text("bank#1 9 1 0 0\nriver 1 0 0 0\nbank#2 0 1 9 0\nmoney 0 0 1 0\nof 0 0 0 1\n")
    rows = {
        name: np.array(row, np.float32)
        for name, row in (
            ("bank#1", [9, 1, 0, 0]),
            ("bank#2", [0, 1, 9, 0]),
            ("river", [1, 0, 0, 0]),
            ("money", [0, 0, 1, 0]),
        )
    }
    manifest = export(ExportOptions(str(path), tmp_path / "models", "senses"))
    texts = ["the bank of the river river", "money money in a bank", "bank"]
    found = encoder_vectors(tmp_path / "models" / "senses", texts, manifest.main_tower.max_tokens)
    of = np.array([0, 0, 0, 1], np.float32)
    expected = np.stack(
        [
            rows["bank#1"] + of + 2 * rows["river"],
            2 * rows["money"] + rows["bank#2"],
            rows["bank#1"],
        ]
    )
    np.testing.assert_allclose(found, normalise(expected), atol=1e-6)
    for precision in ("int8", "fp16"):
        export(ExportOptions(str(path), tmp_path / "models", precision, precision=precision))  # type: ignore[arg-type]
        low = encoder_vectors(tmp_path / "models" / precision, texts, 99)
        assert cosines(low, expected).min() > 0.999


def test_a_text_without_a_known_word_is_a_zero_vector(
    rows: Rows, text_file: Write, exported: Export, tmp_path: Path
) -> None:
    exported(text_file(rows))
    found = encoder_vectors(tmp_path / "models" / "tiny", ["zebra", " ", "heat"], 99)
    assert not found[:2].any() and found[2].any()


def test_a_rotation_turns_it(rows: Rows, text_file: Write, exported: Export) -> None:
    plain = exported(text_file(rows))[1]
    rng = np.random.default_rng(4)
    texts = tuple(" ".join(rng.choice(list(rows), 6)) for _ in range(400))
    manifest, turned = exported(text_file(rows), rotation="pca", sample=Sample("words", texts))
    assert manifest.nesting == "rotated"
    np.testing.assert_allclose(turned @ turned.T, plain @ plain.T, atol=1e-5)


def test_it_has_no_exits(rows: Rows, text_file: Write, exported: Export) -> None:
    with pytest.raises(ExitNotOffered, match="no layers to stop after"):
        exported(text_file(rows), exits=(1,), sample=Sample("words", ("a",) * 9))


def test_another_file_is_no_checkpoint(tmp_path: Path, exported: Export) -> None:
    (tmp_path / "glove.zip").write_bytes(b"PK")
    with pytest.raises(CheckpointNotFound, match=r"a file of word vectors \(\.txt, \.vec, \.bin\)"):
        exported(tmp_path / "glove.zip")
