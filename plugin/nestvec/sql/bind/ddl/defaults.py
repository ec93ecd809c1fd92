"""DEFAULT of a column: a constant, which Milvus holds, or an expression, which nestvec evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import TokenType, exp

from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.dml.literals import bind_value, fit_value
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope, Value
from nestvec.sql.parse.source import SourceText, without_parens
from nestvec_schemas.errors import SqlNotSupported

_CONSTANT_TYPES: Final = INTEGERS | FLOATS | STRINGS | {"BOOL"}
"""Milvus's types of columns that may have a default."""

_OPENING: Final = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.CASE)
_CLOSING: Final = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.END)
_ENDS: Final = (TokenType.COMMA, TokenType.R_PAREN, TokenType.SEMICOLON)
_QUOTED: Final = (TokenType.STRING, TokenType.IDENTIFIER)
_CONSTRAINTS: Final = (
    *("CHECK", "COLLATE", "CONSTRAINT", "DEFERRABLE", "GENERATED", "INITIALLY"),
    *("NOT", "NULL", "PRIMARY", "REFERENCES", "UNIQUE"),
)
"""Words that begin another constraint of the column."""


@dataclass(frozen=True)
class DefaultExpression:
    """A default that Milvus cannot hold."""

    sql: str
    start: int
    """The offset of the expression in the statement."""
    node: exp.Expr


def read_default(source: SourceText, node: exp.Expr, after: int) -> DefaultExpression:
    """The expression of a DEFAULT; ``after`` is an offset in the definition of its column before it."""
    start, end = _span(source, after)
    return DefaultExpression(source.text[start:end], start, node)


def bind_default(
    scope: Scope, column: Column, default: DefaultExpression
) -> Value | DefaultExpression | None:
    """The default of a column: its value as Milvus holds it, an expression, or None for NULL.

    Raises SqlError for a constant that does not fit the column, and for what no default may be.
    """
    node = default.node
    inner = without_parens(node)
    if isinstance(inner, exp.Null):
        return None
    if _is_constant_of(inner, column) and not column.primary:
        try:
            value = bind_value(scope, node, column)
            shape = row_schema(Table(scope.table.name, (column,)))
            stored = None if value is None else fit_value(scope, shape, value, column, node)
        except SqlNotSupported:
            # A cast to another type: the expression has it.
            pass
        else:
            return stored if isinstance(stored, (bool, int, float, str)) else None
    _check_expression(scope.source, node)
    return default


def _is_constant_of(node: exp.Expr, column: Column) -> bool:
    """Whether Milvus may hold a default: a constant whose type is that of the column, or a text."""
    while isinstance(node, (exp.Paren, exp.Neg)):
        node = node.this
    if column.type not in _CONSTANT_TYPES:
        return False
    if isinstance(node, exp.Boolean):
        return column.type == "BOOL"
    if isinstance(node, exp.Literal) and not node.is_string:
        of_text = column.type in STRINGS and not column.type_params.sql_type.startswith("numeric")
        return column.type != "BOOL" and not of_text
    return isinstance(node, (exp.Literal, exp.Cast, *PARAMETER_NODES)) and (
        not isinstance(node, exp.Cast) or _is_constant_of(node.this, column)
    )


def _check_expression(source: SourceText, node: exp.Expr) -> None:
    """Raise SqlError for what PostgreSQL does not allow in a default, and for what nestvec does not have."""
    for part in node.walk():
        if isinstance(part, exp.Anonymous) and str(part.this).lower() == "nextval":
            raise source.not_supported(
                "nextval() in DEFAULT", part, "Write BIGSERIAL, or GENERATED ALWAYS AS IDENTITY, for a key."
            )
        what = next((name for kinds, name in _REFUSED if isinstance(part, kinds)), "")
        if what:
            raise source.not_supported(f"{what} in DEFAULT", part, "Write constants and functions of them.")
        for kind, name in ((exp.Window, "window"), (exp.AggFunc, "aggregate")):
            if isinstance(part, kind):
                raise source.syntax_error(
                    f"{name} functions are not allowed in DEFAULT expressions", part, "Remove the function."
                )


_OF_SEVERAL_ROWS: Final = (exp.ExplodingGenerateSeries, exp.GenerateSeries, exp.Explode, exp.Unnest)
_REFUSED: Final = (
    (PARAMETER_NODES, "a parameter"),
    ((exp.Column, exp.Star), "a column"),
    ((exp.Query, exp.Exists), "a subquery"),
    (_OF_SEVERAL_ROWS, "a function of several rows"),
)


def _span(source: SourceText, after: int) -> tuple[int, int]:
    """Where the expression after the first DEFAULT begins and ends in the statement."""
    tokens = [token for token in source.tokens if token.start >= after]
    first = 1 + next(
        (
            number
            for number, token in enumerate(tokens)
            if token.text.upper() == "DEFAULT" and token.token_type not in _QUOTED
        ),
        0,
    )
    depth, end = 0, tokens[first].start
    for number, token in enumerate(tokens[first:]):
        is_word = token.token_type not in _QUOTED and token.text.upper() in _CONSTRAINTS
        if depth == 0 and number and (token.token_type in _ENDS or is_word):
            break
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        end = token.end + 1
    return tokens[first].start, end
