"""``generate_series()`` of NUMERICs in FROM: DuckDB has series of integers and of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import call, kind
from nestvec.sql.relational.rewrites.numbers.exactness import DIGITS
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC

_ROWS: Final = "pg_series"
_DIGITS: Final = "pg_number"


def write_series(nodes: Sequence[exp.Expr]) -> bool:
    """Replace each series by a query of its numbers. Whether there were any; the tree is changed."""
    tables = [node for node in nodes if isinstance(node, (exp.Table, exp.Lateral)) and _is_numeric(node)]
    for table in tables:
        table.replace(_query(table.this, table.args["alias"]))
    return bool(tables)


def _is_numeric(table: exp.Expr) -> bool:
    series, alias = table.this, table.args.get("alias")
    if not isinstance(series, (exp.GenerateSeries, exp.ExplodingGenerateSeries)) or kind(series) != NUMERIC:
        return False
    # Of WITH ORDINALITY the count is a second column.
    has_count = bool(table.args.get("ordinality"))
    return isinstance(alias, exp.TableAlias) and not has_count and len(alias.columns) < 2


def _query(series: exp.Expr, alias: exp.TableAlias) -> exp.Subquery:
    bounds = [series.args.get(name) or exp.Literal.number(1) for name in ("start", "end", "step")]
    texts = call("pg_numeric_series", *(call("pg_digits", bound) for bound in bounds))
    inner = exp.Select(expressions=[exp.alias_(call("unnest", texts), _DIGITS, quoted=True)])
    number = exp.column(_DIGITS, _ROWS, quoted=True)
    number.type = exp.DataType(this=NUMERIC)
    number.meta[DIGITS] = _DIGITS
    name = alias.columns[0].name if alias.columns else alias.name
    item = exp.alias_(number, name, quoted=True)
    item.type = number.type
    rows = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(_ROWS, quoted=True)))
    query = exp.Select(expressions=[item], from_=exp.From(this=rows))
    return exp.Subquery(this=query, alias=alias.copy())
