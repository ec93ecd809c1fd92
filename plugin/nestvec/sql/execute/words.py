"""Which words a search by a sparse column asks for, and which of them its best rows have: for EXPLAIN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.client.service_client import Word, ask_words
from nestvec.milvus.catalog import Table
from nestvec.milvus.providers import environment_key
from nestvec.milvus.steps import Job, Steps, call
from nestvec.sql.bind.vectors.targets import Embedded
from nestvec.sql.plan.about import Details
from nestvec.sql.plan.explain import ExplainNode
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.session import Session
from nestvec_schemas.errors import ServiceError

_MAX_WORDS: Final = 10
"""Words that are named, the heaviest; of the others, how many there are."""

_MAX_MATCHED_ROWS: Final = 3


def explain_words(
    session: Session, tree: ExplainNode, table: Table, *, matched: bool
) -> Steps[dict[int, Details]]:
    """What is said of each sparse search of a plan, by its node's identity; ``matched`` asks Milvus too.

    A service that does not answer is said so: a plan is no less a plan. Raises StoreError.
    """
    details_by_node: dict[int, Details] = {}
    for node, target in _searches(tree):
        yield from session.ensure_served([target.coding.service])
        try:
            words = yield Job(_request_words(target))
        except ServiceError as error:
            details_by_node[id(node)] = (("words", f"not known: {error.cause}"),)
            continue
        details = [("words", _list_words([(word.word, word.value) for word in words]))]
        if matched and words and node.limit > 0:
            details += yield from _matched_rows(session, node, words, table)
        details_by_node[id(node)] = tuple(details)
    return details_by_node


def _searches(tree: ExplainNode) -> Iterator[tuple[VectorSearch, Embedded]]:
    if isinstance(tree.node, VectorSearch):
        target = tree.node.nearest.target
        if isinstance(target, Embedded) and target.form == "sparse":
            yield tree.node, target
    for child in tree.children:
        yield from _searches(child)


def _request_words(target: Embedded) -> Callable[[MilvusClient], list[Word]]:
    def ask(client: MilvusClient) -> list[Word]:
        key = environment_key()
        return ask_words(target.coding, [target.text], key.api_key if key else None, query=True)[0]

    return ask


def _matched_rows(
    session: Session, node: VectorSearch, words: Sequence[Word], table: Table
) -> Steps[list[tuple[str, str]]]:
    """The first rows of the search alone, with what each word adds to the inner product."""
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


def _describe_match(row: Mapping[str, Any], column: str, key: str, words: Sequence[Word]) -> str:
    stored: Mapping[int, float] = row[column]
    contributions = [(word.word, word.value * stored[word.index]) for word in words if word.index in stored]
    return f"{key} {row[key]!r}: {_list_words(contributions)}; {sum(value for _, value in contributions):.2f} in all"


def _list_words(words: Sequence[tuple[str, float]]) -> str:
    ordered = sorted(words, key=lambda weighted: -weighted[1])
    shown = ", ".join(f"{word} {value:.2f}" for word, value in ordered[:_MAX_WORDS])
    more = len(ordered) - _MAX_WORDS
    return (shown + (f" and {more} more" if more > 0 else "")) or "none"
