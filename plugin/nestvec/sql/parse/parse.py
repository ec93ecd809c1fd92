"""Text to tree: one statement, bounded in size and depth; failures are SqlSyntaxErrors with a position."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from nestvec.sql.parse.commands.extension import parse_extension
from nestvec.sql.parse.commands.maintenance import parse_maintenance
from nestvec.sql.parse.commands.prepared import parse_prepared
from nestvec.sql.parse.commands.transactions import parse_transaction
from nestvec.sql.parse.dialect import NestvecSql
from nestvec.sql.parse.operators import CHAINED, TooManyRetreatsError
from nestvec.sql.parse.placement import check_placement
from nestvec.sql.parse.schema_names import without_schema
from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.spellings import with_postgres_spellings
from nestvec.sql.parse.tokens import tokenize
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlSyntaxError, SqlTypeMismatch, nearest

MAX_BYTES = 1 << 20
MAX_TOKENS = 60_000
"""Enough for 10,000 terms, which parse in a second or two."""
MAX_NESTING = 32
"""Nested brackets, or prefix operators in a row. Milvus Lite's filter parser gives up at about 100."""

_COMPILED: Final = "interpreted classes cannot inherit from compiled"
"""What Python says of nestvec's dialect where the package sqlglotc is installed beside sqlglot."""

_CORRECT_AT_MARK = "Correct the SQL at the mark."

_SUPPORTED: Final = """
    ABORT ALTER ANALYZE BEGIN COMMIT COPY CREATE DEALLOCATE DELETE DESC DESCRIBE DROP END EXECUTE EXPLAIN
    INSERT PREPARE REINDEX RELEASE RESET ROLLBACK SAVEPOINT SELECT SET SHOW START TABLE TRUNCATE UPDATE VACUUM
    VALUES WITH"""
_UNSUPPORTED: Final = """
    CALL CHECKPOINT CLOSE CLUSTER COMMENT DECLARE DISCARD DO FETCH GRANT IMPORT LISTEN LOAD
    LOCK MERGE MOVE NOTIFY REASSIGN REFRESH REVOKE SECURITY UNLISTEN USE"""

STATEMENTS: Final = frozenset(_SUPPORTED.split())
"""First words of the supported statements."""

_UNSUPPORTED_STATEMENTS: Final = frozenset(_UNSUPPORTED.split())

_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_PREFIXES = {TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.RLIKE, TokenType.CASE}
_BEFORE_COMMA = {TokenType.SELECT, TokenType.FROM, TokenType.WHERE, TokenType.L_PAREN}
_JSON_ARROWS = {TokenType.ARROW, TokenType.DARROW}
_LIST_ENDS = _CLOSING | {
    TokenType.COMMA,
    TokenType.FROM,
    TokenType.WHERE,
    TokenType.ORDER_BY,
    TokenType.LIMIT,
    TokenType.OFFSET,
    TokenType.SEMICOLON,
}


@dataclass(frozen=True)
class ParsedStatement:
    """A statement as a tree, with its text."""

    source: SourceText
    tree: exp.Expr
    explain_tokens: tuple[Token, ...] = ()
    """EXPLAIN and its options, which precede the tree; empty for other statements."""


@lru_cache(maxsize=256)
def parse(statement: str) -> ParsedStatement:
    """Parse one statement. Trees are cached and shared, and must not be changed.

    Raises SqlSyntaxError, and SqlNotSupported for a kind of statement that nestvec does not support.
    """
    source = _tokenized(statement)
    if len(source.tokens) > MAX_TOKENS:
        raise source.syntax_error(
            f"the statement has more than {MAX_TOKENS:,} tokens", 0, "Split it into several statements."
        )
    _check_start(source)
    _check_depth(source)
    _check_sqlglot_leniency(source)
    before = explain_token_count(source)
    tree = _tree(source, list(source.tokens[before:]))
    check_placement(source, tree)
    return ParsedStatement(source, tree, source.tokens[:before])


def _tree(source: SourceText, tokens: list[Token]) -> exp.Expr:
    if not tokens or tokens[0].token_type == TokenType.SEMICOLON:
        raise source.syntax_error("the statement ends unexpectedly", _end(source.text), "Complete it.")
    parsers = (parse_extension, parse_transaction, parse_prepared, parse_maintenance)
    unparsed = next((tree for parse_words in parsers if (tree := parse_words(source, tokens))), None)
    if unparsed is not None:
        return unparsed
    try:
        with _silent():
            trees = NestvecSql().parser().parse(tokens, source.text)
    except ParseError as error:
        raise _syntax_error(source, error) from error
    except (RecursionError, TooManyRetreatsError) as error:
        raise source.syntax_error("the statement is nested too deeply", 0, "Simplify it.") from error
    except Exception as error:
        if _COMPILED in str(error):
            raise SqlNotSupported(
                "sqlglot's compiled form, the package sqlglotc, is not supported: no grammar can extend it",
                next_step="Uninstall sqlglotc.",
            ) from error
        # sqlglot fails on some malformed input with Python's own errors (IndexError, AttributeError, …).
        raise source.syntax_error("the statement cannot be parsed", 0, "Check the SQL syntax.") from error
    tree = trees[0] if trees else None
    if tree is None:
        raise source.syntax_error("this is not a statement", 0, _CORRECT_AT_MARK)
    return with_postgres_spellings(source, tree)


@contextmanager
def _silent() -> Iterator[None]:
    """Mute sqlglot's warning for what it parses as a command: here SHOW and RESET."""
    logger = logging.getLogger("sqlglot")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def explain_token_count(source: SourceText) -> int:
    """The number of tokens of EXPLAIN and its options, before the explained statement."""
    tokens = source.tokens
    if tokens[0].text.upper() != "EXPLAIN":
        return 0
    index = 1
    if index < len(tokens) and tokens[index].token_type == TokenType.L_PAREN:
        while index < len(tokens) and tokens[index].token_type != TokenType.R_PAREN:
            index += 1
        return index + 1
    while index < len(tokens) and tokens[index].text.upper() in ("ANALYZE", "VERBOSE"):
        index += 1
    return index


def _tokenized(statement: str) -> SourceText:
    source = SourceText(statement)
    if len(statement) > MAX_BYTES or len(statement.encode("utf-8", "replace")) > MAX_BYTES:
        raise SqlSyntaxError(
            "the statement is longer than 1 MiB",
            value=len(statement),
            next_step="Split it into several statements.",
        )
    bad = re.search("[\0\ud800-\udfff]", statement)
    if bad:
        shown = SourceText(re.sub("[\0\ud800-\udfff]", "\ufffd", statement))
        raise shown.syntax_error(
            f"the statement contains a character that is not allowed (U+{ord(bad[0]):04X})",
            bad.start(),
            "Remove it.",
        )
    try:
        return SourceText(statement, without_schema(tokenize(statement)))
    except TokenError as error:
        match = re.search(r":(\d+)$", str(error.__cause__ or ""))
        position = int(match[1]) if match else max(statement.rfind("/*"), 0)
        raise source.syntax_error(
            "a quoted string or a comment is not closed",
            min(position, len(statement)),
            "Close the one that starts at the mark.",
        ) from error
    except Exception as error:
        raise source.syntax_error("the statement cannot be parsed", 0, "Check the SQL syntax.") from error


def _check_start(source: SourceText) -> None:
    """Check the first word, so that only supported statements are parsed."""
    if not source.tokens or source.tokens[0].token_type == TokenType.SEMICOLON:
        raise source.syntax_error("the statement is empty", 0, "Write a statement, for example a SELECT.")
    first = source.tokens[0]
    word = first.text.upper()
    quoted = first.token_type == TokenType.IDENTIFIER
    if first.token_type == TokenType.L_PAREN or (word in STATEMENTS and not quoted):
        return
    if word in _UNSUPPORTED_STATEMENTS and not quoted:
        raise source.not_supported(word, first.start, f"nestvec supports {', '.join(sorted(STATEMENTS))}.")
    suggestion = nearest(word, STATEMENTS)
    raise SqlSyntaxError(
        "no SQL statement starts with this word",
        value=first.text,
        next_step=f"Start with SELECT.{suggestion}",
        statement=source.text,
        position=first.start,
    )


def _check_depth(source: SourceText) -> None:
    depth = run = 0
    for token in source.tokens:
        kind = token.token_type
        depth += (kind in _OPENING) - (kind in _CLOSING)
        run = run + 1 if kind in _PREFIXES else 0
        if max(depth, run) > MAX_NESTING:
            raise source.syntax_error(
                f"the statement is nested more than {MAX_NESTING} levels deep",
                token.start,
                "Remove some brackets.",
            )


def _check_sqlglot_leniency(source: SourceText) -> None:
    """Refuse what PostgreSQL refuses and sqlglot accepts silently."""
    semicolon: Token | None = None
    before: Token | None = None
    for token, after in zip(source.tokens, (*source.tokens[1:], None), strict=True):
        if semicolon is not None and token.token_type != TokenType.SEMICOLON:
            raise source.not_supported("more than one statement", token.start, "Run them one at a time.")
        if token.token_type == TokenType.SEMICOLON:
            semicolon = token
        # An option of a call may be named like a clause: DECAY(year, origin => 2000, offset => 5).
        ends = token.token_type in _LIST_ENDS and (after is None or after.token_type != TokenType.FARROW)
        if before and before.token_type == TokenType.COMMA and ends:
            raise source.syntax_error("nothing follows this comma", before.start, _CORRECT_AT_MARK)
        if token.token_type == TokenType.NUMBER and not token.text[-1].isdigit() and token.text[-1] != ".":
            raise source.syntax_error("this number has no exponent", token.start, _CORRECT_AT_MARK)
        if token.token_type == TokenType.EQ and token.text != "=":
            raise source.syntax_error("SQL has no operator ==", token.start, "Write =.")
        if before and before.token_type in _BEFORE_COMMA and token.token_type == TokenType.COMMA:
            raise source.syntax_error("nothing precedes this comma", token.start, _CORRECT_AT_MARK)
        if before and before.token_type in _JSON_ARROWS and _is_fraction(token):
            cause = f"operator does not exist: jsonb {before.text} numeric"
            raise source.type_mismatch(cause, token.text, token.start, "Write a whole number, or a key.")
        if before and before.token_type == token.token_type == TokenType.STRING:
            _check_continued(source, before, token)
        before = token
    if before and before.token_type == TokenType.ALIAS:
        raise source.syntax_error("nothing follows AS", before.start, "Write a name.")
    if before and before.token_type == TokenType.COMMA:
        raise source.syntax_error("nothing follows this comma", before.start, _CORRECT_AT_MARK)


def _is_fraction(token: Token) -> bool:
    return token.token_type == TokenType.NUMBER and not token.text.isdecimal()


def _check_continued(source: SourceText, before: Token, token: Token) -> None:
    """A text goes on in another on the next line, and only there."""
    if "\n" not in source.text[before.end + 1 : token.start]:
        raise source.syntax_error(
            "a constant follows another on its line", token.start, "Write || or a comma between them."
        )


def _is_of_arguments(described: str) -> bool:
    """Whether sqlglot's error is of a function's arguments: too many, or one that is missing."""
    missing = re.fullmatch(r"Required keyword: .* missing for <class '.*?\.(\w+)'>", described)
    kind = getattr(exp, missing[1], None) if missing else None
    is_function = isinstance(kind, type) and issubclass(kind, exp.Func) and not issubclass(kind, exp.Binary)
    return described.startswith("The number of provided arguments") or is_function


def _syntax_error(source: SourceText, error: ParseError) -> SqlError:
    """sqlglot's error in PostgreSQL's words; its line and column are those of the end of a token."""
    detail = error.errors[0] if error.errors else {}
    described = str(detail.get("description") or "")
    wrong_token = next(
        (
            token
            for token in source.tokens
            if (token.line, token.col) == (detail.get("line"), detail.get("col"))
        ),
        None,
    )
    last = next((token for token in reversed(source.tokens) if token.token_type != TokenType.SEMICOLON), None)
    if wrong_token is not None and _is_of_arguments(described):
        return SqlTypeMismatch(
            "the function that ends here does not take these arguments",
            next_step="Pass those that its documentation names.",
            statement=source.text,
            position=wrong_token.start,
        )
    if wrong_token is None or (wrong_token is last and "Unexpected" not in described):
        return source.syntax_error("the statement ends unexpectedly", _end(source.text), "Complete it.")
    if described == CHAINED:
        return source.syntax_error(
            f"syntax error at '{wrong_token.text[:40]}', which follows an operator that does not chain",
            wrong_token.start,
            "Put brackets around the first comparison, as in (a = b) = c, or write AND between two.",
        )
    expected = re.fullmatch(r"Expecting (\S+)", described)
    cause = f"syntax error at '{wrong_token.text[:40]}'" + (f": {expected[1]} expected" if expected else "")
    return source.syntax_error(cause, wrong_token.start, _CORRECT_AT_MARK)


def _end(text: str) -> int:
    return len(text.rstrip().rstrip(";").rstrip())
