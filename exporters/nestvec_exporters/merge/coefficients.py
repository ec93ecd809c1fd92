"""Fit a merge's coefficients by gradient descent: one for each term and block, with the weights fixed.

aTLAS (Zhang et al. 2024, "Knowledge Composition using Task Vectors with Learned Anisotropic Scaling"). A
block is a layer, what precedes the layers, or what follows them, as in an expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from nestvec_exporters.merge.merge import read_merge
from nestvec_exporters.merge.weight_files import StoredTensor
from nestvec_exporters.merge_expression import Coefficients, Expression, parse_expression
from nestvec_exporters.options import CoefficientFit, Merge
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.training_data import Indices, PreparedTexts, RoleText, prepare_texts
from nestvec_schemas.errors import TrainingFailed

COSINE_SCALE: Final = 20.0
"""Multiplies cosines before the softmax; sentence-transformers' default."""

_LEARNING_RATE, _WEIGHT_DECAY = 0.02, 0.1
"""AdamW's; the decay pulls coefficients to 0 that no pair supports."""

_MAX_TOKENS: Final = 128
"""Tokens of a text that are read, which is enough for coefficients."""

_BATCH_TEXTS: Final = 32
_UNQUOTED_NAME = re.compile(r"[A-Za-z0-9_./]+")


@dataclass(frozen=True)
class FittedMerge:
    """A merge with fitted coefficients, and the mean reciprocal rank of held-out queries' own documents."""

    expression: str
    """The expression, as ``merge_checkpoints`` takes it."""

    before: float
    """With the coefficients that the fit started from."""

    after: float
    """With the fitted coefficients."""

    held_out: int
    """The number of held-out rows."""

    def __str__(self) -> str:
        return (
            f"{self.expression} (reciprocal rank of {self.held_out} held-out rows: {self.before:.3f} before, "
            f"{self.after:.3f} after)"
        )


def fit_coefficients(
    merge: Merge, options: CoefficientFit, on_step: Callable[[int, int], None] = lambda done, total: None
) -> FittedMerge:
    """Fit a coefficient for each term and block of a merge, starting from those of its expression.

    The loss is multiple negatives ranking (van den Oord et al. 2018) in both directions: each text of a pair
    should be nearer to the other than to the rest of the batch; a text alone is paired with a snippet of it.
    The same data and seed give the same coefficients. Raises as ``merge_checkpoints`` does, and
    TrainingDataUnusable, TrainingFailed.
    """
    data = prepare_texts(options.data, options.seed)
    model = _MergedModel(merge)
    held_out = _pairs(data, data.held_out)
    before = _mean_reciprocal_rank(model, data, held_out, model.start)
    coefficients = _optimise(model, data, options, on_step)
    expression = _format_expression(
        parse_expression(merge.expression), coefficients, layered=model.layers > 0
    )
    # Rounded as in the expression, so that the figure is of what it merges to.
    rounded = torch.tensor(
        [_by_block(term.coefficients, model.layers) for term in parse_expression(expression).terms]
    )
    return FittedMerge(
        expression, before, _mean_reciprocal_rank(model, data, held_out, rounded), len(held_out)
    )


def _pairs(data: PreparedTexts, rows: Indices) -> Indices:
    """Queries and their documents, (n, 2); of texts, the first snippet and the whole text."""
    return rows[:, [1, 0]] if data.kind == "texts" else rows[:, :2]


def _optimise(
    model: _MergedModel, data: PreparedTexts, options: CoefficientFit, on_step: Callable[[int, int], None]
) -> Sequence[Sequence[float]]:
    """The coefficients after all steps of AdamW, term by term in the order of blocks."""
    coefficients = nn.Parameter(model.start.clone())
    optimizer = torch.optim.AdamW([coefficients], lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    ranking = MultipleNegativesRankingLoss(
        model.model,
        scale=COSINE_SCALE,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    no_labels: Any = None
    rng = np.random.default_rng(options.seed)
    rows = _pairs(data, data.training)
    for done in range(options.steps):
        batch = rows[rng.permutation(len(rows))[: options.batch]]
        merged = model.merged(coefficients)
        queries, documents = (model.embed(data, batch[:, column], merged) for column in (0, 1))
        loss = ranking.compute_loss_from_embeddings([queries, documents], no_labels)
        if not torch.isfinite(loss):
            raise TrainingFailed(
                "the loss of fitting the merge's coefficients is no longer finite",
                value=f"step {done + 1} of {options.steps}",
                next_step="Start from smaller coefficients, and check that no checkpoint contains NaN.",
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(done + 1, options.steps)
    fitted: list[list[float]] = coefficients.detach().tolist()
    return fitted


class _MergedModel:
    """A loaded base, and for each parameter the terms' differences from it and the block it belongs to."""

    def __init__(self, merge: Merge) -> None:
        expression, base, others, self.layers = read_merge(merge.expression, merge.names)
        self.source = sources.load(base)
        self.model: Any = self.source.model
        self.model.max_seq_length = min(self.model.max_seq_length or _MAX_TOKENS, _MAX_TOKENS)
        self.model.requires_grad_(False)
        terms = [dict(sources.load(operand).model.named_parameters()) for operand in others]
        self._own = dict(self.model.named_parameters())
        with torch.no_grad():
            self._differences = {
                name: torch.stack([term[name] - own for term in terms]) for name, own in self._own.items()
            }
        self._blocks = {name: self._block(name) for name in self._own}
        start = [_by_block(operand.coefficients, self.layers) for operand in expression.terms]
        self.start = torch.tensor(start)

    def _block(self, name: str) -> int:
        """The block of a parameter: 0 before the layers, then the layers from 1, then one after them."""
        module, _, rest = name.partition(".")
        stored = StoredTensor(Path(), rest, "F32", ())
        if not self.layers or (module == "0" and stored.embedding):
            return 0
        layer = stored.layer if module == "0" else None
        return self.layers + 1 if layer is None else layer + 1

    def merged(self, coefficients: Tensor) -> dict[str, Tensor]:
        """All parameters of the merge with ``coefficients``, (terms, blocks)."""
        return {
            name: own + torch.tensordot(coefficients[:, self._blocks[name]], self._differences[name], 1)
            for name, own in self._own.items()
        }

    def embed(self, data: PreparedTexts, indices: Indices, merged: dict[str, Tensor]) -> Tensor:
        """The vectors of texts by their indices, (n, dim) of length 1, with the parameters ``merged``."""
        texts = [self._prompted(data.texts[index]) for index in indices]
        features = self.model.preprocess(texts)
        return normalize(functional_call(self.model, merged, (features,))["sentence_embedding"], dim=1)

    def _prompted(self, item: RoleText) -> str:
        return self.source.prompts.get(item.role, "") + item.text


@torch.no_grad()
def _mean_reciprocal_rank(
    model: _MergedModel, data: PreparedTexts, rows: Indices, coefficients: Tensor
) -> float:
    """The mean reciprocal rank of each row's second text when its first is the query."""
    merged = model.merged(coefficients)
    sides = []
    for column in (0, 1):
        parts = [rows[start : start + _BATCH_TEXTS, column] for start in range(0, len(rows), _BATCH_TEXTS)]
        sides.append(torch.cat([model.embed(data, part, merged) for part in parts]))
    cosines = sides[0] @ sides[1].T
    better = (cosines > cosines.diagonal()[:, None]).sum(dim=1)
    return float((1 / (1 + better.double())).mean())


def _by_block(coefficients: Coefficients, layers: int) -> list[float]:
    """A term's coefficients in the order of blocks: before, each layer, after; one if there are no layers."""
    if not layers:
        return [coefficients.before]
    inner = (coefficients.of(layer, embedding=False) for layer in range(layers))
    return [coefficients.of(None, embedding=True), *inner, coefficients.of(None, embedding=False)]


def _format_expression(
    expression: Expression, coefficients: Sequence[Sequence[float]], *, layered: bool
) -> str:
    """The expression with these coefficients, to four decimals."""
    text = _quote_name(expression.base.name)
    for operand, values in zip(expression.terms, coefficients, strict=True):
        shown = [f"{0.0 + round(value, 4):.4f}" for value in values]
        if layered:
            text += f"+[{shown[0]}|{','.join(shown[1:-1])}|{shown[-1]}]*{_quote_name(operand.name)}"
        else:
            text += f"{'-' if values[0] < 0 else '+'}{shown[0].lstrip('-')}*{_quote_name(operand.name)}"
    return text


def _quote_name(name: str) -> str:
    """A checkpoint's name as an expression takes it: quoted if it has characters that are operators."""
    if _UNQUOTED_NAME.fullmatch(name):
        return name
    quote = '"' if "'" in name else "'"
    return f"{quote}{name}{quote}"
