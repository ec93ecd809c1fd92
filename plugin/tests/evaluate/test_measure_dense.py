from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from nestvec.datasets.beir import Dataset, Side
from nestvec.evaluate.evaluation import exact_index
from nestvec.evaluate.measure_dense import measure_dense, memoize
from nestvec.evaluate.outcomes import EvaluateOptions, Measurement, Rescoring
from nestvec.evaluate.rows import make_rows, reference_outcome
from nestvec.evaluate.search.exact import ExactIndex, QuerySet, Ranking, VectorIndex
from nestvec.evaluate.search.forms import FORMS
from nestvec.evaluate.search_plan import count_steps
from nestvec_schemas.errors import DatasetUnusable
from nestvec_schemas.vectors import Vectors

from .conftest import Fake


def measured(dataset: Dataset, fake: Fake, *, candidates: int = 20) -> Measurement:
    return measure_dense(
        dataset, fake.subject, fake.source, exact_index, EvaluateOptions(FORMS, candidates), lambda done: None
    )


def test_every_setting_is_measured_once(dataset: Dataset, fake: Fake) -> None:
    settings = [one.setting for one in measured(dataset, fake).outcomes]
    assert len(set(settings)) == len(settings)
    counted = Counter((one.nesting, one.form, one.exit, one.query_exit) for one in settings)
    # dims 16, 8 and 4, and no shortlist of the whole vector; plain at the deepest exit only.
    symmetric = {
        (nesting, form, exit, exit): 2 if form == "shortlist" else 3
        for nesting, exit in (("rotated", 4), ("rotated", 2), ("plain", 4))
        for form in FORMS
    }
    assert counted == symmetric | {("rotated", "float", 4, 2): 3}
    for one in settings:
        assert one.rescoring == (Rescoring(20, dim=16) if one.form in ("binary", "shortlist") else None)


def test_full_length_vectors_are_always_measured(dataset: Dataset, fake: Fake) -> None:
    subject = replace(fake.subject, dims=(4,), exits=(2,))
    found = measure_dense(
        dataset, subject, fake.source, exact_index, EvaluateOptions(("int8",)), lambda done: None
    )
    settings = [
        (s.nesting, s.form, s.dim, s.exit, s.query_exit) for s in (one.setting for one in found.outcomes)
    ]
    assert ("plain", "float", 16, 4, 4) in settings
    assert ("rotated", "int8", 4, 2, 2) in settings
    assert not any(form == "float" and dim == 4 for _, form, dim, _, _ in settings)


def test_a_rotation_changes_no_whole_vectors_quality(dataset: Dataset, fake: Fake) -> None:
    found = {
        (one.setting.nesting, one.setting.dim): one
        for one in measured(dataset, fake).outcomes
        if one.setting.form == "float" and one.setting.query_exit == 4
    }
    plain, rotated = found["plain", 16], found["rotated", 16]
    assert plain.scores["ndcg@10"].tolist() == rotated.scores["ndcg@10"].tolist()
    assert plain.isotropy is not None and rotated.isotropy is not None
    assert plain.isotropy.mean_cosine == pytest.approx(rotated.isotropy.mean_cosine, abs=1e-6)
    assert found["plain", 4].isotropy != found["rotated", 4].isotropy


def test_all_candidates_scored_again_are_the_whole_search(dataset: Dataset, fake: Fake) -> None:
    outcomes = measured(dataset, fake, candidates=dataset.document_count).outcomes
    whole = reference_outcome(outcomes).scores["ndcg@10"].mean()
    rescored = [one for one in outcomes if one.setting.rescoring and one.setting.exit == 4]
    assert rescored
    for one in rescored:
        assert one.scores["ndcg@10"].mean() == pytest.approx(whole)
        assert one.unrescored is not None


def test_vectors_are_requested_once_per_exit(dataset: Dataset, fake: Fake) -> None:
    asked: Counter[tuple[Side, int]] = Counter()

    def source(side: Side, exit: int) -> object:
        asked[side, exit] += 1
        return fake.source(side, exit)

    kept = replace(fake, source=memoize(source))  # type: ignore[arg-type]
    measured(dataset, kept)
    assert set(asked.values()) == {1}
    assert len(asked) == 4


def test_concept_depth_needs_two_exits(dataset: Dataset, fake: Fake) -> None:
    found = measured(dataset, fake).concept_depth
    assert found is not None
    assert found.queries + found.failed == len(dataset.queries.ids)
    assert sum(found.shares["hard"].values()) == pytest.approx(1)
    assert measured(dataset, replace(fake, subject=replace(fake.subject, exits=(4,)))).concept_depth is None


def test_a_form_that_the_index_does_not_have_is_skipped(dataset: Dataset, fake: Fake) -> None:
    class NoBinary(ExactIndex):
        def search(
            self, probes: Sequence[QuerySet], k: int, advance: Callable[[int], None]
        ) -> list[Ranking | None]:
            found = super().search(probes, k, advance)
            return [None if p.form.coding == "binary" else one for p, one in zip(probes, found, strict=True)]

    @contextmanager
    def opened(documents: Vectors, rotation: Vectors | None) -> Iterator[VectorIndex]:
        yield NoBinary(documents, rotation)

    found = measure_dense(
        dataset, fake.subject, fake.source, opened, EvaluateOptions(FORMS), lambda done: None
    )
    assert {cut.coding for cut in found.skipped} == {"binary"}
    assert "binary" not in {one.setting.form for one in found.outcomes}


def test_rows_hold_what_a_reader_asks_and_repeat(dataset: Dataset, fake: Fake) -> None:
    outcomes = measured(dataset, fake).outcomes
    rows = make_rows({"small": (dataset, outcomes)}, seed=3, through="exact")
    again = make_rows({"small": (dataset, measured(dataset, fake).outcomes)}, seed=3, through="exact")
    assert rows == again
    for row in rows:
        assert {"dim", "exit", "precision", "form", "ndcg@10", "recall@100", "mrr@10", "bytes"} <= set(row)
        assert row["ndcg@10_low"] <= row["ndcg@10"] <= row["ndcg@10_high"]  # type: ignore[operator]
    whole = next(row for row in rows if (row["nesting"], row["form"], row["dim"]) == ("plain", "float", 16))
    assert (whole["kept"], whole["kept_low"], whole["kept_high"]) == (1.0, 1.0, 1.0)


def test_several_datasets_have_rows_of_their_means(dataset: Dataset, fake: Fake) -> None:
    outcomes = measured(dataset, fake).outcomes
    both = {"one": (dataset, outcomes), "two": (dataset, outcomes)}
    rows = make_rows(both, seed=0, through="exact")
    assert [row["dataset"] for row in rows] == ["one"] * len(outcomes) + ["two"] * len(outcomes) + [
        "mean"
    ] * len(outcomes)
    first, mean = rows[0], rows[2 * len(outcomes)]
    assert mean["queries"] == 24
    assert {name: mean[name] for name in mean if name not in ("dataset", "queries")} == pytest.approx(
        {name: first[name] for name in first if name not in ("dataset", "queries")}
    )


def test_a_reference_that_finds_nothing_is_an_error(dataset: Dataset, fake: Fake) -> None:
    outcomes = [
        replace(one, scores={name: 0 * value for name, value in one.scores.items()})
        for one in measured(dataset, fake).outcomes
    ]
    with pytest.raises(DatasetUnusable, match="finds no relevant document of small"):
        make_rows({"small": (dataset, outcomes)}, seed=0, through="exact")


def test_progress_hears_of_every_step(dataset: Dataset, fake: Fake) -> None:
    told: list[int] = []
    measure_dense(dataset, fake.subject, fake.source, exact_index, EvaluateOptions(FORMS, 20), told.append)
    assert sum(told) == count_steps(fake.subject, FORMS)
