"""GROUP BY of a ranking: the column whose every value keeps only its best row."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import TokenType, exp

from nestvec.sql.bind.order import resolve_select_item
from nestvec.sql.bind.scope import INTEGERS, STRINGS, Scope
from nestvec.sql.bind.select_list import SelectItem
from nestvec.sql.bind.vectors.ranking import FusedRanking, Ranking
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import without_parens

_GROUPED = INTEGERS | STRINGS | {"BOOL"}
"""Types of columns that Milvus can group a search by."""

_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)


def grouping_column(scope: Scope, clause: exp.Group, items: Sequence[SelectItem], ranking: Ranking) -> str:
    """The column that Milvus groups a ranking by. Raises SqlNotSupported for anything else."""
    source = scope.source
    if clause.args.get("all") or not clause.expressions:
        raise source.not_supported("GROUP BY ALL", TokenType.GROUP_BY, "Name the columns.")
    sets = next((node for node in clause.expressions if isinstance(node, _SETS)), None)
    if sets is not None:
        raise source.not_supported("GROUP BY with several grouping sets", sets, "Run one statement per set.")
    first, *others = clause.expressions
    if others:
        raise source.not_supported(
            "GROUP BY of more than one column with ORDER BY a distance",
            others[0],
            "Milvus groups a search by one column.",
        )
    if isinstance(ranking, FusedRanking):
        raise source.not_supported("GROUP BY with ORDER BY a fused score", first, "Order by one distance.")
    node = without_parens(resolve_select_item(scope, first, items, "GROUP BY", columns_first=True))
    column = scope.column(node) if isinstance(node, exp.Column) else None
    if column is not None and column.type in _GROUPED:
        return column.name
    raise source.not_supported(
        f"GROUP BY {construct_name(node) if column is None else f'a {column.type} column'} "
        "with ORDER BY a distance",
        first,
        "Milvus groups a search by an integer, string or boolean column.",
    )
