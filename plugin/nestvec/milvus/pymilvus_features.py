"""What the installed pymilvus can do.

Versions 2.6 and 3 are supported: other packages of an application, LlamaIndex's among them, may want either.
No versions are compared here: each feature is looked for in the library, and what is missing is refused by
name. In 2.6 that is TEXT fields, also of collections that others created, and dropping a column. What a
server says about an error beside its code does not arrive either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from pymilvus import DataType, MilvusException

from nestvec_schemas.errors import StoreRefused

TEXT: Final[DataType | None] = DataType.__members__.get("TEXT")
"""The type of long texts, which Milvus has from 3.0 on; None if pymilvus does not know it."""

_UNKNOWN_TYPE = re.compile(r"^\d+ is not a valid DataType$")


def data_type(name: str) -> DataType:
    """The type of fields of this name. Raises StoreRefused if pymilvus does not know it."""
    type_ = DataType.__members__.get(name)
    if type_ is None:
        raise _missing(f"fields of type {name}")
    return type_


def client_method(client: object, name: str) -> Callable[..., Any]:
    """A method of a client of pymilvus. Raises StoreRefused if this pymilvus has none of this name."""
    method: Callable[..., Any] | None = getattr(client, name, None)
    if method is None:
        raise _missing(f"the call {name}")
    return method


def unknown_type(error: ValueError) -> StoreRefused | None:
    """The error to raise where pymilvus reads a collection with a field of a type that it does not know."""
    return _missing("the type of a field of this collection") if _UNKNOWN_TYPE.match(str(error)) else None


def is_retriable(error: MilvusException) -> bool:
    """Whether the server said that the same request may succeed later."""
    return bool(getattr(error, "retriable", False))


def is_input_error(error: MilvusException) -> bool:
    """Whether the server said that the request itself is at fault."""
    return bool(getattr(error, "is_input_error", False))


def _missing(feature: str) -> StoreRefused:
    update = "Update it: pip install --upgrade pymilvus."
    three = "Install pymilvus 3.0 or later: pip install 'pymilvus>=3'."
    return StoreRefused(
        f"the installed pymilvus does not have {feature}",
        value=f"pymilvus {version('pymilvus')}",
        next_step=three if TEXT is None else update,
    )
