"""A row's composed columns, made of its other values by the templates that the collection keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nestvec.milvus.catalog import Table
from nestvec_schemas.spec.compose import compose_text


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
        found[name] = compose_text(template, attributes if template.flattens else known | found)
    return found


def _kept(value: object, kind: str) -> object:
    """A value as Milvus gives it back: 0.1 as the shortest number that FLOAT does not tell from it."""
    return float(str(np.float32(value))) if kind == "FLOAT" and isinstance(value, float) else value
