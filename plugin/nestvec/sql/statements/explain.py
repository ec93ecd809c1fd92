"""EXPLAIN [ANALYZE] [(FORMAT TEXT | JSON)] SELECT …"""

from __future__ import annotations

from dataclasses import replace

import orjson

from nestvec.sql.answer import Answer
from nestvec.sql.bind.params import Params
from nestvec.sql.language.parse import Parsed
from nestvec.sql.plan.about import About, completed
from nestvec.sql.plan.explain import as_data, described, lines
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.run.nodes import run_plan
from nestvec.sql.run.profile import PROFILE, Profile
from nestvec.sql.run.words import words_of
from nestvec.sql.session import Session
from nestvec.sql.statements.select import plan_select
from nestvec.steps import Steps, call

_COLUMN = "QUERY PLAN"
_WORDS = {"ANALYZE", "VERBOSE", "FORMAT", "TEXT", "JSON", "TRUE", "FALSE", "ON", "OFF"}


def run_explain(session: Session, parsed: Parsed, params: Params) -> Steps[Answer]:
    """The plan of a SELECT as rows of text, or one row of JSON; with ANALYZE it is run and timed."""
    words = [one.text.upper() for one in parsed.words[1:] if one.text.isalpha()]
    for one in parsed.words[1:]:
        if one.text.isalpha() and one.text.upper() not in _WORDS:
            raise parsed.source.syntax_error(
                f"EXPLAIN has no option {one.text}", one.start, "Write ANALYZE, or (FORMAT JSON)."
            )
    plan = yield from plan_select(session, parsed, params)
    measured: Profile = {}
    ran = ""
    if "ANALYZE" in words:
        answer = yield from _measured(session, plan, measured)
        ran = f"{answer.count} rows in {answer.seconds * 1000:.1f} ms"
    about, tree = (yield from _about(session, plan, measured)), described(plan)
    if about is not None:
        said = yield from words_of(session, tree, about.table, matched="ANALYZE" in words)
        tree = completed(tree, replace(about, words=said))
    if "JSON" in words:
        data = as_data(tree) | ({"ran": ran} if ran else {})
        return Answer((_COLUMN,), ("JSON",), ((orjson.dumps(data).decode(),),), "EXPLAIN", 1)
    text = [*lines(tree), *([f"Ran: {ran}"] if ran else [])]
    return Answer((_COLUMN,), ("VARCHAR",), tuple((line,) for line in text), "EXPLAIN", len(text))


def _measured(session: Session, plan: Plan, measured: Profile) -> Steps[Answer]:
    """Run a plan, and count what its nodes do."""
    PROFILE.set(measured)
    try:
        return (yield from run_plan(session, plan))
    finally:
        # Not reset by its token: steps that are given up may be ended in another context.
        PROFILE.set(None)


def _about(session: Session, plan: Plan, measured: Profile) -> Steps[About | None]:
    """The collection of a plan, with its number of rows as Milvus counts them; None where none is asked."""
    name = plan.node.collection
    table = next((one for one in session.tables.values() if one.name == name), None)
    if table is None:
        return None
    counted = yield call(f"counting the rows of {name}", "get_collection_stats", name)
    return About(table, int(counted.get("row_count", 0)), measured)
