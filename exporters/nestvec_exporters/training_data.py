"""Texts to train on: checked, each kept once, and a part held out."""

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

Kind = Literal["texts", "pairs", "triplets"]
Role = Literal["query", "document"]
Places = NDArray[np.intp]

COLUMNS: Final[dict[Kind, tuple[Role, ...]]] = {
    "texts": ("document",),
    "pairs": ("query", "document"),
    "triplets": ("query", "document", "document"),
}
"""What a row of each kind holds: a triplet is a query, a document that answers it and one that does not."""

LEAST: Final = 200
"""Different rows that a training run needs."""

MOST: Final = 200_000
"""Rows that are trained on; of more, so many are drawn by the seed. Each vector of theirs is kept."""

_HELD_OUT = 0.05
_LEAST_HELD_OUT = 50
_MOST_HELD_OUT = 500
_SHORT_WORDS = (4, 24)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class TrainingData:
    """Rows to train on, as they were read. ``name`` is what a record calls their origin.

    ``scores`` has a teacher's score of each row, or None: of a pair, how well its document answers its
    query; of a triplet, by how much its first document does so better than its second.
    """

    name: str
    kind: Kind
    rows: tuple[tuple[str, ...], ...]
    scores: tuple[float, ...] | None = None

    def digest(self) -> str:
        """SHA-256 of rows and scores, in hexadecimal."""
        found = hashlib.sha256(self.kind.encode())
        for row in self.rows:
            for text in row:
                data = text.encode("utf-8", "surrogatepass")
                found.update(len(data).to_bytes(8, "little") + data)
        found.update(np.asarray(self.scores or (), np.float64).tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Item:
    """A text, and as what it is embedded: an encoder may have a prompt for each role."""

    text: str
    role: Role


@dataclass(frozen=True)
class Prepared:
    """Different texts once each, and rows of places among them, (n, columns), split in two.

    Rows of kind texts are a document followed by short pieces of it, which stand for queries.
    """

    kind: Kind
    items: tuple[Item, ...]
    training: Places
    held_out: Places
    scores: NDArray[np.float32] | None
    held_out_scores: NDArray[np.float32] | None

    @property
    def documents(self) -> Places:
        """The document of each row to train on, (n,)."""
        return self.training[:, COLUMNS[self.kind].index("document")]


def prepare(data: TrainingData, seed: int) -> Prepared:
    """Check the data and split it. Raises TrainingDataUnusable."""
    kept = _kept(data)
    if len(kept) > MOST:
        kept = sorted(np.random.default_rng(seed).permutation(kept)[:MOST].tolist())
    _check_variety(data, kept)
    scores = _scores(data, kept)
    if data.kind == "texts":
        draw = np.random.default_rng(seed)
        texts = [data.rows[at][0] for at in kept]
        rows = [
            (Item(text, "document"), *(Item(one, "query") for one in pieces(text, draw))) for text in texts
        ]
    else:
        roles = COLUMNS[data.kind]
        rows = [tuple(map(Item, data.rows[at], roles)) for at in kept]
    places: dict[Item, int] = {}
    table = np.array([[places.setdefault(item, len(places)) for item in row] for row in rows], np.intp)
    training, held = _split(table[:, COLUMNS[data.kind].index("document")], seed)
    return Prepared(
        kind=data.kind,
        items=tuple(places),
        training=table[training],
        held_out=table[held],
        scores=None if scores is None else scores[training],
        held_out_scores=None if scores is None else scores[held],
    )


def pieces(text: str, draw: np.random.Generator) -> tuple[str, ...]:
    """Two pieces of a text as short as a question: its first sentence, and another by chance."""
    sentences = [one.split() for one in _SENTENCE_END.split(text.strip()) if one]
    other = _window(sentences[int(draw.integers(len(sentences)))], draw)
    first = sentences[0][: _SHORT_WORDS[1]] if len(sentences) > 1 else _window(sentences[0], draw)
    return " ".join(first), " ".join(other)


def _window(words: Sequence[str], draw: np.random.Generator) -> Sequence[str]:
    """Some words in a row, fewer than all where there are enough."""
    least, most = _SHORT_WORDS
    if len(words) <= least:
        return words
    length = int(draw.integers(least, min(most, len(words)) + 1))
    start = int(draw.integers(len(words) - length + 1))
    return words[start : start + length]


def _kept(data: TrainingData) -> list[int]:
    """The rows that are not blank anywhere, each once."""
    width = len(COLUMNS[data.kind])
    seen: set[tuple[str, ...]] = set()
    kept = []
    for at, row in enumerate(data.rows):
        if len(row) != width:
            raise TrainingDataUnusable(
                f"a row of {data.kind} in {data.name} does not have {width} texts",
                value=f"row {at + 1}: {len(row)}",
                next_step="Give each row the same columns.",
            )
        if row not in seen and all(text.strip() for text in row):
            seen.add(row)
            kept.append(at)
    return kept


def _check_variety(data: TrainingData, kept: Sequence[int]) -> None:
    counts = [len({data.rows[at][column] for at in kept}) for column in range(len(COLUMNS[data.kind]))]
    # Columns beyond the second are negatives, which may well repeat.
    fewest = min(counts[:2], default=0)
    if fewest < LEAST:
        raise TrainingDataUnusable(
            f"{data.name} has too few different {data.kind} to train on",
            value=f"{fewest} different, of {len(data.rows)} rows",
            next_step=f"Give at least {LEAST} that differ and are not blank; some thousands do best.",
        )


def _scores(data: TrainingData, kept: Sequence[int]) -> NDArray[np.float32] | None:
    if data.scores is None:
        return None
    if data.kind == "texts" or len(data.scores) != len(data.rows):
        raise TrainingDataUnusable(
            "a teacher's scores are of pairs or triplets, one a row",
            value=f"{len(data.scores)} scores, {len(data.rows)} {data.kind}",
            next_step="Give --pairs or --triplets with the score in each row.",
        )
    for at, score in enumerate(data.scores):
        if not math.isfinite(score):
            raise TrainingDataUnusable(
                f"a score in {data.name} is no finite number",
                value=f"row {at + 1}: {score}",
                next_step="Remove the row, or score it again.",
            )
    scores = np.asarray(data.scores, np.float32)[list(kept)]
    if np.ptp(scores) == 0:
        raise TrainingDataUnusable(
            f"the scores in {data.name} are all the same, so that they tell nothing",
            value=float(scores[0]),
            next_step="Name another column, or leave the scores out.",
        )
    return scores


def _split(documents: Places, seed: int) -> tuple[Places, Places]:
    """Places of the rows to train on and to hold out; rows of one document stay together."""
    groups = np.unique(documents)
    wanted = min(_MOST_HELD_OUT, max(_LEAST_HELD_OUT, round(len(groups) * _HELD_OUT)))
    held = np.isin(documents, np.random.default_rng(seed).permutation(groups)[:wanted])
    return np.flatnonzero(~held), np.flatnonzero(held)
