"""Learn a map by what it retrieves: both encoders' ranking of texts that are stored in the old space."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nestvec_exporters.space_maps.mapping import BridgeMap, HiddenLayer, PairedVectors, Rows, join
from nestvec_schemas.vectors import Matrix, Vectors

OnStep = Callable[[int, int], None]
"""Receives the number of steps done and the total."""

QUERIES_PER_STEP: Final = 128
DOCUMENTS_PER_STEP: Final = 512

_TEMPERATURE: Final = 1 / 20

_SOURCE_WEIGHT: Final = 0.3
"""The weight of ranking the document first that a query was taken from, beside the divergence's 1."""

_MASKED: Final = -1e4


@dataclass(frozen=True)
class LearningOptions:
    """How a map is learned."""

    prefixes: tuple[int, ...]
    """Prefixes of the old space that are to retrieve well, the whole length included."""

    steps: int = 300
    rate: float = 2e-3
    hidden: int = 0
    """Width of the residual's hidden layer, unless the first map has one already; 0 for a linear map."""

    mapped_share: float = 0.5
    """Of the documents of a step, the share that is in the old space by way of the map, as documents are
    that the new encoder writes after the change."""

    nearness: float = 4.0
    """The weight of the distance between mapped and old vectors."""

    old_share: float = 0.5
    """The weight of the old encoder's ranking in the one that is learned, beside the new encoder's: with the
    new one's alone, maps fitted on a thousand texts serve real queries worse than ridge regression does."""

    document_map: BridgeMap | None = None
    """What maps documents, where a map of queries alone is learned; None where both have the same."""

    seed: int = 0


@dataclass(frozen=True)
class _Texts:
    """What is learned from, as tensors."""

    documents: tuple[Any, Any]
    """Old and new vectors, (n, d)."""

    queries: tuple[Any, Any]
    """The same of the documents and then of the queries, (m, d): documents are queries too."""

    inputs: Any
    """(m, d) or more: what is mapped of each of ``queries``."""

    sources: Any
    """(m,) int64: the document that each query was taken from, or is; -1 for none."""

    documents_count: int

    mapped_documents: Any = None
    """Documents by the map that they keep, (n, d); None where it is the one that is learned."""


def learn_map(
    documents: PairedVectors,
    queries: PairedVectors,
    sources: Rows,
    start: BridgeMap,
    options: LearningOptions,
    on_step: OnStep = lambda done, total: None,
) -> BridgeMap:
    """The map by which the new encoder's queries rank ``documents``, old vectors, as both encoders do.

    Over batches of queries (documents serve as queries too) and documents, some of them old vectors and some
    mapped, it minimises the Kullback-Leibler divergence between the softmax of the similarities of both
    encoders, mixed, and that of the mapped queries, summed over prefixes; ranks the document first that a
    query was taken from (``sources``, a row or -1); and stays near the old vectors. It starts from ``start``.
    With ``options.document_map``, the map is of queries alone. The same seed gives the same map.
    """
    import torch  # noqa: PLC0415 - seconds of imports

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums then do not depend on the number of cores
    try:
        generator = torch.Generator().manual_seed(options.seed)
        texts = _texts(join([documents, queries]), len(documents), sources, start.width, options)
        parameters = _parameters(start, options, generator)
        optimizer = torch.optim.Adam(parameters, lr=options.rate)
        for step in range(options.steps):
            rate = options.rate * 0.5 * (1 + math.cos(math.pi * step / options.steps))
            optimizer.param_groups[0]["lr"] = rate
            loss = _loss(texts, parameters, options, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            on_step(step + 1, options.steps)
    finally:
        torch.set_num_threads(threads)
    return _finished(parameters)


def _texts(
    everything: PairedVectors, documents: int, sources: Rows, width: int, options: LearningOptions
) -> _Texts:
    """``everything`` is the documents and then the queries; ``width``, the number of values that are mapped
    of each."""
    import torch  # noqa: PLC0415

    old, new, inputs = (_tensor(array) for array in (everything.old, everything.new, everything.inputs))
    fixed = options.document_map
    return _Texts(
        (old[:documents], new[:documents]),
        (old, new),
        inputs[:, :width].contiguous(),
        torch.from_numpy(np.concatenate([np.arange(documents), sources]).astype(np.int64)),
        documents,
        None if fixed is None else _tensor(fixed(everything.inputs[:documents])),
    )


def _tensor(array: Vectors | Matrix) -> Any:
    import torch  # noqa: PLC0415

    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _parameters(start: BridgeMap, options: LearningOptions, generator: Any) -> list[Any]:
    import torch  # noqa: PLC0415

    parameters = [_tensor(start.matrix).clone(), _tensor(start.bias).clone()]
    if start.hidden is not None:
        layer = start.hidden
        parameters += [_tensor(array).clone() for array in (layer.weights, layer.bias, layer.output)]
    elif options.hidden:
        width, dim = start.matrix.shape
        # The residual starts at nothing: its output is zero.
        parameters.append(torch.randn(width, options.hidden, generator=generator) * (2 / width**0.5))
        parameters += [torch.zeros(options.hidden), torch.zeros(options.hidden, dim)]
    return [parameter.requires_grad_() for parameter in parameters]


def _mapped(vectors: Any, parameters: Sequence[Any]) -> Any:
    matrix, bias, *hidden = parameters
    mapped = vectors @ matrix + bias
    if hidden:
        weights, hidden_bias, output = hidden
        mapped = mapped + (vectors @ weights + hidden_bias).relu() @ output
    return mapped


def _loss(texts: _Texts, parameters: Sequence[Any], options: LearningOptions, generator: Any) -> Any:
    """The loss of a batch of random queries and documents."""
    import torch  # noqa: PLC0415
    from torch.nn.functional import cosine_similarity, kl_div, log_softmax, normalize  # noqa: PLC0415

    (old_documents, new_documents), (old_queries, new_queries) = texts.documents, texts.queries
    count = texts.documents_count
    queries = torch.randint(0, len(new_queries), (QUERIES_PER_STEP,), generator=generator)
    sources = texts.sources[queries]
    sampled = torch.randperm(count, generator=generator)[:DOCUMENTS_PER_STEP]
    with_sources: Any = torch.cat([sources[sources >= 0], sampled])
    documents = with_sources.unique()
    is_own = sources[:, None] == documents[None]
    # A document's similarity to itself carries no information.
    is_self = is_own & (queries < count)[:, None]
    is_source = is_own & (queries >= count)[:, None]

    def log_similarities(left: Any, right: Any) -> Any:
        cosines = normalize(left, dim=1) @ normalize(right, dim=1).T
        return log_softmax((cosines / _TEMPERATURE).masked_fill(is_self, _MASKED), dim=1)

    target = log_similarities(new_queries[queries], new_documents[documents])
    if options.old_share:
        old = log_similarities(old_queries[queries], old_documents[documents])
        target = torch.logaddexp(target + math.log(1 - options.old_share), old + math.log(options.old_share))
    mapped_queries = _mapped(texts.inputs[queries], parameters)
    near = [(mapped_queries, old_queries[queries])]
    if texts.mapped_documents is None:
        mapped_documents = _mapped(texts.inputs[documents], parameters)
        near.append((mapped_documents, old_documents[documents]))
    else:
        mapped_documents = texts.mapped_documents[documents]
    is_mapped = torch.rand(len(documents), 1, generator=generator) < options.mapped_share
    gallery = torch.where(is_mapped, mapped_documents, old_documents[documents])
    distance = len(near) - sum(cosine_similarity(mapped, old, dim=1).mean() for mapped, old in near)
    loss = options.nearness * len(options.prefixes) * distance
    for prefix in options.prefixes:
        similarities = log_similarities(mapped_queries[:, :prefix], gallery[:, :prefix])
        loss = loss + kl_div(similarities, target, reduction="batchmean", log_target=True)
        if is_source.any():
            loss = loss - _SOURCE_WEIGHT * similarities[is_source].mean()
    return loss


def _finished(parameters: Sequence[Any]) -> BridgeMap:
    matrix, bias, *hidden = (parameter.detach().numpy().copy() for parameter in parameters)
    return BridgeMap(matrix, bias, HiddenLayer(*hidden) if hidden else None)
