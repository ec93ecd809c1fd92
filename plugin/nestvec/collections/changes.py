"""A spec of a collection that exists: what differs, and what of it Milvus can change."""

from __future__ import annotations

from collections.abc import Iterator

from nestvec.client.service_key import base_url
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.server_version import ALTERS_FUNCTIONS, THREE, ServerVersion
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import CollectionExists
from nestvec_schemas.spec.collection_spec import CollectionSpec

_DROP = "drop it (nestvec collection drop {name}), or give the spec another name"


def exists_error(table: Table, spec: CollectionSpec, version: ServerVersion) -> CollectionExists:
    """The error of creating a collection that exists, with what a server of this version allows instead."""
    drop = _DROP.format(name=spec.collection)
    differences = list(_differences(table, spec))
    if not differences:
        return CollectionExists(
            "a collection of this name already exists",
            value=spec.collection,
            next_step=f"{drop[0].upper()}{drop[1:]}.",
        )
    kinds = {kind for kind, _ in differences}
    listed = "; ".join(text for _, text in differences)
    return CollectionExists(
        "a collection of this name already exists, and the spec differs from it",
        value=f"{spec.collection}: {listed}",
        next_step=f"{_allowed(kinds, version)} Otherwise {drop}.",
    )


def _differences(table: Table, spec: CollectionSpec) -> Iterator[tuple[str, str]]:
    """The kind of each difference between the vector fields of both, and the difference itself."""
    for embedding in spec.embeddings:
        service = base_url(spec.service_of(embedding))
        for config in embedding.configs:
            name = embedding.column(config)
            existing = table.embedding(name)
            if existing is None:
                yield "field", f"there is no field {name} that a service fills"
                continue
            if existing.service != service:
                yield "service", f"{name} is embedded by {existing.service}, not by {service}"
            if existing.source != embedding.field:
                yield "vectors", f"{name} is embedded from {existing.source}, not from {embedding.field}"
            if not same_vectors(existing, config):
                yield "vectors", f"{name} is embedded otherwise ({existing.encoder_name})"
            if spec.chunk is not None and existing.endpoint.chunk not in (None, spec.chunk):
                yield "chunk", f"{name} has a chunk of {existing.endpoint.chunk}, not {spec.chunk}"


def same_vectors(existing: EmbeddingColumn, config: EmbeddingConfig) -> bool:
    """Whether a field has the vectors of a spec's config; the deepest exit may have been recorded as none."""
    declared, recorded = config.attributes(), existing.config.attributes()
    if recorded["exit"] is None:
        declared.pop("exit"), recorded.pop("exit")
    if config.form == "sparse":
        declared.pop("dim"), recorded.pop("dim")
    return declared == recorded


def _allowed(kinds: set[str], version: ServerVersion) -> str:
    """What this Milvus can change of what differs, as sentences."""
    if kinds & {"field", "vectors"}:
        return "Milvus does not change how a field's vectors are made: their rows must be written anew."
    if version.lite or version.before(ALTERS_FUNCTIONS):
        name = "Milvus Lite" if version.lite else "Milvus before 2.6.8"
        instead = ": let the service answer at its old address" if "service" in kinds else ""
        return f"{name} does not alter a Function{instead}."
    if version.at_least(THREE):
        if kinds == {"chunk"}:
            return "Milvus 3.0 alters the chunk: MilvusClient.alter_collection_function."
        return (
            "Milvus 3.0 alters the chunk, the credential and timeout_ms of a Function, but no endpoint: let "
            "the service answer at its old address, for which a host name of its own is best."
        )
    if kinds == {"service"}:
        return "This Milvus alters a Function's endpoint: nestvec collection move does."
    return (
        "Milvus 2.6.8 and later 2.6 alter a Function's endpoint and chunk: MilvusClient."
        "alter_collection_function, with the Function that add_embedding writes for the new address."
    )
