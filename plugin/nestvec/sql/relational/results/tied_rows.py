"""``FETCH FIRST n ROWS WITH TIES``, which DuckDB lacks: the rows of the ranks that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText, without_parens
from nestvec.sql.relational.rewrites.nodes import anonymous_name

_ROW_CALLS: Final = frozenset(
    {
        "GENERATE_SUBSCRIPTS", "JSONB_PATH_QUERY", "STRING_TO_TABLE", "REGEXP_MATCHES",
        "REGEXP_SPLIT_TO_TABLE", "JSONB_OBJECT_KEYS", "JSON_OBJECT_KEYS", "JSONB_ARRAY_ELEMENTS",
        "JSON_ARRAY_ELEMENTS", "JSONB_ARRAY_ELEMENTS_TEXT", "JSON_ARRAY_ELEMENTS_TEXT",
    }
)  # fmt: skip
"""Functions of several rows that sqlglot does not know."""

_KEY: Final = "tie_key"
"""The name of the query that computes keys of ORDER BY; theirs have a number, too."""


def limit_with_ties(source: SourceText, tree: exp.Expr) -> None:
    """Write every WITH TIES of a qualified tree as a condition on ranks. The tree is changed.

    Raises SqlSyntaxError without ORDER BY, SqlNotSupported for results of DISTINCT, of set operations and of
    functions of several rows.
    """
    for query in list(tree.find_all(exp.Query)):
        fetch = query.args.get("limit")
        if not isinstance(fetch, exp.Fetch):
            continue
        options = fetch.args.get("limit_options")
        if options is None or not options.args.get("with_ties"):
            continue
        order = query.args.get("order")
        if order is None:
            raise source.syntax_error(
                "WITH TIES needs ORDER BY, which says what rows are equal", options, "Add ORDER BY."
            )
        if not isinstance(query, exp.Select) or query.args.get("distinct"):
            raise source.not_supported(
                "WITH TIES of DISTINCT, VALUES or a set operation",
                options,
                "Write it around them: SELECT * FROM (…) q ORDER BY … FETCH FIRST n ROWS WITH TIES.",
            )
        if any(map(_has_several_rows, query.expressions)):
            raise source.not_supported(
                "WITH TIES of a function of several rows",
                options,
                "Write it in FROM: SELECT … FROM t, unnest(a) AS u ORDER BY … FETCH FIRST n ROWS WITH TIES.",
            )
        if any(True for key in _keys(query) for _ in key.find_all(exp.Window)):
            _compute_keys(query)
        _take_ranks(query, fetch.args.get("count") or exp.Literal.number(1))


def _compute_keys(select: exp.Select) -> None:
    """Make a SELECT one of its own rows and keys of ORDER BY: ranks are not by a window function."""
    inner = select.copy()
    for part in ("order", "limit", "offset"):
        inner.set(part, None)
    names = [item.alias_or_name for item in select.expressions]
    keys = list(_keys(select))
    for number, key in enumerate(keys):
        inner.append("expressions", exp.alias_(key.this.copy(), f"{_KEY}{number}", quoted=True))
        key.set("this", exp.column(f"{_KEY}{number}", table=_KEY, quoted=True))
    rest = {part: select.args[part] for part in ("limit", "offset") if select.args.get(part)}
    select.args.clear()
    items = [exp.alias_(exp.column(name, table=_KEY, quoted=True), name, quoted=True) for name in names]
    rows = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(_KEY, quoted=True)))
    parts = {"expressions": items, "from_": exp.From(this=rows), "order": exp.Order(expressions=keys), **rest}
    for part, value in parts.items():
        select.set(part, value)


def _take_ranks(select: exp.Select, count: exp.Expr) -> None:
    order = exp.Order(expressions=list(_keys(select)))
    condition: exp.Expr = exp.LTE(this=_over("rank", order), expression=exp.paren(count.copy()))
    offset = select.args.get("offset")
    if offset is not None:
        skipped = exp.paren(offset.expression.copy())
        last = exp.Add(this=exp.paren(count.copy()), expression=skipped)
        after = exp.GT(this=_over("row_number", order), expression=skipped.copy())
        positive = exp.GT(this=exp.paren(count.copy()), expression=exp.Literal.number(0))
        condition = exp.and_(exp.LTE(this=_over("rank", order), expression=last), after, positive)
    select.set("qualify", exp.Qualify(this=condition))
    select.set("limit", None)
    select.set("offset", None)


def _over(function: str, order: exp.Order) -> exp.Window:
    return exp.Window(this=exp.Anonymous(this=function), order=order.copy())


def _keys(select: exp.Select) -> Iterator[exp.Expr]:
    """The keys of ORDER BY, with the expressions of those that name or count a column of the result."""
    outputs = {item.alias_or_name: item.unalias() for item in select.expressions}
    for ordered in select.args["order"].expressions:
        key = ordered.copy()
        node = without_parens(key.this)
        if isinstance(node, exp.Literal) and node.is_int and 0 < int(node.name) <= len(select.expressions):
            key.set("this", select.expressions[int(node.name) - 1].unalias().copy())
        elif isinstance(node, exp.Column) and not node.table and node.name in outputs:
            key.set("this", outputs[node.name].copy())
        yield key


def _has_several_rows(value: exp.Expr) -> bool:
    """Whether a value of a select list is several rows, as ``unnest(a)`` is."""
    return any(
        isinstance(part, (exp.UDTF, exp.ExplodingGenerateSeries)) or anonymous_name(part) in _ROW_CALLS
        for part in value.walk(prune=lambda part: isinstance(part, exp.Query))
    )
