"""A row's composed columns, made from its other values by the collection's templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nestvec.milvus.catalog import Table
from nestvec_schemas.spec.compose import compose_text


def compose_columns(table: Table, names: Iterable[str], row: Mapping[str, object]) -> dict[str, str]:
    """The texts of a row's composed columns ``names``, which are in the order of ``table.composed``.

    ``row`` is as it is stored; a column's default is used if the row has no value. A text is empty if
    there is nothing to write.
    """
    scalars = [column for column in table.columns if not column.is_vector]
    values = {
        column.name: _as_stored(row.get(column.name, column.default), column.type) for column in scalars
    }
    values |= {name: value for name, value in row.items() if table.column(name) is None}
    not_attributes = {table.primary.name, *table.composed}
    attributes = {name: value for name, value in values.items() if name not in not_attributes}
    texts: dict[str, str] = {}
    for name in names:
        template = table.composed[name]
        texts[name] = compose_text(template, attributes if template.flattens else values | texts)
    return texts


def _as_stored(value: object, type_: str) -> object:
    """A value as Milvus returns it: a FLOAT as the shortest decimal of its 32 bits."""
    return float(str(np.float32(value))) if type_ == "FLOAT" and isinstance(value, float) else value
