"""Functions of JSON: those that return rows, and those that change or print a document."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.relational.rewrites.arrays import typed_array
from nestvec.sql.relational.rewrites.json_operators import as_json
from nestvec.sql.relational.rewrites.nodes import Rule, anonymous_name, call, is_text_constant
from nestvec_schemas.errors import SqlNotSupported


def rows_of(name: str) -> Rule:
    """A function that returns a row for each item of an array of DuckDB: in FROM it is unnested already."""

    def unnested(node: exp.Anonymous) -> exp.Expr:
        document, *rest = node.expressions
        array = call(name, as_json(document), *rest)
        return array if isinstance(node.parent, (exp.Unnest, exp.Explode)) else exp.Explode(this=array)

    return unnested


def keys(node: exp.Anonymous) -> exp.Expr:
    """The keys of jsonb_each() and jsonb_object_keys()."""
    name = anonymous_name(node).lower()
    is_json = name.startswith("json_")
    function = "pg_json_written_keys" if is_json else "pg_json_pair_keys"
    array = call(function, as_json(node.expressions[0]), exp.Literal.string(name))
    if isinstance(node.parent, (exp.Unnest, exp.Explode)):
        return array
    if not name.endswith("_object_keys"):
        raise SqlNotSupported(
            f"{name}() outside FROM, a row as one value, is not supported",
            next_step=f"Write FROM {name}(…) AS pair.",
        )
    return exp.Explode(this=array)


def values(node: exp.Anonymous) -> exp.Expr:
    """The values of jsonb_each() and json_each()."""
    function = (
        "pg_json_pair_values" if anonymous_name(node).startswith("JSONB_") else "pg_json_written_values"
    )
    return call(function, as_json(node.expressions[0]))


def value_texts(node: exp.Anonymous) -> exp.Expr:
    """The values of jsonb_each_text() and json_each_text()."""
    is_json = anonymous_name(node).startswith("JSON_")
    return call("pg_json_written_texts" if is_json else "pg_json_texts", values(node))


def fields(name: str) -> Rule:
    """The values of a key in the objects of jsonb_to_recordset()."""
    return lambda node: call(name, as_json(node.expressions[0]), *node.expressions[1:])


def of_document(name: str) -> Rule:
    """A function of one document."""
    return lambda node: call(name, as_json(node.expressions[0]))


def inserted(node: exp.Anonymous) -> exp.Expr:
    """``jsonb_insert(document, path, value, after)``."""
    document, path, value, *after = node.expressions
    steps = typed_array(path, exp.DType.TEXT) if is_text_constant(path) else path
    return call("pg_json_insert", as_json(document), steps, as_json(value), *(after or [exp.false()]))
