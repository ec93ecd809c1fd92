"""Composed columns: their templates, kept in Milvus, and what the other values of a row make of them.

A template is a property of the collection, ``nestvec.compose.COLUMN``, so that rows are composed without the
spec. (A field's description would be the place, but Milvus Lite keeps none.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.compose import Template, order, read_template

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
