from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import fake_vector
from nestvec.evaluate.evaluation import Evaluation, evaluate, exact_index, open_datasets
from nestvec.evaluate.outcomes import EvaluateOptions
from nestvec.evaluate.search.forms import FORMS
from nestvec.evaluate.variants import EncoderVariant, RequestedSizes, choose_variants
from nestvec.evaluate.vectors.encode import RunBatch
from nestvec.evaluate.vectors.sources import Backend
from nestvec_schemas.errors import DatasetUnusable, EngineError
from nestvec_schemas.vectors import Vectors

TIMED = ("ms_per_text", "ms_per_query")


@contextmanager
def silent(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def opened(subject: EncoderVariant) -> RunBatch:
    def run(batch: Batch) -> Vectors:
        rows = zip(batch.arrays["input_ids"], batch.arrays["attention_mask"], strict=True)
        vectors = [
            sum(fake_vector(ids[at : at + 1], 16) for at in range(int(mask.sum()))) for ids, mask in rows
        ]
        return np.stack(vectors).astype(np.float32)  # type: ignore[arg-type]

    return run


def evaluated(
    models: Path, folders: list[Path], cache: Path, open_run: Callable[[EncoderVariant], RunBatch] = opened
) -> Evaluation:
    subjects = choose_variants(models, ["tiny"], (), RequestedSizes())
    means = Backend(open_run, exact_index, cache, silent)
    return evaluate(open_datasets(folders), subjects, EvaluateOptions(FORMS), means)


def untimed(found: Evaluation) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in TIMED} for row in found.rows]


def test_texts_to_rows(
    write_encoder: Callable[..., Path], write_data: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,)).parent
    found = evaluated(models, [write_data()], tmp_path / "cache")
    assert found.rows[0]["ndcg@10"] > 0.5  # type: ignore[operator]
    assert found.notes == ("small: 2 queries without judgements are left out.",)
    assert found.depths == {}


def test_the_same_to_the_digit_from_the_cache_and_without_the_encoder(
    write_encoder: Callable[..., Path], write_data: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,)).parent

    def absent(subject: EncoderVariant) -> RunBatch:
        raise AssertionError("the encoder is not needed")

    first = evaluated(models, [write_data()], tmp_path / "cache")
    assert evaluated(models, [write_data()], tmp_path / "cache", absent).rows == first.rows
    assert untimed(evaluated(models, [write_data()], tmp_path / "other")) == untimed(first)


def test_prompts_and_the_corpus_make_vectors_of_their_own(
    write_encoder: Callable[..., Path], write_data: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,)).parent
    evaluated(models, [write_data()], tmp_path / "cache")
    write_encoder("again", prompts={"query": "w2 ", "document": ""}, layers=(2,))
    subjects = choose_variants(models, ["again"], (), RequestedSizes())
    evaluate(
        open_datasets([write_data()]),
        subjects,
        EvaluateOptions(FORMS),
        Backend(opened, exact_index, tmp_path / "cache", silent),
    )
    evaluated(
        models, [write_data(corpus='{"_id": "d0", "text": "w0"}', qrels="q0\td0\t1")], tmp_path / "cache"
    )
    names = sorted(one.name.rsplit("-", 1)[0] for one in (tmp_path / "cache").iterdir())
    assert names == ["again-text-2"] * 2 + ["tiny-text-2"] * 4


def test_vectors_with_numbers_that_are_none(
    write_encoder: Callable[..., Path], write_data: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,)).parent

    def broken(subject: EncoderVariant) -> RunBatch:
        return lambda batch: np.full((len(batch), 16), np.inf, np.float32)

    with pytest.raises(EngineError, match="not finite"):
        evaluated(models, [write_data()], tmp_path / "cache", broken)


def test_two_datasets_of_one_name(write_data: Callable[..., Path]) -> None:
    with pytest.raises(DatasetUnusable, match="two datasets have this name: same"):
        open_datasets([write_data("a/same"), write_data("b/same")])
    with pytest.raises(DatasetUnusable, match="reserved for the mean"):
        open_datasets([write_data("mean")])
