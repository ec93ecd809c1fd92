"""What a measurement returns: settings and their outcomes, and the options of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nestvec.evaluate.metrics.concept_depth import ConceptDepth
from nestvec.evaluate.metrics.isotropy import Isotropy
from nestvec.evaluate.metrics.ranking import Metric, Scores
from nestvec.evaluate.search.exact import Ranking
from nestvec.evaluate.search.forms import Form, Nesting, VectorForm


@dataclass(frozen=True)
class EvaluateOptions:
    """How every encoder is measured."""

    forms: tuple[Form, ...]
    """The forms of dense vectors that are searched."""

    candidates: int = 100
    """Documents of a short search that are rescored at full length."""

    seed: int = 0
    """Of the bootstrap and of the sample for isotropy."""

    rerank_depth: int = 0
    """Documents of a full-length ranking that a reranker scores; 0 without a reranker."""


@dataclass(frozen=True)
class VectorSize:
    """Bytes of one vector; of a sparse encoder, of a document's weights on average."""

    searched: int
    """That a search reads."""

    stored: int
    """That are stored, for rescoring as well."""


@dataclass(frozen=True)
class Rescoring:
    """What scores the first documents of a ranking again."""

    candidates: int
    """How many of them."""

    dim: int | None = None
    """Dims of the float vectors that rescore them; None for a reranker."""

    reranker: str | None = None
    """The name of the encoder that reranks them."""


@dataclass(frozen=True)
class MeasuredSetting:
    """One way to encode and to search."""

    encoder: str
    precision: str
    nesting: Nesting
    form: Form | Literal["sparse", "reranked"]

    dim: int
    """Length of the vectors that are searched; of a sparse encoder, the most weights of a document."""

    exit: int
    """The layer after which documents leave the encoder."""

    query_exit: int
    """The same for queries."""

    size: VectorSize
    rescoring: Rescoring | None = None


@dataclass(frozen=True)
class Outcome:
    """A setting, and how well it ranks."""

    setting: MeasuredSetting

    scores: Mapping[Metric, Scores]
    """Of each query, (q,) float64 per metric."""

    unrescored: Scores | None
    """nDCG@10 before candidates are rescored; None if none are."""

    ms_per_text: float
    """The encoder's time for a document."""

    ms_per_query: float
    """The encoder's time for a query, including the reranker's if there is one."""

    isotropy: Isotropy | None = None
    """Of the documents' float vectors at this dim."""


@dataclass(frozen=True)
class FullLengthRanking:
    """The outcome of an encoder's full-length vectors at its deepest exit, and the ranking behind it."""

    outcome: Outcome
    ranking: Ranking


@dataclass(frozen=True)
class Measurement:
    """All outcomes of an encoder on a dataset."""

    outcomes: tuple[Outcome, ...]
    concept_depth: ConceptDepth | None

    skipped: tuple[VectorForm, ...]
    """Forms that the index cannot store."""

    full_length: FullLengthRanking | None = None
    """What a reranker starts from; None if full-length vectors were not searched."""
