"""What a change does, before it is done."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from nestvec.collections.change.definition import Change, NewField
from nestvec.collections.change.new_columns import SPARSE_BYTES, vector_bytes
from nestvec.ingest.write.names import readers_name
from nestvec.milvus.catalog import Table
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS
from nestvec_schemas.errors import SpecError, StoreRefused, nearest

_FORM_BITS: Final = {"float": 32, "int8": 8, "binary": 1}

_MAX_NAME: Final = 255
"""Characters of a collection's name."""


@dataclass(frozen=True)
class Names:
    """The collections of a change."""

    collection: str
    """The name that readers use."""

    source: str
    """The collection that has it before."""

    target: str
    """The collection that has it afterwards."""

    retired: str
    """The name of the collection of before, once readers use the other."""

    @property
    def is_alias(self) -> bool:
        """Whether readers use an alias already."""
        return self.source != self.collection

    @property
    def plain_source(self) -> str | None:
        """The name of the collection of before that readers may use beside the alias; None if none may."""
        chosen = self.is_alias and readers_name(self.source) is None
        return self.source if chosen else None


@dataclass(frozen=True)
class FieldPlan:
    """What becomes of the fields, by name."""

    added: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
    """Those whose vectors are computed anew, by another encoder or otherwise."""

    computed: tuple[str, ...] = ()
    """Those that Milvus makes again from their sources as it takes the rows, with the same result."""

    copied: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What is known of a collection and its services."""

    rows: int

    row_bytes: float = 0.0
    """Of the values of one row that are no vectors, on average."""

    text_seconds: float | None = None
    """Time in which one of its texts is embedded; None if that was not measured."""

    free_bytes: int | None = None
    """Of the disk that the collection is on; None for a server's."""


@dataclass(frozen=True)
class ChangePlan:
    """What a change does."""

    names: Names
    fields: FieldPlan
    rows: int

    seconds: float | None
    """How long embedding takes, as measured; None if that is unknown."""

    bytes: int
    """What the new collection needs, beside that of before."""

    keep_old: bool = False
    """Whether the collection of before remains."""

    def as_json(self) -> dict[str, Any]:
        """The plan as data."""
        return {
            "collection": self.names.collection,
            "in_place": False,
            "beside": self.names.target,
            "old": self.names.retired if self.keep_old else None,
            "becomes_alias": not self.names.is_alias,
            "added": list(self.fields.added),
            "embedded": list(self.fields.embedded),
            "computed": list(self.fields.computed),
            "copied": list(self.fields.copied),
            "dropped": list(self.fields.dropped),
            "rows": self.rows,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "bytes": self.bytes,
        }

    def lines(self) -> list[str]:
        """The plan as sentences."""
        names, fields = self.names, self.fields
        listed = {
            "added": fields.added,
            "embedded anew": fields.embedded,
            "computed again by Milvus": fields.computed,
            "copied": fields.copied,
            "dropped": fields.dropped,
        }
        lines = [f"{self.rows:,} rows are copied into a new collection, {names.target}."]
        lines += [f"  {what}: {', '.join(columns)}" for what, columns in listed.items() if columns]
        time = "" if self.seconds is None else f", and takes about {_duration(self.seconds)}"
        lines.append(f"It needs {_size(self.bytes)} of space until it is complete{time}.")
        if not names.is_alias:
            lines.append(
                f"{names.collection} becomes an alias of {names.target}; requests in the moment of the "
                "switch fail, this once."
            )
        if names.plain_source and not self.keep_old:
            lines.append(f"{names.plain_source} becomes another alias of it.")
        if self.keep_old:
            lines.append(f"The previous collection is kept as {names.retired}.")
        return lines


def change_names(collection: str, source: str, existing: Collection[str]) -> Names:
    """The names of the collections of a change of ``source``, which readers call ``collection``.

    Raises SpecError if they are too long.
    """
    pattern = re.compile(rf"{re.escape(collection)}__([0-9]+)")
    numbers = [int(match[1]) for match in map(pattern.fullmatch, existing) if match]
    following = max(numbers, default=-1) + 1
    if source != collection:
        names = Names(collection, source, f"{collection}__{following}", source)
    else:
        names = Names(collection, source, f"{collection}__{following + 1}", f"{collection}__{following}")
    if len(names.target) > _MAX_NAME:
        raise SpecError(
            f"the name of the new collection would be longer than Milvus's {_MAX_NAME} characters",
            value=names.target,
            next_step="Rename the collection: MilvusClient.rename_collection.",
        )
    return names


def plan_change(
    table: Table, change: Change, names: Names, measured: Measured, *, keep_old: bool = False
) -> ChangePlan:
    """The plan of a change of ``table``. Raises SpecError, StoreRefused if the disk has no space."""
    fields = _plan_fields(table, change)
    new = change.fields
    filled = [name for name in new if name in (*fields.added, *fields.embedded)]
    passes = {_pass_of(new[name]) for name in filled}
    passes |= {
        (embedding.service, embedding.source, replace(embedding.config, dim=None, form="float", top=None))
        for embedding in table.embeddings
        if embedding.column in fields.computed
    }
    text_seconds = measured.text_seconds
    seconds = None if text_seconds is None else text_seconds * measured.rows * len(passes)
    row_bytes = measured.row_bytes + sum(_field_bytes(new[name]) for name in filled)
    row_bytes += sum(_column_bytes(table, name) for name in (*fields.copied, *fields.computed))
    row_bytes += sum(column.vector_bytes for column in change.columns)
    plan = ChangePlan(
        names, fields, measured.rows, seconds, bytes=int(row_bytes * measured.rows), keep_old=keep_old
    )
    if measured.free_bytes is not None and plan.bytes > measured.free_bytes:
        raise StoreRefused(
            f"the disk has no space for a second {names.collection}",
            value=f"{_size(plan.bytes)} needed, {_size(measured.free_bytes)} free",
            next_step="Free the space, or move the database to a larger disk.",
        )
    return plan


def _plan_fields(table: Table, change: Change) -> FieldPlan:
    new = change.fields
    _check_dropped(table, change)
    texts = [column.name for column in table.columns if column.type in ("VARCHAR", "TEXT")]
    for name, field in new.items():
        if table.column(field.source) is None:
            raise SpecError(
                "the collection has no field of this name to embed",
                value=field.source,
                next_step=f"Available: {', '.join(texts)}.{nearest(field.source, texts)}",
            )
        if table.column(name) is not None and name not in change.drop:
            raise SpecError(
                "the collection already has a field of this name",
                value=name,
                next_step="Choose other dims, or change the field: nestvec collection alter SPEC.yaml.",
            )
        if field.source in change.drop:
            raise SpecError(
                f"{name} is to be embedded from a field that is dropped",
                value=field.source,
                next_step="Keep it.",
            )
    _check_new_columns(table, change)
    computed = {
        *(item.column for item in table.embeddings if item.config.form not in CLIENT_SIDE_FORMS),
        *(item.column for item in table.lexical),
    }
    remaining = [column.name for column in table.columns if column.name not in change.drop]
    return FieldPlan(
        added=(
            *(column.name for column in change.columns),
            *(name for name in new if table.column(name) is None),
        ),
        embedded=tuple(name for name in new if table.column(name) is not None),
        computed=tuple(name for name in remaining if name in computed),
        copied=tuple(name for name in remaining if name not in computed),
        dropped=tuple(name for name in change.drop if name not in new and table.column(name) is not None),
    )


def _check_new_columns(table: Table, change: Change) -> None:
    for column in change.columns:
        if table.column(column.name) is not None and column.name not in change.drop:
            raise SpecError(
                "the collection already has a field of this name",
                value=column.name,
                next_step="Choose another name.",
            )


def _check_dropped(table: Table, change: Change) -> None:
    columns = {column.name: column for column in table.columns}
    for name in change.drop:
        if name in table.hidden:
            continue
        if name not in columns:
            raise SpecError(
                f"{table.name} has no field of this name to drop",
                value=name,
                next_step=f"Available: {', '.join(columns)}.{nearest(name, columns)}",
            )
        if columns[name].primary or columns[name].partition_key:
            raise SpecError("a key cannot be dropped", value=name, next_step="Create a new collection.")
        needs = [
            target
            for target, source in table.generated.items()
            if source == name and target not in change.drop
        ]
        if needs:
            raise SpecError(
                f"{', '.join(sorted(needs))} is computed from this field",
                value=name,
                next_step=f"Drop {', '.join(sorted(needs))} first.",
            )
    vectors = [column.name for column in table.columns if column.is_vector]
    new_vector = change.add or any(column.vector_bytes for column in change.columns)
    if not new_vector and vectors and not set(vectors) - set(change.drop):
        raise SpecError(
            "a collection needs a vector field", value=vectors[-1], next_step="Add another one first."
        )


def _pass_of(field: NewField) -> tuple[object, ...]:
    """What fields have in common whose vectors come from one pass through an encoder."""
    return field.service, field.source, replace(field.config, dim=None, form="float", top=None)


def _field_bytes(field: NewField) -> float:
    bits = _FORM_BITS.get(field.config.form)
    return SPARSE_BYTES if bits is None else (field.config.dim or 0) * bits / 8


def _column_bytes(table: Table, name: str) -> float:
    column = table.column(name)
    if column is None or not column.is_vector:
        return 0.0
    return vector_bytes(column.type, column.dim)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    units = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    return next((f"{count / size:.1f} {unit}" for unit, size in units if count >= size), f"{count} bytes")
