"""Composed columns: their templates, kept in Milvus, and what the other values of a row make of them.

A template is a property of the collection, ``nestvec.compose.COLUMN``, so that rows are composed without the
spec. (A field's description would be the place, but Milvus Lite keeps none.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec_schemas.compose import Template, compose, order, read_template
from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec import CollectionSpec

if TYPE_CHECKING:
    from nestvec.catalog import Table

PREFIX: Final = "nestvec.compose."
"""How the name of a collection's property begins that holds a column's template."""


def properties(spec: CollectionSpec) -> dict[str, str]:
    """The properties of a collection that say how its columns are composed."""
    return {f"{PREFIX}{name}": one.compose for name, one in spec.fields.items() if one.compose is not None}


def templates(columns: Iterable[str], properties: Mapping[str, str]) -> Mapping[str, Template]:
    """The templates of columns, each after those that it needs; what cannot be read is none."""
    found = dict[str, Template]()
    for name in columns:
        if f"{PREFIX}{name}" in properties:
            with suppress(SpecError):
                found[name] = read_template(properties[f"{PREFIX}{name}"])
    return {name: found[name] for name in order(found)}


def composed(table: Table, names: Iterable[str], row: Mapping[str, object]) -> dict[str, str]:
    """The texts of a row's composed columns ``names``, which are in the order of ``table.composed``.

    ``row`` is as it is stored; where it brings nothing, a column's default counts. A text is empty where
    there is nothing to write.
    """
    defaults = {one.name: one.default for one in table.columns if one.default is not None}
    scalar = [one for one in table.columns if not one.is_vector]
    own = {one.name: _kept(row.get(one.name, defaults.get(one.name)), one.type) for one in scalar}
    known = own | {name: value for name, value in row.items() if table.column(name) is None}
    silent = {table.primary.name, *table.composed}
    attributes = {name: value for name, value in known.items() if name not in silent}
    found: dict[str, str] = {}
    for name in names:
        template = table.composed[name]
        found[name] = compose(template, attributes if template.flattens else known | found)
    return found


def _kept(value: object, kind: str) -> object:
    """A value as Milvus gives it back: 0.1 as the shortest number that FLOAT does not tell from it."""
    return float(str(np.float32(value))) if kind == "FLOAT" and isinstance(value, float) else value
