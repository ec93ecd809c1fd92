"""One encoder on one dataset: every setting searched, from vectors that are computed once an exit and cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
from nestvec.evaluate.search.exact import OpenIndex, Probe, Ranking, VectorIndex, drop_own_documents, unrotate
from nestvec.evaluate.search.forms import Form, Nesting, VectorForm, searched_bytes, stored_bytes
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import Encoded, VectorSource
from nestvec_schemas.vectors import Vectors


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
        spare = int((dataset.queries.own_documents >= 0).any())
        k = min(max(RANKING_DEPTH, options.candidates, options.rerank_depth), dataset.document_count)
        with open_index(documents.vectors, variant.rotation) as index:
            answers = index.search(probes, min(k + spare, dataset.document_count), advance)
            for search, probe, answer in zip(exit_searches, probes, answers, strict=True):
                if answer is None:
                    skipped.append(search.form)
                    continue
                query_ranking = drop_own_documents(answer, dataset.queries.own_documents, k)
                if exit == variant.manifest.depth and search.form == VectorForm(
                    "float", variant.manifest.dim
                ):
                    full_rankings[search.query_exit] = query_ranking
                seconds = documents.seconds, source("query", search.query_exit).seconds
                for setting, final, first in _settings(variant, search, query_ranking, options, probe, index):
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
    searched = searched_bytes(cut.coding, cut.dim)
    plain = MeasuredSetting(
        encoder=variant.manifest.name,
        precision=variant.manifest.precision,
        nesting=nesting,
        form=cut.coding,
        dim=cut.dim,
        exit=search.exit,
        query_exit=search.query_exit,
        size=VectorSize(searched, stored_bytes(cut.coding, cut.dim, full_dim)),
    )
    if cut.coding == "int8" or (cut.coding == "float" and ("float" in options.forms or is_reference)):
        yield plain, ranking, None
    form = _rescored_form(variant, search, options.forms)
    if form is not None:
        rescored = replace(
            plain,
            form=form,
            size=VectorSize(searched, stored_bytes(form, cut.dim, full_dim)),
            rescoring=Rescoring(options.candidates, dim=full_dim),
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
