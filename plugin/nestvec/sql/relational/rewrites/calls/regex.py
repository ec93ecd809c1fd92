"""regexp_match(), regexp_matches() and their like: what a pattern finds in a text."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.formats.regular_expressions import check_regex, postgres_regex
from nestvec.sql.relational.rewrites.calls.capture_groups import Group, capture_groups
from nestvec.sql.relational.rewrites.calls.word_boundaries import has_bounds
from nestvec.sql.relational.rewrites.longest_matches import check_longest
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, call, is_text_constant, kind
from nestvec_schemas.errors import SqlDataError, SqlNotSupported

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
    """``regexp_count(text, pattern, start, flags)``."""
    pattern = _from_place(node, "regexp_count", "g")
    return exp.cast(call("len", pattern.all_of(0)), "int")


def matched_text(node: exp.RegexpSubstr) -> exp.Expr:
    """``regexp_substr(text, pattern, start, N, flags, group)``: of the N-th match, or of a group of it."""
    occurrence, group = _number(node, "occurrence", 1), _number(node, "group", 0, least=0)
    pattern = _from_place(node, "regexp_substr", "" if occurrence == 1 else "g")
    if group > len(pattern.groups):
        return exp.Null()
    if occurrence == 1:
        return _where(pattern, pattern.part(group))
    text: exp.Expr = call("list_extract", pattern.all_of(group), exp.Literal.number(occurrence))
    if group and pattern.groups[group - 1].optional:
        text = call("nullif", text, exp.Literal.string(""))
    return text


def match_place(node: exp.RegexpInstr) -> exp.Expr:
    """``regexp_instr(text, pattern, start, N, end, flags)``: where the N-th match begins, or ends."""
    if _number(node, "group", 0, least=0):
        raise SqlNotSupported(
            "regexp_instr() of a group is not supported", next_step="Write strpos() of the group's text."
        )
    occurrence, end = _number(node, "occurrence", 1), _number(node, "option", 0, least=0)
    if end > 1:
        raise SqlDataError("invalid value for parameter endoption", value=end, next_step="Use 0 or 1.")
    pattern = _from_place(node, "regexp_instr", "gs")
    pieces = call("regexp_split_to_array", pattern.text, pattern.regex, pattern.options)
    numbers = (occurrence, occurrence - 1 + end, _number(node, "position", 1))
    return exp.cast(
        call("pg_match_place", pieces, pattern.all_of(0), *map(exp.Literal.number, numbers)), "int"
    )


def _from_place(node: exp.Expr, function: str, flags: str) -> _Pattern:
    """The pattern of a function, over the text from its place on; ``flags`` as ``check_longest`` has them."""
    options, start = node.args.get("parameters"), _number(node, "position", 1)
    modifiers = _flags([] if options is None else [options], 0, function)
    if "g" in modifiers:
        raise SqlDataError(f"{function}() does not support the global option", next_step="Omit g.")
    pattern = node.args["expression"]
    if start > 1 and (has_bounds(_constant(pattern) or "") or _STARTS.search(_constant(pattern) or "")):
        raise SqlNotSupported(
            f"^ in a pattern of {function}() from a place is not supported", next_step="Use a place of 1."
        )
    text = call("substr", node.this, exp.Literal.number(start)) if start > 1 else node.this
    return _Pattern(text, pattern, modifiers + flags, function)


def _number(node: exp.Expr, name: str, default: int, least: int = 1) -> int:
    """An argument that is a whole number. Raises SqlNotSupported for one that is no constant."""
    value = node.args.get(name)
    if value is None:
        return default
    number = value.to_py() if isinstance(value, (exp.Literal, exp.Neg)) and value.is_number else None
    if not isinstance(number, int):
        raise SqlNotSupported(
            "a computed position or count of a regular expression's matches is not supported",
            next_step="Write it as a constant.",
        )
    if number < least:
        raise SqlDataError(
            f"invalid value for parameter {_PARAMETERS.get(name, name)}: {number}",
            next_step=f"Use {least} or more.",
        )
    return number


_STARTS: Final = re.compile(r"(?<!\[)\^|\\A")
_PARAMETERS: Final = {"position": "start", "occurrence": "n", "option": "endoption", "group": "subexpr"}


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
