"""Nested embedding fields in pymilvus's own idiom."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient

from nestvec.client.service_client import EncoderInfo, fetch_info
from nestvec.client.service_key import ServiceKey, base_url, environment_key
from nestvec.milvus.calls import MilvusCalls, check_credential, choose_chunk
from nestvec.milvus.connection import HasServerVersion, open_connections
from nestvec.milvus.providers import (
    FunctionParams,
    Provider,
    ProviderName,
    choose_provider,
    default_provider,
    read_note,
    read_params,
    write_note,
)
from nestvec.milvus.schema_checks import check_names, check_source, check_source_is_kept
from nestvec.milvus.server_version import UNKNOWN_VERSION, ServerVersion, read_version
from nestvec_schemas.binary_codes import check_binary_dim
from nestvec_schemas.capabilities import CHECKS
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS, VECTOR_TYPES, EmbeddingConfig
from nestvec_schemas.errors import PromptNotOffered, SpecError, StoreUnknown
from nestvec_schemas.prompt_roles import ROLES, role_of
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

    chunk: int | None = None
    """Texts in each request of Milvus to the service, and of these five in an insert; None for as many as
    the encoder surely embeds in time at its measured speed, 32 to 1,024."""


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
    2.6 fills ``int8`` fields (INT8_VECTOR) through its ``cohere`` provider, whose address is in milvus.yaml,
    or from 2.6.10 through ``voyageai``;
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
    check_source(schema, source)
    target = _find_service(service, chosen.encoder, options)
    configs = _check_configs(chosen, dims, target.info)
    names = [options.name] if options.name else [column_name(source, config) for config in configs]
    check_names(schema, names, len(configs))
    version = _detect_version(client, options.provider)
    provider = choose_provider(options.provider or default_provider(lite=version.lite), chosen.form)
    check_source_is_kept(schema, source, version)
    _check_provider(provider, version, configs, target.key)
    # The deepest exit counts as no exit: fields that differ only in it are of one family.
    exit = None if target.info.layers and chosen.exit == target.info.layers[0] else chosen.exit
    passes = _passes(schema) | {_pass_of(target.address, source, replace(chosen, exit=exit))}
    chunk = choose_chunk(target.info, len(passes), chosen=options.chunk, limit=target.max_texts)
    calls = MilvusCalls(version, chunk, target.key)
    _warn(provider, chosen, target)
    prompts = chosen.texts_of(target.info.prompts, target.info.default_prompt)
    for name, config in zip(names, configs, strict=True):
        registered = replace(config, exit=exit, prompts=prompts, fingerprint=target.info.fingerprint)
        note = write_note(target.address, registered, source)
        described = chosen.form != "float" or not provider.has_own_address
        _add_field(schema, name, registered, note if described else None)
        if chosen.form not in CLIENT_SIDE_FORMS:
            params = provider.write_params(target.address, registered, calls)
            _add_function(schema, source, name, params)


@dataclass(frozen=True)
class _Target:
    """The encoder that fills the fields."""

    address: str
    """Base URL of its service."""

    key: ServiceKey | None
    info: EncoderInfo
    max_texts: int
    """Texts that the service takes in one request."""


def _find_service(service: str, encoder: str, options: EmbeddingOptions) -> _Target:
    """Raises ServiceError, EncoderNotFound."""
    address, key = base_url(service), options.key or environment_key()
    described = fetch_info(address, key.api_key if key else None)
    return _Target(address, key, described.encoder(encoder, address), described.max_client_batch_size)


def _check_provider(
    provider: Provider, version: ServerVersion, configs: Sequence[EmbeddingConfig], key: ServiceKey | None
) -> None:
    """Raise StoreRefused, SpecError or DimNotOffered for what this Milvus cannot do."""
    provider.check_release(version)
    config = configs[0]
    if config.form == "binary":
        for field_config in configs:
            check_binary_dim(field_config.dim or 0)
    if provider.needs_credential and config.form not in CLIENT_SIDE_FORMS:
        check_credential(key)
    provider.check_prompts(config)


_Pass = tuple[str, str, EmbeddingConfig]
"""What fields have in common whose vectors come from one pass through an encoder: the service, the source and
how it is embedded."""


def _pass_of(service: str, source: str, config: EmbeddingConfig) -> _Pass:
    return service, source, replace(config, dim=None, form="float", top=None, query_prompt=None)


def _passes(schema: CollectionSchema) -> set[_Pass]:
    """The passes of the fields that Milvus fills."""
    descriptions = {field.name: field.description or "" for field in schema.fields}
    passes = set()
    for function in schema.functions:
        note = read_note(descriptions.get(function.output_field_names[0], ""), "nestvec")
        endpoint = read_params(function.params) or (note[1] if note is not None else None)
        if endpoint is not None:
            passes.add(_pass_of(endpoint.service, function.input_field_names[0], endpoint.config))
    return passes


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
    _check_sides(config, info)
    return configs


def _check_sides(config: EmbeddingConfig, info: EncoderInfo) -> None:
    """Raise PromptNotOffered for the prompt of queries before documents, if the encoder is a bridge that maps
    queries apart: it would take the documents for queries."""
    if config.prompt is None or info.bridge is None or not info.bridge.unstated_quality:
        return
    text = info.prompts.get(config.prompt)
    if role_of(config.prompt) == "query" or (text and text == info.prompts.get("query")):
        raise PromptNotOffered(
            f"{config.encoder} maps queries in another way than documents, and would take documents behind "
            "this prompt for queries",
            value=config.prompt,
            next_step="Omit prompt, or name another one.",
        )


def add_lexical(schema: CollectionSchema, source: str, name: str) -> None:
    """Add a sparse field that Milvus fills from the words of ``source``, a text field with an analyzer.

    Raises SpecError if there is no such source, or a field of this name already.
    """
    check_source(schema, source)
    check_names(schema, [name], 1)
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


def _warn(provider: Provider, config: EmbeddingConfig, target: _Target) -> None:
    """Log what the fields depend on that the schema cannot hold."""
    info = target.info
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
            "Milvus has one address for its %s provider: in milvus.yaml, "
            "function.textEmbedding.providers.%s.url must be %s%s, and %s.credential must "
            "name a key, with any value if the service has none",
            provider.name,
            provider.name,
            target.address,
            provider.cluster_path,
            provider.name,
        )
    recommended, fixed = info.recommended_chunk, provider.fixed_chunk
    if fixed is not None and recommended is not None and recommended < fixed:
        logger.warning(
            "%s embeds %d texts of full length in the time of a request, and Milvus sends %d through its %s "
            "provider: an insert of long texts may take several tries",
            config.encoder,
            recommended,
            fixed,
            provider.name,
        )
    if config.form in CLIENT_SIDE_FORMS:
        logger.warning(
            "Milvus does not fill %s vectors: write the rows with nestvec ingest or SQL, which call %s",
            config.form,
            target.address,
        )


def _detect_version(client: MilvusClient | None, provider: ProviderName | None) -> ServerVersion:
    """The version of the server that the schema is for; with ``provider`` it may be unknown.

    Raises StoreUnknown if not even the kind of Milvus is known.
    """
    connections: list[HasServerVersion] = [client] if client is not None else open_connections()
    versions = {read_version(connection) for connection in connections}
    if provider is not None:
        fitting = {version for version in versions if version.lite == (provider == "openai")}
        return fitting.pop() if len(fitting) == 1 else ServerVersion(lite=provider == "openai")
    kinds = {version.lite for version in versions}
    if len(kinds) != 1:
        raise StoreUnknown(
            "it is unknown whether the schema is for Milvus Lite or for a Milvus server",
            value="both are open" if kinds else "no connection is open",
            next_step="Pass client=, or options=EmbeddingOptions(provider='openai') for Milvus Lite and "
            "'tei' for Milvus.",
        )
    return versions.pop() if len(versions) == 1 else replace(UNKNOWN_VERSION, lite=kinds.pop())
