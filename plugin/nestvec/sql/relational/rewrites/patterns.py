"""LIKE with its escape character, and SIMILAR TO."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.formats.regular_expressions import check_regex, postgres_regex, similar_regex
from nestvec.sql.relational.rewrites.arrays import typed_array
from nestvec.sql.relational.rewrites.calls.word_boundaries import has_bounds, without_bounds
from nestvec.sql.relational.rewrites.longest_matches import check_longest
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, Rule, call, is_text_constant
from nestvec_schemas.errors import SqlNotSupported

_WRITE: Final = "Write the options as a constant, 'i' or 'g'."


def rewrite_like(node: exp.Expr) -> exp.Expr:
    """PostgreSQL's escape character is the backslash; DuckDB has none unless it is named."""
    pattern = node.expression
    if isinstance(pattern, (exp.Any, exp.All)) and not isinstance(pattern.this.unnest(), exp.Query):
        return _like_each(node, pattern)
    if isinstance(node.parent, exp.Escape):
        return node
    if isinstance(pattern, exp.Literal) and "\\" not in pattern.name:
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def _like_each(node: exp.Expr, patterns: exp.Expr) -> exp.Expr:
    """``t LIKE ANY (array)``; ``NOT LIKE ALL`` is that the text is like none of them."""
    element = exp.to_identifier("pg_item")
    negate = node.args.get("negate")
    like = rewrite_like(type(node)(this=node.this.copy(), expression=element.copy(), negate=negate))
    values = patterns.this.unnest()
    if is_text_constant(values):
        values = typed_array(values, exp.DType.TEXT)
    transformed = call("list_transform", values, exp.Lambda(this=like, expressions=[element]))
    return call("pg_any" if isinstance(patterns, exp.Any) else "pg_all", transformed)


def matches(node: exp.RegexpLike | exp.RegexpILike) -> exp.Expr:
    """``~`` and ``~*``: in PostgreSQL a point stands for a line break, too."""
    option = node.args.get("flag")
    if option is not None and not (is_text_constant(option) and option.name in ("", "c", "i")):
        raise SqlNotSupported("an option of regexp_like() but i and c is not supported", next_step=_WRITE)
    folded = isinstance(node, exp.RegexpILike) or (option is not None and option.name == "i")
    flags = "is" if folded else "s"
    pattern = _constant(node.expression)
    if pattern is not None:
        check_regex(pattern)
    if pattern is not None and has_bounds(pattern):
        node.set("expression", exp.Literal.string(without_bounds(pattern)))
    return call("regexp_matches", node.this, _regex(node.expression, flags), exp.Literal.string(flags))


def _regex(node: exp.Expr, flags: str) -> exp.Expr:
    """A pattern that is constant, as DuckDB writes it."""
    pattern = _constant(node)
    return node if pattern is None else exp.Literal.string(postgres_regex(pattern, fold="i" in flags))


def _constant(node: exp.Expr) -> str | None:
    """A text in quotes, also as E'...' and cast to TEXT; None for anything else."""
    inner = node.unnest()
    if (
        isinstance(inner, exp.Cast)
        and inner.args["to"].this in TEXT_TYPES
        and not inner.args["to"].expressions
    ):
        inner = inner.this.unnest()
    return str(inner.name) if is_text_constant(inner) or isinstance(inner, exp.ByteString) else None


def replaced(node: exp.RegexpReplace) -> exp.Expr:
    """regexp_replace(), for the same reason, and with the whole match as ``\\&``."""
    modifiers, replacement = node.args.get("modifiers"), node.args["replacement"]
    flags = "" if modifiers is None else modifiers.name
    placed = node.args.get("position") is not None or node.args.get("occurrence") is not None
    if placed or set(flags) - {"g", "i"} or not (modifiers is None or is_text_constant(modifiers)):
        raise SqlNotSupported("an option of regexp_replace() but g and i is not supported", next_step=_WRITE)
    if isinstance(replacement, exp.Literal):
        replacement = exp.Literal.string(replacement.name.replace("\\&", "\\0"))
    _check_pattern(node.expression, "regexp_replace()", flags)
    pattern = _regex(node.expression, flags)
    return call("regexp_replace", node.this, pattern, replacement, exp.Literal.string(flags + "s"))


def split_by(name: str) -> Rule:
    """``regexp_split_to_array(t, pattern)``."""

    def split(node: exp.Expr) -> exp.Expr:
        _check_pattern(node.expressions[1], f"{name}()", "s")
        # In FROM it is unnested.
        function = "regexp_split_to_array" if isinstance(node.parent, exp.Unnest) else name
        return call(function, node.expressions[0], _regex(node.expressions[1], "s"))

    return split


def _check_pattern(pattern: exp.Expr, function: str, flags: str) -> None:
    """Refuse a pattern that matches something else in DuckDB, or that may."""
    text = _constant(pattern)
    if text is not None:
        if has_bounds(text):
            raise SqlNotSupported(
                f"\\m, \\M, \\y and \\Y in a pattern of {function} are not supported",
                next_step="Use them with ~.",
            )
        check_longest(text, function, flags)
        check_regex(text)
    elif not isinstance(pattern.unnest(), exp.Null):
        raise SqlNotSupported(
            f"a computed pattern of {function} is not supported", next_step="Write the pattern as a constant."
        )


def similar_to(node: exp.SimilarTo) -> exp.Expr:
    """SQL's pattern as a regular expression: DuckDB's SIMILAR TO takes the latter."""
    pattern = node.expression
    escaping = node.parent if isinstance(node.parent, exp.Escape) else None
    text = _constant(pattern)
    if text is not None:
        escape = "\\" if escaping is None else escaping.expression.name
        node.set("expression", exp.Literal.string(similar_regex(text, escape)))
        if escaping is not None:
            escaping.replace(node.copy())
    elif not isinstance(pattern.unnest(), exp.Null):
        raise SqlNotSupported(
            "a computed pattern of SIMILAR TO is not supported",
            next_step="Write the pattern as a constant, or use ~.",
        )
    return node
