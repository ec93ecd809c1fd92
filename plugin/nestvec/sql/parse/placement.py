"""Places where PostgreSQL takes no aggregate, no window function, no rows and no constant."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.function_types import CALL
from nestvec.sql.parse.source import SourceText, identifier_name, without_parens

_AGGREGATE, _WINDOW, _ROWS = "aggregate", "window", "set-returning"
_CLAUSES: Final[dict[type[exp.Expr], str]] = {
    exp.Where: "WHERE", exp.Having: "HAVING", exp.Group: "GROUP BY", exp.Limit: "LIMIT", exp.Fetch: "LIMIT",
    exp.Offset: "OFFSET", exp.Values: "VALUES", exp.Returning: "RETURNING", exp.OnConflict: "UPDATE",
    exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Join: "JOIN conditions",
}  # fmt: skip
_REFUSED: Final = {
    _AGGREGATE: frozenset(_CLAUSES.values()) - {"HAVING"},
    _WINDOW: frozenset(_CLAUSES.values()),
    _ROWS: frozenset(_CLAUSES.values()) - {"GROUP BY", "VALUES"},
}
"""The clauses that take none of a kind."""
_NAMES: Final = {
    _AGGREGATE: "aggregate functions", _WINDOW: "window functions", _ROWS: "set-returning functions",
}  # fmt: skip
_SERIES: Final = (exp.ExplodingGenerateSeries, exp.Explode, exp.Unnest)
_SETS: Final = """
generate_series generate_subscripts json_array_elements json_array_elements_text json_each json_each_text
json_object_keys jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys
jsonb_path_query regexp_matches regexp_split_to_table string_to_table unnest
""".split()  # noqa: SIM905 - a list of words
_WITHIN_WINDOWS: Final = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)
_OF_WINDOWS_ALONE: Final = (
    exp.RowNumber, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue,
)  # fmt: skip
_WITHOUT_ROWS: Final[dict[type[exp.Expr], str]] = {exp.Case: "CASE", exp.Coalesce: "COALESCE"}
_MOVE: Final = "Compute it in a query of FROM."


def check_placement(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlSyntaxError or SqlNotSupported for what stands where PostgreSQL takes nothing of its kind."""
    for node in tree.walk():
        if isinstance(node, exp.Select):
            _check_sources(source, node)
        kind = _kind(node)
        if kind:
            _check_call(source, node, kind)
        elif isinstance(node, (exp.Order, exp.Group)) and isinstance(node.parent, exp.Query):
            name = "ORDER BY" if isinstance(node, exp.Order) else "GROUP BY"
            for key in node.expressions:
                _check_key(source, key.this if isinstance(key, exp.Ordered) else key, name)
        elif isinstance(node, (exp.Limit, exp.Offset)):
            _check_count(source, node)
        elif isinstance(node, exp.Distinct) and isinstance(node.args.get("on"), exp.Tuple):
            for key in node.args["on"].expressions:
                _check_key(source, key, "DISTINCT ON")


def _kind(node: exp.Expr) -> str:
    """Whether a node is an aggregate, a window function or a call that gives rows; empty for others."""
    if isinstance(node, exp.Window):
        return _WINDOW
    if isinstance(node, exp.AggFunc) and not isinstance(node, _OF_WINDOWS_ALONE):
        return "" if isinstance(_call_of(node).parent, exp.Window) else _AGGREGATE
    called = node.meta.get(CALL)
    name = called[0] if called else node.name.lower() if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, _SERIES) or name in _SETS:
        return "" if _is_source(node) else _ROWS
    return ""


def _is_source(node: exp.Expr) -> bool:
    """Whether a call is one of FROM."""
    parent = node.parent
    if isinstance(parent, (exp.Alias, exp.Subquery)):
        parent = parent.parent
    return isinstance(parent, (exp.From, exp.Join, exp.Table, exp.Lateral, *_SERIES))


def _call_of(node: exp.Expr) -> exp.Expr:
    """A call with what is written behind it."""
    while isinstance(node.parent, _WITHIN_WINDOWS) and node.arg_key == "this":
        node = node.parent
    return node


def _check_call(source: SourceText, node: exp.Expr, kind: str) -> None:
    call = _call_of(node)
    child, parent = call, call.parent
    while parent is not None:
        _check_within(source, node, kind, child, parent)
        clause = _clause(child, parent)
        if clause in _REFUSED[kind] and not (kind == _AGGREGATE and _may_be_outer(node)):
            raise _refused(source, node, kind, clause)
        if clause or isinstance(parent, exp.Query):
            return
        child, parent = parent, parent.parent


def _clause(child: exp.Expr, parent: exp.Expr) -> str:
    """The clause that a node is, with the part of it that something is in."""
    if isinstance(parent, exp.Where) and isinstance(parent.parent, exp.Filter):
        return ""
    if isinstance(parent, exp.Join) and child.arg_key != "on":
        return ""
    return _CLAUSES.get(type(parent), "")


def _check_within(source: SourceText, node: exp.Expr, kind: str, child: exp.Expr, parent: exp.Expr) -> None:
    """Calls within others."""
    name = ""
    if isinstance(parent, exp.Where) and isinstance(parent.parent, exp.Filter):
        name = "FILTER"
    elif kind == _ROWS and type(parent) in _WITHOUT_ROWS:
        name = _WITHOUT_ROWS[type(parent)]
    if name and not (kind == _AGGREGATE and _may_be_outer(node)):
        raise _refused(source, node, kind, name)
    if isinstance(parent, exp.Window) and kind == _WINDOW and child.arg_key != "this":
        raise source.syntax_error("window function calls cannot be nested", node, _MOVE)
    is_aggregate = isinstance(parent, exp.AggFunc) and _kind(parent) == _AGGREGATE
    if is_aggregate and kind == _AGGREGATE and not _may_be_outer(node):
        raise source.syntax_error("aggregate function calls cannot be nested", node, _MOVE)
    if is_aggregate and kind != _AGGREGATE:
        cause = f"aggregate function calls cannot contain {kind} function calls"
        if kind == _WINDOW:
            raise source.syntax_error(cause, node, _MOVE)
        raise source.not_supported(cause, node, _MOVE)


def _refused(source: SourceText, node: exp.Expr, kind: str, clause: str) -> Exception:
    return source.syntax_error(f"{_NAMES[kind]} are not allowed in {clause}", node, _MOVE)


def _may_be_outer(aggregate: exp.Expr) -> bool:
    """Whether an aggregate may be one of the query around its own: it names none of its own tables."""
    select = aggregate.find_ancestor(exp.Select)
    if select is None or select.find_ancestor(exp.Select) is None:
        return False
    columns = list(aggregate.find_all(exp.Column))
    own = {entry.alias_or_name.lower() for entry in select.find_all(exp.Table)}
    return bool(columns) and not any(column.table.lower() in own for column in columns)


def _check_key(source: SourceText, key: exp.Expr, clause: str) -> None:
    """A constant is the position of a column of the result."""
    number = without_parens(key)
    sign = -1 if isinstance(number, exp.Neg) else 1
    number = without_parens(number.this) if isinstance(number, exp.Neg) else number
    if not isinstance(number, (exp.Literal, exp.Boolean, exp.Null)) or key.meta.get(CALL):
        return
    if not isinstance(number, exp.Literal) or number.is_string or not number.name.isdecimal():
        raise source.type_mismatch(
            f"a constant in {clause}",
            key.sql()[:40],
            key,
            "Name a column, or give its position in the select list.",
        )
    if sign * int(number.name) < 1:
        cause = f"{clause} gives a position that is not in the select list"
        raise source.type_mismatch(cause, key.sql()[:40], key, "Count the columns from 1.")


def _check_count(source: SourceText, node: exp.Limit | exp.Offset) -> None:
    """LIMIT and OFFSET name no column."""
    count = node.args.get("expression")
    if not isinstance(count, exp.Expr) or count.find(VectorDistance) is not None:
        return
    for part in count.walk(prune=lambda part: isinstance(part, exp.Query)):
        if isinstance(part, exp.Column):
            cause = f"argument of {_CLAUSES[type(node)]} must not contain variables"
            raise source.syntax_error(cause, part, "Write a number or a parameter.")


def _check_sources(source: SourceText, select: exp.Select) -> None:
    """The tables of FROM have different names."""
    from_, names = select.args.get("from_"), set[str]()
    for entry in [
        *([from_.this] if from_ is not None else []),
        *(j.this for j in select.args.get("joins") or ()),
    ]:
        alias = entry.args.get("alias")
        name = alias.this if isinstance(alias, exp.TableAlias) else entry.this
        is_plain = isinstance(alias, exp.TableAlias) or (
            isinstance(entry, exp.Table) and not entry.args.get("db")
        )
        if not is_plain or not isinstance(name, exp.Identifier):
            continue
        if identifier_name(name) in names:
            raise source.unknown_name(
                "a table name occurs twice in FROM", name.name, entry, "Write table AS name."
            )
        names.add(identifier_name(name))
