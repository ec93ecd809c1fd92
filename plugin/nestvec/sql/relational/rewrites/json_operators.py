"""PostgreSQL's operators of JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import array_constant, typed_array
from nestvec.sql.relational.rewrites.nodes import (
    INTEGERS,
    JSON_TYPES,
    Rule,
    call,
    is_text_constant,
    kind,
)
from nestvec_schemas.errors import SqlNotSupported


def json_key(node: exp.Expr) -> exp.Expr:
    return call("json_has_key", node.this, node.expression)


def json_keys(*, any_of: bool) -> Rule:
    def keys(node: Any) -> exp.Expr:
        return call("json_has_any" if any_of else "json_has_all", node.this, node.expression)

    return keys


def json_path(node: exp.Expr) -> exp.Expr:
    """``j #> '{a,0}'`` and ``j #> ARRAY['a', '0']``, whose steps are keys or positions by what they meet."""
    steps = _constant_steps(node.expression)
    if steps is None:
        raise SqlNotSupported("a computed path of JSON is not supported", next_step="Write '{a,0}'.")
    return _followed(node.this, steps, as_text=isinstance(node, exp.JSONBExtractScalar))


def json_extract_path(*, as_text: bool) -> Rule:
    """``jsonb_extract_path(j, 'a', '0')``."""

    def extract(node: exp.Anonymous) -> exp.Expr:
        document, *path = node.expressions or [exp.Null()]
        if not all(map(is_text_constant, path)):
            raise SqlNotSupported("a computed path of JSON is not supported", next_step="Write constants.")
        return _followed(as_json(document), [step.name for step in path], as_text=as_text)

    return extract


def _constant_steps(path: exp.Expr) -> list[str | None] | None:
    if is_text_constant(path):
        return array_constant(path.name)
    if isinstance(path, exp.Cast) and path.args["to"].this == exp.DType.ARRAY:
        return _constant_steps(path.this)
    if isinstance(path, exp.Array) and all(map(is_text_constant, path.expressions)):
        return [item.name for item in path.expressions]
    return None


_MAX_ODD_STEPS: Final = 8
"""Positions from the end in a path: the document is computed twice for each."""


def _followed(document: exp.Expr, steps: Sequence[str | None], *, as_text: bool) -> exp.Expr:
    if None in steps:
        return exp.Null()
    names = [step for step in steps if step is not None]
    if kind(document) == exp.DType.JSON:
        reached = document
        for step in names:
            reached = _json_part(reached, exp.Literal.string(step), "step")
        return _text(reached, exp.DType.JSON) if as_text else reached
    if sum(map(_is_odd_position, names)) > _MAX_ODD_STEPS:
        raise SqlNotSupported(
            "a path of JSON with more than 8 positions from the end is not supported",
            next_step="Count from the start.",
        )
    reached = document
    for odd, run in groupby(names, key=_is_odd_position):
        if odd:
            for step in run:
                reached = call("pg_json_step", reached, exp.Literal.string(step))
        else:
            pointer = "".join(map(_pointer, run))
            reached = _extracted(reached, pointer)
    return call("pg_json_text", reached) if as_text else reached


def _json_part(document: exp.Expr, step: exp.Expr, role: str) -> exp.Expr:
    """A part of ``json`` as it is written: of equal keys the last."""
    return call("pg_json_written", document, exp.cast(step.copy(), "text"), exp.Literal.string(role))


def _text(document: exp.Expr, type_: exp.DType) -> exp.Expr:
    """A document as ``->>`` gives it."""
    return call("pg_json_written_text" if type_ == exp.DType.JSON else "pg_json_text", document)


def _is_odd_position(step: str) -> bool:
    """Whether a step is a position that no JSON pointer has: -1, 01."""
    return re.fullmatch(r"\s*([+-][0-9]+|0[0-9]+)|\s+[0-9]+", step) is not None


def _pointer(step: str) -> str:
    return "/" + step.replace("~", "~0").replace("/", "~1")


def _extracted(document: exp.Expr, path: str) -> exp.Expr:
    is_plain = isinstance(document.unnest(), (exp.Column, exp.Literal)) or _is_constant_cast(document)
    name = "pg_json_extract" if is_plain else "pg_json_extract_of"
    return call(name, document, exp.Literal.string(path))


def _is_constant_cast(node: exp.Expr) -> bool:
    """Whether a node is a constant that is cast to a type."""
    node = node.unnest()
    return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal)


def json_text(node: exp.JSONExtractScalar) -> exp.Expr:
    """Objects and arrays as text are spaced as PostgreSQL prints them."""
    extracted = exp.JSONExtract(**{name: value for name, value in node.args.items() if value is not None})
    return _text(exp.paren(json_item(extracted)), kind(node.this))


def json_item(node: exp.JSONExtract) -> exp.Expr:
    """An element by its index: of a scalar, PostgreSQL takes the scalar itself."""
    path = node.expression
    steps = path.expressions[1:] if isinstance(path, exp.JSONPath) else []
    index: exp.Expr | None = None
    if len(steps) == 1 and isinstance(steps[0], exp.JSONPathSubscript) and isinstance(steps[0].this, int):
        index = exp.Literal.number(steps[0].this)
    elif (isinstance(path, (exp.Neg, exp.Literal)) and not path.is_string) or kind(path) in INTEGERS:
        index = path
    is_written = kind(node.this) == exp.DType.JSON
    if index is not None:
        return _json_part(node.this, index, "item") if is_written else call("pg_json_item", node.this, index)
    if is_written and len(steps) > 1:
        # json_extract_path(document, 'a', 'b')
        reached: exp.Expr = node.this
        for step in steps:
            reached = _json_part(reached, exp.Literal.string(str(step.this)), "step")
        return reached
    if isinstance(path, exp.JSONPath):
        key = steps[0].this if len(steps) == 1 and isinstance(steps[0], exp.JSONPathKey) else None
        if isinstance(key, str):
            if is_written:
                return _json_part(node.this, exp.Literal.string(key), "key")
            # A pointer of digits would also be the position in an array.
            return _extracted(node.this, f'$."{key}"' if key.isdecimal() else _pointer(key))
        return node
    if is_written:
        return _json_part(node.this, path, "key")
    # DuckDB takes a text that begins with $ or / for a path.
    return call("pg_json_member", node.this, exp.cast(path.copy(), "text"))


def json_joined(node: exp.DPipe) -> exp.Expr:
    """``jsonb || jsonb``."""
    return call("pg_json_concat", as_json(node.this), as_json(node.expression))


def json_without(node: exp.Sub) -> exp.Expr:
    """``jsonb - key``, an array of keys, or a position."""
    removed = node.expression
    if kind(removed) == exp.DType.ARRAY:
        return call("pg_json_delete", node.this, removed)
    if kind(removed) in INTEGERS:
        return call("pg_json_delete_item", node.this, removed)
    return call("pg_json_delete_key", node.this, exp.cast(removed.copy(), "text"))


def json_without_path(node: exp.Expr) -> exp.Expr:
    """``jsonb #- path``."""
    return call("pg_json_delete_at", node.this, _path(node.expression))


def json_with(node: exp.Anonymous) -> exp.Expr:
    """``jsonb_set(document, path, value, create)``."""
    if len(node.expressions) not in (3, 4):
        return node
    document, path, value, *create = node.expressions
    return call("pg_json_set", as_json(document), _path(path), as_json(value), *(create or [exp.true()]))


def as_json(node: exp.Expr) -> exp.Expr:
    return node if kind(node) in JSON_TYPES else exp.cast(node.copy(), "json")


def _path(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Literal) and node.is_string:
        return typed_array(node, exp.DType.TEXT)
    return node
