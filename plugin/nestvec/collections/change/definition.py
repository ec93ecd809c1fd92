"""A change of a collection: embeddings and columns to add, fields to drop."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from nestvec.client.service_key import base_url
from nestvec.collections.change.new_columns import NewColumn, read_column
from nestvec.collections.changes import same_vectors
from nestvec.milvus.catalog import Table
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SpecError, nearest
from nestvec_schemas.spec.collection_spec import CollectionSpec, EmbeddingSpec


@dataclass(frozen=True)
class NewField:
    """A vector field to fill."""

    source: str
    """The field that is embedded."""

    config: EmbeddingConfig
    service: str
    """Base URL of the service that embeds."""

    spec: EmbeddingSpec
    """Its index, and what else a spec says of it."""


@dataclass(frozen=True)
class Change:
    """Embeddings and columns to add, and fields to drop; a field that is in both is made anew."""

    add: tuple[EmbeddingSpec, ...] = ()
    """Each with its service."""

    drop: tuple[str, ...] = ()
    chunk: int | None = None
    """Texts in each request of Milvus to the service; None for as many as it embeds in time."""

    columns: tuple[NewColumn, ...] = ()
    """Columns to add that no encoder fills."""

    @property
    def new_names(self) -> frozenset[str]:
        """The fields to add."""
        return frozenset(self.fields) | {column.name for column in self.columns}

    @property
    def fields(self) -> Mapping[str, NewField]:
        """The vector fields to fill, by name."""
        return dict(self._fields())

    def _fields(self) -> Iterator[tuple[str, NewField]]:
        for spec in self.add:
            for config in spec.configs:
                yield spec.column(config), NewField(spec.field, config, base_url(spec.service or ""), spec)

    def identity(self) -> str:
        """The change as text: the same for the same change."""
        add = [spec.model_dump(mode="json") for spec in self.add]
        parts: dict[str, Any] = {"add": add, "drop": sorted(self.drop), "chunk": self.chunk}
        if self.columns:
            parts["columns"] = [column.as_json() for column in self.columns]
        return json.dumps(parts, sort_keys=True)

    def as_begun(self, recorded: Change) -> Change:
        """The change as a journal has it, if it is the same but for the values that defaults had then."""
        return recorded if _without_values(self) == _without_values(recorded) else self


def read_change(identity: str) -> Change:
    """The change that ``Change.identity`` wrote."""
    parts = json.loads(identity)
    add = tuple(EmbeddingSpec.model_validate(spec) for spec in parts["add"])
    columns = tuple(map(read_column, parts.get("columns", ())))
    return Change(add, tuple(parts["drop"]), parts["chunk"], columns)


def _without_values(change: Change) -> str:
    columns = tuple(replace(column, value=None) for column in change.columns)
    return replace(change, columns=columns).identity()


def new_embedding(values: Mapping[str, Any]) -> EmbeddingSpec:
    """An embedding from the values of its keys in a spec. Raises SpecError."""
    try:
        spec = EmbeddingSpec.model_validate(
            {key: value for key, value in values.items() if value not in (None, ())}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(
            f"{'.'.join(map(str, first['loc'])) or 'the embedding'}: {first['msg']}",
            value=first.get("input"),
            next_step="Correct it; nestvec collection create --help explains the keys of an embedding.",
        ) from error
    if bool(spec.dims) == (spec.form == "sparse"):
        raise SpecError(
            "a sparse encoder has no dims" if spec.dims else "no dims were chosen",
            value=spec.encoder,
            next_step="Omit --dims." if spec.dims else "Choose some: --dims 384,64.",
        )
    return spec


def change_to_spec(table: Table, spec: CollectionSpec, replaced: Collection[str] = ()) -> Change:
    """The change that makes a collection's embeddings those of a spec; its other fields must be the spec's.

    Columns in ``replaced`` are embedded anew even if the spec declares them as they are: the encoder under
    its name is another one now.

    Raises SpecError for a difference that is none of embeddings, or if there is none.
    """
    _check_fields(table, spec)
    add, drop, declared = [], [], set[str]()
    for embedding in spec.embeddings:
        service = spec.service_of(embedding)
        for config in embedding.configs:
            name = embedding.column(config)
            declared.add(name)
            existing = table.embedding(name)
            if existing is not None:
                if (
                    name not in replaced
                    and existing.source == embedding.field
                    and existing.service == base_url(service)
                    and same_vectors(existing, config)
                ):
                    continue
                drop.append(name)
            dims = () if config.dim is None else (config.dim,)
            update = {"dims": dims, "service": service, "name": name}
            add.append(embedding.model_copy(update=update))
    drop += [embedding.column for embedding in table.embeddings if embedding.column not in declared]
    if not add and not drop:
        raise SpecError(
            "the collection is as the spec declares it", value=spec.collection, next_step="Change the spec."
        )
    return Change(tuple(add), tuple(drop), spec.chunk)


def _check_fields(table: Table, spec: CollectionSpec) -> None:
    generated = set(table.generated)
    declared = {*spec.fields, *(vector.name for vector in spec.vectors)}
    present = {column.name for column in table.columns if column.name not in generated}
    for name in sorted(declared ^ present):
        where = "collection" if name in declared else "spec"
        raise SpecError(
            f"the {where} has no field of this name: this command changes embeddings only",
            value=name,
            next_step=f"Declare the fields that {table.name} has.{nearest(name, declared & present)}",
        )
