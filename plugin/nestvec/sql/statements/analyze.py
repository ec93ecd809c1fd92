"""ANALYZE collection [(column, …)]: how much of an answer shorter vectors find, measured and stored."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlglot import Token, TokenType, exp

from nestvec.catalog import Embedding, Table
from nestvec.sql.answer import Answer, Row
from nestvec.sql.bind.family import Family, families
from nestvec.sql.bind.nearest import Nearest
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.language.parse import Parsed
from nestvec.sql.language.source import Source
from nestvec.sql.plan.adaptive import Choice, choose
from nestvec.sql.plan.measured import Pair, Ranked, measure
from nestvec.sql.plan.statistics import COUNTS, PREFIX, SIZES, Shorter, Statistics, written
from nestvec.sql.run.rankings import DISTANCES
from nestvec.sql.run.sampling import sample
from nestvec.sql.session import Session
from nestvec.steps import Job, Steps, call

_WRITE = "Write ANALYZE collection, or ANALYZE collection (text_column)."
_AT_ONCE = 20
"""Queries in one search: their rows, 1,600 each, are few enough for one answer."""
_SHOWN = 10

_COLUMNS = ("column", "dim", "shortlist", f"recall@{_SHOWN}", "chosen")
_TYPES = ("VARCHAR", "INT64", "INT64", "DOUBLE", "BOOL")


def run_analyze(session: Session, parsed: Parsed, params: Params) -> Steps[Answer]:
    """Sample queries, search by every vector of each family, store the recall of each size of shortlist.

    The truth is what the statement would have answered without a shortlist: a search by the longest vectors
    with their own index, exact where that one is. Rows: a shortlist each, and whether LIMIT 10 uses it as
    ``nestvec.recall`` stands. Raises SqlError, StoreError.
    """
    name, columns = _read(parsed.source)
    table = yield from session.table(parsed.source, exp.Table(this=name))
    chosen = _families(Scope(parsed.source, table, table.name, params), columns)
    yield from session.served(table.services)
    yield from session.loaded(table.name)
    properties = {}
    for family in chosen:
        found = yield from _measured(session, table, family)
        properties[PREFIX + family.longest.column] = written(found)
    doing = f"storing the statistics of {table.name}"
    yield call(doing, "alter_collection_properties", table.name, properties)
    session.forget(table.name)
    table = yield from session.table(parsed.source, exp.Table(this=name))
    rows = tuple(row for family in chosen for row in _rows(session, table, family, properties))
    return Answer(_COLUMNS, _TYPES, rows, "ANALYZE", len(rows))


def _read(source: Source) -> tuple[exp.Identifier, list[exp.Identifier]]:
    """The collection and the columns: names in order, in a form that sqlglot reads only in part."""
    tokens = [one for one in source.tokens[1:] if one.token_type != TokenType.SEMICOLON]
    if not tokens:
        raise source.not_supported("ANALYZE of every collection", 0, _WRITE)
    inside = tokens[2:-1]
    closed = len(tokens) > 3 and (tokens[1].text, tokens[-1].text) == ("(", ")")
    names = [tokens[0], *inside[::2]] if closed else [tokens[0]]
    wrong = [one for one in names if not _is_name(one)]
    wrong += [one for one in inside[1::2] if closed and one.token_type != TokenType.COMMA]
    if not closed and len(tokens) > 1:
        wrong.append(tokens[1])
    if wrong:
        text = wrong[0].text[:40]
        raise source.syntax_error(f"'{text}' has no place here", wrong[0].start, _WRITE)
    name, *columns = [_identifier(one) for one in names]
    return name, columns


def _is_name(token: Token) -> bool:
    return token.token_type == TokenType.IDENTIFIER or (
        token.token_type != TokenType.STRING and token.text.isidentifier()
    )


def _identifier(token: Token) -> exp.Identifier:
    node = exp.Identifier(this=token.text, quoted=token.token_type == TokenType.IDENTIFIER)
    return node.update_positions(token)


def _families(scope: Scope, columns: list[exp.Identifier]) -> list[Family]:
    """Those that there is something to choose in: with several lengths, and an index on each."""
    source, table = scope.source, scope.table
    every = [one for one in families(table) if one.shorter and table.metrics.get(one.longest.column)]
    if not every:
        raise source.type_mismatch(
            "no text column has vectors of several lengths by one encoder",
            table.name,
            source.tokens[1].start,
            "There is nothing to choose: searches are by whole vectors.",
        )
    if not columns:
        return every
    found = []
    for node in columns:
        column = scope.column(exp.Column(this=node))
        own = [one for one in every if column.name in (one.source, *(each.column for each in one.members))]
        if not own:
            offered = ", ".join(dict.fromkeys(one.source for one in every))
            raise source.type_mismatch(
                f"column {column.name} has no vectors of several lengths",
                column.type,
                node,
                f"There: {offered}.",
            )
        found += [one for one in own if one not in found]
    return found


def _measured(session: Session, table: Table, family: Family) -> Steps[Statistics]:
    sampled = yield Job(partial(sample, table=table, source=family.source))
    rows, longest = sampled.rows, family.longest
    # More than the longest answer: rows at the same distance as its last are as good.
    whole = yield from _search(session, table, longest, sampled.queries, min(rows, 2 * COUNTS[-1]))
    shorter = []
    for one in family.shorter:
        short = yield from _search(session, table, one, sampled.queries, min(rows, SIZES[-1]))
        pairs = [Pair(*both) for both in zip(whole, short, strict=True)]
        shorter.append(Shorter(column=one.column, dim=one.dim, recall=measure(pairs, rows)))
    return Statistics(
        column=longest.column,
        dim=longest.dim,
        rows=rows,
        queries=len(sampled.queries),
        shorter=tuple(shorter),
    )


def _search(
    session: Session, table: Table, by: Embedding, queries: tuple[str, ...], limit: int
) -> Steps[list[Ranked]]:
    """Keys and distances of each query's nearest rows. The texts are embedded by Milvus's own function, as a
    statement's are: once in all, for the service remembers them from column to column."""
    found: list[Ranked] = []
    primary, metric = table.primary.name, table.metrics[by.column]
    level = session.settings.consistency
    for start in range(0, len(queries), _AT_ONCE):
        hits = yield call(
            f"searching collection {table.name}",
            "search",
            table.name,
            data=list(queries[start : start + _AT_ONCE]),
            anns_field=by.column,
            limit=max(limit, 1),
            output_fields=[primary],
            search_params={"metric_type": metric, **session.searching(max(limit, 1))},
            **({"consistency_level": level} if level else {}),
        )
        found += [
            [(hit["entity"][primary], DISTANCES[metric](float(hit["distance"]))) for hit in one]
            for one in hits
        ]
    return found


def _rows(session: Session, table: Table, family: Family, properties: dict[str, str]) -> Iterator[Row]:
    shorter = tuple(one.column for one in family.shorter)
    near = Nearest(family.longest.column, table.metrics[family.longest.column], "", shorter)
    chosen = choose(table, near, _SHOWN, session.settings.recall)
    found = Statistics.model_validate_json(properties[PREFIX + family.longest.column])
    for one in found.shorter:
        for recall in one.recall:
            if recall.count == _SHOWN:
                used = isinstance(chosen, Choice) and (chosen.column, chosen.size) == (
                    one.column,
                    recall.size,
                )
                yield one.column, one.dim, recall.size, recall.mean, used
