"""The values of a statement's parameters: bound as values, never as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec_schemas.errors import nearest

ParameterValues = Mapping[str, Any] | Sequence[Any]
"""Values by name for ``:name``, or in order for ``$1``, ``$2``."""

PARAMETER_NODES = (exp.Placeholder, exp.Parameter)


@dataclass(frozen=True)
class Params:
    """The parameters of one execution."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Values by name; positional ones are named ``1``, ``2``, …"""
    vectors: dict[int, tuple[object, tuple[float, ...]]] = field(default_factory=dict, compare=False)
    """The lists that were checked as vectors, by id: a statement may name one several times."""

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
        return to_python(self.values[name])


def bind_params(values: ParameterValues | None) -> Params:
    """The parameters of one execution, from a mapping or a sequence."""
    if values is None:
        return Params()
    if isinstance(values, Mapping):
        return Params({str(name): to_python(value) for name, value in values.items()})
    return Params({str(number): to_python(value) for number, value in enumerate(values, 1)})


def to_python(value: Any) -> Any:
    """numpy numbers and arrays as Python values; anything else unchanged."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


def parameter_name(node: exp.Expr) -> str | None:
    """The name of a parameter; None if it has none."""
    inner = node.this
    if isinstance(inner, exp.Expr):
        inner = inner.this
    # An expression in place of the name, ``$(…)``, is not a name.
    return inner if isinstance(inner, str) and inner else None
