"""PostgreSQL's functions of paths of SQL/JSON, as DuckDB calls them: on texts of JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from nestvec.sql.relational.json_path.evaluate import (
    PathContext,
    PathError,
    has_items,
    path_items,
)
from nestvec.sql.relational.json_path.numbers import NumberError, number_text, read_number
from nestvec.sql.relational.json_path.parse import parse_json_path
from nestvec.sql.relational.json_path.predicates import test_predicate
from nestvec.sql.relational.json_path.tokens import PathNotSupported, PathSyntaxError


def json_path_query(document: str, path: str, variables: str, silent: bool) -> list[str]:
    """The items of a path as texts of JSON."""
    return list(map(_text, _items(document, path, variables, silent)))


def json_path_array(document: str, path: str, variables: str, silent: bool) -> str:
    """The items of a path as an array of JSON."""
    return _text(_items(document, path, variables, silent))


def json_path_exists(document: str, path: str, variables: str, silent: bool) -> list[bool]:
    """Whether a path has an item; an empty list for NULL."""
    context, root = _started(document, path, variables, silent)
    try:
        return [has_items(context, root, context.root)]
    except PathError as error:
        if not silent:
            raise ValueError(str(error)) from None
        return []


def json_path_match(document: str, path: str, variables: str, silent: bool) -> list[bool]:
    """The value of a predicate; an empty list for NULL."""
    items = _items(document, path, variables, silent)
    if len(items) == 1 and (items[0] is None or isinstance(items[0], bool)):
        return [] if items[0] is None else items
    if not silent:
        raise ValueError("single boolean result is expected")
    return []


def _started(document: str, path: str, variables: str, silent: bool) -> tuple[PathContext, Any]:
    try:
        parsed = parse_json_path(path)
    except (PathSyntaxError, PathNotSupported, NumberError) as error:
        # DuckDB passes on the name of the class, too.
        raise ValueError(str(error)) from None
    values = _document(variables)
    if not isinstance(values, dict):
        raise ValueError("'vars' argument is not an object")
    value, strict = _document(document), parsed.is_strict
    context = PathContext(
        root=value,
        current=value,
        variables=values,
        is_strict=strict,
        is_tolerant=not strict,
        test=test_predicate,
        is_raising=not silent,
    )
    return context, parsed.root


def _items(document: str, path: str, variables: str, silent: bool) -> list[Any]:
    """The items of a path; with ``silent``, those before an error."""
    context, root = _started(document, path, variables, silent)
    items: list[Any] = []
    try:
        for item in path_items(context, root, context.root):
            items.append(item)
    except PathError as error:
        if not silent:
            raise ValueError(str(error)) from None
    return items


def _document(text: str) -> Any:
    return json.loads(text, parse_int=read_number, parse_float=read_number, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"invalid input syntax for type json: '{constant}'")


def _text(value: Any) -> str:
    return orjson.dumps(value, default=_number).decode()


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(number_text(value))
    raise TypeError(type(value).__name__)
