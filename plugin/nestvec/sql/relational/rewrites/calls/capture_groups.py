"""The groups of a regular expression, whose texts DuckDB gives as empty where PostgreSQL gives NULL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nestvec.sql.relational.rewrites.longest_matches import TOKEN


@dataclass
class Group:
    """A group in brackets that keeps its text."""

    nullable: bool = False
    """Whether it matches no characters, too."""
    optional: bool = False
    """Whether a text may match the pattern without it."""


@dataclass
class _Reader:
    pattern: str
    at: int = 0
    groups: list[Group] = field(default_factory=list)
    has_optional_in_loop: bool = False

    def choice(self, preceded: bool = False) -> bool:
        """Read alternatives; whether one matches no characters. ``preceded`` if something is before them."""
        first, nullable, branches = len(self.groups), False, 0
        while True:
            nullable |= self.sequence(preceded)
            branches += 1
            token = TOKEN.match(self.pattern, self.at)
            if token is None or not token["bar"]:
                break
            self.at = token.end()
        if branches > 1:
            self._make_optional(first)
        return nullable

    def sequence(self, preceded: bool) -> bool:
        nullable = True
        while (token := TOKEN.match(self.pattern, self.at)) and not (token["bar"] or token["close"]):
            first = len(self.groups)
            self.at = token.end()
            if preceded and token["anchor"] in ("^", "\\A"):
                # RE2 matches .^ with no characters.
                raise ValueError(self.pattern)
            part = self._single(token, preceded)
            preceded = preceded or not token["anchor"]
            quantifier = TOKEN.match(self.pattern, self.at)
            if quantifier is not None and quantifier["quantifier"]:
                self.at = quantifier.end()
                if any(group.optional for group in self.groups[first:]):
                    self.has_optional_in_loop = True
                if quantifier[0][0] in "*?" or int(quantifier["least"] or 1) == 0:
                    part = True
                    self._make_optional(first)
            nullable = nullable and part
        return nullable

    def _single(self, token: re.Match[str], preceded: bool) -> bool:
        opening = token["open"]
        if not opening:
            return bool(token["anchor"])
        group = Group()
        if opening == "(":
            self.groups.append(group)
        group.nullable = self.choice(preceded)
        closing = TOKEN.match(self.pattern, self.at)
        if closing is None or not closing["close"]:
            raise ValueError(self.pattern)
        self.at = closing.end()
        return group.nullable

    def _make_optional(self, first: int) -> None:
        for group in self.groups[first:]:
            group.optional = True


def capture_groups(pattern: str) -> tuple[list[Group], bool]:
    """The groups from left to right, and whether the pattern matches no characters, too.

    Raises ValueError for a pattern whose groups DuckDB may give otherwise than PostgreSQL.
    """
    reader = _Reader(pattern.removeprefix("(?i)"))
    nullable = reader.choice()
    if reader.at < len(reader.pattern) or reader.has_optional_in_loop:
        raise ValueError(pattern)
    if any(group.optional and group.nullable for group in reader.groups):
        raise ValueError(pattern)
    return reader.groups, nullable
