"""regexp_match(), regexp_matches() and their like: what a pattern finds in a text."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.formats.regular_expressions import check_regex, postgres_regex
from nestvec.sql.relational.rewrites.calls.capture_groups import Group, capture_groups
from nestvec.sql.relational.rewrites.calls.word_boundaries import has_bounds
from nestvec.sql.relational.rewrites.longest_matches import check_longest
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, call, is_text_constant, kind
from nestvec_schemas.errors import SqlNotSupported

_MAX_GROUPS: Final = 9
"""Groups that DuckDB extracts."""


class _Pattern:
    """A constant pattern, for calls on one text."""

    def __init__(self, text: exp.Expr, pattern: exp.Expr, flags: str, function: str) -> None:
        constant = _constant(pattern)
        if constant is None:
            raise SqlNotSupported(
                f"a computed pattern of {function}() is not supported",
                next_step="Write the pattern as a constant.",
            )
        if has_bounds(constant):
            raise SqlNotSupported(
                f"\\m, \\M, \\y and \\Y in a pattern of {function}() are not supported",
                next_step="Use them with ~.",
            )
        check_longest(constant, f"{function}()", flags)
        check_regex(constant)
        try:
            self.groups, nullable = capture_groups(constant)
        except (ValueError, RecursionError):
            self.groups, nullable = [Group()] * (_MAX_GROUPS + 1), False
        if nullable and "g" in flags:
            raise SqlNotSupported(
                f"the pattern '{constant[:60]}' of {function}() is not supported, since it also matches no "
                "characters",
                next_step="Write a pattern that matches one character or more: + for *.",
            )
        if len(self.groups) > _MAX_GROUPS:
            raise SqlNotSupported(
                f"this pattern of {function}() is not supported",
                next_step="Write at most 9 groups, ^ at the beginning, and (?:…) for other groups.",
            )
        self.text = text
        self.regex = exp.Literal.string(postgres_regex(constant, fold="i" in flags))
        self.options = exp.Literal.string("is" if "i" in flags else "s")

    def matches(self) -> exp.Expr:
        return call("regexp_matches", self.text, self.regex, self.options)

    def part(self, number: int) -> exp.Expr:
        """The text of a group, 0 for the whole match; NULL for one that the match does not have."""
        text = call("regexp_extract", self.text, self.regex, exp.Literal.number(number), self.options)
        if number and self.groups[number - 1].optional:
            return call("nullif", text, exp.Literal.string(""))
        return text

    def parts(self) -> exp.Expr:
        """What regexp_match() returns where it matches."""
        numbers = range(1, len(self.groups) + 1) if self.groups else (0,)
        return exp.Array(expressions=[self.part(number) for number in numbers])

    def all_parts(self) -> exp.Expr:
        """The same of all matches."""
        numbers = range(1, len(self.groups) + 1) if self.groups else (0,)
        lists = [self.all_of(number) for number in numbers]
        place = exp.to_identifier("pg_place")
        items: list[exp.Expr] = []
        for number, texts in zip(numbers, lists, strict=True):
            item: exp.Expr = call("list_extract", texts, place)
            if number and self.groups[number - 1].optional:
                item = call("nullif", item, exp.Literal.string(""))
            items.append(item)
        places = call("generate_series", exp.Literal.number(1), call("len", lists[0]))
        row = exp.Lambda(this=exp.Array(expressions=items), expressions=[place])
        return call("list_transform", places, row)

    def all_of(self, number: int) -> exp.Expr:
        return call("regexp_extract_all", self.text, self.regex, exp.Literal.number(number), self.options)


def first_match(node: exp.Anonymous) -> exp.Expr:
    """``regexp_match(text, pattern, flags)``: the texts of its groups, or of all of it."""
    pattern = _pattern(node, "regexp_match")
    matched = _where(pattern, pattern.parts())
    # Rules of the nodes around it ask whether it is an array.
    matched.type = node.type
    return matched


def all_matches(node: exp.Anonymous) -> exp.Expr:
    """``regexp_matches(text, pattern, flags)``: a row for the first match, or for each with g."""
    pattern = _pattern(node, "regexp_matches")
    if "g" in _flags(node.expressions, 2, "regexp_matches"):
        rows = pattern.all_parts()
    else:
        rows = exp.Case(
            ifs=[exp.If(this=pattern.matches(), true=exp.Array(expressions=[pattern.parts()]))],
            default=exp.cast(exp.Array(expressions=[]), "text[][]"),
        )
    return rows if isinstance(node.parent, exp.Unnest) else exp.Explode(this=rows)


def counted_matches(node: exp.RegexpCount) -> exp.Expr:
    """``regexp_count(text, pattern)``."""
    start = node.args.get("position")
    if start is not None and not (isinstance(start, exp.Literal) and start.name == "1"):
        raise SqlNotSupported("regexp_count() from a place is not supported", next_step="Write substr().")
    options = node.args.get("parameters")
    flags = _flags([] if options is None else [options], 0, "regexp_count")
    pattern = _Pattern(node.this, node.expression, flags + "g", "regexp_count")
    return exp.cast(call("len", pattern.all_of(0)), "int")


def matched_text(node: exp.RegexpSubstr) -> exp.Expr:
    """``regexp_substr(text, pattern)``."""
    others = [name for name, value in node.args.items() if value and name not in ("this", "expression")]
    if others:
        raise SqlNotSupported(
            "regexp_substr() of more than a text and a pattern is not supported",
            next_step="Write (regexp_match(text, pattern, flags))[1].",
        )
    pattern = _Pattern(node.this, node.expression, "", "regexp_substr")
    return _where(pattern, pattern.part(0))


def substring_of_pattern(node: exp.Substring) -> exp.Expr | None:
    """``substring(text FROM pattern)``; None for other forms."""
    pattern, length = node.args.get("start"), node.args.get("length")
    is_pattern = pattern is not None and (is_text_constant(pattern) or kind(pattern) in TEXT_TYPES)
    if not is_pattern or length is not None or pattern is None:
        return None
    matched = _Pattern(node.this, pattern, "", "substring")
    return _where(matched, matched.part(1 if matched.groups else 0))


def _where(pattern: _Pattern, value: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=pattern.matches(), true=value)])


def _pattern(node: exp.Anonymous, function: str) -> _Pattern:
    text, pattern, *_ = node.expressions
    flags = _flags(node.expressions, 2, function)
    if "g" in flags and function == "regexp_match":
        raise SqlNotSupported("regexp_match() does not take g", next_step="Use regexp_matches().")
    return _Pattern(text, pattern, flags, function)


def _flags(arguments: list[exp.Expr], at: int, function: str) -> str:
    if len(arguments) <= at:
        return ""
    options = _constant(arguments[at])
    if options is None or set(options) - {"g", "i", "c"} or {"i", "c"} <= set(options):
        raise SqlNotSupported(
            f"an option of {function}() but g, i and c is not supported",
            next_step="Write the options as a constant, 'i' or 'g'.",
        )
    return options


def _constant(node: exp.Expr) -> str | None:
    inner = node.unnest()
    if isinstance(inner, exp.Cast) and inner.args["to"].this in TEXT_TYPES:
        inner = inner.this.unnest()
    return str(inner.name) if is_text_constant(inner) or isinstance(inner, exp.ByteString) else None
