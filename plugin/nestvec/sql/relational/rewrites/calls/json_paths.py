"""Functions and operators of paths of SQL/JSON: each calls one in Python."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.json_path.numbers import NumberError
from nestvec.sql.relational.json_path.parse import parse_json_path
from nestvec.sql.relational.json_path.tokens import PathNotSupported, PathSyntaxError
from nestvec.sql.relational.rewrites.json_operators import as_json
from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, TEXT_TYPES, Rule, call, is_text_constant, kind
from nestvec_schemas.errors import SqlNotSupported, SqlSyntaxError, SqlTypeMismatch

_PARAMETERS: Final = ("target", "path", "vars", "silent")
_FIRST: Final = exp.Literal.number(1)


def path_function(name: str, *, first: bool = False) -> Rule:
    """``jsonb_path_query_array(target, path, vars, silent)`` and its like; ``first`` of a list."""

    def called(node: exp.Anonymous) -> exp.Expr:
        result = call(name, *_arguments(node))
        return call("list_extract", result, _FIRST) if first else result

    return called


def path_rows(node: exp.Anonymous) -> exp.Expr:
    """``jsonb_path_query()``, whose rows are unnested: in FROM they are already."""
    array = call("pg_json_path_query", *_arguments(node))
    return array if isinstance(node.parent, (exp.Unnest, exp.Explode)) else exp.Explode(this=array)


def path_exists(node: exp.JSONBPathExists) -> exp.Expr:
    """``document @? path``, which is NULL instead of an error."""
    return _operator("pg_json_path_exists", node.this, node.expression)


def match_path(node: exp.MatchAgainst) -> exp.Expr:
    """``document @@ path``; refuse another ``@@``, which Milvus did not take."""
    document = node.expressions[0]
    if kind(document) not in JSON_TYPES:
        raise SqlNotSupported(
            "@@ of anything but a column in WHERE is not supported",
            next_step="Write WHERE column @@ 'words'.",
        )
    return _operator("pg_json_path_match", document, node.this)


def _operator(name: str, document: exp.Expr, path: exp.Expr) -> exp.Expr:
    arguments = (as_json(document), _path(path), _variables(None), exp.true())
    return call("list_extract", call(name, *arguments), _FIRST)


def _arguments(node: exp.Anonymous) -> list[exp.Expr]:
    values: dict[str, exp.Expr] = {}
    for name, argument in zip(_PARAMETERS, node.expressions, strict=False):
        is_named = isinstance(argument, exp.Kwarg)
        values[argument.this.name.lower() if is_named else name] = (
            argument.expression if is_named else argument
        )
    if set(values) - set(_PARAMETERS) or not {"target", "path"} <= set(values):
        raise SqlTypeMismatch(
            f"{node.name.lower()}() does not take these arguments",
            next_step=f"Pass {', '.join(_PARAMETERS[:2])} and, if needed, {', '.join(_PARAMETERS[2:])}.",
        )
    variables, silent = _variables(values.get("vars")), values.get("silent") or exp.false()
    return [as_json(values["target"]), _path(values["path"]), variables, silent]


def _variables(node: exp.Expr | None) -> exp.Expr:
    return exp.cast(exp.Literal.string("{}"), "json") if node is None else as_json(node)


def _path(node: exp.Expr) -> exp.Expr:
    """A path as a text: a constant is checked here."""
    inner = node.unnest()
    is_cast = isinstance(inner, exp.Cast) and inner.args["to"].sql("duckdb").upper().strip('"') == "JSONPATH"
    if is_cast:
        inner = inner.this.unnest()
    if is_text_constant(inner):
        try:
            parse_json_path(inner.name)
        except PathNotSupported as error:
            raise SqlNotSupported(
                str(error),
                value=inner.name[:60],
                next_step="Read the value by -> or ->>, and test it in SQL.",
            ) from None
        except (PathSyntaxError, NumberError) as error:
            raise SqlSyntaxError(
                str(error), value=inner.name[:60], next_step="Write a path such as '$.a[*] ? (@ > 1)'."
            ) from None
    elif not is_cast and kind(inner) in TEXT_TYPES:
        raise SqlTypeMismatch("the path is a text, not a jsonpath", next_step="Add a cast, path::jsonpath.")
    return inner if is_text_constant(inner) or isinstance(inner, exp.Null) else exp.cast(inner.copy(), "text")
