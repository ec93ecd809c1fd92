"""The vector columns of a collection that a service fills, and by which encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pymilvus import FunctionType

from nestvec.milvus.catalog.columns import read_column
from nestvec.milvus.fingerprints import (
    RecordedFingerprint,
    RecordedUpgrade,
    read_fingerprint,
    read_upgrade,
)
from nestvec.milvus.providers import Endpoint, find_provider, note_property, read_note, read_params
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS, VECTOR_FORMS, EmbeddingConfig, Form
from nestvec_schemas.model_name import format_model_name


@dataclass(frozen=True)
class EmbeddingColumn:
    """A vector column that is embedded from a column of texts or of images' addresses."""

    source: str
    """The column that is embedded."""

    column: str
    """The vector column."""

    endpoint: Endpoint
    """Who calls which service for the vectors: Milvus or, where no Function fills this form, nestvec. Its
    config has the fingerprint that the collection's properties record, if they record one."""

    recorded: RecordedFingerprint | None = field(default=None, compare=False)
    """The encoder that made the vectors, by the collection's properties; None if they do not say it."""

    pinned: str | None = field(default=None, compare=False)
    """The fingerprint in the Function's params, without which Milvus's own requests are not compared."""

    upgrade: RecordedUpgrade | None = None
    """The upgrade of its encoder that has begun; None if none has."""

    @property
    def config(self) -> EmbeddingConfig:
        """How the vectors are made; ``dim`` is None for a sparse column."""
        return self.endpoint.config

    @property
    def made_by(self) -> RecordedFingerprint | None:
        """The encoder that made the vectors, by the collection's properties or else the Function's params;
        None if neither says it."""
        fingerprint = self.config.fingerprint
        if self.recorded is not None or fingerprint is None:
            return self.recorded
        return RecordedFingerprint(fingerprint=fingerprint)

    @property
    def is_guarded(self) -> bool:
        """Whether every request for its vectors names the fingerprint that is recorded, so that the service
        compares them: a Function that was created before it was recorded does not."""
        recorded = self.config.fingerprint
        return recorded is None or self.caller_is_nestvec or self.pinned == recorded

    @property
    def caller_is_nestvec(self) -> bool:
        """Whether nestvec requests the vectors, which no Function fills."""
        return self.endpoint.caller == "nestvec"

    @property
    def query_bridge(self) -> str | None:
        """The bridge by which nestvec embeds queries, as Milvus's Function calls the encoder of before; None
        if both call the same."""
        bridge = None if self.upgrade is None else self.upgrade.bridge
        return None if bridge == self.config.encoder else bridge

    @property
    def dim(self) -> int:
        """Length of the vectors; 0 for a sparse column."""
        return self.config.dim or 0

    @property
    def service(self) -> str:
        """Base URL of the service that embeds."""
        return self.endpoint.service

    @property
    def encoder_name(self) -> str:
        """The encoder, with its expert and prompts: ``minilm@biomed?prompt=clustering``."""
        return format_model_name(replace(self.config, exit=None))


def described_embeddings(described: Mapping[str, Any]) -> Iterator[EmbeddingColumn]:
    """The vector columns that a service fills, of a collection as Milvus describes it."""
    functions = {
        function["output_field_names"][0]: function
        for function in described.get("functions", [])
        if function["type"] == FunctionType.TEXTEMBEDDING
    }
    properties = described.get("properties") or {}
    for described_field in described["fields"]:
        column = read_column(described_field, properties)
        if column.type not in VECTOR_FORMS:
            continue
        form = VECTOR_FORMS[column.type]
        note = str(properties.get(note_property(column.name)) or described_field.get("description", ""))
        filled = _read_endpoint(form, functions.get(column.name), note)
        if filled is not None:
            source, endpoint = filled
            pinned = endpoint.config.fingerprint
            recorded = read_fingerprint(properties, column.name)
            fingerprint = pinned if recorded is None else recorded.fingerprint
            config = replace(endpoint.config, dim=column.dim, form=form, fingerprint=fingerprint)
            upgrade = read_upgrade(properties, column.name)
            endpoint = replace(endpoint, config=config)
            yield EmbeddingColumn(
                source, column.name, endpoint, recorded=recorded, pinned=pinned, upgrade=upgrade
            )


def _read_endpoint(form: Form, function: Mapping[str, Any] | None, note: str) -> tuple[str, Endpoint] | None:
    """A vector column's source and who fills it; None if no nestvec service does."""
    if function is None:
        return read_note(note, "nestvec") if form in CLIENT_SIDE_FORMS else None
    provider = find_provider(str(function["params"].get("provider", "")))
    if provider is not None and not provider.has_own_address:
        return read_note(note, provider.name)
    endpoint = read_params(function["params"])
    return None if endpoint is None else (function["input_field_names"][0], endpoint)
