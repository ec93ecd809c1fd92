"""EXPLAIN [ANALYZE] [(FORMAT TEXT | JSON)] SELECT …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
from sqlglot import exp

from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.params import Params
from nestvec.sql.execute.choose_search import choose_search
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.execute.explain_words import explain_words
from nestvec.sql.execute.timing import PROFILE, Profile
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.plan.explain import ExplainNode, as_data, as_lines, count_of, explain_plan
from nestvec.sql.plan.explain_details import CollectionContext, add_details
from nestvec.sql.plan.nodes import HybridSearch, Plan, Rescore, VectorSearch
from nestvec.sql.plan.search_method import SearchMethod
from nestvec.sql.relational.relations import CollectionScan, RankingScan, RelationalPlan
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.select import plan_statement
from nestvec_schemas.errors import SqlNotSupported

_COLUMN = "QUERY PLAN"
_WORDS = {"ANALYZE", "VERBOSE", "FORMAT", "TEXT", "JSON", "TRUE", "FALSE", "ON", "OFF"}


def run_explain(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """The plan of a SELECT as rows of text, or as one row of JSON. ANALYZE runs it and measures each node."""
    words = [token.text.upper() for token in parsed.explain_tokens[1:] if token.text.isalpha()]
    for token in parsed.explain_tokens[1:]:
        if token.text.isalpha() and token.text.upper() not in _WORDS:
            raise parsed.source.syntax_error(
                f"EXPLAIN has no option {token.text}",
                token.start,
                "Write EXPLAIN ANALYZE, or EXPLAIN (FORMAT JSON).",
            )
    if not isinstance(parsed.tree, (exp.Query, exp.Values)):
        raise _not_a_query(parsed, analyze="ANALYZE" in words)
    plan = yield from plan_statement(session, parsed, params)
    if not isinstance(plan, Plan):
        return (yield from _explain_relational(session, plan, words))
    timings: Profile = {}
    summary = ""
    if "ANALYZE" in words:
        result = yield from _run_timed(run_plan(session, plan), timings)
        summary = f"{count_of(result.count, 'row')} in {result.seconds * 1000:.1f} ms"
    tree = yield from _with_details(session, plan, explain_plan(plan), timings)
    return _shown(tree, words, summary)


def _not_a_query(parsed: ParsedStatement, *, analyze: bool) -> SqlNotSupported:
    """The error of EXPLAIN before a statement that writes, which ANALYZE would run."""
    word = parsed.source.tokens[len(parsed.explain_tokens)].text.upper()[:40]
    if analyze:
        return parsed.source.not_supported(
            f"EXPLAIN ANALYZE of {word}", 0, f"It would run the {word}. Write EXPLAIN SELECT with its WHERE."
        )
    return parsed.source.not_supported(f"EXPLAIN of {word}", 0, "Write EXPLAIN SELECT with its WHERE.")


def _with_details(session: Session, plan: Plan, tree: ExplainNode, timings: Profile) -> Steps[ExplainNode]:
    """The tree of a plan, or of its node, with what is known of the collection and was measured."""
    context = yield from _collection_context(session, plan, timings)
    if context is None:
        return tree
    word_details = yield from explain_words(session, tree, context.table, matched=bool(timings))
    methods = yield from _search_methods(session, tree)
    return add_details(tree, replace(context, word_details=word_details, methods=methods))


def _shown(tree: ExplainNode, words: Sequence[str], summary: str) -> StatementResult:
    """The tree as the statement asks for it: lines of text, or JSON."""
    if "JSON" in words:
        data = as_data(tree) | ({"ran": summary} if summary else {})
        return StatementResult((_COLUMN,), ("JSON",), ((orjson.dumps(data).decode(),),), "EXPLAIN", 1)
    text = [*as_lines(tree), *([f"Total: {summary}"] if summary else [])]
    return StatementResult((_COLUMN,), ("VARCHAR",), tuple((line,) for line in text), "EXPLAIN", len(text))


def _explain_relational(
    session: Session, plan: RelationalPlan, words: Sequence[str]
) -> Steps[StatementResult]:
    """The plan of a statement that DuckDB carries out."""
    from nestvec.sql.relational.explain import explain_relational  # noqa: PLC0415
    from nestvec.sql.relational.run import RelationCounts, run_relational  # noqa: PLC0415

    counts, summary = RelationCounts(), ""
    timings: Profile = {}
    if "ANALYZE" in words:
        result = yield from _run_timed(run_relational(session, plan, counts), timings)
        summary = f"{count_of(result.count, 'row')} in {result.seconds * 1000:.1f} ms"
    row_counts: dict[str, int] = {}
    for name in {relation.table.name for relation in plan.relations if isinstance(relation, CollectionScan)}:
        counted = yield call(f"counting the rows of {name}", "get_collection_stats", name)
        row_counts[name] = int(counted.get("row_count", 0))
    tree, children = explain_relational(plan, row_counts, counts if summary else None), []
    for child in tree.children:
        if isinstance(child.node, RankingScan):
            ranked = yield from _with_details(session, child.node.plan, child.children[0], timings)
            children.append(replace(child, children=(ranked,)))
        else:
            children.append(child)
    return _shown(replace(tree, children=tuple(children)), words, summary)


def _run_timed(steps: Steps[StatementResult], timings: Profile) -> Steps[StatementResult]:
    """Run a plan, and measure its nodes."""
    PROFILE.set(timings)
    try:
        return (yield from steps)
    finally:
        # Not reset by its token: abandoned steps may be closed in another context.
        PROFILE.set(None)


def _search_methods(session: Session, tree: ExplainNode) -> Steps[dict[int, SearchMethod]]:
    """How each search of a plan finds its rows, by the ``id`` of its node."""
    methods: dict[int, SearchMethod] = {}
    node = tree.node
    if isinstance(node, VectorSearch):
        yield from session.ensure_loaded(node.collection)
        methods[id(node)] = (yield from choose_search(session, node)).method
    # The second search of a rescoring compares the rows that the first one finds.
    children = tree.children[:1] if isinstance(node, Rescore) else tree.children
    for child in children:
        if isinstance(node, HybridSearch) and isinstance(child.node, VectorSearch):
            chosen = yield from choose_search(session, child.node, own_rows=False)
            methods[id(child.node)] = chosen.method
        else:
            methods |= yield from _search_methods(session, child)
    return methods


def _collection_context(session: Session, plan: Plan, timings: Profile) -> Steps[CollectionContext | None]:
    """The collection of a plan, with its number of rows; None for a plan without one."""
    name = plan.node.collection
    table = next((candidate for candidate in session.tables.values() if candidate.name == name), None)
    if table is None:
        return None
    counted = yield call(f"counting the rows of {name}", "get_collection_stats", name)
    return CollectionContext(table, int(counted.get("row_count", 0)), timings)
