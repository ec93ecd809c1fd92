"""Strict query strings: bounded, UTF-8, no name twice, integers in digits, no misspelt name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, get_args
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant

from nestvec.service.api.request_model import check_name
from nestvec.service.bodies.cached_query import CachedQuery
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.message_text import shown

MAX_BYTES: Final = 4096
MAX_FIELDS: Final = 32

_CACHED: Final = 256
"""Query strings of a path that are known to be right: Milvus sends the same with each request."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")

_OF_ALL_PATHS: Final = {"deadline": False}
"""Names that middleware reads, and whether they are integers."""

CheckQuery = Callable[[bytes], None]
"""Raises BodyInvalid for a query string."""


def query_check(dependant: Dependant) -> CheckQuery:
    """The check of an endpoint's query strings.

    Names that the endpoint does not have are ignored, as clients and proxies add their own, unless they
    resemble one that it has.
    """
    integers = dict(_integers(dependant)) | _OF_ALL_PATHS

    @lru_cache(_CACHED)
    def check(query_string: bytes) -> None:
        if query_string:
            _check(query_string, integers)

    return check


def _integers(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        kinds = get_args(annotation) or (annotation,)
        yield parameter.alias, int in kinds
    for dependency in dependant.dependencies:
        cached = dependency.call
        yield from _integers(cached.described if isinstance(cached, CachedQuery) else dependency)


def _check(query_string: bytes, integers: Mapping[str, bool]) -> None:
    if len(query_string) > MAX_BYTES:
        raise BodyInvalid(
            f"the query string is longer than {MAX_BYTES} bytes",
            value=len(query_string),
            next_step="Send long values in the body.",
        )
    names: set[str] = set()
    for name, value in _pairs(query_string):
        if name in names and name in integers:
            raise _invalid(name, "it is there twice")
        if name not in integers:
            check_name(name, integers)
        elif integers[name] and value and not _INTEGER.fullmatch(value):
            raise _invalid(name, f"Input should be a valid integer, in digits: {shown(value)}")
        names.add(name)


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeDecodeError as error:
        raise BodyInvalid(
            "the query string is not UTF-8, in percent encoding where it is not ASCII",
            next_step="Encode its values.",
        ) from error
    except ValueError as error:
        raise BodyInvalid(
            f"the query string has more than {MAX_FIELDS} fields", next_step="Omit those that are not needed."
        ) from error


def _invalid(name: str, value: str) -> BodyInvalid:
    return BodyInvalid(f"query.{name} is invalid", value=value, next_step="The schemas are at /docs.")
