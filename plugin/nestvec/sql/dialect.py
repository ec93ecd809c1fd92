"""PostgreSQL's grammar with pgvector's operators, as a small dialect on top of sqlglot's Postgres."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.parsers.postgres import PostgresParser

OPERATORS = ("<=>", "<->", "<#>", "<+>", "<~>", "<%>")
"""Every distance operator of pgvector 0.8. Those that no metric answers parse too, to be named in errors."""

_TOKEN = TokenType.LR_ARROW


class VectorDistance(exp.Expression, exp.Binary):
    """``this <operator> expression``; ``operator`` is one of OPERATORS."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": True, "operator": True}


def _parse_distance(parser: Any, left: exp.Expr | None) -> exp.Expr:
    token = parser._prev
    right = parser._parse_bitwise()
    node = VectorDistance(this=left, expression=right, operator=token.text).update_positions(token)
    parsed: exp.Expr = parser.expression(node)
    return parsed


def _placed(parse: Callable[..., exp.Expr | None]) -> Callable[..., exp.Expr | None]:
    """A parser of one token that notes where its node stands, as sqlglot's own do for some tokens only."""

    def parse_and_place(parser: Any, *args: Any) -> exp.Expr | None:
        token = parser._prev
        node = parse(parser, *args)
        if node is not None and node.meta.get("start") is None:
            node.update_positions(token)
        return node

    return parse_and_place


class NestvecSql(Postgres):
    """Differs from Postgres in the distance operators alone.

    All of them bind as PostgreSQL's user-defined operators do: tighter than comparisons, looser than
    ``+`` and ``-``. Stock sqlglot takes ``<=>`` for MySQL's null-safe equality and ``<#>`` for JSON.
    """

    class Tokenizer(Postgres.Tokenizer):
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **Postgres.Tokenizer.KEYWORDS,
            **dict.fromkeys(OPERATORS, _TOKEN),
        }

    class Parser(PostgresParser):
        FACTOR: ClassVar[Any] = {kind: node for kind, node in PostgresParser.FACTOR.items() if kind != _TOKEN}
        RANGE_PARSERS: ClassVar[Any] = {**PostgresParser.RANGE_PARSERS, _TOKEN: _parse_distance}
        PRIMARY_PARSERS: ClassVar[Any] = {
            kind: _placed(parse) for kind, parse in PostgresParser.PRIMARY_PARSERS.items()
        }
        PLACEHOLDER_PARSERS: ClassVar[Any] = {
            kind: _placed(parse) for kind, parse in PostgresParser.PLACEHOLDER_PARSERS.items()
        }


# sqlglot takes Jinja's comments for SQL's in every dialect: what stands in them would be lost unseen.
del NestvecSql.Tokenizer._COMMENTS["{#"]
