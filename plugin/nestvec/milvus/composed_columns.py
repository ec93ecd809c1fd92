"""The templates of composed columns, which Milvus stores.

A template is a property of the collection, ``nestvec.compose.COLUMN``, so that rows are composed without the
spec. (A field's description would be the natural place, but Milvus Lite does not store it.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.compose import Template, composition_order, read_template

TEMPLATE_PROPERTY_PREFIX: Final = "nestvec.compose."
"""Prefix of the name of a collection's property that holds a column's template."""


def template_properties(spec: CollectionSpec) -> dict[str, str]:
    """The properties of a collection that hold the templates of its columns."""
    return {
        f"{TEMPLATE_PROPERTY_PREFIX}{name}": field.compose
        for name, field in spec.fields.items()
        if field.compose is not None
    }


def read_templates(columns: Iterable[str], properties: Mapping[str, str]) -> Mapping[str, Template]:
    """The templates of columns, each after those that it depends on; malformed ones are ignored."""
    read = dict[str, Template]()
    for name in columns:
        if f"{TEMPLATE_PROPERTY_PREFIX}{name}" in properties:
            with suppress(SpecError):
                read[name] = read_template(properties[f"{TEMPLATE_PROPERTY_PREFIX}{name}"])
    return {name: read[name] for name in composition_order(read)}
