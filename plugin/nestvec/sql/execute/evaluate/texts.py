"""Functions of texts: characters are code points, counted from 1."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from nestvec.sql.execute.evaluate.evaluation_error import EvaluationError

_MANY, _ONE = object(), object()


def _substring(text: str, start: int, *length: int) -> str:
    first = max(start, 1) - 1
    if not length:
        return text[first:]
    if length[0] < 0:
        raise EvaluationError(
            "a substring cannot have a negative length", length[0], "Use a length of 0 or more."
        )
    return text[first : max(start - 1 + length[0], 0)]


def _left(text: str, count: int) -> str:
    return text[:count]


def _right(text: str, count: int) -> str:
    if count >= 0:
        return text[len(text) - count :] if count < len(text) else text
    return text[-count:]


def _split_part(text: str, delimiter: str, at: int) -> str:
    if at == 0:
        raise EvaluationError(
            "fields are counted from 1, or from -1 at the end", at, "Write split_part(text, ',', 1)."
        )
    pieces = text.split(delimiter) if delimiter else [text]
    if abs(at) > len(pieces):
        return ""
    return pieces[at - 1] if at > 0 else pieces[at]


def _trimmed(left: bool, right: bool) -> Callable[..., str]:
    def trim(text: str, *characters: str) -> str:
        these = characters[0] if characters else " "
        # Python strips white space if no character is given.
        if not these:
            return text
        text = text.lstrip(these) if left else text
        return text.rstrip(these) if right else text

    return trim


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> tuple[object, ...]:
    """A LIKE pattern: characters, _ONE for any of them, _MANY for any number of them."""
    tokens: list[object] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            following = next(characters, None)
            if following is None:
                raise EvaluationError(
                    "a LIKE pattern ends in the escape character", pattern, "Write \\\\ for one."
                )
            tokens.append(following)
        else:
            tokens.append({"%": _MANY, "_": _ONE}.get(character, character))
    return tuple(tokens)


def like(text: str, pattern: str) -> bool:
    """Whether the whole of ``text`` is like ``pattern``: % is any text, _ any character, \\ escapes them.

    It takes at most as many steps as the product of the lengths.
    """
    tokens = _pattern(pattern)
    at = token = 0
    retry: tuple[int, int] | None = None
    while at < len(text):
        if token < len(tokens) and tokens[token] is _MANY:
            retry, token = (at, token + 1), token + 1
        elif token < len(tokens) and (tokens[token] is _ONE or tokens[token] == text[at]):
            at, token = at + 1, token + 1
        elif retry is not None:
            at, token = retry[0] + 1, retry[1]
            retry = (at, token)
        else:
            return False
    return all(rest is _MANY for rest in tokens[token:])


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "lower": str.lower,
    "upper": str.upper,
    "length": len,
    "reverse": lambda text: text[::-1],
    "substring": _substring,
    "left": _left,
    "right": _right,
    "btrim": _trimmed(True, True),
    "ltrim": _trimmed(True, False),
    "rtrim": _trimmed(False, True),
    "replace": lambda text, old, new: text.replace(old, new) if old else text,
    "strpos": lambda text, part: text.find(part) + 1,
    "split_part": _split_part,
    "starts_with": str.startswith,
    "like": like,
    "ilike": lambda text, pattern: like(text.lower(), pattern.lower()),
    "||": lambda *parts: "".join(parts),
}
