"""One encoder on one dataset: every setting searched, from vectors that are computed once an exit and cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from nestvec.datasets.beir import Dataset, Side
from nestvec.evaluate.depth import ConceptDepth, concept_depth, margins
from nestvec.evaluate.encode import Encoded
from nestvec.evaluate.geometry import Isotropy, isotropy, sample_vectors
from nestvec.evaluate.measures import RANKING_DEPTH, Metric, Scores, per_query_metrics
from nestvec.evaluate.search.exact import Probe, Ranking, VectorIndex, drop_own_documents, unrotate
from nestvec.evaluate.search.forms import Form, Nesting, VectorForm, searched_bytes, stored_bytes
from nestvec.evaluate.subject import EncoderVariant
from nestvec_schemas.vectors import Vectors

VectorSource = Callable[[Side, int], Encoded]
"""The vectors of a dataset's queries or documents at an exit."""

OpenIndex = Callable[[Vectors, Vectors | None], AbstractContextManager[VectorIndex]]
"""An index over documents, (n, dim) float32, and the rotation that they went through."""


@dataclass(frozen=True)
class MeasuredSetting:
    """What is measured. Queries leave at ``query_exit``, documents at ``exit``.

    ``bytes`` are those of one vector that are searched, ``stored_bytes`` all that are kept of it;
    ``candidates`` are scored again at ``rescore_dim``, None where nothing is, or by a ``reranker``. Of a
    sparse encoder's weights ``dim`` are kept at most, and the bytes are those of a document's on average.
    """

    encoder: str
    precision: str
    nesting: Nesting
    form: Form | Literal["sparse", "reranked"]
    dim: int
    exit: int
    query_exit: int
    bytes: int
    stored_bytes: int
    rescore_dim: int | None = None
    candidates: int | None = None
    reranker: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A setting's scores for each query; ``unrescored`` is nDCG@10 before candidates are scored again."""

    setting: MeasuredSetting
    scores: Mapping[Metric, Scores]
    unrescored: Scores | None
    ms_per_text: float
    ms_per_query: float
    isotropy: Isotropy | None = None


@dataclass(frozen=True)
class FullLengthRanking:
    """The outcome of an encoder's whole vectors at its deepest exit, and the ranking that it is of."""

    outcome: Outcome
    ranking: Ranking


@dataclass(frozen=True)
class Measurement:
    """All outcomes of an encoder on a dataset; ``skipped`` are cuts that the index does not have."""

    outcomes: tuple[Outcome, ...]
    concept_depth: ConceptDepth | None
    skipped: tuple[VectorForm, ...]
    full_length: FullLengthRanking | None = None


@dataclass(frozen=True)
class EvaluateOptions:
    """``candidates``: how many a short search hands on to be scored at full length; ``depth``: how many a
    whole one hands on to a reranker, 0 where there is none."""

    forms: tuple[Form, ...]
    candidates: int = 100
    seed: int = 0
    rerank_depth: int = 0


@dataclass(frozen=True)
class PlannedSearch:
    """One search to be made: queries of an exit against documents of an exit."""

    exit: int
    query_exit: int
    form: VectorForm


def plan_searches(variant: EncoderVariant, forms: Sequence[Form]) -> list[PlannedSearch]:
    """All that has to be searched, the deepest documents first.

    The whole vector at the deepest exit is always there: the others are compared with it. Queries of
    shallower exits meet the deepest documents, too; vectors before the rotation are of the deepest exit.
    """
    depth, full = variant.manifest.depth, variant.manifest.dim
    short = variant.dims if {"float", "shortlist"} & set(forms) else ()
    floats = [VectorForm("float", dim) for dim in sorted({full, *short}, reverse=True)]
    coded = [VectorForm(form, dim) for form in ("int8", "binary") if form in forms for dim in variant.dims]
    planned = []
    for exit in sorted({depth, *variant.exits}, reverse=True):
        cuts = [*floats, *coded] if exit in variant.exits else floats[:1]
        planned += [PlannedSearch(exit, exit, form_) for form_ in cuts]
        if exit == depth and variant.rotation is not None:
            planned += [PlannedSearch(exit, exit, replace(form_, unrotated=True)) for form_ in cuts]
        if exit == depth:
            planned += [
                PlannedSearch(exit, query_exit, form_)
                for query_exit in variant.exits
                if query_exit != depth
                for form_ in floats
            ]
    return planned


def measure(
    dataset: Dataset,
    variant: EncoderVariant,
    source: VectorSource,
    open_index: OpenIndex,
    options: EvaluateOptions,
    advance: Callable[[int], None],
) -> Measurement:
    """Search and score every setting of ``subject``; ``advance`` hears of the ``steps``."""
    planned = plan_searches(variant, options.forms)
    outcomes: list[Outcome] = []
    skipped: list[VectorForm] = []
    full_rankings: dict[int, Ranking] = {}
    for exit in dict.fromkeys(search_.exit for search_ in planned):
        documents = source("document", exit)
        exit_searches = [search_ for search_ in planned if search_.exit == exit]
        probes = [
            Probe(source("query", search_.query_exit).vectors, search_.form) for search_ in exit_searches
        ]
        spare = int((dataset.own >= 0).any())
        k = min(max(RANKING_DEPTH, options.candidates, options.rerank_depth), dataset.documents)
        with open_index(documents.vectors, variant.rotation) as index:
            answers = index.search(probes, min(k + spare, dataset.documents), advance)
            for search, probe, answer in zip(exit_searches, probes, answers, strict=True):
                if answer is None:
                    skipped.append(search.form)
                    continue
                found = drop_own_documents(answer, dataset.own, k)
                if exit == variant.manifest.depth and search.form == VectorForm(
                    "float", variant.manifest.dim
                ):
                    full_rankings[search.query_exit] = found
                seconds = documents.seconds, source("query", search.query_exit).seconds
                for setting, final, first in _settings(variant, search, found, options, probe, index):
                    advance(int(first is not None))
                    scores = per_query_metrics(dataset, final)
                    unrescored = None if first is None else per_query_metrics(dataset, first)["ndcg@10"]
                    outcomes.append(
                        Outcome(setting, scores, unrescored, seconds[0] * 1000, seconds[1] * 1000)
                    )
    with_isotropy = tuple(_with_isotropy(outcomes, variant, source, options.seed))
    depth = _depth(dataset, variant, source, full_rankings)
    return Measurement(
        with_isotropy,
        depth,
        tuple(dict.fromkeys(skipped)),
        _full_length_ranking(variant, with_isotropy, full_rankings),
    )


def _full_length_ranking(
    variant: EncoderVariant, outcomes: Sequence[Outcome], full: Mapping[int, Ranking]
) -> FullLengthRanking | None:
    deepest = variant.manifest.depth
    reference = ("float", variant.manifest.dim, deepest, deepest, variant.nesting)
    for outcome in outcomes:
        setting = outcome.setting
        if (
            setting.form,
            setting.dim,
            setting.exit,
            setting.query_exit,
            setting.nesting,
        ) == reference and deepest in full:
            return FullLengthRanking(outcome, full[deepest])
    return None


def _settings(
    variant: EncoderVariant,
    search: PlannedSearch,
    ranking: Ranking,
    options: EvaluateOptions,
    probe: Probe,
    index: VectorIndex,
) -> Iterator[tuple[MeasuredSetting, Ranking, Ranking | None]]:
    """Each setting that a search answers: itself, its final ranking, and that before candidates were
    scored again."""
    cut, full_dim = search.form, variant.manifest.dim
    is_reference = cut.coding == "float" and cut.dim == full_dim and search.exit == variant.manifest.depth
    nesting: Nesting = "plain" if cut.unrotated else variant.nesting
    plain = MeasuredSetting(
        encoder=variant.manifest.name,
        precision=variant.manifest.precision,
        nesting=nesting,
        form=cut.coding,
        dim=cut.dim,
        exit=search.exit,
        query_exit=search.query_exit,
        bytes=searched_bytes(cut.coding, cut.dim),
        stored_bytes=stored_bytes(cut.coding, cut.dim, full_dim),
    )
    if cut.coding == "int8" or (cut.coding == "float" and ("float" in options.forms or is_reference)):
        yield plain, ranking, None
    form = _rescored_form(variant, search, options.forms)
    if form is not None:
        rescored = replace(
            plain,
            form=form,
            stored_bytes=stored_bytes(form, cut.dim, full_dim),
            rescore_dim=full_dim,
            candidates=options.candidates,
        )
        first = ranking[:, : options.candidates]
        yield rescored, index.rescore(probe.queries, first), first


def _rescored_form(variant: EncoderVariant, search: PlannedSearch, forms: Sequence[Form]) -> Form | None:
    """The form in which a search's candidates are scored again, None where they are not."""
    cut = search.form
    if cut.coding == "binary":
        return "binary"
    short = cut.coding == "float" and cut.dim < variant.manifest.dim and cut.dim in variant.dims
    return "shortlist" if short and "shortlist" in forms and search.exit == search.query_exit else None


def count_steps(variant: EncoderVariant, forms: Sequence[Form]) -> int:
    """How often ``measure`` advances at most: once a search, once more where candidates are scored again."""
    planned = plan_searches(variant, forms)
    return len(planned) + sum(_rescored_form(variant, search, forms) is not None for search in planned)


def _with_isotropy(
    outcomes: Sequence[Outcome], variant: EncoderVariant, source: VectorSource, seed: int
) -> Iterator[Outcome]:
    """The outcomes, those of floats with the isotropy of the documents that they searched."""
    samples: dict[int, Vectors] = {}
    for outcome in outcomes:
        setting = outcome.setting
        if setting.form != "float" or setting.exit != setting.query_exit:
            yield outcome
            continue
        if setting.exit not in samples:
            samples[setting.exit] = sample_vectors(source("document", setting.exit).vectors, seed)
        unrotated = variant.rotation is not None and setting.nesting == "plain"
        vectors = unrotate(
            samples[setting.exit], VectorForm("float", setting.dim, unrotated), variant.rotation
        )
        yield replace(outcome, isotropy=isotropy(vectors, setting.dim, seed))


def _depth(
    dataset: Dataset, variant: EncoderVariant, source: VectorSource, full_rankings: Mapping[int, Ranking]
) -> ConceptDepth | None:
    deepest = variant.manifest.depth
    if len(full_rankings) < 2 or deepest not in full_rankings:
        return None
    ndcg = {exit: per_query_metrics(dataset, ranking)["ndcg@10"] for exit, ranking in full_rankings.items()}
    vectors = source("query", deepest).vectors, source("document", deepest).vectors
    return concept_depth(ndcg, margins(dataset, *vectors, full_rankings[deepest]))


def memoize(source: VectorSource) -> VectorSource:
    """``source`` asked once for each side and exit."""
    results: dict[tuple[Side, int], Encoded] = {}

    def ask(side: Side, exit: int) -> Encoded:
        if (side, exit) not in results:
            results[side, exit] = source(side, exit)
        return results[side, exit]

    return ask
