"""One encoder on one dataset: every setting searched, from vectors that are computed once an exit and cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from nestvec.evaluate.dataset import Dataset, Side
from nestvec.evaluate.depth import ConceptDepth, concept_depth, margins
from nestvec.evaluate.encode import Encoded
from nestvec.evaluate.forms import Cut, Form, Nesting, searched_bytes, stored_bytes
from nestvec.evaluate.geometry import Isotropy, isotropy, sample
from nestvec.evaluate.measures import CUTOFF, Measure, Scores, per_query
from nestvec.evaluate.search import Found, Index, Probe, based, without
from nestvec.evaluate.subject import Subject
from nestvec_schemas.vectors import Vectors

Source = Callable[[Side, int], Encoded]
"""The vectors of a dataset's queries or documents at an exit."""

OpenIndex = Callable[[Vectors, Vectors | None], AbstractContextManager[Index]]
"""An index over documents, (n, dim) float32, and the rotation that they went through."""


@dataclass(frozen=True)
class Setting:
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

    setting: Setting
    scores: Mapping[Measure, Scores]
    unrescored: Scores | None
    ms_per_text: float
    ms_per_query: float
    isotropy: Isotropy | None = None


@dataclass(frozen=True)
class Whole:
    """The outcome of an encoder's whole vectors at its deepest exit, and the ranking that it is of."""

    outcome: Outcome
    found: Found


@dataclass(frozen=True)
class Measured:
    """All outcomes of an encoder on a dataset; ``skipped`` are cuts that the index does not have."""

    outcomes: tuple[Outcome, ...]
    depth: ConceptDepth | None
    skipped: tuple[Cut, ...]
    whole: Whole | None = None


@dataclass(frozen=True)
class Options:
    """``candidates``: how many a short search hands on to be scored at full length; ``depth``: how many a
    whole one hands on to a reranker, 0 where there is none."""

    forms: tuple[Form, ...]
    candidates: int = 100
    seed: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Search:
    """One search to be made: queries of an exit against documents of an exit."""

    exit: int
    query_exit: int
    cut: Cut


def searches(subject: Subject, forms: Sequence[Form]) -> list[Search]:
    """All that has to be searched, the deepest documents first.

    The whole vector at the deepest exit is always there: the others are compared with it. Queries of
    shallower exits meet the deepest documents, too; vectors before the rotation are of the deepest exit.
    """
    depth, full = subject.manifest.depth, subject.manifest.dim
    short = subject.dims if {"float", "shortlist"} & set(forms) else ()
    floats = [Cut("float", dim) for dim in sorted({full, *short}, reverse=True)]
    coded = [Cut(form, dim) for form in ("int8", "binary") if form in forms for dim in subject.dims]
    found = []
    for exit in sorted({depth, *subject.exits}, reverse=True):
        cuts = [*floats, *coded] if exit in subject.exits else floats[:1]
        found += [Search(exit, exit, cut) for cut in cuts]
        if exit == depth and subject.rotation is not None:
            found += [Search(exit, exit, replace(cut, unrotated=True)) for cut in cuts]
        if exit == depth:
            found += [Search(exit, one, cut) for one in subject.exits if one != depth for cut in floats]
    return found


def measure(
    dataset: Dataset,
    subject: Subject,
    source: Source,
    open_index: OpenIndex,
    options: Options,
    advance: Callable[[int], None],
) -> Measured:
    """Search and score every setting of ``subject``; ``advance`` hears of the ``steps``."""
    wanted = searches(subject, options.forms)
    outcomes: list[Outcome] = []
    skipped: list[Cut] = []
    full: dict[int, Found] = {}
    for exit in dict.fromkeys(one.exit for one in wanted):
        documents = source("document", exit)
        here = [one for one in wanted if one.exit == exit]
        probes = [Probe(source("query", one.query_exit).vectors, one.cut) for one in here]
        spare = int((dataset.own >= 0).any())
        k = min(max(CUTOFF, options.candidates, options.depth), dataset.documents)
        with open_index(documents.vectors, subject.rotation) as index:
            answers = index.search(probes, min(k + spare, dataset.documents), advance)
            for search, probe, answer in zip(here, probes, answers, strict=True):
                if answer is None:
                    skipped.append(search.cut)
                    continue
                found = without(answer, dataset.own, k)
                if exit == subject.manifest.depth and search.cut == Cut("float", subject.manifest.dim):
                    full[search.query_exit] = found
                seconds = documents.seconds, source("query", search.query_exit).seconds
                for setting, ranking, first in _settings(subject, search, found, options, probe, index):
                    advance(int(first is not None))
                    scores = per_query(dataset, ranking)
                    unrescored = None if first is None else per_query(dataset, first)["ndcg@10"]
                    outcomes.append(
                        Outcome(setting, scores, unrescored, seconds[0] * 1000, seconds[1] * 1000)
                    )
    shaped = tuple(_with_isotropy(outcomes, subject, source, options.seed))
    depth = _depth(dataset, subject, source, full)
    return Measured(shaped, depth, tuple(dict.fromkeys(skipped)), _whole(subject, shaped, full))


def _whole(subject: Subject, outcomes: Sequence[Outcome], full: Mapping[int, Found]) -> Whole | None:
    deepest = subject.manifest.depth
    wanted = ("float", subject.manifest.dim, deepest, deepest, subject.nesting)
    for one in outcomes:
        of = one.setting
        if (of.form, of.dim, of.exit, of.query_exit, of.nesting) == wanted and deepest in full:
            return Whole(one, full[deepest])
    return None


def _settings(
    subject: Subject, search: Search, found: Found, options: Options, probe: Probe, index: Index
) -> Iterator[tuple[Setting, Found, Found | None]]:
    """Each setting that a search answers: itself, its final ranking, and that before candidates were
    scored again."""
    cut, full = search.cut, subject.manifest.dim
    whole = cut.coding == "float" and cut.dim == full and search.exit == subject.manifest.depth
    nesting: Nesting = "plain" if cut.unrotated else subject.nesting
    plain = Setting(
        encoder=subject.manifest.name,
        precision=subject.manifest.precision,
        nesting=nesting,
        form=cut.coding,
        dim=cut.dim,
        exit=search.exit,
        query_exit=search.query_exit,
        bytes=searched_bytes(cut.coding, cut.dim),
        stored_bytes=stored_bytes(cut.coding, cut.dim, full),
    )
    if cut.coding == "int8" or (cut.coding == "float" and ("float" in options.forms or whole)):
        yield plain, found, None
    form = _rescored(subject, search, options.forms)
    if form is not None:
        rescored = replace(
            plain,
            form=form,
            stored_bytes=stored_bytes(form, cut.dim, full),
            rescore_dim=full,
            candidates=options.candidates,
        )
        first = found[:, : options.candidates]
        yield rescored, index.rescore(probe.queries, first), first


def _rescored(subject: Subject, search: Search, forms: Sequence[Form]) -> Form | None:
    """The form in which a search's candidates are scored again, None where they are not."""
    cut = search.cut
    if cut.coding == "binary":
        return "binary"
    short = cut.coding == "float" and cut.dim < subject.manifest.dim and cut.dim in subject.dims
    return "shortlist" if short and "shortlist" in forms and search.exit == search.query_exit else None


def steps(subject: Subject, forms: Sequence[Form]) -> int:
    """How often ``measure`` advances at most: once a search, once more where candidates are scored again."""
    wanted = searches(subject, forms)
    return len(wanted) + sum(_rescored(subject, one, forms) is not None for one in wanted)


def _with_isotropy(
    outcomes: Sequence[Outcome], subject: Subject, source: Source, seed: int
) -> Iterator[Outcome]:
    """The outcomes, those of floats with the isotropy of the documents that they searched."""
    samples: dict[int, Vectors] = {}
    for outcome in outcomes:
        setting = outcome.setting
        if setting.form != "float" or setting.exit != setting.query_exit:
            yield outcome
            continue
        if setting.exit not in samples:
            samples[setting.exit] = sample(source("document", setting.exit).vectors, seed)
        unrotated = subject.rotation is not None and setting.nesting == "plain"
        vectors = based(samples[setting.exit], Cut("float", setting.dim, unrotated), subject.rotation)
        yield replace(outcome, isotropy=isotropy(vectors, setting.dim, seed))


def _depth(
    dataset: Dataset, subject: Subject, source: Source, full: Mapping[int, Found]
) -> ConceptDepth | None:
    deepest = subject.manifest.depth
    if len(full) < 2 or deepest not in full:
        return None
    ndcg = {exit: per_query(dataset, found)["ndcg@10"] for exit, found in full.items()}
    vectors = source("query", deepest).vectors, source("document", deepest).vectors
    return concept_depth(ndcg, margins(dataset, *vectors, full[deepest]))


def memorised(source: Source) -> Source:
    """``source`` asked once for each side and exit."""
    known: dict[tuple[Side, int], Encoded] = {}

    def ask(side: Side, exit: int) -> Encoded:
        if (side, exit) not in known:
            known[side, exit] = source(side, exit)
        return known[side, exit]

    return ask
