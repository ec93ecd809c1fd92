"""The expression of a merge, such as ``base+0.4*biomed-0.2*legal``: checkpoints with coefficients.

```
expression  = checkpoint { sign [ coefficient "*" ] checkpoint }
sign        = "+" | "-"
coefficient = number | "[" [ number "|" ] number { "," number } [ "|" number ] "]"
checkpoint  = a name, a folder or a Hugging Face id, optionally quoted ('…' or "…")
```

The first checkpoint is the base. ``[0.1,0.2,0.3]`` has a coefficient for each layer, the first layer first;
what precedes the layers (embeddings) and what follows them (final norm, pooler, further modules) gets their
mean. ``[0|0.1,0.2,0.3|1]`` gives these two their own coefficients; it takes both bars or none.

Hugging Face ids contain ``-``, so not every ``-`` is a sign. A ``+`` always is; a ``-`` is one after white
space, or before a coefficient and ``*``: ``all-MiniLM-L6-v2-0.2*A`` subtracts A from all-MiniLM-L6-v2. Names
with ``+``, ``*``, white space or quotes must be quoted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from nestvec_schemas.errors import CheckpointUnsupported, with_caret

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SIGNED = rf"\s*([+-]?{_NUMBER})\s*"
_SIGN = re.compile(r"\s*([+-])\s*")
_SCALAR = re.compile(rf"({_NUMBER})\s*\*\s*")
_LIST = re.compile(r"\[([^\]]*)\]\s*\*\s*")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_MINUS = re.compile(rf"-\s*(?:{_NUMBER}|\[[^\]]*\])\s*\*")
_EXAMPLE: Final = "Write it as base+0.4*A-0.2*B, or base+[0.1,0.2,0.3]*A with a coefficient for each layer."


@dataclass(frozen=True)
class Coefficients:
    """The factors of a difference."""

    before: float
    """For what precedes the layers; for everything if there are no ``layers``."""

    layers: tuple[float, ...] = ()
    """For each layer."""

    after: float = 0.0
    """For what follows the layers."""

    def of(self, layer: int | None, *, embedding: bool) -> float:
        """The coefficient of a tensor: of a layer, of an embedding, or of what follows the layers."""
        if not self.layers or (layer is None and embedding):
            return self.before
        return self.after if layer is None else self.layers[layer]


@dataclass(frozen=True)
class Operand:
    """A checkpoint in an expression."""

    name: str

    position: int
    """Where its name starts."""

    coefficients: Coefficients = Coefficients(1.0)

    coefficients_position: int = 0
    """Where its coefficients start."""


@dataclass(frozen=True)
class Expression:
    """A base and the terms that are added to it."""

    text: str
    base: Operand
    terms: tuple[Operand, ...]

    def error(self, cause: str, value: object, position: int, next_step: str) -> CheckpointUnsupported:
        """An error with a caret at a position of the expression."""
        step = f"{next_step}\n{with_caret(self.text, position)}"
        return CheckpointUnsupported(cause, value=value, next_step=step)


def parse_expression(text: str) -> Expression:
    """Parse a merge's expression. Raises CheckpointUnsupported with a caret at the position."""
    return _ExpressionParser(text).expression()


class _ExpressionParser:
    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def expression(self) -> Expression:
        if not self.text.strip():
            self.fail("the expression of a merge is empty", _EXAMPLE)
        self.space()
        base = self.operand(Coefficients(1.0), self.position)
        terms = []
        while self.position < len(self.text):
            terms.append(self.term())
        if not terms:
            self.fail("the expression of a merge adds nothing to its base", _EXAMPLE)
        return Expression(self.text, base, tuple(terms))

    def term(self) -> Operand:
        sign = _SIGN.match(self.text, self.position)
        if sign is None:
            self.fail("the merge's expression needs a + or - here", f"{_EXAMPLE} {_QUOTE}")
        self.position = sign.end()
        place = self.position
        return self.operand(self.coefficients(-1.0 if sign[1] == "-" else 1.0), place)

    def coefficients(self, sign: float) -> Coefficients:
        scalar = _SCALAR.match(self.text, self.position)
        if scalar is not None:
            value = self.number(scalar[1], self.position)
            self.position = scalar.end()
            return Coefficients(sign * value)
        if self.text[self.position : self.position + 1] != "[":
            return Coefficients(sign)
        listed = _LIST.match(self.text, self.position)
        if listed is None:
            self.fail("the list of coefficients does not end in ] and *", _EXAMPLE)
        parsed = self.listed(listed[1], self.position + 1, sign)
        self.position = listed.end()
        return parsed

    def listed(self, inner: str, start: int, sign: float) -> Coefficients:
        """``0.1,0.2`` or ``0|0.1,0.2|1``, starting at ``start``."""
        parts, place = list[list[float]](), start
        for part in inner.split("|"):
            parts.append([])
            for word in part.split(","):
                if not re.fullmatch(_SIGNED, word):
                    self.position = place + len(word) - len(word.lstrip())
                    self.fail("a coefficient is not a number", "Write numbers with commas: [0.1,0.2,0.3].")
                parts[-1].append(sign * self.number(word.strip(), place))
                place += len(word) + 1
        if len(parts) not in (1, 3) or (len(parts) == 3 and (len(parts[0]), len(parts[2])) != (1, 1)):
            self.position = start
            self.fail(
                "the bars in a list of coefficients separate embeddings, layers and the rest",
                "Write two bars, [0|0.1,0.2,0.3|1], with one number before and one after; or none.",
            )
        if len(parts) == 1:
            mean = math.fsum(parts[0]) / len(parts[0])
            return Coefficients(mean, tuple(parts[0]), mean)
        return Coefficients(parts[0][0], tuple(parts[1]), parts[2][0])

    def number(self, word: str, place: int) -> float:
        value = float(word)
        if not math.isfinite(value):
            self.position = place
            self.fail("a coefficient is too large", "Write one near 1.")
        return value

    def operand(self, coefficients: Coefficients, at: int) -> Operand:
        start = self.position
        quoted = _QUOTED.match(self.text, start)
        name = (quoted[1] or quoted[2]) if quoted else self.word()
        if not name:
            self.fail("the merge's expression needs a checkpoint here", f"{_EXAMPLE} {_QUOTE}")
        self.position = quoted.end() if quoted else start + len(name)
        self.space()
        return Operand(name, start, coefficients, at)

    def word(self) -> str:
        """The text up to white space, a sign, a ``*`` or a quote."""
        end = self.position
        while end < len(self.text):
            here = self.text[end]
            if here.isspace() or here in "+*'\"":
                break
            if here == "-" and (end == self.position or _MINUS.match(self.text, end)):
                break
            end += 1
        return self.text[self.position : end]

    def space(self) -> None:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1

    def fail(self, cause: str, next_step: str) -> NoReturn:
        excerpt = self.text[self.position : self.position + 20] or "the end"
        step = f"{next_step}\n{with_caret(self.text, self.position)}"
        raise CheckpointUnsupported(cause, value=excerpt, next_step=step)


_QUOTE: Final = "Quote a name that contains +, * or white space."
