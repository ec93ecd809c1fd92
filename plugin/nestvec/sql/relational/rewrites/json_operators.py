"""PostgreSQL's operators of JSON."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import typed_array
from nestvec.sql.relational.rewrites.nodes import (
    INTEGERS,
    JSON_TYPES,
    Rule,
    call,
    kind,
    outside,
)


def json_array(node: exp.JSONArrayAgg) -> exp.Expr:
    """The values of a group as JSON; DuckDB's own function takes neither ORDER BY nor FILTER."""
    gathered = exp.ArrayAgg(this=node.this.copy())
    if not isinstance(node.parent, (exp.Filter, exp.Window)):
        return call("to_json", gathered)
    node.replace(gathered)
    outside(gathered, lambda wrapped: call("to_json", wrapped))
    return node


def json_object(node: exp.Expr) -> exp.Expr:
    """Keys and values of a group as JSON."""
    return call("json_group_object", *(node.expressions or [node.this, node.args["expression"]]))


def json_key(node: exp.Expr) -> exp.Expr:
    return call("json_has_key", node.this, node.expression)


def json_keys(*, any_of: bool) -> Rule:
    def keys(node: Any) -> exp.Expr:
        return call("json_has_any" if any_of else "json_has_all", node.this, node.expression)

    return keys


def json_path(node: exp.Expr) -> exp.Expr:
    """``j #> '{a,0}'`` as one step after the other."""
    path = node.expression
    if not isinstance(path, exp.Literal) or not path.name.startswith("{"):
        return node
    steps = [step.strip().strip('"') for step in path.name.strip("{}").split(",") if step.strip()]
    joined = "".join(_path_step(step) for step in steps)
    name = "json_extract_string" if isinstance(node, exp.JSONBExtractScalar) else "json_extract"
    return call(name, node.this, exp.Literal.string(f"${joined}"))


def _path_step(step: str) -> str:
    if step.lstrip("-").isdecimal():
        return f"[#{step}]" if step.startswith("-") else f"[{step}]"
    return f'."{step}"'


def json_text(node: exp.JSONExtractScalar) -> exp.Expr:
    """Objects and arrays as text are spaced as PostgreSQL prints them."""
    extracted = exp.JSONExtract(**{name: value for name, value in node.args.items() if value is not None})
    return call("pg_json_text", exp.paren(json_item(extracted)))


def json_item(node: exp.JSONExtract) -> exp.Expr:
    """An element by its index: of a scalar, PostgreSQL takes the scalar itself."""
    path = node.expression
    steps = path.expressions[1:] if isinstance(path, exp.JSONPath) else []
    index: exp.Expr | None = None
    if len(steps) == 1 and isinstance(steps[0], exp.JSONPathSubscript) and isinstance(steps[0].this, int):
        index = exp.Literal.number(steps[0].this)
    elif isinstance(path, (exp.Neg, exp.Literal)) and not path.is_string:
        index = path
    return node if index is None else call("pg_json_item", node.this, index)


def json_joined(node: exp.DPipe) -> exp.Expr:
    """``jsonb || jsonb``."""
    return call("pg_json_concat", _as_json(node.this), _as_json(node.expression))


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
    return call("pg_json_set", _as_json(document), _path(path), _as_json(value), *(create or [exp.true()]))


def _as_json(node: exp.Expr) -> exp.Expr:
    return node if kind(node) in JSON_TYPES else exp.cast(node.copy(), "json")


def _path(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Literal) and node.is_string:
        return typed_array(node, exp.DType.TEXT)
    return node
