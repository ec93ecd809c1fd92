"""What a scan of a collection reads: its columns, the rows that Milvus filters, and distances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN, ROW_ID
from nestvec.sql.bind.conditions import Condition, split_condition
from nestvec.sql.bind.conditions.nodes import And
from nestvec.sql.bind.select import whole_number
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import chain_operands, without_parens
from nestvec.sql.relational.names import from_entries
from nestvec.sql.relational.planning import Planning
from nestvec.sql.relational.relations import (
    CollectionScan,
    DistanceColumn,
    JoinFilter,
    SuppliedRelation,
)
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch

_NOT_IN_ROWS: Final = (DYNAMIC_COLUMN.name, ROW_ID.name)
"""What is no part of a row as one value."""


@dataclass(frozen=True)
class Term:
    """One operand of the AND of a WHERE."""

    node: exp.Expr
    condition: Condition | None
    """What Milvus filters by; the term implies it."""
    complete: bool
    """Whether that is all of the term."""
    of_distance: bool
    """Whether it bounds a distance."""


def terms_of(planning: Planning, where: exp.Expr | None, scan: str, alias: str) -> list[Term]:
    """The terms of a WHERE, as far as they concern the rows of one scan. Raises SqlUnknownName."""
    return [] if where is None else [_term(planning, node, scan, alias) for node in _operands(where.this)]


def _operands(node: exp.Expr) -> list[exp.Expr]:
    node = without_parens(node)
    if not isinstance(node, exp.And):
        return [node]
    return [operand for part in chain_operands(node) for operand in _operands(part)]


def _term(planning: Planning, node: exp.Expr, scan: str, alias: str) -> Term:
    columns = list(node.find_all(exp.Column))
    table = planning.tables[scan]
    foreign = any(
        column.table != alias or (table.column(column.name) is None and column.name != DYNAMIC_COLUMN.name)
        for column in columns
    )
    if foreign or not columns or node.find(exp.Query):
        return Term(node, None, complete=False, of_distance=node.find(VectorDistance) is not None)
    if node.find(VectorDistance) is not None:
        return Term(node, None, complete=False, of_distance=True)
    try:
        condition, rest = split_condition(planning.scope(scan, alias), node)
    except (SqlNotSupported, SqlTypeMismatch):
        return Term(node, None, complete=False, of_distance=False)
    return Term(node, condition, complete=condition is not None and rest is None, of_distance=False)


def conjunction(conditions: list[Condition]) -> Condition | None:
    """All of the conditions; None if there are none."""
    return And(tuple(conditions)) if len(conditions) > 1 else next(iter(conditions), None)


def add_scans(planning: Planning, tree: exp.Expr, distances: dict[str, list[DistanceColumn]]) -> None:
    """Plan the scans of the collections that are still in the tree, which is narrowed to what they leave."""
    scans = []
    for select in list(tree.find_all(exp.Select)):
        for entry in from_entries(select):
            if isinstance(entry, exp.Table) and entry.name in planning.tables:
                scans.append((select, entry, *_pushed_condition(planning, select, entry)))
            elif isinstance(entry, exp.Table) and entry.name in planning.schemas:
                _narrow_file(planning, select, entry)
    used: dict[str, set[str]] = {}
    for column in tree.find_all(exp.Column):
        used.setdefault(column.table, set()).add(column.name)
    # to_jsonb(t) reads all columns of t.
    rows = {node.name for node in tree.find_all(exp.TableColumn)}
    for select, entry, condition, complete in scans:
        scan, alias = entry.name, entry.alias_or_name
        computed = distances.get(scan, [])
        names = used.get(alias, set()) | used.get("", set())
        names -= {distance.name for distance in computed}
        stored = planning.schemas[scan]
        columns = [name for name in stored if name in names]
        if alias in rows:
            columns = [name for name in stored if name in names or name not in _NOT_IN_ROWS]
        planning.relations.append(
            CollectionScan(
                scan,
                planning.tables[scan],
                tuple(columns) or (planning.tables[scan].primary.name,),
                condition=condition,
                limit=_limit(select) if complete else None,
                distances=tuple(computed),
                join_filter=_join_filter(planning, select, entry),
            )
        )


def _narrow_file(planning: Planning, select: exp.Select, entry: exp.Table) -> None:
    """Read of a file, or of PostgreSQL, only the rows that a ranking is joined with."""
    for at, relation in enumerate(planning.relations):
        if isinstance(relation, SuppliedRelation) and relation.name == entry.name and relation.source:
            planning.relations[at] = replace(relation, join_filter=_join_filter(planning, select, entry))


def _pushed_condition(
    planning: Planning, select: exp.Select, entry: exp.Table
) -> tuple[Condition | None, bool]:
    """What Milvus filters a scan's rows by, which WHERE then lacks, and whether nothing else filters them."""
    where = select.args.get("where")
    if where is None or not always_has_row(select, entry):
        return None, where is None
    terms = terms_of(planning, where, entry.name, entry.alias_or_name)
    rest = [term.node.copy() for term in terms if not term.complete]
    select.set("where", exp.Where(this=exp.and_(*rest)) if rest else None)
    return conjunction([term.condition for term in terms if term.condition is not None]), not rest


def always_has_row(select: exp.Select, entry: exp.Expr) -> bool:
    """Whether no outer join fills the columns of an entry with NULL: conditions may be applied before."""
    entries = from_entries(select)
    position = next(at for at, candidate in enumerate(entries) if candidate is entry)
    sides = ["", *(str(join.side).upper() for join in select.args.get("joins") or ())]
    if position < len(sides) and sides[position] in ("LEFT", "FULL"):
        return False
    return not any(side in ("RIGHT", "FULL") for side in sides[position + 1 :])


def _limit(select: exp.Select) -> int | None:
    """The rows of its only table that a SELECT reads at most: LIMIT plus OFFSET of rows in no order."""
    if any(select.args.get(part) for part in ("joins", "laterals", "group", "having", "distinct", "order")):
        return None
    if any(True for item in select.expressions for _ in item.find_all(exp.AggFunc, exp.Window)):
        return None
    return constant_window(select)


def constant_window(select: exp.Select) -> int | None:
    """LIMIT plus OFFSET; None without LIMIT, or if they are not constants."""
    if select.args.get("limit") is None:
        return None
    total = 0
    for part in ("limit", "offset"):
        node = select.args.get(part)
        if node is None:
            continue
        value = node.args.get("expression")
        # Parameters are constants of the tree by now.
        number = whole_number(value, lambda parameter: None) if value is not None else None
        if number is None or number < 0:
            return None
        total += number
    return total


def _join_filter(planning: Planning, select: exp.Select, entry: exp.Table) -> JoinFilter | None:
    """An equality with a column of a ranking, by which only few rows of the entry can be joined."""
    entries = {candidate.alias_or_name: candidate for candidate in from_entries(select)}
    for join in select.args.get("joins") or ():
        side = str(join.side).upper()
        if side in ("RIGHT", "FULL") or (side == "LEFT" and join.this is not entry):
            return None
    nodes = [join.args["on"] for join in select.args.get("joins") or () if join.args.get("on") is not None]
    if select.args.get("where") is not None:
        nodes.append(select.args["where"].this)
    for equality in (term for node in nodes for term in _operands(node) if isinstance(term, exp.EQ)):
        for own, other in ((equality.this, equality.expression), (equality.expression, equality.this)):
            if not isinstance(own, exp.Column) or not isinstance(other, exp.Column):
                continue
            ranked = _ranking_behind(planning, entries.get(other.table), other.name, select)
            if own.table == entry.alias_or_name and ranked is not None:
                return JoinFilter(own.name, *ranked)
    return None


def _ranking_behind(
    planning: Planning, entry: exp.Expr | None, column: str, select: exp.Select
) -> tuple[str, str] | None:
    """The ranking, and its column, that an entry of FROM passes on."""
    names = {relation.name for relation in planning.relations if hasattr(relation, "plan")}
    if isinstance(entry, exp.Table) and entry.name in names:
        return entry.name, column
    inner = entry.this if isinstance(entry, exp.Subquery) else cte_query(entry, select)
    if not isinstance(inner, exp.Select) or len(from_entries(inner)) != 1:
        return None
    item = next((item for item in inner.expressions if item.alias_or_name == column), None)
    source = item.this if isinstance(item, exp.Alias) else item
    if not isinstance(source, exp.Column):
        return None
    return _ranking_behind(planning, from_entries(inner)[0], source.name, inner)


def cte_query(entry: exp.Expr | None, node: exp.Expr) -> exp.Expr | None:
    """The query of the common table expression that an entry names."""
    ancestor: exp.Expr | None = node if isinstance(entry, exp.Table) else None
    while ancestor is not None:
        with_ = ancestor.args.get("with_")
        for cte in with_.expressions if with_ is not None else ():
            if entry is not None and cte.alias == entry.name:
                query: exp.Expr = cte.this
                return query
        ancestor = ancestor.parent
    return None
