"""Learn what the tokens of a collection are in the old space, from its texts by both encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from nestvec_exporters.space_maps.closed_form import ridge_solver
from nestvec_exporters.space_maps.mapping import PairedVectors, Rows, TokenTable
from nestvec_schemas.vectors import Vectors

TokenRows = Sequence[Sequence[int]]
"""The ids of each text's tokens."""

_PENALTY: Final = 1.0
"""On the squares of what is added to a token's vector, beside the squares of what the texts are missed by:
held-out queries of SciFact and Cranfield found about the most with it, of 0.3, 1, 3, 10 and 30."""

_ROUNDS: Final = 3
_STEPS_PER_ROUND: Final = 5

_TINY: Final = 1e-12


@dataclass(frozen=True)
class TokenTexts:
    """The tokens of a sample's texts, and the table that their sums were made with."""

    table: TokenTable

    documents: TokenRows

    queries: TokenRows

    def at(self, documents: Rows, queries: Rows) -> list[Sequence[int]]:
        """The tokens of some documents, and of some queries behind them."""
        return [self.documents[row] for row in documents] + [self.queries[row] for row in queries]


def learn_token_table(
    table: TokenTable, tokens: TokenRows, texts: PairedVectors, ridge_weight: float
) -> TokenTable:
    """A table whose sums are nearer to the old vectors of ``texts`` than those of ``table`` are.

    The old encoder's vector of a token alone is not what the token adds to a text: the sample's names have
    capitals that the new tokenizer drops, pieces stand for words, and some tokens weigh more than others. By
    least squares with penalties, old vectors are a linear map of new ones and of sums of tokens, and a
    correction for each token that occurs; the corrected tokens, through that map, are the new table. The two
    parts are solved in turns, the second by conjugate gradients (Hestenes & Stiefel 1952). Tokens that do not
    occur are mapped only.
    """
    import torch  # noqa: PLC0415 - seconds of imports

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums then do not depend on the number of cores
    try:
        own = table.astype(np.float32)
        occurring = np.concatenate([np.asarray(row, np.intp) for row in tokens])
        present, columns = np.unique(occurring, return_inverse=True)
        unit = float(np.linalg.norm(own[present], axis=1).mean())
        counts = _Counts.of(tokens, columns, len(present))
        sums = counts.sums(torch.from_numpy(own[present])).numpy()
        lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), _TINY)
        inputs = np.concatenate([texts.new, sums / lengths], axis=1)
        solve = ridge_solver(inputs, ridge_weight * len(inputs) / texts.new.shape[1])
        added = _corrections(counts.weighted(unit / lengths[:, 0]), inputs, texts.old, solve)
        matrix = solve(texts.old - added.fitted)[texts.new.shape[1] :]
    finally:
        torch.set_num_threads(threads)
    learned = own @ matrix.astype(np.float32)
    learned[present] += unit * added.values
    return learned.astype(np.float16)


@dataclass(frozen=True)
class _Corrections:
    values: Vectors
    """(tokens, d)."""

    fitted: Vectors
    """(texts, d): what they add to each text."""


def _corrections(counts: _Counts, inputs: Vectors, old: Vectors, solve: Any) -> _Corrections:
    """What is added to each token beside the map of ``inputs`` that ``solve`` gives."""
    import torch  # noqa: PLC0415

    diagonal = counts.squares() + _PENALTY
    values = torch.zeros(len(diagonal), old.shape[1])
    fitted = np.zeros_like(old)
    for _ in range(_ROUNDS):
        missed = torch.from_numpy(old - inputs @ solve(old - fitted).astype(np.float32))
        values = _conjugate_gradients(counts, missed, values, diagonal)
        fitted = counts.sums(values).numpy()
    return _Corrections(values.numpy(), fitted)


def _conjugate_gradients(counts: _Counts, target: Any, values: Any, diagonal: Any) -> Any:
    """A few steps towards the least squares of ``counts.sums(values) - target``, from ``values``, each column
    by itself."""
    residual = counts.sums_of_texts(target - counts.sums(values)) - _PENALTY * values
    scaled = residual / diagonal[:, None]
    direction, size = scaled, (residual * scaled).sum(0)
    for _ in range(_STEPS_PER_ROUND):
        product = counts.sums_of_texts(counts.sums(direction)) + _PENALTY * direction
        step = size / (direction * product).sum(0).clamp_min(_TINY)
        values = values + step * direction
        residual = residual - step * product
        scaled = residual / diagonal[:, None]
        next_size = (residual * scaled).sum(0)
        direction = scaled + next_size / size.clamp_min(_TINY) * direction
        size = next_size
    return values


@dataclass(frozen=True)
class _Counts:
    """How often each token occurs in each text, as tensors: a line for each occurrence."""

    texts: Any
    tokens: Any
    weights: Any
    text_starts: Any
    token_starts: Any
    by_token: Any
    """The lines in the order of their tokens."""

    @classmethod
    def of(cls, rows: TokenRows, columns: Rows, width: int) -> _Counts:
        """``columns`` are the tokens of all ``rows``, one after the other, below ``width``."""
        import torch  # noqa: PLC0415

        lengths = np.array([len(row) for row in rows])
        totals = np.bincount(columns, minlength=width)
        arrays = (
            np.repeat(np.arange(len(rows)), lengths),
            columns,
            np.ones(len(columns), np.float32),
            np.cumsum(lengths) - lengths,
            np.cumsum(totals) - totals,
            np.argsort(columns, kind="stable"),
        )
        return cls(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))

    def weighted(self, weights: Vectors) -> _Counts:
        """The same with a weight, (texts,), of each text."""
        import torch  # noqa: PLC0415

        return replace(self, weights=torch.from_numpy(weights.astype(np.float32))[self.texts])

    def sums(self, values: Any) -> Any:
        """Of each text, the sum of its tokens' ``values``, (tokens, d)."""
        return self._summed(self.tokens, values, self.text_starts, self.weights)

    def sums_of_texts(self, values: Any) -> Any:
        """Of each token, the sum of ``values``, (texts, d), of the texts that it occurs in."""
        return self._summed(self.texts[self.by_token], values, self.token_starts, self.weights[self.by_token])

    def squares(self) -> Any:
        """Of each token, the sum of the squares of its weights, (tokens,)."""
        ones = self.weights.new_ones(len(self.text_starts), 1)
        lines = self.by_token
        return self._summed(self.texts[lines], ones, self.token_starts, self.weights[lines] ** 2)[:, 0]

    @staticmethod
    def _summed(lines: Any, values: Any, starts: Any, weights: Any) -> Any:
        from torch.nn.functional import embedding_bag  # noqa: PLC0415

        return embedding_bag(lines, values, starts, mode="sum", per_sample_weights=weights)
