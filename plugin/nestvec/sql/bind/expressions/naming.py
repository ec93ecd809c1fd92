"""What columns of an answer are called that have no AS: as PostgreSQL calls them."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.vectors.nearest import as_measure
from nestvec.sql.parse.source import SourceText, identifier_name

UNNAMED: Final = "?column?"

_CALL: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_CASTS: Final = {
    exp.DType.SMALLINT: "int2",
    exp.DType.INT: "int4",
    exp.DType.BIGINT: "int8",
    exp.DType.FLOAT: "float4",
    exp.DType.DOUBLE: "float8",
    exp.DType.DECIMAL: "numeric",
    exp.DType.BOOLEAN: "bool",
}


def output_name(source: SourceText, node: exp.Expr) -> str:
    """The name of a column made by ``node``: of a column its own, of a function the function's.

    ``distance``, ``similarity`` and ``score`` are what the rows are ranked by.
    """
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        return str(node.this.this) if node.this.args.get("quoted") else identifier_name(node.this)
    measured = as_measure(node)
    if measured is not None:
        return measured.kind
    function = function_name(source, node)
    if function not in ("", "cast"):
        return function
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        return output_name(source, default) if isinstance(default, exp.Column) else "case"
    if isinstance(node, exp.Cast):
        inner = output_name(source, node.this)
        to = node.args["to"].this
        return inner if inner != UNNAMED else _CASTS.get(to, str(getattr(to, "value", to)).lower())
    if isinstance(node, exp.Bracket):
        return output_name(source, node.this)
    return "bool" if isinstance(node, exp.Boolean) else UNNAMED


def function_name(source: SourceText, node: exp.Expr) -> str:
    """The name of the function that ``node`` is a call of, as it is written; else empty."""
    start = node.meta.get("start")
    # Operators have no place of their own, mod(a, 2) has: as nodes they are the same.
    match = _CALL.match(source.text, start) if start is not None else None
    if match is None:
        return ""
    if isinstance(node, exp.Trim):
        return {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position")), "btrim")
    return match[1].lower()
