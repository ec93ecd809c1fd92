"""Conditions on text: LIKE and its kin, and @@ on a column with an analyzer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from nestvec.sql.bind.conditions.compare import compare_constant, present_base
from nestvec.sql.bind.conditions.constants import TypedConstant, mismatch, read_constant, shown
from nestvec.sql.bind.conditions.json_compare import like_json
from nestvec.sql.bind.conditions.nodes import (
    ALWAYS,
    NEVER,
    Like,
    Match,
    Narrowed,
    negate,
)
from nestvec.sql.bind.conditions.operands import ConditionOperand, filterable_column, operand
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sqltypes import is_mapped


@dataclass(frozen=True)
class _Pattern:
    """A pattern of LIKE."""

    parts: tuple[tuple[str, bool], ...]
    """Each character, and whether it is a wildcard."""

    @property
    def text(self) -> str | None:
        """The only text that it matches; None for a pattern with wildcards."""
        return None if any(wild for _, wild in self.parts) else "".join(char for char, _ in self.parts)

    def loosened(self, *, fold: bool) -> tuple[str, bool]:
        """A pattern in which only ``%`` is special, which matches at least as much, and whether no more.

        ``_`` is one byte to Milvus, not one character, and its versions differ on escapes. ``fold`` is for
        ILIKE: no letter stays that has another case.
        """
        chars: list[str] = []
        exact = True
        for char, wild in self.parts:
            plain = char == "%" if wild else char not in "%_\\" and not (fold and _has_case(char))
            exact = exact and plain
            chars.append(char if plain else "%")
        pattern = "".join(chars)
        while "%%" in pattern:
            pattern = pattern.replace("%%", "%")
        return pattern, exact


def _has_case(char: str) -> bool:
    return char.lower() != char or char.upper() != char or char.casefold() != char


def bind_like(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``text [NOT] LIKE pattern [ESCAPE character]``, and ILIKE."""
    like, escape = (node.this, node.args["expression"]) if isinstance(node, exp.Escape) else (node, None)
    if not isinstance(like, (exp.Like, exp.ILike)):
        raise scope.source.not_supported("ESCAPE", node, "Write LIKE … ESCAPE '!'.")
    negated = bool(like.args.get("negate")) != negated
    value = operand(scope, like.this)
    right = like.args["expression"]
    if is_mapped(value.column.type_params.sql_type):
        return Narrowed(present_base(value), node)
    _check_text(scope, value, like)
    constant, escaping = read_constant(scope, right), _escape(scope, escape)
    if constant is None or escaping is None:
        return Narrowed(present_base(value), node)
    if constant.value is None or escaping.value is None:
        return Narrowed(NEVER)
    if not isinstance(constant.value, str):
        raise mismatch(scope, value.column, shown(constant), right)
    pattern = _read_pattern(scope, constant.value, str(escaping.value), right)
    return _match(scope, value, pattern, isinstance(like, exp.ILike), negated, node)


def _check_text(scope: Scope, value: ConditionOperand, node: exp.Expr) -> None:
    column = value.column
    if column.type not in STRINGS or value.cast:
        raise scope.source.type_mismatch(f"column {column.name} is {column.type}", "LIKE", node, "Use =.")


def _escape(scope: Scope, node: exp.Expr | None) -> TypedConstant | None:
    if node is None:
        return TypedConstant("\\", "unknown")
    constant = read_constant(scope, node)
    if constant is not None and isinstance(constant.value, str) and len(constant.value) > 1:
        raise scope.source.type_mismatch(
            "ESCAPE takes one character", constant.value[:40], node, "Write '!'."
        )
    return constant


def _match(
    scope: Scope, value: ConditionOperand, pattern: _Pattern, fold: bool, negated: bool, node: exp.Expr
) -> Narrowed:
    if pattern.text is not None and not fold:
        return compare_constant(
            scope, value, "!=" if negated else "=", TypedConstant(pattern.text, "unknown"), node
        )
    loose, exact = pattern.loosened(fold=fold)
    if negated and (not exact or value.form == "json"):
        return Narrowed(present_base(value), node)
    if value.form == "json":
        return like_json(value, loose, exact, node)
    if loose == "%":
        condition = NEVER if negated else present_base(value)
        return Narrowed(condition, None if exact and value.form == "column" else node)
    if value.form != "column":
        return Narrowed(present_base(value), node)
    if "%" not in loose:
        return compare_constant(scope, value, "!=" if negated else "=", TypedConstant(loose, "unknown"), node)
    return Narrowed(Like(value.column, loose, negated), None if exact else node)


def _read_pattern(scope: Scope, pattern: str, escape: str, node: exp.Expr) -> _Pattern:
    parts: list[tuple[str, bool]] = []
    rest = iter(pattern)
    for char in rest:
        if char != escape:
            parts.append((char, char in "%_"))
            continue
        following = next(rest, None)
        if following is None:
            raise scope.source.type_mismatch(
                "this pattern ends in the escape character", pattern, node, "Write \\\\ for a backslash."
            )
        parts.append((following, False))
    return _Pattern(tuple(parts))


def bind_starts_with(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``starts_with(text, 'prefix')`` and ``text ^@ 'prefix'``."""
    value, right = operand(scope, node.this), node.args["expression"]
    constant = read_constant(scope, right)
    if constant is None or value.column.type not in STRINGS or value.cast:
        return Narrowed(ALWAYS, node)
    if constant.value is None:
        return Narrowed(NEVER)
    if not isinstance(constant.value, str):
        raise mismatch(scope, value.column, shown(constant), right)
    pattern = _Pattern((*((char, False) for char in constant.value), ("%", True)))
    return _match(scope, value, pattern, False, negated, node)


def bind_regular(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``~``, ``~*`` and SIMILAR TO, of which a filter only says that their operand is not NULL."""
    value = operand(scope, node.this)
    _check_text(scope, value, node)
    return Narrowed(present_base(value), node)


def bind_match(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``column @@ 'words'``: rows with any of the words (Milvus's text_match)."""
    columns = node.expressions
    if len(columns) != 1 or not isinstance(columns[0], exp.Column):
        raise scope.source.not_supported("@@ with anything but a column", node, "Write title @@ 'words'.")
    column = filterable_column(scope, columns[0])
    if column.type == "JSON":
        raise scope.source.not_supported(
            "@@ of JSON, a JSON path,", node, "Write meta @> '{\"a\": 1}', or compare meta->>'a'."
        )
    if not column.type_params.analyzed:
        raise scope.source.type_mismatch(
            f"column {column.name} has no analyzer",
            "@@",
            columns[0],
            "Create the column with BM25, or with enable_match in Milvus.",
        )
    text = scope.value(node.this, column)
    match = Match(column, str(text))
    return Narrowed(negate(match) if negated else match)
