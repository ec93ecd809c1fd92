"""Operators with PostgreSQL's precedence, which differs from sqlglot's: its comparisons do not chain.

From the weakest: OR, AND, NOT, IS, comparisons, BETWEEN IN LIKE, all other operators, + and -, * / and %, ^,
AT TIME ZONE, COLLATE, the sign. IS, comparisons, and BETWEEN IN LIKE are not associative.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar, Final

from sqlglot import TokenType, exp
from sqlglot.parsers.postgres import PostgresParser

CHAINED: Final = "Chained operator"
"""How the description of the error for ``a < b < c`` begins."""

IS_UNKNOWN: Final = "is_unknown"
"""What the ``meta`` of IS UNKNOWN has, which is IS NULL for booleans."""


class Precedence(IntEnum):
    """How strongly operators bind, as in PostgreSQL's grammar."""

    IS = 1
    COMPARISON = 2
    RANGE = 3
    OTHER = 4
    SUM = 5
    PRODUCT = 6
    POWER = 7
    AT_TIME_ZONE = 8
    COLLATE = 9
    SIGN = 10


_MAX_RETREATS: Final = 20
"""For each token, and 1,000 tokens more."""
_NOT_ASSOCIATIVE: Final = (Precedence.IS, Precedence.COMPARISON, Precedence.RANGE)

Build = Callable[[Any, exp.Expr | None, exp.Expr | None], exp.Expr | None]
"""Makes a node of the parser, the left and the right operand."""


def _node(kind: type[exp.Expr]) -> Build:
    return lambda parser, left, right: parser.expression(kind(this=left, expression=right))


def _predicate(kind: type[exp.Expr]) -> Build:
    return lambda parser, left, right: parser._build_predicate(kind, left, right)


def _quotient(parser: Any, left: exp.Expr | None, right: exp.Expr | None) -> exp.Expr | None:
    settings = {"typed": parser.dialect.TYPED_DIVISION, "safe": parser.dialect.SAFE_DIVISION}
    node: exp.Expr = parser.expression(exp.Div(this=left, expression=right, **settings))
    return node


def _joined_texts(parser: Any, left: exp.Expr | None, right: exp.Expr | None) -> exp.Expr | None:
    safe = not parser.dialect.STRICT_STRING_CONCAT
    node: exp.Expr = parser.expression(exp.DPipe(this=left, expression=right, safe=safe))
    return node


def _collated(parser: Any, left: exp.Expr | None, right: exp.Expr | None) -> exp.Expr | None:
    node = parser.expression(exp.Collate(this=left, expression=right))
    parser._normalize_collate(node)
    collated: exp.Expr = node
    return collated


_OTHER: Final[dict[TokenType, Build]] = {
    TokenType.DPIPE: _joined_texts,
    TokenType.AMP: _node(exp.BitwiseAnd),
    TokenType.PIPE: _node(exp.BitwiseOr),
    TokenType.HASH: _node(exp.BitwiseXor),
    TokenType.RLIKE: _node(exp.RegexpLike),
    TokenType.IRLIKE: _node(exp.RegexpILike),
    TokenType.AT_GT: _node(exp.ArrayContainsAll),
    TokenType.LT_AT: _node(exp.ArrayContainedBy),
    TokenType.DAMP: _node(exp.ArrayOverlaps),
    TokenType.QMARK_AMP: _node(exp.JSONBContainsAllTopKeys),
    TokenType.QMARK_PIPE: _node(exp.JSONBContainsAnyTopKeys),
    TokenType.HASH_DASH: _node(exp.JSONBDeleteAtPath),
    TokenType.AT_QMARK: _node(exp.JSONBPathExists),
    TokenType.ADJACENT: _node(exp.Adjacent),
    TokenType.AMP_LT: _node(exp.ExtendsLeft),
    TokenType.AMP_GT: _node(exp.ExtendsRight),
    TokenType.CARET_AT: _node(exp.StartsWith),
    TokenType.GLOB: _node(exp.Glob),
    TokenType.DAT: lambda parser, left, right: parser.expression(
        exp.MatchAgainst(this=right, expressions=[left])
    ),
}

_LIKE: Final[dict[TokenType, Build]] = {
    TokenType.LIKE: _node(exp.Like),
    TokenType.ILIKE: _node(exp.ILike),
    TokenType.SIMILAR_TO: _node(exp.SimilarTo),
}

_BINARY: Final[dict[TokenType, tuple[Precedence, Build]]] = {
    **{
        kind: (Precedence.COMPARISON, _predicate(node))
        for kind, node in (
            (TokenType.EQ, exp.EQ),
            (TokenType.NEQ, exp.NEQ),
            (TokenType.LT, exp.LT),
            (TokenType.GT, exp.GT),
            (TokenType.LTE, exp.LTE),
            (TokenType.GTE, exp.GTE),
        )
    },
    **{kind: (Precedence.RANGE, build) for kind, build in _LIKE.items()},
    **{kind: (Precedence.OTHER, build) for kind, build in _OTHER.items()},
    TokenType.PLUS: (Precedence.SUM, _node(exp.Add)),
    TokenType.DASH: (Precedence.SUM, _node(exp.Sub)),
    TokenType.STAR: (Precedence.PRODUCT, _node(exp.Mul)),
    TokenType.SLASH: (Precedence.PRODUCT, _quotient),
    TokenType.MOD: (Precedence.PRODUCT, _node(exp.Mod)),
    TokenType.CARET: (Precedence.POWER, _node(exp.Pow)),
    TokenType.COLLATE: (Precedence.COLLATE, _collated),
    TokenType.OVERLAPS: (Precedence.SIGN, _node(exp.Overlaps)),
}

_PREFIXES: Final[dict[str, type[exp.Expr]]] = {
    "~": exp.BitwiseNot,
    "|/": exp.Sqrt,
    "||/": exp.Cbrt,
    "@": exp.Abs,
}
_SHIFTS: Final = {
    TokenType.LT: _node(exp.BitwiseLeftShift),
    TokenType.GT: _node(exp.BitwiseRightShift),
}
_TESTS: Final = (TokenType.IS, TokenType.ISNULL, TokenType.NOTNULL)
_MEMBERSHIP: Final = (TokenType.IN, TokenType.BETWEEN)
_TRUTHS: Final = (exp.Not, exp.Connector, exp.Predicate, exp.Escape)
_QUANTIFIERS: Final = ("ANY", "SOME", "ALL")


def _with_brackets(node: exp.Expr | None) -> exp.Expr | None:
    """An operand that other grammars would not read as one, in brackets: trees are printed for DuckDB."""
    is_truth = isinstance(node, _TRUTHS) and not isinstance(node, exp.SubqueryPredicate)
    return exp.Paren(this=node) if is_truth else node


def _after_prefix(operand: exp.Expr | None) -> exp.Expr | None:
    """The operand of a prefix operator: ``-~1`` would be another operator, and ``-a ~ b`` another tree."""
    is_operator = isinstance(operand, (exp.Binary, exp.Neg, exp.BitwiseNot, exp.AtTimeZone, *_TRUTHS))
    return exp.Paren(this=operand) if is_operator else operand


class TooManyRetreatsError(Exception):
    """A text is read again and again, in a time that doubles with each of its levels."""


class PostgresOperators(PostgresParser):
    """Reads operators in one loop, where sqlglot has a method for each level of its own precedence."""

    OTHER_OPERATORS: ClassVar[dict[TokenType, Build]] = {}
    """Operators of a dialect that bind as ``||`` does."""

    NO_PAREN_FUNCTION_PARSERS: ClassVar[Any] = {
        **PostgresParser.NO_PAREN_FUNCTION_PARSERS,
        # sqlglot takes what follows the brackets, as in ANY (a) + 1, for a part of the array.
        "ANY": lambda self: self.expression(exp.Any(this=self._parse_primary())),
    }

    def reset(self) -> None:
        super().reset()
        self._retreats = 0

    def _retreat(self, index: int) -> None:
        # sqlglot reads date(…), ARRAY[…] and such as a type first: each level doubles what is read again.
        self._retreats += 1
        if self._retreats > _MAX_RETREATS * (1000 + self._tokens_size):
            raise TooManyRetreatsError
        super()._retreat(index)

    def _parse_update_assignment(self) -> exp.Expr | None:
        # sqlglot reads the target as the left side of a comparison, which takes the = here.
        target = self._parse_operators(Precedence.SIGN)
        if not self._match(TokenType.EQ):
            return target
        comments = self._prev_comments
        value = self._parse_disjunction()
        return self.expression(exp.EQ(this=target, expression=value), comments=comments)

    def _parse_equality(self, parse_is: bool = True) -> Any:
        return self._parse_operators(Precedence.IS if parse_is else Precedence.COMPARISON)

    def _parse_comparison(self, this: exp.Expr | None = None) -> Any:
        return self._parse_operators(Precedence.COMPARISON, this)

    def _parse_range(self, this: exp.Expr | None = None, parse_is: bool = False) -> Any:
        return self._parse_operators(Precedence.IS if parse_is else Precedence.RANGE, this)

    def _parse_bitwise(self) -> Any:
        return self._parse_operators(Precedence.OTHER)

    def _parse_term(self, parse_mod: bool = True) -> Any:
        return self._parse_operators(Precedence.SUM) if parse_mod else super()._parse_term(parse_mod)

    def _parse_factor(self, parse_mod: bool = True) -> Any:
        return self._parse_operators(Precedence.PRODUCT) if parse_mod else super()._parse_factor(parse_mod)

    def _parse_exponent(self) -> Any:
        return self._parse_operators(Precedence.POWER)

    def _parse_unary(self) -> Any:
        return self._parse_operators(Precedence.SIGN)

    def _parse_operators(
        self, weakest: Precedence, left: exp.Expr | None = None, in_between: bool = False
    ) -> exp.Expr | None:
        """An operand with what follows it, as far as the operators bind as ``weakest`` does, or stronger.

        Between BETWEEN and AND, PostgreSQL has no NOT, IS, IN, LIKE and BETWEEN.
        """
        node = left or self._parse_prefixed(in_between)
        while True:
            precedence = self._precedence_ahead(in_between)
            if precedence is None or precedence < weakest:
                return node
            node, is_complete = self._parse_operator_ahead(precedence, node, in_between)
            if not is_complete and self._precedence_ahead(in_between) == precedence:
                self.raise_error(CHAINED, self._curr)

    def _parse_prefixed(self, in_between: bool) -> exp.Expr | None:
        """A sign, NOT, or a prefix operator with its operand; else what has no operator."""
        token = self._curr
        kind = token.token_type
        if kind == TokenType.DASH:
            self._advance()
            signed = self._parse_operators(Precedence.SIGN, None, in_between)
            return self.expression(exp.Neg(this=_after_prefix(signed)))
        if kind == TokenType.PLUS:
            self._advance()
            return self._parse_operators(Precedence.SIGN, None, in_between)
        if kind == TokenType.NOT and token.text != "!" and not in_between:
            self._advance()
            return self.expression(exp.Not(this=self._parse_operators(Precedence.IS)))
        prefix = _PREFIXES.get(token.text)
        if prefix is None or kind in (TokenType.STRING, TokenType.IDENTIFIER):
            return self._parse_type()
        self._advance()
        operand = self._parse_operators(Precedence.SUM, None, in_between)
        return self.expression(prefix(this=_after_prefix(operand)))

    def _precedence_ahead(self, in_between: bool) -> Precedence | None:
        """How the operator that follows binds; None where none follows."""
        token, following = self._curr, self._next
        kind = token.token_type
        if kind in _SHIFTS and following.token_type == kind and following.start == token.end + 1:
            return Precedence.OTHER
        if kind == TokenType.NOT:
            if token.text == "!":
                is_match = following.token_type in (TokenType.RLIKE, TokenType.IRLIKE)
                return Precedence.OTHER if is_match or following.text.startswith("~~") else None
            kind = following.token_type
            is_word = kind in _MEMBERSHIP or (kind in _LIKE and not following.text.startswith("~~"))
            return Precedence.RANGE if is_word and not in_between else None
        if kind in _LIKE and token.text.startswith("~~"):
            return Precedence.OTHER
        if kind in _TESTS or kind in _MEMBERSHIP or kind in _LIKE:
            if in_between:
                return None
            return Precedence.IS if kind in _TESTS else Precedence.RANGE
        if kind in self.OTHER_OPERATORS or kind in self.JSON_OPERATORS or kind == TokenType.OPERATOR:
            return Precedence.OTHER
        if kind in _BINARY:
            return _BINARY[kind][0]
        if token.text.upper() == "AT" and following.text.upper() == "TIME":
            return Precedence.AT_TIME_ZONE
        return None

    def _parse_operator_ahead(
        self, precedence: Precedence, left: exp.Expr | None, in_between: bool
    ) -> tuple[exp.Expr | None, bool]:
        """The operator that follows with its operands, and whether another of its precedence may follow."""
        if precedence == Precedence.IS:
            return self._parse_test(left)
        if precedence == Precedence.AT_TIME_ZONE:
            return self._parse_zone(left), True
        is_negated = self._match(TokenType.NOT)
        self._advance()
        kind, comments = self._prev.token_type, self._prev_comments
        if kind == TokenType.OPERATOR:
            return self.RANGE_PARSERS[kind](self, _with_brackets(left)), True
        node: exp.Expr | None
        is_complete = True
        if kind == TokenType.IN:
            node = self._parse_in(_with_brackets(left))
        elif kind == TokenType.BETWEEN:
            node, is_complete = self._parse_between(_with_brackets(left)), False
        else:
            node, is_complete = self._parse_binary(precedence, left, in_between)
        if node is not None and comments:
            node.add_comments(comments)
        return (self._negate_range(node) if is_negated else node), is_complete

    def _parse_binary(
        self, precedence: Precedence, left: exp.Expr | None, in_between: bool
    ) -> tuple[exp.Expr | None, bool]:
        """The same for an operator between two operands, which is read already."""
        operator, kind = self._prev, self._prev.token_type
        if precedence == Precedence.OTHER and kind in _SHIFTS:
            self._advance()
            build = _SHIFTS[kind]
        elif kind in self.JSON_OPERATORS:
            build = self.JSON_OPERATORS[kind]
        else:
            build = self.OTHER_OPERATORS.get(kind) or _BINARY[kind][1]
        is_quantified = self._curr.text.upper() in _QUANTIFIERS and self._next.token_type == TokenType.L_PAREN
        if is_quantified:
            right = self._parse_type()
        else:
            stronger = Precedence(min(precedence + 1, Precedence.SIGN))
            right = self._parse_operators(stronger, None, in_between)
        sides = _with_brackets(left), _with_brackets(right)
        self._operator_token = operator
        node = build(self, *sides)
        is_complete = is_quantified or precedence not in _NOT_ASSOCIATIVE
        if kind in _LIKE and node is not None and precedence == Precedence.RANGE:
            node = self._parse_escape(node)
            ahead = self._precedence_ahead(False) if isinstance(node, exp.Escape) else None
            if ahead is not None and ahead > Precedence.RANGE:
                self.raise_error("Unexpected operator after ESCAPE", self._curr)
        return node, is_complete

    def _parse_test(self, left: exp.Expr | None) -> tuple[exp.Expr | None, bool]:
        """IS … after its operand. Another test may follow, but for IS DISTINCT FROM."""
        if self._match(TokenType.ISNULL):
            return self._build_predicate(exp.Is, left, exp.Null()), True
        if self._match(TokenType.NOTNULL):
            return self._build_predicate(exp.Is, left, exp.Null(), negate=True), True
        self._advance()
        tested = self._parse_json_test(left)
        if tested is not None:
            return tested, True
        word, following = self._curr, self._next
        is_distinct = "DISTINCT" in (word.text.upper(), following.text.upper())
        node = self._parse_is(left)
        if node is None:
            self.raise_error("Expecting NULL", self._curr)
        elif self._prev.text.upper() == "UNKNOWN":
            (node.this if isinstance(node, exp.Not) else node).meta[IS_UNKNOWN] = True
        return node, not is_distinct

    def _parse_json_test(self, left: exp.Expr | None) -> exp.Expr | None:
        """``[NOT] JSON [VALUE | OBJECT | ARRAY | SCALAR] [WITH | WITHOUT UNIQUE [KEYS]]`` after IS."""
        index, is_negated = self._index, self._match(TokenType.NOT)
        if not self._match(TokenType.JSON):
            self._retreat(index)
            return None
        # sqlglot keeps no positions of these words, by which what it leaves out is found.
        words = [exp.var("VALUE")]
        if self._match_texts(("VALUE", "OBJECT", "ARRAY", "SCALAR")):
            words = [exp.var(self._prev.text.upper()).update_positions(self._prev)]
        limit = self._match_texts(("WITH", "WITHOUT")) and self._prev.text.upper()
        if limit:
            words.append(exp.var(limit).update_positions(self._prev))
            if not self._match(TokenType.UNIQUE):
                self.raise_error("Expecting UNIQUE", self._curr)
            if self._match_text_seq("KEYS"):
                words.append(exp.var("KEYS").update_positions(self._prev))
        kind = exp.Tuple(expressions=words)
        node = self._build_predicate(
            exp.Is, left, self.expression(exp.JSON(this=kind, unique=limit == "WITH"))
        )
        return self.expression(exp.Not(this=node)) if is_negated else node

    def _parse_is_rhs(self, distinct: bool = False) -> Any:
        if distinct:
            return self._parse_operators(Precedence.COMPARISON)
        return self._parse_null() or self._parse_boolean() or self._parse_type()

    def _parse_zone(self, left: exp.Expr | None) -> exp.Expr:
        if not self._match_text_seq("AT", "TIME", "ZONE"):
            self.raise_error("Expecting ZONE", self._curr)
        zone = self._parse_operators(Precedence.COLLATE)
        return self.expression(exp.AtTimeZone(this=_with_brackets(left), zone=zone))

    def _parse_at_time_zone(self, this: exp.Expr | None) -> Any:
        # The loop has read it.
        return this

    def _parse_between(self, this: exp.Expr | None) -> exp.Between:
        is_symmetric = True if self._match_text_seq("SYMMETRIC") else None
        if self._match_text_seq("ASYMMETRIC"):
            is_symmetric = False
        low = self._parse_operators(Precedence.COMPARISON, None, True)
        if not self._match(TokenType.AND):
            self.raise_error("Expecting AND", self._curr)
        high = self._parse_operators(Precedence.OTHER)
        return self.expression(
            exp.Between(this=this, low=_with_brackets(low), high=_with_brackets(high), symmetric=is_symmetric)
        )
