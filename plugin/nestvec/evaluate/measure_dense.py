"""One encoder on one dataset: every setting searched, from vectors that are computed once per exit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from nestvec.datasets.beir import Dataset, Side
from nestvec.evaluate.metrics.concept_depth import ConceptDepth, concept_depth, margins
from nestvec.evaluate.metrics.isotropy import isotropy, sample_vectors
from nestvec.evaluate.metrics.ranking import RANKING_DEPTH, per_query_metrics
from nestvec.evaluate.outcomes import (
    EvaluateOptions,
    FullLengthRanking,
    MeasuredSetting,
    Measurement,
    Outcome,
    Rescoring,
    VectorSize,
)
from nestvec.evaluate.search.exact import (
    OpenIndex,
    QuerySet,
    Ranking,
    VectorIndex,
    drop_own_documents,
    unrotate,
)
from nestvec.evaluate.search.forms import VectorForm, searched_bytes, stored_bytes
from nestvec.evaluate.search_plan import PlannedSearch, plan_searches, rescored_form
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import Encoded, VectorSource
from nestvec_schemas.vectors import Vectors


def measure_dense(
    dataset: Dataset,
    variant: EncoderVariant,
    source: VectorSource,
    open_index: OpenIndex,
    options: EvaluateOptions,
    advance: Callable[[int], None],
) -> Measurement:
    """Search and score every setting of ``variant``; ``advance`` is called with each step done."""
    planned = plan_searches(variant, options.forms)
    deepest = variant.manifest.depth
    full_length = VectorForm("float", variant.manifest.dim)
    outcomes: list[Outcome] = []
    skipped: list[VectorForm] = []
    full_rankings: dict[int, Ranking] = {}
    for exit in dict.fromkeys(search.exit for search in planned):
        searches = [search for search in planned if search.exit == exit]
        probes = [QuerySet(source("query", search.query_exit).vectors, search.form) for search in searches]
        with open_index(source("document", exit).vectors, variant.rotation) as index:
            rankings = _search(dataset, index, probes, options, advance)
            for search, probe, ranking in zip(searches, probes, rankings, strict=True):
                if ranking is None:
                    skipped.append(search.form)
                    continue
                if exit == deepest and search.form == full_length:
                    full_rankings[search.query_exit] = ranking
                scored = _settings(variant, search, ranking, options, probe, index)
                outcomes += _outcomes(dataset, search, scored, source, advance)
    with_isotropy = tuple(_with_isotropy(outcomes, variant, source, options.seed))
    return Measurement(
        outcomes=with_isotropy,
        concept_depth=_concept_depth(dataset, variant, source, full_rankings),
        skipped=tuple(dict.fromkeys(skipped)),
        full_length=_full_length_ranking(variant, with_isotropy, full_rankings.get(deepest)),
    )


def _search(
    dataset: Dataset,
    index: VectorIndex,
    probes: Sequence[QuerySet],
    options: EvaluateOptions,
    advance: Callable[[int], None],
) -> list[Ranking | None]:
    """A ranking per probe, without the documents that are the query itself; None if it cannot be searched."""
    own = dataset.queries.own_documents
    spare = int((own >= 0).any())
    k = min(max(RANKING_DEPTH, options.candidates, options.rerank_depth), dataset.document_count)
    rankings = index.search(probes, min(k + spare, dataset.document_count), advance)
    return [None if ranking is None else drop_own_documents(ranking, own, k) for ranking in rankings]


def _settings(
    variant: EncoderVariant,
    search: PlannedSearch,
    ranking: Ranking,
    options: EvaluateOptions,
    probe: QuerySet,
    index: VectorIndex,
) -> Iterator[tuple[MeasuredSetting, Ranking, Ranking | None]]:
    """The settings that a search answers, each with its final ranking and the one before rescoring."""
    form, full_dim = search.form, variant.manifest.dim
    is_reference = (
        form == VectorForm("float", full_dim, form.unrotated) and search.exit == variant.manifest.depth
    )
    searched = searched_bytes(form.coding, form.dim)
    plain = MeasuredSetting(
        encoder=variant.name,
        precision=variant.manifest.precision,
        nesting="plain" if form.unrotated else variant.nesting,
        form=form.coding,
        dim=form.dim,
        exit=search.exit,
        query_exit=search.query_exit,
        size=VectorSize(searched, stored_bytes(form.coding, form.dim, full_dim)),
    )
    if form.coding == "int8" or (form.coding == "float" and ("float" in options.forms or is_reference)):
        yield plain, ranking, None
    rescored = rescored_form(variant, search, options.forms)
    if rescored is not None:
        setting = replace(
            plain,
            form=rescored,
            size=VectorSize(searched, stored_bytes(rescored, form.dim, full_dim)),
            rescoring=Rescoring(options.candidates, dim=full_dim),
        )
        candidates = ranking[:, : options.candidates]
        yield setting, index.rescore(probe.queries, candidates), candidates


def _outcomes(
    dataset: Dataset,
    search: PlannedSearch,
    scored: Iterator[tuple[MeasuredSetting, Ranking, Ranking | None]],
    source: VectorSource,
    advance: Callable[[int], None],
) -> Iterator[Outcome]:
    for setting, ranking, candidates in scored:
        advance(int(candidates is not None))
        yield Outcome(
            setting,
            scores=per_query_metrics(dataset, ranking),
            unrescored=None if candidates is None else per_query_metrics(dataset, candidates)["ndcg@10"],
            ms_per_text=source("document", search.exit).seconds * 1000,
            ms_per_query=source("query", search.query_exit).seconds * 1000,
        )


def _full_length_ranking(
    variant: EncoderVariant, outcomes: Sequence[Outcome], ranking: Ranking | None
) -> FullLengthRanking | None:
    deepest = variant.manifest.depth
    for outcome in outcomes:
        setting = outcome.setting
        symmetric = setting.exit == setting.query_exit == deepest and setting.nesting == variant.nesting
        if (
            ranking is not None
            and symmetric
            and (setting.form, setting.dim) == ("float", variant.manifest.dim)
        ):
            return FullLengthRanking(outcome, ranking)
    return None


def _with_isotropy(
    outcomes: Sequence[Outcome], variant: EncoderVariant, source: VectorSource, seed: int
) -> Iterator[Outcome]:
    """The outcomes; those of float vectors with the isotropy of the documents that were searched."""
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


def _concept_depth(
    dataset: Dataset, variant: EncoderVariant, source: VectorSource, full_rankings: Mapping[int, Ranking]
) -> ConceptDepth | None:
    deepest = variant.manifest.depth
    if len(full_rankings) < 2 or deepest not in full_rankings:
        return None
    ndcg = {exit: per_query_metrics(dataset, ranking)["ndcg@10"] for exit, ranking in full_rankings.items()}
    vectors = source("query", deepest).vectors, source("document", deepest).vectors
    return concept_depth(ndcg, margins(dataset, *vectors, full_rankings[deepest]))


def memoize(source: VectorSource) -> VectorSource:
    """``source``, called once for each side and exit."""
    results: dict[tuple[Side, int], Encoded] = {}

    def cached(side: Side, exit: int) -> Encoded:
        if (side, exit) not in results:
            results[side, exit] = source(side, exit)
        return results[side, exit]

    return cached
