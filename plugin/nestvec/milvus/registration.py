"""Nested embedding fields in pymilvus's own idiom."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient

from nestvec.client.service_client import EncoderInfo, fetch_info
from nestvec.client.service_key import ServiceKey, base_url, environment_key
from nestvec.milvus.connection import HasServerVersion, is_lite, open_connections
from nestvec.milvus.providers import (
    FunctionParams,
    Provider,
    ProviderName,
    choose_provider,
    default_provider,
    write_note,
)
from nestvec_schemas.binary_codes import check_binary_dim
from nestvec_schemas.capabilities import CHECKS
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS, VECTOR_TYPES, EmbeddingConfig
from nestvec_schemas.errors import SpecError, StoreUnknown, nearest
from nestvec_schemas.prompt_roles import ROLES
from nestvec_schemas.spec.collection_spec import column_name
from nestvec_schemas.towers import QUERY_EXPERT

__all__ = ["EmbeddingConfig", "EmbeddingOptions", "ServiceKey", "add_embedding"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingOptions:
    """The rarely needed options of an embedding."""

    name: str | None = None
    """Name of the vector field, if there is only one dim; None for a name made of source, dim and config."""

    provider: ProviderName | None = None
    """The provider of Milvus's Function, for a schema that is made without a connection."""

    key: ServiceKey | None = None
    """For a service with API keys; None for NESTVEC_API_KEY and NESTVEC_CREDENTIAL of the environment."""


def add_embedding(
    schema: CollectionSchema,
    source: str,
    *,
    encoder: str | EmbeddingConfig,
    dims: Sequence[int] = (),
    service: str,
    client: MilvusClient | None = None,
    options: EmbeddingOptions = EmbeddingOptions(),
) -> None:
    """Add a vector field ``{source}_{dim}`` for each of ``dims`` to ``schema``, filled by Milvus from
    ``source``.

    ``encoder`` is a name or, where exit, expert, prompts, form or top are chosen, an EmbeddingConfig. What is
    chosen is part of the field's name: ``{source}_{dim}_{expert}_exit{exit}_{prompt}_{form}``. Milvus from
    2.6 fills ``int8`` fields (INT8_VECTOR) through its ``cohere`` provider, whose address is in milvus.yaml;
    ``nestvec ingest`` fills ``binary`` fields (BINARY_VECTOR). Milvus Lite has neither. A sparse encoder has
    no dims: its field ``{source}_sparse`` or ``{source}_sparse_top{top}`` (SPARSE_FLOAT_VECTOR) is filled by
    ``nestvec ingest`` as well.

    ``service`` is the base URL, as Milvus reaches it, of a running nestvec service. The Function's provider
    is ``openai`` for Milvus Lite and ``tei`` for Milvus from 2.6, depending on ``client``, else on the
    connections that are open in this process. Milvus Lite does not keep descriptions of fields: create a
    collection with sparse fields with ``properties=field_notes(schema)``, which say what fills them. Raises
    SpecError (source field, key, form), DimNotOffered, ExitNotOffered, ExpertNotOffered, EncoderNotFound,
    ServiceUnreachable, ServiceRefused, StoreRefused, StoreUnknown; ``schema`` is unchanged then.
    """
    chosen = EmbeddingConfig(encoder) if isinstance(encoder, str) else encoder
    _check_source(schema, source)
    address, form = base_url(service), chosen.form
    key = options.key or environment_key()
    info = fetch_info(address, key.api_key if key else None).encoder(chosen.encoder, address)
    configs = _check_configs(chosen, dims, info)
    names = [options.name] if options.name else [column_name(source, config) for config in configs]
    _check_names(schema, names, len(configs))
    provider = choose_provider(options.provider or _detect_provider(client), form)
    if form == "binary":
        for dim in dims:
            check_binary_dim(dim)
    if provider.needs_credential and form not in CLIENT_SIDE_FORMS and key is not None and not key.credential:
        raise SpecError(
            "Milvus reads the service's API key from its own configuration, and the entry's name is missing",
            next_step="Put the key under credential in milvus.yaml and name it: "
            "options=EmbeddingOptions(key=ServiceKey(api_key, credential=NAME)), or NESTVEC_CREDENTIAL.",
        )
    provider.check_prompts(chosen)
    _warn(provider, chosen, info, address)
    prompts = chosen.texts_of(info.prompts, info.default_prompt)
    # The deepest exit counts as no exit: fields that differ only in it are of one family.
    exit = None if info.layers and chosen.exit == info.layers[0] else chosen.exit
    for name, config in zip(names, configs, strict=True):
        registered = replace(config, exit=exit, prompts=prompts)
        note = write_note(address, registered, source)
        described = form != "float" or not provider.has_own_address
        _add_field(schema, name, registered, note if described else None)
        if form not in CLIENT_SIDE_FORMS:
            _add_function(schema, source, name, provider.write_params(address, registered, key))


def _check_configs(
    config: EmbeddingConfig, dims: Sequence[int], info: EncoderInfo
) -> tuple[EmbeddingConfig, ...]:
    """The config of each field; of a sparse encoder with all its words if none is chosen.

    Raises SpecError, ExitNotOffered, ExpertNotOffered, PromptNotOffered, DimNotOffered if the encoder does
    not offer them.
    """
    default = config.dim or (info.dim if config.form == "sparse" else None)
    configs = tuple(replace(config, dim=dim) for dim in dims or (() if default is None else (default,)))
    for attribute, check in CHECKS.items():
        if attribute == "dim" and not configs:
            raise SpecError("no dims were chosen", next_step=f"Available: {', '.join(map(str, info.dims))}.")
        for field_config in configs or (config,):
            check(field_config, info)
    return configs


def add_lexical(schema: CollectionSchema, source: str, name: str) -> None:
    """Add a sparse field that Milvus fills from the words of ``source``, a VARCHAR field with an analyzer.

    Raises SpecError if there is no such source, or a field of this name already.
    """
    _check_source(schema, source)
    _check_names(schema, [name], 1)
    schema.add_field(name, DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name=f"{name}_function",
            function_type=FunctionType.BM25,
            input_field_names=[source],
            output_field_names=[name],
        )
    )


def _add_field(schema: CollectionSchema, name: str, config: EmbeddingConfig, note: str | None) -> None:
    """Add a vector field, described by the note if there is one."""
    options: dict[str, str | int | None] = {} if config.form == "sparse" else {"dim": config.dim}
    if note is not None:
        options["description"] = note
    schema.add_field(name, DataType[VECTOR_TYPES[config.form]], **options)


def _add_function(schema: CollectionSchema, source: str, name: str, params: FunctionParams) -> None:
    schema.add_function(
        Function(
            name=f"{name}_embedding",
            function_type=FunctionType.TEXTEMBEDDING,
            input_field_names=[source],
            output_field_names=[name],
            params=params,
        )
    )


def _warn(provider: Provider, config: EmbeddingConfig, info: EncoderInfo, address: str) -> None:
    """Log what the fields depend on that the schema cannot hold."""
    roles_have_prompts = any(info.prompts.get(role) for role in ROLES)
    if (
        not provider.sends_prompts
        and config.form != "sparse"
        and config.prompt is None
        and roles_have_prompts
    ):
        logger.warning(
            "Milvus Lite does not distinguish queries from documents: the prompts of %s are not used%s; name "
            "one for both (prompt) to use it",
            config.encoder,
            f", only the default one, {info.default_prompt}" if info.default_prompt else "",
        )
    if QUERY_EXPERT in info.experts and config.expert is None and not provider.tells_roles(info.prompts):
        logger.warning(
            "%s embeds queries by weights of their own, and Milvus does not say which texts are queries: a "
            "text that it searches for is embedded as a document; search by vectors that the service gives "
            "for prompt_name query",
            config.encoder,
        )
    if not provider.has_own_address:
        logger.warning(
            "Milvus has one address for its cohere provider: in milvus.yaml, "
            "function.textEmbedding.providers.cohere.url must be %s/v2/embed, and cohere.credential must "
            "name a key, with any value if the service has none",
            address,
        )
    if config.form in CLIENT_SIDE_FORMS:
        logger.warning(
            "Milvus does not fill %s vectors: write the rows with nestvec ingest or SQL, which call %s",
            config.form,
            address,
        )


def _check_source(schema: CollectionSchema, source: str) -> None:
    fields = {field.name: field for field in schema.fields}
    if source not in fields:
        raise SpecError(
            "the schema has no field of this name to embed",
            value=source,
            next_step=f"Add it first: schema.add_field({source!r}, DataType.VARCHAR, max_length=8192)."
            f"{nearest(source, fields)}",
        )
    if fields[source].dtype != DataType.VARCHAR:
        raise SpecError(
            f"Milvus embeds VARCHAR fields only, and {source} is not one",
            value=DataType(fields[source].dtype).name,
            next_step="Choose a VARCHAR field.",
        )
    if fields[source].nullable:
        raise SpecError(
            "Milvus does not embed a field that may be null",
            value=source,
            next_step="Make the field not nullable.",
        )


def _check_names(schema: CollectionSchema, names: Sequence[str], fields: int) -> None:
    if len(names) != fields:
        raise SpecError(
            "a name is for one vector field, but there is a field per dim",
            value=names[0],
            next_step="Call add_embedding once for each dim, or omit the name.",
        )
    existing = [field.name for field in schema.fields]
    for position, name in enumerate(names):
        if name in existing or name in names[:position]:
            raise SpecError(
                "the schema already has a field of this name",
                value=name,
                next_step="Give each dim once, or rename the other field.",
            )


def _detect_provider(client: MilvusClient | None) -> ProviderName:
    connections: list[HasServerVersion] = [client] if client is not None else open_connections()
    kinds = {is_lite(connection) for connection in connections}
    if len(kinds) != 1:
        raise StoreUnknown(
            "it is unknown whether the schema is for Milvus Lite or for a Milvus server",
            value="both are open" if kinds else "no connection is open",
            next_step="Pass client=, or options=EmbeddingOptions(provider='openai') for Milvus Lite and "
            "'tei' for Milvus.",
        )
    return default_provider(lite=kinds.pop())
