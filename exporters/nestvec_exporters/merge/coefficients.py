"""Coefficients of a merge found by gradient: one for each term and block, the weights themselves untouched.

aTLAS (Zhang et al. 2024, "Knowledge Composition using Task Vectors with Learned Anisotropic Scaling"). A
block is a layer, what comes before the layers, or what comes after them, as in an expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, normalize

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.merge.merge import checked
from nestvec_exporters.merge.weight_files import Tensor as Stored
from nestvec_exporters.merge_expression import Coefficients, Expression, read_expression
from nestvec_exporters.options import Fit, Merge
from nestvec_exporters.training_data import Item, Places, Prepared, prepare
from nestvec_schemas.errors import TrainingFailed

SCALE: Final = 20.0
"""What cosines are multiplied by before a softmax; sentence-transformers' own."""

_RATE, _DECAY = 0.02, 0.1
"""AdamW's; the decay draws what no pair speaks for to 0."""

_TOKENS: Final = 128
"""Tokens of a text that are read: coefficients need no more."""

_PASS: Final = 32
_PLAIN = re.compile(r"[A-Za-z0-9_./]+")


@dataclass(frozen=True)
class Fitted:
    """The merge with the coefficients that were found, as an expression that ``merged`` takes as it is.

    ``before`` and ``after`` are the mean reciprocal rank of a held-out query's own document among all
    ``held_out`` ones: with the coefficients that the expression began with, and with those found.
    """

    expression: str
    before: float
    after: float
    held_out: int

    def __str__(self) -> str:
        return (
            f"{self.expression} (reciprocal rank of {self.held_out} held-out rows: {self.before:.3f} before, "
            f"{self.after:.3f} after)"
        )


def fit(asked: Merge, how: Fit, step: Callable[[int, int], None] = lambda done, total: None) -> Fitted:
    """Find a coefficient for each term and block of a merge, beginning with those of its expression.

    The loss is that of multiple negatives (van den Oord et al. 2018) both ways: of a pair, each text is to be
    nearer to the other than to the rest of the batch; a text alone is paired with a piece of it. The same
    data and seed give the same coefficients. ``step`` hears of each step. Raises as ``merged`` does, and
    TrainingDataUnusable, TrainingFailed.
    """
    data = prepare(how.data, how.seed)
    weights = _Weights(asked)
    held = _pairs(data, data.held_out)
    before = _rank(weights, data, held, weights.start)
    found = _descended(weights, data, how, step)
    written = _written(read_expression(asked.expression), found, layered=weights.layers > 0)
    # As they are written: what is measured is what a merge of the expression gives.
    read = torch.tensor([_blocks(one.coefficients, weights.layers) for one in read_expression(written).terms])
    return Fitted(written, before, _rank(weights, data, held, read), len(held))


def _pairs(data: Prepared, rows: Places) -> Places:
    """A query and its document, (n, 2); of a text the first piece of it and the whole."""
    return rows[:, [1, 0]] if data.kind == "texts" else rows[:, :2]


def _descended(
    weights: _Weights, data: Prepared, how: Fit, step: Callable[[int, int], None]
) -> Sequence[Sequence[float]]:
    """The coefficients of each term after ``how.steps`` of AdamW, those of a term in the order of blocks."""
    coefficients = nn.Parameter(weights.start.clone())
    optimiser = torch.optim.AdamW([coefficients], lr=_RATE, weight_decay=_DECAY)
    draw = np.random.default_rng(how.seed)
    rows = _pairs(data, data.training)
    for done in range(how.steps):
        batch = rows[draw.permutation(len(rows))[: how.batch]]
        merged = weights.merged(coefficients)
        queries, documents = (weights.embed(data, batch[:, column], merged) for column in (0, 1))
        cosines = SCALE * queries @ documents.T
        target = torch.arange(len(batch))
        loss = (cross_entropy(cosines, target) + cross_entropy(cosines.T, target)) / 2
        if not torch.isfinite(loss):
            raise TrainingFailed(
                "the coefficients of the merge went where the loss is no number",
                value=f"step {done + 1} of {how.steps}",
                next_step="Begin with smaller coefficients, and check that no checkpoint holds NaN.",
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step(done + 1, how.steps)
    found: list[list[float]] = coefficients.detach().tolist()
    return found


class _Weights:
    """A loaded base, and by parameter what each term adds to it and the block that its coefficient is of."""

    def __init__(self, asked: Merge) -> None:
        expression, base, others, self.layers = checked(asked.expression, asked.names)
        self.source = sources.load(base)
        self.model: Any = self.source.model
        self.model.max_seq_length = min(self.model.max_seq_length or _TOKENS, _TOKENS)
        self.model.requires_grad_(False)
        terms = [dict(sources.load(one).model.named_parameters()) for one in others]
        self._own = dict(self.model.named_parameters())
        with torch.no_grad():
            self._differences = {
                name: torch.stack([term[name] - own for term in terms]) for name, own in self._own.items()
            }
        self._places = {name: self._block(name) for name in self._own}
        start = [_blocks(one.coefficients, self.layers) for one in expression.terms]
        self.start = torch.tensor(start)

    def _block(self, name: str) -> int:
        """Before the layers is 0, a layer its number from 1 on, after them the last."""
        module, _, rest = name.partition(".")
        stored = Stored(Path(), rest, "F32", ())
        if not self.layers or (module == "0" and stored.embedding):
            return 0
        layer = stored.layer if module == "0" else None
        return self.layers + 1 if layer is None else layer + 1

    def merged(self, coefficients: Tensor) -> dict[str, Tensor]:
        """All parameters of the merge, (terms, blocks) coefficients applied."""
        return {
            name: own + torch.tensordot(coefficients[:, self._places[name]], self._differences[name], 1)
            for name, own in self._own.items()
        }

    def embed(self, data: Prepared, places: Places, merged: dict[str, Tensor]) -> Tensor:
        """The vectors of some of the data's texts, (n, dim) of length 1, by these parameters."""
        texts = [self._prompted(data.items[at]) for at in places]
        features = self.model.preprocess(texts)
        return normalize(functional_call(self.model, merged, (features,))["sentence_embedding"], dim=1)

    def _prompted(self, item: Item) -> str:
        return self.source.prompts.get(item.role, "") + item.text


@torch.no_grad()
def _rank(weights: _Weights, data: Prepared, rows: Places, coefficients: Tensor) -> float:
    """The mean reciprocal rank of each row's own second text, asked for by its first."""
    merged = weights.merged(coefficients)
    sides = []
    for column in (0, 1):
        parts = [rows[start : start + _PASS, column] for start in range(0, len(rows), _PASS)]
        sides.append(torch.cat([weights.embed(data, part, merged) for part in parts]))
    cosines = sides[0] @ sides[1].T
    better = (cosines > cosines.diagonal()[:, None]).sum(dim=1)
    return float((1 / (1 + better.double())).mean())


def _blocks(coefficients: Coefficients, layers: int) -> list[float]:
    """A term's coefficients in the order of blocks: before, each layer, after; one where it has no layers."""
    if not layers:
        return [coefficients.before]
    inner = (coefficients.of(layer, embedding=False) for layer in range(layers))
    return [coefficients.of(None, embedding=True), *inner, coefficients.of(None, embedding=False)]


def _written(asked: Expression, found: Sequence[Sequence[float]], *, layered: bool) -> str:
    """The expression with these coefficients, four digits behind the point."""
    text = _name(asked.base.name)
    for operand, values in zip(asked.terms, found, strict=True):
        shown = [f"{0.0 + round(value, 4):.4f}" for value in values]
        if layered:
            text += f"+[{shown[0]}|{','.join(shown[1:-1])}|{shown[-1]}]*{_name(operand.name)}"
        else:
            text += f"{'-' if values[0] < 0 else '+'}{shown[0].lstrip('-')}*{_name(operand.name)}"
    return text


def _name(name: str) -> str:
    """A checkpoint as an expression holds it: in quotes where it has what else would be a sign."""
    if _PLAIN.fullmatch(name):
        return name
    quote = '"' if "'" in name else "'"
    return f"{quote}{name}{quote}"
