"""PostgreSQL's grammar with pgvector's operators: a small dialect on top of sqlglot's Postgres."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from sqlglot import TokenType, exp
from sqlglot.dialects.dialect import NormalizationStrategy
from sqlglot.dialects.postgres import Postgres
from sqlglot.generator import Generator
from sqlglot.parsers.postgres import PostgresParser

from nestvec.sql.parse.function_types import CALL, NUMBER_TYPES, with_function_types
from nestvec.sql.parse.operators import PostgresOperators
from nestvec.sql.parse.result_types import RESULT_TYPES
from nestvec.sql.parse.vectors.result_types import with_vector_types

OPERATORS = ("<=>", "<->", "<#>", "<+>", "<~>", "<%>", "<@>")
"""The distance operators of pgvector 0.8, and the BM25 operator of pg_textsearch. Operators without a metric
in Milvus parse too, so that errors can name them."""

_ONE_UNIT = re.compile(
    r"\s*[-+]?[0-9]+(\.[0-9]+)?\s*((year|month|week|day|hour|minute|second)s?)?\s*", re.IGNORECASE
)
"""An interval of one unit as DuckDB names it, too, or whose unit follows the string."""

_INTERVAL_FIELDS = {
    "YEAR TO MONTH": re.compile(r"[+-]?[0-9]+-[0-9]{1,2}"),
    "DAY TO MINUTE": re.compile(r"[0-9]+ [0-9]+:[0-9]{2}"),
    "DAY TO SECOND": re.compile(r"[0-9]+ [0-9]+:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"),
    "HOUR TO MINUTE": re.compile(r"[0-9]+:[0-9]{2}"),
    "HOUR TO SECOND": re.compile(r"[0-9]+:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"),
}
"""What is written before these fields, which then says the same without them."""

_DISTANCE_TOKEN = TokenType.LR_ARROW
_COMMANDS = ("SHOW", "RESET", "SET")
"""Statements that sqlglot keeps as words."""


class VectorDistance(exp.Expression, exp.Binary):
    """``this <operator> expression``; ``operator`` is one of OPERATORS."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": True, "operator": True}


def _distance_sql(generator: Generator, node: VectorDistance) -> str:
    left, right = generator.sql(node, "this"), generator.sql(node, "expression")
    return f"{left} {node.args['operator']} {right}"


# Errors print parts of a statement with sqlglot, so distances must print in any of them.
Generator.TRANSFORMS[VectorDistance] = _distance_sql


def _distance(parser: Any, left: exp.Expr | None, right: exp.Expr | None) -> exp.Expr:
    token = parser._operator_token
    node = VectorDistance(this=left, expression=right, operator=token.text).update_positions(token)
    parsed: exp.Expr = parser.expression(node)
    return parsed


class Rerank(exp.Expression):
    """``RERANK BY BOOST(…), 'encoder', DECAY(…) WITH (candidates = 50)`` after ORDER BY's keys."""

    arg_types: ClassVar[dict[str, bool]] = {"rankers": False, "expressions": False, "by": False}


class Boost(exp.Expression):
    """``BOOST([WHERE condition,] weight => 2)`` in RERANK BY."""

    arg_types: ClassVar[dict[str, bool]] = {"where": False, "expressions": False}


class SetExpression(exp.Expression):
    """``ALTER COLUMN this SET EXPRESSION AS (expression)`` in ALTER TABLE, as PostgreSQL 17 has it."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expression": True, "word": True}


def _parse_set_expression(parser: Any) -> exp.Expr | None:
    """None, with nothing read, for another change of a column."""
    index = parser._index
    parser._match(TokenType.COLUMN)
    column = parser._parse_field(any_token=True)
    if column is None or not parser._match_text_seq("SET", "EXPRESSION", "AS"):
        parser._retreat(index)
        return None
    word = exp.var("EXPRESSION").update_positions(parser._tokens[parser._index - 2])
    expression = parser._parse_wrapped(parser._parse_disjunction)
    parsed: exp.Expr = parser.expression(
        SetExpression(this=exp.Column(this=column), expression=expression, word=word)
    )
    return parsed


def _parse_rerank(parser: Any) -> exp.Expr | None:
    if not parser._match_text_seq("RERANK", "BY"):
        return None
    token, by = parser._tokens[parser._index - 2], exp.var("BY").update_positions(parser._prev)
    rankers = [ranker for ranker in parser._parse_csv(lambda: _parse_ranker(parser)) if ranker is not None]
    options = None
    if parser._match(TokenType.WITH):
        options = parser._parse_wrapped_csv(parser._parse_disjunction)
    parsed: exp.Expr = parser.expression(
        Rerank(rankers=rankers, expressions=options, by=by).update_positions(token)
    )
    return parsed


def _parse_ranker(parser: Any) -> exp.Expr | None:
    """An encoder's name, ``DECAY(…)`` or ``BOOST(…)``."""
    token = parser._curr
    called = parser._next is not None and parser._next.token_type == TokenType.L_PAREN
    if token is None or not called or token.token_type != TokenType.VAR:
        name: exp.Expr | None = parser._parse_primary() or parser._parse_placeholder()
        return name
    if token.text.upper() != "BOOST":
        call: exp.Expr | None = parser._parse_function()
        return call if call is None else call.update_positions(token)
    parser._advance(2)
    where = parser._parse_disjunction() if parser._match(TokenType.WHERE) else None
    if where is not None:
        parser._match(TokenType.COMMA)
    options = parser._parse_csv(parser._parse_lambda)
    parser._match_r_paren()
    boost: exp.Expr = parser.expression(Boost(where=where, expressions=options).update_positions(token))
    return boost


def _parse_option(parser: Any, names: list[exp.Expr]) -> exp.Expr:
    """``name => value`` in a call, with the position of the name."""
    name = exp.var(names[0].name)
    name.meta.update(names[0].meta)
    option: exp.Expr = parser.expression(exp.Kwarg(this=name, expression=parser._parse_disjunction()))
    return option


def _hexadecimal_bits(parser: Any, token: Any) -> exp.Expr:
    """``X'1F'`` as the bit string that it is in PostgreSQL, four bits a digit; sqlglot would make bytes."""
    bits = "".join(f"{int(digit, 16):04b}" for digit in token.text)
    constant: exp.Expr = parser.expression(exp.BitString(this=bits))
    return constant


def _build_to_timestamp(args: list[exp.Expr]) -> exp.Expr:
    """Seconds since 1970; with a pattern an unknown function, which keeps it."""
    if len(args) == 1:
        return exp.UnixToTime(this=args[0])
    return exp.Anonymous(this="to_timestamp", expressions=args)


def _with_position(parse: Callable[..., exp.Expr | None]) -> Callable[..., exp.Expr | None]:
    """Wrap a parser of one token so that its node has a position, which sqlglot sets for some tokens only."""

    def parse_and_place(parser: Any, *args: Any) -> exp.Expr | None:
        token = parser._prev
        node = parse(parser, *args)
        if node is not None and node.meta.get("start") is None:
            node.update_positions(token)
        return node

    return parse_and_place


def _with_call_position(parse: Callable[..., exp.Expr | None]) -> Callable[..., exp.Expr | None]:
    """The same for functions with an argument grammar of their own: the position of the function's name."""

    def parse_and_place(parser: Any) -> exp.Expr | None:
        token = parser._tokens[parser._index - 2]
        node = parse(parser)
        if node is not None and node.meta.get("start") is None:
            node.update_positions(token)
        return node

    return parse_and_place


_OPENING: Final = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING: Final = (TokenType.R_PAREN, TokenType.R_BRACKET)


def _innermost_call(node: exp.Expr) -> exp.Expr:
    """The function that FILTER, OVER and WITHIN GROUP stand behind."""
    while isinstance(node, (exp.Window, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        node = node.this
    return node


def written_call(node: exp.Expr) -> tuple[str, int] | None:
    """The name of the function that a node calls, and how many arguments were written; None for others."""
    call: tuple[str, int] | None = node.meta.get(CALL)
    return call


class NestvecSql(Postgres):
    """Differs from Postgres in the distance operators, and keeps array indexes as they are written.

    The operators bind like PostgreSQL's user-defined ones: tighter than comparisons, looser than ``+`` and
    ``-``. Stock sqlglot reads ``<=>`` as MySQL's null-safe equality and ``<#>`` as a JSON operator.
    """

    INDEX_OFFSET = 0
    """Array indexes stay as written (from 1): sqlglot would shift constants, but not expressions."""

    class Tokenizer(Postgres.Tokenizer):
        # sqlglot would read ($1,$2) as a dollar-quoted string, which is not supported here.
        HEREDOC_STRINGS: ClassVar[list[str | tuple[str, str]]] = []
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **Postgres.Tokenizer.SINGLE_TOKENS,
            "$": TokenType.PARAMETER,
        }
        # EXPLAIN is an ordinary word here: sqlglot would keep the statement after it as one string.
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **{word: kind for word, kind in Postgres.Tokenizer.KEYWORDS.items() if word != "EXPLAIN"},
            **dict.fromkeys(OPERATORS, _DISTANCE_TOKEN),
        }

    class Parser(PostgresOperators):
        # sqlglot would take over a pattern or an origin in part, and lose how it is spelled.
        FUNCTIONS: ClassVar[Any] = {
            name: build
            for name, build in PostgresParser.FUNCTIONS.items()
            if name not in ("TO_CHAR", "TO_DATE", "TO_NUMBER", "DATE_ADD", "DATE_BIN")
        } | {"TO_TIMESTAMP": _build_to_timestamp}
        OTHER_OPERATORS: ClassVar[Any] = {_DISTANCE_TOKEN: _distance}
        # An arrow in an argument is JSON's operator: PostgreSQL has no lambdas.
        LAMBDAS: ClassVar[Any] = {
            kind: parse for kind, parse in PostgresParser.LAMBDAS.items() if kind != TokenType.ARROW
        } | {TokenType.FARROW: _parse_option}
        # Snowflake's CREATE DYNAMIC TABLE would claim the name in WITH (dynamic = true).
        PROPERTY_PARSERS: ClassVar[Any] = {
            name: parse for name, parse in PostgresParser.PROPERTY_PARSERS.items() if name != "DYNAMIC"
        }
        PRIMARY_PARSERS: ClassVar[Any] = {
            kind: _with_position(parse)
            for kind, parse in {
                **PostgresParser.PRIMARY_PARSERS,
                TokenType.HEX_STRING: _hexadecimal_bits,
            }.items()
        }
        FUNCTION_PARSERS: ClassVar[Any] = {
            name: _with_call_position(parse) for name, parse in PostgresParser.FUNCTION_PARSERS.items()
        }
        PLACEHOLDER_PARSERS: ClassVar[Any] = {
            kind: _with_position(parse) for kind, parse in PostgresParser.PLACEHOLDER_PARSERS.items()
        }

        def _parse_function_call(
            self,
            functions: Any = None,
            anonymous: bool = False,
            optional_parens: bool = True,
            any_token: bool = False,
        ) -> Any:
            # sqlglot forgets how a function was called: one name for all spellings, no arguments it lacks.
            start = self._index
            node = super()._parse_function_call(functions, anonymous, optional_parens, any_token)
            called = self._tokens[start : start + 2]
            if node is None or len(called) < 2 or called[1].token_type != TokenType.L_PAREN:
                return node
            if called[0].token_type == TokenType.CASE:  # CASE (x) WHEN
                return node
            quoted = called[0].token_type == TokenType.IDENTIFIER
            name = called[0].text if quoted else called[0].text.lower()
            _innermost_call(node).meta[CALL] = (name, self._count_arguments(start + 1))
            return node

        def _count_arguments(self, opening: int) -> int:
            """The arguments between a bracket and the one that closes it."""
            depth = commas = 0
            for at in range(opening, self._index):
                kind = self._tokens[at].token_type
                depth += (kind in _OPENING) - (kind in _CLOSING)
                commas += depth == 1 and kind == TokenType.COMMA
                if depth == 0:
                    return 0 if at == opening + 1 else commas + 1
                if depth == 1 and kind == TokenType.ORDER_BY:
                    # The keys of an aggregate's order are no arguments.
                    return commas + 1
            return commas + 1

        def _parse_as_command(self, start: Any) -> exp.Command:
            # sqlglot turns what it cannot parse into a command, and loses the position of the error.
            if self._curr is not None and start.text.upper() not in _COMMANDS:
                self.raise_error("Unexpected word", self._curr)
            return super()._parse_as_command(start)

        def _parse_interval(self, require_interval: bool = True, parse_function_unit: bool = True) -> Any:
            # sqlglot keeps the first unit of '1 day 02:03:04' alone.
            tokens = self._tokens[self._index : self._index + 2]
            is_string = [token.token_type for token in tokens] == [TokenType.INTERVAL, TokenType.STRING]
            words = [token.text.upper() for token in self._tokens[self._index + 2 : self._index + 5]]
            if is_string and words[1:2] == ["TO"]:
                form = _INTERVAL_FIELDS.get(" ".join(words))
                if form is None or not form.fullmatch(tokens[1].text.strip()):
                    self.raise_error("Write the units into the string: INTERVAL '1 day 02:03:04'", tokens[1])
                text = exp.Literal.string(tokens[1].text).update_positions(tokens[1])
                self._advance(len(words) + 2)
                return exp.cast(text, "interval").update_positions(tokens[0])
            if is_string and not _ONE_UNIT.fullmatch(tokens[1].text):
                self._advance()
                text = exp.Literal.string(tokens[1].text).update_positions(tokens[1])
                self._advance()
                return exp.cast(text, "interval").update_positions(tokens[0])
            interval = super()._parse_interval(require_interval, parse_function_unit)
            if isinstance(interval, exp.Interval) and tokens and interval.meta.get("start") is None:
                interval.update_positions(tokens[0])
                unit = interval.args.get("unit")
                if self._prev.token_type == TokenType.VAR and isinstance(unit, exp.Var):
                    unit.update_positions(self._prev)
            return interval

        def _parse_cube_or_rollup(self, with_prefix: bool = False) -> Any:
            # sqlglot takes no conditions as keys, as in ROLLUP (n IS NULL).
            kinds = {TokenType.CUBE: exp.Cube, TokenType.ROLLUP: exp.Rollup}
            kind = None if with_prefix or self._curr is None else kinds.get(self._curr.token_type)
            if kind is None:
                return super()._parse_cube_or_rollup(with_prefix)
            self._advance()
            return self.expression(kind(expressions=self._parse_wrapped_csv(self._parse_disjunction)))

        def _parse_grouping_set(self) -> Any:
            return self._parse_grouping_sets() or self._parse_cube_or_rollup() or self._parse_disjunction()

        def _parse_alter_table_alter(self) -> exp.Expr | None:
            return _parse_set_expression(self) or super()._parse_alter_table_alter()

        def _parse_file_location(self) -> exp.Expr | None:
            # Options in parentheses may follow: STDIN (FORMAT csv) is no call.
            if self._match_texts(("STDIN", "STDOUT")):
                return exp.var(self._prev.text).update_positions(self._prev)
            return super()._parse_file_location()

        def _parse_order(self, this: Any = None, skip_order_token: bool = False) -> Any:
            order = super()._parse_order(this, skip_order_token)
            if isinstance(order, exp.Order) and order is not this:
                rerank = _parse_rerank(self)
                if rerank is not None:
                    order.set("rerank", rerank)
            return order


class CaseSensitiveSql(NestvecSql):
    """The same grammar for trees whose names are folded and quoted already, with PostgreSQL's types."""

    NORMALIZATION_STRATEGY = NormalizationStrategy.CASE_SENSITIVE
    EXPRESSION_METADATA: Any = with_vector_types(
        {**Postgres.EXPRESSION_METADATA, **RESULT_TYPES, **NUMBER_TYPES}
    )


class PostgresTypes(CaseSensitiveSql):
    """The same, with the types that PostgreSQL gives results, where DuckDB computes functions in others."""

    EXPRESSION_METADATA: Any = with_vector_types(with_function_types(CaseSensitiveSql.EXPRESSION_METADATA))


# sqlglot reads Jinja comments as SQL comments in every dialect, and would silently drop their text.
del NestvecSql.Tokenizer._COMMENTS["{#"]
