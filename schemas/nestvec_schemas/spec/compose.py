"""Texts composed of a row's other values: ``compose: "{title}. {brand}: {color}"`` on a VARCHAR field.

``{title}`` is a field, ``{meta.color}`` a value inside a JSON field (``{meta."the color"}`` if a key has
other characters, ``{tags.0}`` for a position in a list), ``{{`` and ``}}`` are braces. A template consists
of clauses, separated by ``.``, ``,``, ``;``, ``!``, ``?`` or ``|`` followed by white space, or by the end of
a line. A clause with an absent value is omitted, with the separator before it: a row without brand or color
composes to its title alone, not to ``None``. A value is absent if it is missing, null, NaN, blank, or an
empty list or object.

``compose: flatten`` writes every attribute as ``key: value``, in the order of the fields, separated by
spaces (Recformer, Li et al. 2023: an item is its attributes flattened); the keys of an object are attributes
themselves. The primary key and composed fields are not attributes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec_schemas.errors import SpecError, with_caret

FLATTEN_KEYWORD: Final = "flatten"
"""The keyword for all attributes, instead of a template."""

_NAME_PART = re.compile(r'"([^"{}]*)"|([^."{}\s]+)')
_SEPARATOR = re.compile(r"\s*[.,;!?|]\s+|[^\S\n]*\n\s*")
_SYNTAX_HINT: Final = 'Write it as "{title}. {brand}: {color}", with literal braces doubled.'


@dataclass(frozen=True)
class Placeholder:
    """A value of the row."""

    field: str
    path: tuple[str, ...] = ()
    """The keys and positions inside the field."""

    position: int = 0
    """Offset in the template."""


@dataclass(frozen=True)
class Clause:
    """Literals and placeholders in order."""

    before: str
    """The separator before the clause."""

    parts: tuple[str | Placeholder, ...]


@dataclass(frozen=True)
class Template:
    """A parsed template."""

    text: str
    clauses: tuple[Clause, ...] = ()
    """Empty if the template is ``flatten``."""

    @property
    def flattens(self) -> bool:
        """Whether it is the keyword for all attributes."""
        return self.text == FLATTEN_KEYWORD

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The placeholders, in order."""
        return tuple(
            part for clause in self.clauses for part in clause.parts if isinstance(part, Placeholder)
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """The distinct fields of the placeholders."""
        return tuple(dict.fromkeys(placeholder.field for placeholder in self.placeholders))


def read_template(text: str) -> Template:
    """Parse a template. Raises SpecError with a caret below what is wrong."""
    if text.strip() == FLATTEN_KEYWORD:
        return Template(FLATTEN_KEYWORD)
    clauses, parts, before = list[Clause](), list[str | Placeholder](), ""
    for part in _parse_parts(text):
        if isinstance(part, Placeholder):
            parts.append(part)
            continue
        at = 0
        for separator in _SEPARATOR.finditer(part):
            # A separator at the beginning of a template separates nothing.
            if not (parts or part[at : separator.start()]):
                continue
            clauses.append(Clause(before, (*parts, part[at : separator.start()])))
            parts, before, at = [], separator[0], separator.end()
        parts.append(part[at:])
    clauses.append(Clause(before, tuple(parts)))
    template = Template(text, tuple(clauses))
    if not template.placeholders:
        raise _template_error("the template names no field, so every row would have the same text", text, 0)
    return template


def compose_text(template: Template, attributes: Mapping[str, object]) -> str:
    """The text of a row; empty if no clause with a value remains.

    ``attributes`` are the row's values by name; for ``flatten``, those to write, in order.
    """
    if template.flattens:
        return " ".join(f"{key}: {value}" for key, value in _attribute_texts(attributes))
    text_so_far, filled = "", False
    for clause in template.clauses:
        parts = [
            _lookup(item, attributes) if isinstance(item, Placeholder) else item for item in clause.parts
        ]
        if any(part is None for part in parts):
            continue
        filled = filled or any(isinstance(item, Placeholder) for item in clause.parts)
        text = "".join(part for part in parts if part is not None)
        text_so_far += (clause.before if text_so_far else "") + text
    return text_so_far.strip() if filled else ""


def composition_order(templates: Mapping[str, Template]) -> tuple[str, ...]:
    """The composed fields, each after those that its template names, without those of a cycle."""
    ordered = dict[str, None]()
    waiting = list(templates)
    while waiting:
        ready = [name for name in waiting if not set(templates[name].fields) & set(waiting)]
        if not ready:
            break
        ordered |= dict.fromkeys(ready)
        waiting = [name for name in waiting if name not in ordered]
    return tuple(ordered)


def value_text(value: object) -> str | None:
    """A value as a text: lists with commas, objects as ``key: value``; None if it is absent."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {text}" for key, text in _flatten_pairs(value, ())) or None
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return ", ".join(text for element in value if (text := value_text(element)) is not None) or None
    return str(value).strip() or None


def _attribute_texts(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Keys and texts of a row's values; the keys of an object do not include the field's name."""
    for name, value in attributes.items():
        yield from _flatten_pairs(value if isinstance(value, Mapping) else {name: value}, ())


def _flatten_pairs(value: Mapping[str, object], under: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        way = (*under, str(key))
        if isinstance(inner, Mapping):
            yield from _flatten_pairs(inner, way)
        elif (text := value_text(inner)) is not None:
            yield " ".join(way), text


def _lookup(value: Placeholder, attributes: Mapping[str, object]) -> str | None:
    current = attributes.get(value.field)
    for step in value.path:
        if isinstance(current, Mapping):
            current = current.get(step)
        elif (
            isinstance(current, Sequence)
            and not isinstance(current, (str, bytes))
            and step.isdecimal()
            and int(step) < len(current)
        ):
            current = current[int(step)]
        else:
            return None
    return value_text(current)


def _parse_parts(text: str) -> Iterator[str | Placeholder]:
    """The literals, with single braces, and the placeholders."""
    literal, at = "", 0
    while at < len(text):
        if text[at : at + 2] in ("{{", "}}"):
            literal += text[at]
            at += 2
        elif text[at] == "{":
            yield from (literal,) if literal else ()
            end = text.find("}", at)
            if end < 0:
                raise _template_error("a { is not closed", text, at)
            literal = ""
            yield _parse_placeholder(text, at, end)
            at = end + 1
        elif text[at] == "}":
            raise _template_error("a } has no matching {", text, at)
        else:
            literal += text[at]
            at += 1
    yield from (literal,) if literal else ()


def _parse_placeholder(text: str, start: int, end: int) -> Placeholder:
    names, at = list[str](), start + 1
    while True:
        match = _NAME_PART.match(text, at, end)
        if match is None:
            raise _template_error(
                "a name is missing in the braces, or has characters that must be quoted", text, at
            )
        names.append(match[1] if match[1] is not None else match[2])
        at = match.end()
        if at == end:
            return Placeholder(names[0], tuple(names[1:]), start)
        if text[at] != ".":
            raise _template_error("a name in the braces does not end here", text, at)
        at += 1


def _template_error(cause: str, text: str, position: int) -> SpecError:
    return SpecError(cause, value=text, next_step=f"{_SYNTAX_HINT}\n{with_caret(text, position)}")
