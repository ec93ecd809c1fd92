"""Which words a search by a sparse column asks for, and which of them its best rows have: for EXPLAIN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.catalog import Table
from nestvec.providers import environment_key
from nestvec.service.client import Word, ask_words
from nestvec.sql.bind.targets import Embedded
from nestvec.sql.plan.about import Details
from nestvec.sql.plan.explain import Described
from nestvec.sql.plan.nodes import Search
from nestvec.sql.session import Session
from nestvec.steps import Job, Steps, call
from nestvec_schemas.errors import ServiceError

_SHOWN: Final = 10
"""Words that are named, the heaviest; of the others, how many there are."""

_ROWS: Final = 3


def words_of(session: Session, tree: Described, table: Table, *, matched: bool) -> Steps[dict[int, Details]]:
    """What is said of each sparse search of a plan, by its node's identity; ``matched`` asks Milvus too.

    A service that does not answer is said so: a plan is no less a plan. Raises StoreError.
    """
    found: dict[int, Details] = {}
    for node, target in _searches(tree):
        yield from session.served([target.coding.service])
        try:
            words = yield Job(_asking(target))
        except ServiceError as error:
            found[id(node)] = (("words", f"not known: {error.cause}"),)
            continue
        details = [("words", _listed([(one.word, one.value) for one in words]))]
        if matched and words and node.limit > 0:
            details += yield from _matched(session, node, words, table)
        found[id(node)] = tuple(details)
    return found


def _searches(tree: Described) -> Iterator[tuple[Search, Embedded]]:
    if isinstance(tree.node, Search):
        target = tree.node.nearest.target
        if isinstance(target, Embedded) and target.form == "sparse":
            yield tree.node, target
    for one in tree.inputs:
        yield from _searches(one)


def _asking(target: Embedded) -> Callable[[MilvusClient], list[Word]]:
    def ask(client: MilvusClient) -> list[Word]:
        key = environment_key()
        return ask_words(target.coding, [target.text], key.api_key if key else None, query=True)[0]

    return ask


def _matched(
    session: Session, node: Search, words: Sequence[Word], table: Table
) -> Steps[list[tuple[str, str]]]:
    """The first rows of the search alone, with what each word adds to the inner product."""
    column, key = node.nearest.column, table.primary.name
    yield from session.loaded(node.collection)
    hits = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=[{one.index: one.value for one in words}],
        anns_field=column,
        filter=node.filter,
        limit=min(node.limit, _ROWS),
        output_fields=[key, column],
        search_params={"metric_type": node.nearest.metric, "offset": node.offset},
        **session.reading(),
    )
    return [("matched", _row(hit["entity"], column, key, words)) for hit in hits[0]]


def _row(row: Mapping[str, Any], column: str, key: str, words: Sequence[Word]) -> str:
    stored: Mapping[int, float] = row[column]
    parts = [(one.word, one.value * stored[one.index]) for one in words if one.index in stored]
    return f"{key} {row[key]!r}: {_listed(parts)}; {sum(value for _, value in parts):.2f} in all"


def _listed(words: Sequence[tuple[str, float]]) -> str:
    ordered = sorted(words, key=lambda one: -one[1])
    shown = ", ".join(f"{word} {value:.2f}" for word, value in ordered[:_SHOWN])
    more = len(ordered) - _SHOWN
    return (shown + (f" and {more} more" if more > 0 else "")) or "none"
