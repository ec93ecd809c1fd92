"""Conditions on text: LIKE, and @@ on a column with an analyzer."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.bind.conditions.nodes import Compare, Condition, Like, Match, negate
from nestvec.sql.bind.conditions.operands import filterable_column, inside_json, operand
from nestvec.sql.bind.scope import STRINGS, Scope


def bind_like(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    column = operand(scope, node.this)
    if column.type not in STRINGS:
        raise scope.source.type_mismatch(f"column {column.name} is {column.type}", "LIKE", node, "Use =.")
    right = node.args["expression"]
    pattern = str(scope.value(right, column))
    negated = bool(node.args.get("negate")) != negated
    plain, special, escaped = _read_pattern(pattern)
    if plain is None:
        raise scope.source.type_mismatch(
            "this pattern ends in the escape character", pattern, right, "Write \\\\ for a backslash."
        )
    if negated and inside_json(column):
        raise scope.source.not_supported("NOT LIKE inside JSON", node, "Reverse the condition.")
    if not special:
        return Compare(column, "!=" if negated else "=", plain)
    if "_" in special:
        raise scope.source.not_supported(
            "_ as a wildcard in LIKE", right, "In Milvus it matches one byte, not one character. Use %."
        )
    if escaped:
        raise scope.source.not_supported(
            "an escaped character with a wildcard in LIKE",
            right,
            "Milvus versions differ on it. Use % in place of the escaped character.",
        )
    return Like(column, pattern, negated)


def _read_pattern(pattern: str) -> tuple[str | None, set[str], bool]:
    """The text without escapes (None for an unfinished one), the wildcards, and whether there are escapes."""
    plain: list[str] = []
    special: set[str] = set()
    escaped, rest = False, iter(pattern)
    for char in rest:
        if char == "\\":
            escaped = True
            following = next(rest, None)
            if following is None:
                return None, special, escaped
            plain.append(following)
        else:
            plain.append(char)
            if char in "%_":
                special.add(char)
    return "".join(plain), special, escaped


def bind_match(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``column @@ 'words'``: rows with any of the words (Milvus's text_match)."""
    columns = node.expressions
    if len(columns) != 1 or not isinstance(columns[0], exp.Column):
        raise scope.source.not_supported("@@ with anything but a column", node, "Write title @@ 'words'.")
    column = filterable_column(scope, columns[0])
    if not column.type_params.analyzed:
        raise scope.source.type_mismatch(
            f"column {column.name} has no analyzer",
            "@@",
            columns[0],
            "Create the column with BM25, or with enable_match in Milvus.",
        )
    text = scope.value(node.this, column)
    match = Match(column, str(text))
    return negate(match) if negated else match
