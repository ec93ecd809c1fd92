"""The values of a statement's parameters: bound as values, never as SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from operator import countOf
from typing import Any, Final

import numpy as np
from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec_schemas.errors import nearest

ParameterValues = Mapping[str, Any] | Sequence[Any]
"""Values by name for ``:name``, or in order for ``$1``, ``$2``."""

_NOT_ALLOWED: Final = re.compile("[\0\ud800-\udfff]")
_PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})
_FOREIGN: Final = {
    "torch": "tolist", "jax": "tolist", "jaxlib": "tolist", "tensorflow": "numpy", "pyarrow": "as_py",
    "pandas": "to_pydatetime", "pgvector": "to_text",
}  # fmt: skip
"""By library: the method of its values that returns Python's or numpy's."""

PARAMETER_NODES = (exp.Placeholder, exp.Parameter)


@dataclass(frozen=True)
class Params:
    """The parameters of one execution."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Values by name; positional ones are named ``1``, ``2``, …"""
    vectors: dict[int, tuple[object, tuple[float, ...]]] = field(default_factory=dict, compare=False)
    """The lists that were checked as vectors, by id: a statement may name one several times."""
    floats: dict[int, object] = field(default_factory=dict, compare=False)
    """The lists that hold nothing but Python's floats, by id."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    """What now() is, as often as the statement says it."""

    def value(self, source: SourceText, node: exp.Expr) -> Any:
        """The value of a parameter, in Python types. Raises SqlSyntaxError if it has none."""
        name = parameter_name(node)
        if name is None:
            raise source.syntax_error("the parameter has no name", node, "Write :name or $1.")
        if name not in self.values:
            available = f"Given: {', '.join(self.values)}." if self.values else "Pass a value for it."
            raise source.syntax_error(
                f"the parameter {name} has no value", node, f"{available}{nearest(name, self.values)}"
            )
        value = self.values[name]
        return value if id(value) in self.floats else to_python(value)


def bind_params(values: ParameterValues | None) -> Params:
    """The parameters of one execution, from a mapping or a sequence."""
    if values is None:
        return Params()
    params = Params(bound := {})
    for name, value in values.items() if isinstance(values, Mapping) else enumerate(values, 1):
        # A vector is looked through once: it has hundreds of numbers.
        if type(value) is list and value and countOf(map(type, value), float) == len(value):
            params.floats[id(value)] = value
            bound[str(name)] = value
        else:
            bound[str(name)] = to_python(value)
    return params


def check_characters(source: SourceText, text: str, node: exp.Expr) -> None:
    """Raise SqlTypeMismatch for a text that no column holds: with NUL, or half of a surrogate pair."""
    if _NOT_ALLOWED.search(text):
        raise source.type_mismatch(
            "the parameter value contains a character that is not allowed",
            ascii(text)[:40],
            node,
            "Remove it.",
        )


def to_python(value: Any) -> Any:
    """A value of a caller as Python's own types; what psycopg takes is taken in the same way.

    numpy's and torch's numbers and arrays become numbers and lists, an Enum its name, or its value if it is
    a text or a number, too, a memoryview bytes, and pandas's and Arrow's values Python's.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (list, tuple):
        # Vectors have hundreds of numbers: no Python loop.
        plain = _PLAIN.issuperset(map(type, value))
        return value if plain else [to_python(item) for item in value]
    if kind is dict:
        return {name: to_python(item) for name, item in value.items()}
    if isinstance(value, Enum):
        return to_python(value.value) if isinstance(value, (str, int, float)) else value.name
    if isinstance(value, (np.generic, np.ndarray)):
        return to_python(_from_numpy(value))
    if isinstance(value, (memoryview, bytearray)):
        return bytes(value)
    return _foreign(value)


def _from_numpy(value: np.generic | np.ndarray[Any, Any]) -> Any:
    if value.dtype.kind == "M":
        # tolist() of nanoseconds would be numbers.
        value = value.astype("datetime64[us]")
    python = value.tolist()
    return None if python is None else python


def _foreign(value: Any) -> Any:
    """A value of a library that is not imported here, by the method that makes it Python's."""
    root = type(value).__module__.partition(".")[0]
    method = _FOREIGN.get(root)
    if root == "pandas" and type(value).__name__ in ("NAType", "NaTType"):
        return None
    convert = getattr(value, method, None) if method is not None else None
    if callable(convert):
        return to_python(convert())
    if root == "psycopg" and hasattr(value, "obj"):
        return to_python(value.obj)
    if root == "ipaddress":
        return str(value)
    if isinstance(value, (tuple, Set)):
        return [to_python(item) for item in value]
    return value


def parameter_name(node: exp.Expr) -> str | None:
    """The name of a parameter; None if it has none."""
    inner = node.this
    if isinstance(inner, exp.Expr):
        inner = inner.this
    # An expression in place of the name, ``$(…)``, is not a name.
    return inner if isinstance(inner, str) and inner else None
