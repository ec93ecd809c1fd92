"""Texts to train on: checked, deduplicated, with a part held out."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import TrainingDataUnusable

DataKind = Literal["texts", "pairs", "triplets"]
Role = Literal["query", "document"]
Indices = NDArray[np.intp]

COLUMNS: Final[dict[DataKind, tuple[Role, ...]]] = {
    "texts": ("document",),
    "pairs": ("query", "document"),
    "triplets": ("query", "document", "document"),
}
"""The roles in a row: a triplet is a query, a document that answers it and one that does not."""

MIN_ROWS: Final = 200
"""The distinct rows that a training run needs."""

MAX_ROWS: Final = 200_000
"""The most rows that are trained on; more are sampled by the seed. All their vectors are kept in memory."""

_HELD_OUT_SHARE = 0.05
_MIN_HELD_OUT = 50
_MAX_HELD_OUT = 500
_SNIPPET_WORDS = (4, 24)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, as they were read."""

    name: str
    """Their origin, for records."""

    kind: DataKind
    rows: tuple[tuple[str, ...], ...]

    scores: tuple[float, ...] | None = None
    """A teacher's score of each row: how well a pair's document answers its query, or how much better a
    triplet's first document does than its second."""

    def digest(self) -> str:
        """SHA-256 of rows and scores, in hexadecimal."""
        sha = hashlib.sha256(self.kind.encode())
        for row in self.rows:
            for text in row:
                data = text.encode("utf-8", "surrogatepass")
                sha.update(len(data).to_bytes(8, "little") + data)
        sha.update(np.asarray(self.scores or (), np.float64).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class RoleText:
    """A text with its role, which selects the encoder's prompt."""

    text: str
    role: Role


@dataclass(frozen=True)
class PreparedTexts:
    """Distinct texts, and rows of their indices, split into training and held-out rows."""

    kind: DataKind

    texts: tuple[RoleText, ...]
    """All distinct texts."""

    training: Indices
    """Rows of indices of ``texts``, (n, columns); of texts alone, each with snippets in place of queries."""

    held_out: Indices
    """The same of the held-out rows."""

    scores: NDArray[np.float32] | None
    """A teacher's scores of the training rows."""

    held_out_scores: NDArray[np.float32] | None
    """A teacher's scores of the held-out rows."""

    @property
    def documents(self) -> Indices:
        """The document of each training row, (n,)."""
        return self.training[:, COLUMNS[self.kind].index("document")]


def prepare_texts(data: TrainingData, seed: int) -> PreparedTexts:
    """Check the data and split it. Raises TrainingDataUnusable."""
    row_indices = _usable_rows(data)
    if len(row_indices) > MAX_ROWS:
        row_indices = sorted(np.random.default_rng(seed).permutation(row_indices)[:MAX_ROWS].tolist())
    _check_variety(data, row_indices)
    scores = _scores(data, row_indices)
    if data.kind == "texts":
        rng = np.random.default_rng(seed)
        texts = [data.rows[index][0] for index in row_indices]
        rows = [
            (
                RoleText(text, "document"),
                *(RoleText(snippet, "query") for snippet in query_snippets(text, rng)),
            )
            for text in texts
        ]
    else:
        roles = COLUMNS[data.kind]
        rows = [tuple(map(RoleText, data.rows[index], roles)) for index in row_indices]
    index_of: dict[RoleText, int] = {}
    indices = np.array([[index_of.setdefault(item, len(index_of)) for item in row] for row in rows], np.intp)
    training, held_out = _split(indices[:, COLUMNS[data.kind].index("document")], seed)
    return PreparedTexts(
        kind=data.kind,
        texts=tuple(index_of),
        training=indices[training],
        held_out=indices[held_out],
        scores=None if scores is None else scores[training],
        held_out_scores=None if scores is None else scores[held_out],
    )


def query_snippets(text: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Two snippets of a text as short as a question: its first sentence, and a random one."""
    sentences = [sentence.split() for sentence in _SENTENCE_END.split(text.strip()) if sentence]
    other = _random_window(sentences[int(rng.integers(len(sentences)))], rng)
    first = sentences[0][: _SNIPPET_WORDS[1]] if len(sentences) > 1 else _random_window(sentences[0], rng)
    return " ".join(first), " ".join(other)


def _random_window(words: Sequence[str], rng: np.random.Generator) -> Sequence[str]:
    """Some consecutive words, fewer than all if there are enough."""
    min_words, max_words = _SNIPPET_WORDS
    if len(words) <= min_words:
        return words
    length = int(rng.integers(min_words, min(max_words, len(words)) + 1))
    start = int(rng.integers(len(words) - length + 1))
    return words[start : start + length]


def _usable_rows(data: TrainingData) -> list[int]:
    """The distinct rows without blank texts."""
    width = len(COLUMNS[data.kind])
    unique_rows: set[tuple[str, ...]] = set()
    row_indices = []
    for index, row in enumerate(data.rows):
        if len(row) != width:
            raise TrainingDataUnusable(
                f"a row of {data.kind} in {data.name} does not have {width} texts",
                value=f"row {index + 1}: {len(row)}",
                next_step="Give each row the same columns.",
            )
        if row not in unique_rows and all(text.strip() for text in row):
            unique_rows.add(row)
            row_indices.append(index)
    return row_indices


def _check_variety(data: TrainingData, row_indices: Sequence[int]) -> None:
    counts = [
        len({data.rows[index][column] for index in row_indices}) for column in range(len(COLUMNS[data.kind]))
    ]
    # Columns after the second are negatives, which can repeat.
    fewest = min(counts[:2], default=0)
    if fewest < MIN_ROWS:
        raise TrainingDataUnusable(
            f"{data.name} has too few distinct {data.kind} to train on",
            value=f"{fewest} distinct, of {len(data.rows)} rows",
            next_step=f"Give at least {MIN_ROWS} that differ and are not blank; a few thousand are best.",
        )


def _scores(data: TrainingData, row_indices: Sequence[int]) -> NDArray[np.float32] | None:
    if data.scores is None:
        return None
    if data.kind == "texts" or len(data.scores) != len(data.rows):
        raise TrainingDataUnusable(
            "a teacher's scores belong to pairs or triplets, one per row",
            value=f"{len(data.scores)} scores, {len(data.rows)} {data.kind}",
            next_step="Give --pairs or --triplets with the score in each row.",
        )
    for index, score in enumerate(data.scores):
        if not math.isfinite(score):
            raise TrainingDataUnusable(
                f"a score in {data.name} is not a finite number",
                value=f"row {index + 1}: {score}",
                next_step="Remove the row, or score it again.",
            )
    scores = np.asarray(data.scores, np.float32)[list(row_indices)]
    if np.ptp(scores) == 0:
        raise TrainingDataUnusable(
            f"the scores in {data.name} are all the same",
            value=float(scores[0]),
            next_step="Name another column, or omit the scores.",
        )
    return scores


def _split(documents: Indices, seed: int) -> tuple[Indices, Indices]:
    """The indices of training rows and of held-out rows; rows with the same document stay together."""
    unique_documents = np.unique(documents)
    count = min(_MAX_HELD_OUT, max(_MIN_HELD_OUT, round(len(unique_documents) * _HELD_OUT_SHARE)))
    is_held_out = np.isin(documents, np.random.default_rng(seed).permutation(unique_documents)[:count])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
