"""For EXPLAIN: the words that a search by a sparse column looks for, and those that its best rows have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.client.service_client import SparseWeight, embed_sparse
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.vectors.targets import EmbeddedText
from nestvec.sql.plan.explain import ExplainNode
from nestvec.sql.plan.explain_details import Details
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.session import Session
from nestvec_schemas.errors import ServiceError

_MAX_WORDS: Final = 10
"""Words that are listed, those of the largest weights; the others are counted."""

_MAX_MATCHED_ROWS: Final = 3


def explain_words(
    session: Session, tree: ExplainNode, table: Table, *, matched: bool
) -> Steps[dict[int, Details]]:
    """The words of each sparse search of a plan, by the ``id`` of its node.

    With ``matched``, the best rows are read, too. If the service does not answer, the details say so, and the
    plan is shown anyway. Raises StoreError.
    """
    details_by_node: dict[int, Details] = {}
    for node, target in _searches(tree):
        try:
            yield from session.ensure_served([target.request.service])
            words = yield BlockingCall(_request_words(target))
        except ServiceError as error:
            details_by_node[id(node)] = (("words", f"unknown: {error.cause}"),)
            continue
        details = [("words", _list_words([(word.word, word.value) for word in words]))]
        if matched and words and node.limit > 0:
            details += yield from _matched_rows(session, node, words, table)
        details_by_node[id(node)] = tuple(details)
    return details_by_node


def _searches(tree: ExplainNode) -> Iterator[tuple[VectorSearch, EmbeddedText]]:
    if isinstance(tree.node, VectorSearch):
        target = tree.node.nearest.target
        if isinstance(target, EmbeddedText) and target.request.config.form == "sparse":
            yield tree.node, target
    for child in tree.children:
        yield from _searches(child)


def _request_words(target: EmbeddedText) -> Callable[[MilvusClient], list[SparseWeight]]:
    def ask(client: MilvusClient) -> list[SparseWeight]:
        return embed_sparse(target.request, [target.text], environment_api_key(), query=True)[0]

    return ask


def _matched_rows(
    session: Session, node: VectorSearch, words: Sequence[SparseWeight], table: Table
) -> Steps[list[tuple[str, str]]]:
    """The best rows of the search, with the contribution of each word to the inner product."""
    column, key = node.nearest.column, table.primary.name
    yield from session.ensure_loaded(node.collection)
    hits = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=[{word.index: word.value for word in words}],
        anns_field=column,
        filter=node.filter,
        limit=min(node.limit, _MAX_MATCHED_ROWS),
        output_fields=[key, column],
        search_params={"metric_type": node.nearest.metric, "offset": node.offset},
        **session.read_options(),
    )
    return [("matched", _describe_match(hit["entity"], column, key, words)) for hit in hits[0]]


def _describe_match(row: Mapping[str, Any], column: str, key: str, words: Sequence[SparseWeight]) -> str:
    stored: Mapping[int, float] = row[column]
    contributions = [(word.word, word.value * stored[word.index]) for word in words if word.index in stored]
    total = sum(value for _, value in contributions)
    return f"{key} {row[key]!r}: {_list_words(contributions)}; {total:.2f} in total"


def _list_words(words: Sequence[tuple[str, float]]) -> str:
    ordered = sorted(words, key=lambda weighted: -weighted[1])
    shown = ", ".join(f"{word} {value:.2f}" for word, value in ordered[:_MAX_WORDS])
    more = len(ordered) - _MAX_WORDS
    return (shown + (f" and {more} more" if more > 0 else "")) or "none"
