"""How the figures of the report were measured, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nestvec.evaluate.rows import ResultRow

_FORMS: Final = {
    "sparse": "sparse: all inner products of the weights of words. dim: how many weights a document keeps "
    "at most; bytes: of its weights on average, 8 each.",
    "reranked": "reranked: the first documents of the full-length ranking, ordered by the reranker; the "
    "others follow in their order. The reranker's time is in ms_per_query of the JSON.",
}


def method_lines(rows: Sequence[ResultRow]) -> Iterator[str]:
    """The lines that these rows need."""
    through = "every similarity is computed" if rows[0]["through"] == "exact" else "through a real Milvus"
    yield (
        "nDCG@10 (linear gains), Recall@100 and MRR@10 by trec_eval; intervals by 1,000 bootstrap samples of "
        "the queries, paired for what is kept."
    )
    yield (
        f"Searches: {through}. Times are the encoder's alone, in batches, on the machine that ran the "
        "evaluation."
    )
    yield (
        "int8: one scale per vector. binary: signs of the first numbers, Hamming distance, and candidates "
        "rescored by full-length float vectors. shortlist: the same after a search of short float vectors. "
        "bytes: searched; stored: including the full-length vector where candidates are rescored."
    )
    forms = {row["form"] for row in rows}
    yield from (line for form, line in _FORMS.items() if form in forms)
    if any(row["direction"] for row in rows):
        yield (
            "R@1, R@5, R@10: queries with a relevant result among the first. All images that share a caption "
            "are relevant for it, and it is relevant for each of them."
        )
