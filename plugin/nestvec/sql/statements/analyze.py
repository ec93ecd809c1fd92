"""ANALYZE collection [(column, …)]: measures and stores the recall of searches.

That is the recall of indexes by how widely they are searched, without and under filters, the recall of
shortlists by shorter vectors, and, while an encoder is upgraded, what dual reading finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlglot import Token, TokenType, exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.family import Family, families
from nestvec.sql.execute.choose_search import choose_search
from nestvec.sql.execute.measure_widths import measure_widths
from nestvec.sql.execute.sampling import sample_queries
from nestvec.sql.execute.search import DISTANCE_OF_SCORE
from nestvec.sql.execute.upgrades.measure_reading import measure_reading
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText
from nestvec.sql.plan.adaptive import ShortlistChoice, choose_shortlist
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.plan.reading_statistics import READING_PREFIX, ReadingStatistics
from nestvec.sql.plan.recall import Ranked, RankedPair, measure_recall
from nestvec.sql.plan.statistics import (
    ANSWER_COUNTS,
    PROPERTY_PREFIX,
    SHORTLIST_SIZES,
    FamilyStatistics,
    ShorterColumn,
    dump_statistics,
)
from nestvec.sql.plan.width_statistics import WIDTHS_PREFIX, WidthStatistics
from nestvec.sql.result import Row, StatementResult
from nestvec.sql.session import Session

_WRITE = "Write ANALYZE collection, or ANALYZE collection (text_column)."
_QUERIES_PER_SEARCH = 20
"""Queries in one search: their results of 1,600 rows each fit one response."""
_SHOWN_COUNT = 10

_COLUMNS = (
    *("column", "dim", "shortlist", f"recall@{_SHOWN_COUNT}", "chosen", "selectivity", "width"),
    *("reading", "mrr@10"),
)
_TYPES = ("VARCHAR", "INT64", "INT64", "DOUBLE", "BOOL", "DOUBLE", "INT64", "VARCHAR", "DOUBLE")


def run_analyze(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """Measure the index of every vector column, and each shortlist size of each family; store both.

    The recall of an index is relative to comparing every vector; that of a shortlist, to a search by the
    longest vectors with their own index, which is what the statement returns without a shortlist. Returns a
    row for each shortlist, and whether LIMIT 10 uses it with the current ``nestvec.recall``; a row for each
    width of a search and selectivity of a filter; and two for each column whose encoder is upgraded, of
    searches by the old vectors and of fused ones, and which ``nestvec.dual_reading = 'auto'`` chooses.
    Raises SqlError, StoreError, ServiceError.
    """
    name, columns = _parse_arguments(parsed.source)
    table = yield from session.table(parsed.source, exp.Table(this=name))
    scope = Scope(parsed.source, table, table.name, params)
    chosen = _families(scope, columns)
    vectors = _vector_columns(scope, columns, chosen)
    yield from session.ensure_served(service for family in chosen for service in _services(table, family))
    yield from session.ensure_loaded(table.name)
    properties: dict[str, str] = {}
    widths: list[WidthStatistics] = []
    readings: list[ReadingStatistics] = []
    for column in vectors:
        measured = yield from measure_widths(session, table, column)
        if measured is not None:
            widths.append(measured)
            properties[WIDTHS_PREFIX + column.name] = measured.model_dump_json()
        reading = yield from measure_reading(session, table, column.name)
        if reading is not None:
            readings.append(reading)
            properties[READING_PREFIX + column.name] = reading.model_dump_json()
    for family in chosen:
        statistics = yield from _measure_family(session, table, family)
        properties[PROPERTY_PREFIX + family.longest.column] = dump_statistics(statistics)
    if properties:
        doing = f"storing the statistics of {table.name}"
        yield call(doing, "alter_collection_properties", table.name, properties)
    session.forget(table.name)
    table = yield from session.table(parsed.source, exp.Table(this=name))
    rows = tuple(row for family in chosen for row in _rows(session, table, family, properties))
    rows += tuple(row for measured in widths for row in _width_rows(session, table, measured))
    rows += tuple(row for reading in readings for row in _reading_rows(table, reading))
    return StatementResult(_COLUMNS, _TYPES, rows, "ANALYZE", len(rows))


def _services(table: Table, family: Family) -> Iterator[str]:
    for member in family.members:
        embedding = table.embedding(member.column)
        if embedding is not None:
            yield embedding.service


def _vector_columns(
    scope: Scope, columns: list[exp.Identifier], families_chosen: list[Family]
) -> list[Column]:
    """The indexed vector columns to measure: all, those that are named, and those of named families."""
    indexed = [
        column for column in scope.table.columns if column.is_vector and scope.table.metrics.get(column.name)
    ]
    if not columns:
        return indexed
    named = {scope.column(exp.Column(this=node)).name for node in columns}
    named |= {member.column for family in families_chosen for member in family.members}
    return [column for column in indexed if column.name in named]


def _parse_arguments(source: SourceText) -> tuple[exp.Identifier, list[exp.Identifier]]:
    """The collection and the columns, from the tokens: sqlglot parses this form only in part."""
    tokens = [token for token in source.tokens[1:] if token.token_type != TokenType.SEMICOLON]
    if not tokens:
        raise source.not_supported("ANALYZE of every collection", 0, _WRITE)
    list_tokens = tokens[2:-1]
    closed = len(tokens) > 3 and (tokens[1].text, tokens[-1].text) == ("(", ")")
    names = [tokens[0], *list_tokens[::2]] if closed else [tokens[0]]
    wrong = [token for token in names if not _is_name(token)]
    wrong += [token for token in list_tokens[1::2] if closed and token.token_type != TokenType.COMMA]
    if not closed and len(tokens) > 1:
        wrong.append(tokens[1])
    if wrong:
        text = wrong[0].text[:40]
        raise source.syntax_error(f"'{text}' is not valid here", wrong[0].start, _WRITE)
    name, *columns = [_identifier(token) for token in names]
    return name, columns


def _is_name(token: Token) -> bool:
    return token.token_type == TokenType.IDENTIFIER or (
        token.token_type != TokenType.STRING and token.text.isidentifier()
    )


def _identifier(token: Token) -> exp.Identifier:
    node = exp.Identifier(this=token.text, quoted=token.token_type == TokenType.IDENTIFIER)
    return node.update_positions(token)


def _families(scope: Scope, columns: list[exp.Identifier]) -> list[Family]:
    """The families to measure: those with vectors of several lengths."""
    source, table = scope.source, scope.table
    every = [
        family for family in families(table) if family.shorter and table.metrics.get(family.longest.column)
    ]
    if not columns:
        return every
    selected = []
    for node in columns:
        column = scope.column(exp.Column(this=node))
        own = [
            family
            for family in every
            if column.name in (family.source, *(each.column for each in family.members))
        ]
        if not own and not column.is_vector:
            vectors = [each.name for each in scope.table.columns if each.is_vector]
            offered = ", ".join(dict.fromkeys([*(family.source for family in every), *vectors]))
            raise source.type_mismatch(
                f"column {column.name} is no vector, and has no vectors of several lengths",
                column.type,
                node,
                f"Available: {offered or 'none'}.",
            )
        selected += [family for family in own if family not in selected]
    return selected


def _measure_family(session: Session, table: Table, family: Family) -> Steps[FamilyStatistics]:
    sampled = yield BlockingCall(partial(sample_queries, table=table, source=family.source))
    rows, longest = sampled.rows, family.longest
    # More than the longest result: rows at the same distance as its last row are equally good.
    exact = yield from _search(session, table, longest, sampled.queries, min(rows, 2 * ANSWER_COUNTS[-1]))
    shorter = []
    for member in family.shorter:
        short = yield from _search(session, table, member, sampled.queries, min(rows, SHORTLIST_SIZES[-1]))
        pairs = [RankedPair(*rankings) for rankings in zip(exact, short, strict=True)]
        shorter.append(
            ShorterColumn(column=member.column, dim=member.dim, recall=measure_recall(pairs, rows))
        )
    return FamilyStatistics(
        column=longest.column,
        dim=longest.dim,
        rows=rows,
        queries=len(sampled.queries),
        shorter=tuple(shorter),
    )


def _search(
    session: Session, table: Table, by: EmbeddingColumn, queries: tuple[str, ...], limit: int
) -> Steps[list[Ranked]]:
    """Keys and distances of each query's nearest rows.

    Milvus's own function embeds the texts, as in a statement; the service caches them from column to column.
    """
    rankings: list[Ranked] = []
    primary, metric = table.primary.name, table.metrics[by.column]
    level = session.settings.consistency
    search = VectorSearch(
        table.name, DistanceRanking(by.column, metric, ""), "", (), max(limit, 1), exact=True
    )
    method = (yield from choose_search(session, search, own_rows=False)).method
    params = {"params": dict(method.params)} if method.params else {}
    for start in range(0, len(queries), _QUERIES_PER_SEARCH):
        hits = yield call(
            f"searching collection {table.name}",
            "search",
            table.name,
            data=list(queries[start : start + _QUERIES_PER_SEARCH]),
            anns_field=by.column,
            limit=max(limit, 1),
            output_fields=[primary],
            search_params={"metric_type": metric, **params},
            **({"consistency_level": level} if level else {}),
        )
        rankings += [
            [(hit["entity"][primary], DISTANCE_OF_SCORE[metric](float(hit["distance"]))) for hit in hit_list]
            for hit_list in hits
        ]
    return rankings


def _rows(session: Session, table: Table, family: Family, properties: dict[str, str]) -> Iterator[Row]:
    shorter = tuple(column.column for column in family.shorter)
    near = DistanceRanking(family.longest.column, table.metrics[family.longest.column], "", shorter)
    chosen = choose_shortlist(table, near, _SHOWN_COUNT, session.settings.recall)
    statistics = FamilyStatistics.model_validate_json(properties[PROPERTY_PREFIX + family.longest.column])
    for column in statistics.shorter:
        for recall in column.recall:
            if recall.count == _SHOWN_COUNT:
                used = isinstance(chosen, ShortlistChoice) and (chosen.column, chosen.size) == (
                    column.column,
                    recall.size,
                )
                yield column.column, column.dim, recall.size, recall.mean, used, None, None, None, None


def _width_rows(session: Session, table: Table, statistics: WidthStatistics) -> Iterator[Row]:
    column = table.column(statistics.column)
    for entry in statistics.measured:
        used = next((each for each in entry.widths if each.floor >= session.settings.recall), None)
        for recall in entry.widths:
            yield (
                statistics.column,
                column.dim if column is not None else None,
                None,
                round(recall.mean, 4),
                recall == used,
                round(entry.selectivity, 4),
                recall.width,
                None,
                None,
            )


def _reading_rows(table: Table, statistics: ReadingStatistics) -> Iterator[Row]:
    column = table.column(statistics.column)
    dim = None if column is None else column.dim
    for name, reading in (("old", statistics.old), ("fused", statistics.fused)):
        used = (name == "fused") == statistics.fuses
        yield (
            *(statistics.column, dim, None, round(reading.recall, 4), used, None, None),
            *(name, round(reading.reciprocal_rank, 4)),
        )
