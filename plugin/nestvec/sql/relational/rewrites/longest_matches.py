"""Regular expressions whose first match, which DuckDB takes, is PostgreSQL's longest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import Final

from nestvec_schemas.errors import SqlNotSupported

TOKEN: Final = re.compile(
    r"(?P<anchor>\^|\$|\\[AZyYmM])|(?P<class>\[\^?\]?(?:\[[:.=].*?[:.=]\]|\\.|[^\]])*\])"
    r"|(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<quantifier>(?:[*+?]|\{(?P<least>\d+)(?P<to>,(?P<most>\d*))?\})(?P<lazy>\??))"
    r"|(?P<char>\\(?:x[0-9a-fA-F]+|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|.)",
    re.DOTALL,
)
_LOOKAROUND: Final = ("(?=", "(?!", "(?<")
_UNEQUAL_CLASSES: Final = frozenset(map(frozenset, ([r"\s", r"\w"], [r"\s", r"\S"], [r"\w", r"\W"])))
_ASCII: Final = frozenset(map(chr, range(128)))
_ENDS: Final = {"$", "\\Z"}
_ANCHORS: Final = re.compile(r"^(?:\^|\\A)|(?:\$|\\Z)$")


@dataclass
class _Part:
    """A part of a pattern: where its matches begin and end, by the numbers of its characters."""

    nullable: bool = True
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    width: int | None = 0
    is_flat: bool = True
    """Whether it is a sequence of single characters, each repeated or not, and of texts of one length."""


class PatternReader:
    """Reads a pattern into its parts. Raises ValueError for one that DuckDB is to refuse."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0
        self.chars: list[str] = []
        self.follows: dict[int, list[int]] = {}
        self.anchors: set[str] = set()
        self.lazy: set[bool] = set()
        self.optional_choices: list[_Part] = []
        self.has_empty_loops = self.has_choices = False
        self.branches: list[tuple[str, _Part]] = []
        matched = self._choice(top=True)
        if self.at < len(pattern):
            raise ValueError(pattern)
        self.matched = matched

    def _token(self) -> re.Match[str] | None:
        return TOKEN.match(self.pattern, self.at)

    def _choice(self, *, top: bool = False) -> _Part:
        branches: list[_Part] = []
        while True:
            start = self.at
            branches.append(self._sequence())
            if top:
                self.branches.append((self.pattern[start : self.at], branches[-1]))
            token = self._token()
            if token is None or not token["bar"]:
                break
            self.at = token.end()
        if len(branches) == 1:
            return branches[0]
        self.has_choices = True
        widths = {branch.width for branch in branches}
        width = widths.pop() if len(widths) == 1 else None
        choice = _Part(
            any(branch.nullable for branch in branches),
            [at for branch in branches for at in branch.first],
            [at for branch in branches for at in branch.last],
            width,
            width is not None and all(branch.is_flat for branch in branches),
        )
        if choice.nullable:
            self.optional_choices.append(choice)
        return choice

    def _sequence(self) -> _Part:
        matched = _Part()
        while (token := self._token()) and not (token["bar"] or token["close"]):
            part = self._repeated(self._single(token))
            self._follow(matched.last, part.first)
            matched = _Part(
                matched.nullable and part.nullable,
                matched.first + part.first if matched.nullable else matched.first,
                matched.last + part.last if part.nullable else part.last,
                None if matched.width is None or part.width is None else matched.width + part.width,
                matched.is_flat and part.is_flat,
            )
        return matched

    def _single(self, token: re.Match[str]) -> _Part:
        self.at = token.end()
        if token["open"]:
            part = self._choice()
            closing = self._token()
            if closing is None or not closing["close"]:
                raise ValueError(self.pattern)
            self.at = closing.end()
            return part
        if token["quantifier"]:
            raise ValueError(self.pattern)
        if token["anchor"]:
            self.anchors.add(token[0])
            return _Part()
        self.chars.append(token[0])
        at = len(self.chars) - 1
        return _Part(False, [at], [at], 1)

    def _repeated(self, part: _Part) -> _Part:
        token = self._token()
        if token is None or not token["quantifier"]:
            return part
        self.at = token.end()
        count = int(token["least"]) if token["least"] and not token["to"] else None
        if count is None or token["lazy"]:
            self.lazy.add(bool(token["lazy"]))
        self.has_empty_loops |= part.nullable
        if token[0][0] != "?" and count != 1:
            self._follow(part.last, part.first)
        return _Part(
            part.nullable or token[0][0] in "*?" or int(token["least"] or 1) == 0,
            part.first,
            part.last,
            None if count is None or part.width is None else part.width * count,
            part.is_flat and part.width == 1,
        )

    def _follow(self, ends: list[int], starts: list[int]) -> None:
        for end in ends:
            self.follows.setdefault(end, []).extend(starts)


def check_longest(pattern: str, function: str, flags: str) -> None:
    """Raise SqlNotSupported for a pattern whose first match may not be its longest.

    ``flags``: i without regard to case; g for all matches of a text, of which those of no characters differ,
    too; s for what is between them, where DuckDB takes the end of each match for the beginning of the text.
    """
    for start in _LOOKAROUND:
        if start in pattern:
            raise SqlNotSupported(
                f"{start} in a pattern of {function} is not supported",
                next_step="Write a group, and \\1 in the replacement.",
            )
    try:
        read = PatternReader(pattern.removeprefix("(?i)"))
    except (ValueError, RecursionError):
        return
    shown = pattern if len(pattern) <= 60 else f"{pattern[:59]}…"
    if read.matched.nullable and (("g" in flags and read.chars) or ("s" in flags and pattern)):
        raise SqlNotSupported(
            f"the pattern '{shown}' of {function} is not supported, since it also matches no characters",
            next_step="Write a pattern that matches one character or more: + for *.",
        )
    if "s" in flags and read.anchors - _ENDS:
        raise SqlNotSupported(
            f"{min(read.anchors - _ENDS)} in the pattern of {function} is not supported",
            next_step="Write a pattern of the characters between the parts.",
        )
    if not _is_first_longest(read, "i" in flags or pattern.startswith("(?i)")):
        raise SqlNotSupported(
            f"the pattern '{shown}' of {function} is not supported, since its first match may not be its "
            "longest, which PostgreSQL takes",
            next_step="Write the longer of two alternatives first, and no lazy quantifier beside another.",
        )


def _is_first_longest(read: PatternReader, fold: bool) -> bool:
    if True in read.lazy:
        return len(read.lazy) == 1 and read.matched.is_flat and not read.has_choices
    if read.matched.is_flat or _is_unambiguous(read, read.matched.first, fold):
        return True
    parts = [part for _, part in read.branches]
    if len(parts) == 1 or not all(part.is_flat or _is_unambiguous(read, part.first, fold) for part in parts):
        return False
    return all(_comes_first(read, *pair, fold) for pair in combinations(read.branches, 2))


def _is_unambiguous(read: PatternReader, starts: list[int], fold: bool) -> bool:
    """Whether the next character of a text says which one of the pattern's it is."""
    if read.has_empty_loops:
        return False
    ends = set(read.matched.last)
    if any(read.matched.nullable or ends & set(part.last) for part in read.optional_choices):
        return False
    return all(
        _are_disjoint(read.chars[left], read.chars[right], fold)
        for choices in (starts, *read.follows.values())
        for left, right in combinations(choices, 2)
    )


def _comes_first(read: PatternReader, left: tuple[str, _Part], right: tuple[str, _Part], fold: bool) -> bool:
    """Whether the left one of two alternatives is never the shorter one, where both match."""
    (text, part), (other_text, other) = left, right
    if _ANCHORS.sub("", text) == _ANCHORS.sub("", other_text):
        return True
    if part.width is not None and other.width is not None:
        return part.width >= other.width
    return not (part.nullable or other.nullable) and all(
        _are_disjoint(read.chars[a], read.chars[b], fold) for a in part.first for b in other.first
    )


def _are_disjoint(left: str, right: str, fold: bool) -> bool:
    if frozenset((left, right)) in _UNEQUAL_CLASSES:
        return True
    members, others = _members(left, fold), _members(right, fold)
    if members is None or others is None:
        return False
    return not members[0] & others[0] and (members[1] or others[1])


@lru_cache(maxsize=1024)
def _members(char: str, fold: bool) -> tuple[frozenset[str], bool] | None:
    """The characters of ASCII that this one of a pattern stands for, and whether it stands for no others."""
    bracketed = char[1:-1] if char.startswith("[") and len(char) > 1 else None
    if bracketed is not None and re.search(r"\[|--|&&|~~|\|\|", bracketed):
        return None
    if bracketed is None and re.fullmatch(r"\\[^\Wbce0-9].*|\\[bce0-9]", char) and char[1:] not in _ESCAPED:
        return None
    if len(char) == 1 and char != ".":
        char = re.escape(char)
    try:
        regex = re.compile(char, re.ASCII | re.DOTALL | (re.IGNORECASE if fold else 0))
    except re.error:
        return None
    plain = char.isascii() and char != "." and char not in (r"\D", r"\S", r"\W", r"\s", r"\w")
    if bracketed is not None:
        plain = plain and not bracketed.startswith("^") and "\\" not in bracketed
    return frozenset(filter(regex.fullmatch, _ASCII)), plain


_ESCAPED: Final = frozenset("dDsSwWtnrfv")
