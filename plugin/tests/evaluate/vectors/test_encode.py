from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import fake_vector
from nestvec.evaluate.vectors import encode
from nestvec.evaluate.vectors.encode import VectorCache, encode_cached, encode_window
from nestvec.service.preprocess.inputs import ModelInput, text_input
from nestvec.service.preprocess.tokenizer import EncoderTokenizer
from nestvec_schemas.errors import DatasetUnusable, EngineError
from nestvec_schemas.vectors import Vectors

TEXTS = [f"w{n} " * (n % 5 + 1) for n in range(30)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "WINDOW", 8)


@pytest.fixture
def kept(tmp_path: Path) -> VectorCache:
    return VectorCache(tmp_path / "cache" / "one", len(TEXTS), 4)


def lengths(texts: Sequence[str]) -> tuple[Vectors, float]:
    """A vector that tells its text, and a second for the window."""
    return np.array([[len(text), int(text.split()[0][1:]), 0, 1] for text in texts], np.float32), 1.0


def rows_of(models: Path) -> list[ModelInput]:
    tokeniser = EncoderTokenizer(models / "tiny" / "tokenizer.json", 8)
    return [text_input(tokens.ids) for tokens in tokeniser.encode(TEXTS)]


def test_a_window_is_batched_by_length_and_comes_back_in_order(models_folder: Path) -> None:
    tokeniser = EncoderTokenizer(models_folder / "tiny" / "tokenizer.json", 8)
    seen: list[Batch] = []
    told: list[int] = []

    def run(batch: Batch) -> Vectors:
        seen.append(batch)
        rows = zip(batch.arrays["input_ids"], batch.arrays["attention_mask"], strict=True)
        return np.stack([fake_vector(ids[mask > 0], 4) for ids, mask in rows])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "_MAX_BATCH_INPUTS", 10)
        vectors, _ = encode_window(rows_of(models_folder), run, 3, "image", told.append)
    ids = [tokens.ids for tokens in tokeniser.encode(TEXTS)]
    assert vectors.tolist() == [fake_vector(one, 4).tolist() for one in ids]
    assert [(batch.exit, batch.part) for batch in seen] == [(3, "image")] * 3
    assert [batch.arrays["input_ids"].shape[1] for batch in seen] == sorted(
        (batch.arrays["input_ids"].shape[1] for batch in seen), reverse=True
    )
    assert told == [10, 10, 10]


def test_numbers_that_are_not_finite_are_an_error(models_folder: Path) -> None:
    def run(batch: Batch) -> Vectors:
        return np.full((len(batch), 4), np.nan, np.float32)

    with pytest.raises(EngineError, match="not finite: 30 of 30 inputs"):
        encode_window(rows_of(models_folder), run, 2, "", lambda done: None)


def test_vectors_are_kept_and_not_made_twice(kept: VectorCache) -> None:
    first = encode_cached(TEXTS, kept, lengths, lambda done: None)
    assert first.vectors[:, 1].tolist() == list(range(30))
    assert first.seconds == pytest.approx(4 / 30)
    told: list[int] = []
    again = encode_cached(iter(()), kept, _never, told.append)
    assert again.vectors.tolist() == first.vectors.tolist()
    assert again.seconds == first.seconds
    assert told == [30]


def _never(texts: Sequence[str]) -> tuple[Vectors, float]:
    raise AssertionError("nothing is left to do")


def test_an_interrupted_run_continues_after_its_last_window(kept: VectorCache) -> None:
    windows: list[str] = []

    def breaking(texts: Sequence[str]) -> tuple[Vectors, float]:
        windows.append(texts[0])
        if len(windows) == 3:
            raise KeyboardInterrupt
        return lengths(texts)

    with pytest.raises(KeyboardInterrupt):
        encode_cached(TEXTS, kept, breaking, lambda done: None)
    told: list[int] = []
    done = encode_cached(TEXTS, kept, breaking, told.append)
    assert told == [16]
    assert windows[2:] == [TEXTS[16], TEXTS[16], TEXTS[24]]
    assert done.vectors[:, 1].tolist() == list(range(30))


@pytest.mark.parametrize("state", ["", "[]", '{"done": 31, "seconds": 1}', '{"done": 5, "seconds": 1}'])
def test_a_damaged_cache_is_made_again(kept: VectorCache, state: str) -> None:
    encode_cached(TEXTS, kept, lengths, lambda done: None)
    kept.state.write_text(state)
    assert encode_cached(TEXTS, kept, lengths, lambda done: None).seconds == pytest.approx(4 / 30)
    kept.vectors.write_bytes(b"short")
    assert encode_cached(TEXTS, kept, lengths, lambda done: None).vectors[:, 1].tolist() == list(range(30))


@pytest.mark.parametrize("count", [29, 31, 16])
def test_a_corpus_that_changes_meanwhile_is_an_error(kept: VectorCache, count: int) -> None:
    texts = [f"w{n}" for n in range(count)]
    with pytest.raises(DatasetUnusable, match="changed while it was read"):
        encode_cached(texts, kept, lengths, lambda done: None)
    assert json.loads(kept.state.read_text())["done"] % 8 == 0


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetUnusable, match=r"cannot be cached.*--cache"):
        encode_cached(TEXTS, VectorCache(tmp_path / "file" / "x", 30, 4), lengths, lambda done: None)


def test_vectors_of_another_length_than_the_manifests(kept: VectorCache) -> None:
    with pytest.raises(EngineError, match="of another length than its manifest declares: 3"):
        encode_cached(
            TEXTS, kept, lambda texts: (np.zeros((len(texts), 3), np.float32), 0.0), lambda done: None
        )
