"""Spellings of PostgreSQL that mean the same as others: LIMIT ALL, FETCH FIRST, FLOAT(24), (t).id."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import pairwise
from typing import Final

from sqlglot import TokenType, exp

from nestvec.sql.parse.source import SourceText

_REAL_BITS: Final = 24
_DOUBLE_BITS: Final = 53
_CONSTANTS: Final = (TokenType.NUMBER, TokenType.STRING)
_MAX_BIGINT: Final = 1 << 63
_BYTE_ORDERS: Final = ("C", "POSIX", "default", "ucs_basic", "C.utf8", "C.UTF-8", "c", "posix")
"""Collations of which texts are in the order of their bytes."""
_NO_LIST: Final = (TokenType.FROM, TokenType.WHERE)
"""What follows SELECT where it has no list."""


def with_postgres_spellings(source: SourceText, tree: exp.Expr) -> exp.Expr:
    """The tree, changed in place where it has such a spelling. Raises SqlTypeMismatch."""
    limits = sizes = fields = fetches = lists = values = collations = ranges = False
    for before, token in pairwise(source.tokens):
        fetches |= token.token_type == TokenType.FETCH
        lists |= before.token_type == TokenType.SELECT and token.token_type in _NO_LIST
        if before.token_type in (TokenType.LIMIT, TokenType.OFFSET):
            is_plain = token.token_type == TokenType.NUMBER and token.text.isdecimal()
            limits |= not is_plain and (
                token.text.upper() in ("ALL", "NULL") or token.token_type in _CONSTANTS
            )
        fields |= before.token_type == TokenType.R_PAREN and token.token_type == TokenType.DOT
        sizes |= token.token_type == TokenType.L_PAREN and before.text.upper() == "FLOAT"
        values |= token.token_type == TokenType.VALUES
        collations |= token.token_type == TokenType.COLLATE
        ranges |= before.token_type == TokenType.RANGE
    if values:
        _name_columns(tree)
    if collations:
        _check_collations(source, tree)
    if ranges:
        _type_ranges(tree)
    if lists:
        _fill_lists(tree)
    if fetches:
        _write_limits(tree)
    if limits or fetches:
        _drop_empty_limits(tree)
        _round_limits(tree)
    if fields:
        tree = _unwrap_fields(tree)
    if sizes:
        _size_floats(source, tree)
    return tree


def _name_columns(tree: exp.Expr) -> None:
    """The columns of VALUES in FROM are ``column1``, ``column2``, unless they have names."""
    for node in tree.find_all(exp.Values):
        alias = node.args.get("alias")
        if not isinstance(node.parent, (exp.From, exp.Join)) or (alias is not None and alias.columns):
            continue
        rows = [row for row in node.expressions if isinstance(row, exp.Tuple)]
        columns = [
            exp.to_identifier(f"column{at}") for at in range(1, len(rows[0].expressions) + 1 if rows else 1)
        ]
        node.set("alias", exp.TableAlias(this=alias.this if alias is not None else None, columns=columns))


def _check_collations(source: SourceText, tree: exp.Expr) -> None:
    """Texts compare by their bytes, whatever is said of it. Raises SqlNotSupported for other collations."""
    for node in tree.find_all(exp.Collate):
        collation = node.expression
        name = collation.name if isinstance(collation, (exp.Identifier, exp.Var, exp.Column)) else ""
        if name not in _BYTE_ORDERS:
            raise source.not_supported(
                f"the collation {name[:60]}", collation, 'Texts compare by their bytes: write COLLATE "C".'
            )
        if isinstance(collation, (exp.Identifier, exp.Var)):
            collation.set("this", "C")


def _type_ranges(tree: exp.Expr) -> None:
    """``RANGE '1 year' PRECEDING``: a text that is no number is an interval."""
    for node in tree.find_all(exp.WindowSpec):
        for part in ("start", "end"):
            value = node.args.get(part)
            if isinstance(value, exp.Literal) and value.is_string and _rounded(value.name) is None:
                node.set(part, exp.cast(value.copy(), "interval"))


def _fill_lists(tree: exp.Expr) -> None:
    """``EXISTS (SELECT FROM t)`` asks for rows of any columns."""
    for node in tree.find_all(exp.Exists):
        if isinstance(node.this, exp.Select) and not node.this.expressions:
            node.this.set("expressions", [exp.Literal.number(1)])


def _write_limits(tree: exp.Expr) -> None:
    """``FETCH FIRST 3 ROWS ONLY`` is LIMIT 3, and without a number LIMIT 1."""
    for node in list(tree.find_all(exp.Fetch)):
        options = node.args.get("limit_options")
        if options is not None and (options.args.get("with_ties") or options.args.get("percent")):
            continue
        count = node.args.get("count")
        node.replace(exp.Limit(expression=exp.Literal.number(1) if count is None else count.unnest()))


def _drop_empty_limits(tree: exp.Expr) -> None:
    """``LIMIT ALL``, ``LIMIT NULL`` and ``OFFSET NULL`` are no limit."""
    for node in list(tree.find_all(exp.Limit, exp.Offset)):
        value = node.args.get("expression")
        empty = isinstance(value, exp.Null) or (isinstance(value, exp.Var) and value.name.upper() == "ALL")
        if empty and node.parent is not None:
            node.pop()


def _round_limits(tree: exp.Expr) -> None:
    """A constant after LIMIT or OFFSET becomes a ``bigint``: 2.5 is 3, and '2' is 2."""
    for node in tree.find_all(exp.Limit, exp.Offset):
        value = node.args.get("expression")
        if not isinstance(value, exp.Literal) or (value.name.isdecimal() and not value.is_string):
            continue
        digits = re.fullmatch(r"\s*(\d{1,18})\s*", value.name) if value.is_string else None
        number = None if value.is_string else _rounded(value.name)
        if digits or number is not None:
            value.set("this", digits[1] if digits else str(number))
            value.set("is_string", False)


def _unwrap_fields(tree: exp.Expr) -> exp.Expr:
    """``(t).id`` is the column ``t.id``: no column has fields of its own."""
    for node in list(tree.find_all(exp.Dot)):
        inner = node.this.unnest()
        if (
            not isinstance(node.this, exp.Paren)
            or not isinstance(inner, exp.Column)
            or inner.args.get("table")
        ):
            continue
        column = exp.Column(this=node.expression.copy(), table=inner.this.copy())
        column.meta.update(inner.this.meta)
        if node is tree:
            return column
        node.replace(column)
    return tree


def _rounded(number: str) -> int | None:
    try:
        value = Decimal(number)
    except InvalidOperation:
        return None
    return int(value.to_integral_value(ROUND_HALF_UP)) if value < _MAX_BIGINT else None


def _size_floats(source: SourceText, tree: exp.Expr) -> None:
    """``FLOAT(n)`` is REAL up to 24 bits and DOUBLE PRECISION up to 53."""
    pairs = zip(source.tokens, source.tokens[2:], strict=False)
    words = {token.start: word.text.upper() for word, token in pairs}
    for node in list(tree.find_all(exp.DataType)):
        if node.this not in (exp.DType.FLOAT, exp.DType.DOUBLE) or len(node.expressions) != 1:
            continue
        parameter = node.expressions[0]
        size = parameter.this if isinstance(parameter, exp.DataTypeParam) else parameter
        start = source.position(size)
        if start is None or words.get(start) != "FLOAT" or not str(size.this).isdecimal():
            continue
        bits = int(str(size.this)[:9])
        if not 1 <= bits <= _DOUBLE_BITS:
            raise source.type_mismatch(
                "the precision of FLOAT is out of range", bits, size, f"Use 1 to {_DOUBLE_BITS} bits."
            )
        node.set("this", exp.DType.FLOAT if bits <= _REAL_BITS else exp.DType.DOUBLE)
        node.set("expressions", [])
        # Nothing reads it here, but the tree must hold every constant of the statement.
        node.set("kind", size)
