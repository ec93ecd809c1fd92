"""Nested embedding fields in pymilvus's own idiom."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient

from nestvec.client.offers import check_dim, check_exit, check_expert, check_kind, check_top
from nestvec.client.service_client import EncoderInfo, ask_info
from nestvec.milvus.connection import Versioned, is_lite, open_connections
from nestvec.milvus.providers import (
    CHUNK,
    Call,
    Provider,
    ServiceKey,
    base_url,
    environment_key,
    write_note,
    write_params,
)
from nestvec_schemas.binary_codes import check_bits
from nestvec_schemas.errors import (
    SpecError,
    StoreRefused,
    StoreUnknown,
    nearest,
)
from nestvec_schemas.spec.collection_spec import (
    FILLED_HERE,
    VECTOR_TYPES,
    Form,
    column_name,
    sparse_name,
)

__all__ = ["EmbeddingOptions", "ServiceKey", "add_embedding"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingOptions:
    """What is seldom said of an embedding.

    ``exit`` is the layer that the encoder stops after, None for the deepest; it is named in the fields
    (``{source}_{dim}_exit{exit}``). So is the ``expert`` whose weights are used, None for the encoder's own
    (``{source}_{dim}_{expert}``), and a ``form`` other than float. ``int8`` gives INT8_VECTOR fields, which
    Milvus from 2.6 fills through its ``cohere`` provider, whose address is in milvus.yaml; ``binary`` gives
    BINARY_VECTOR fields, which ``nestvec ingest`` fills. Milvus Lite has neither. ``sparse`` is for a sparse
    encoder, without dims: a SPARSE_FLOAT_VECTOR field ``{source}_sparse``, which ``nestvec ingest`` fills
    too; of each text ``top`` keeps so many of the largest weights (``{source}_sparse_top{top}``), None all.
    ``name`` is the field's, in place of these, where there is one dim. ``provider`` is Milvus's word for who
    it calls, for a Milvus that nobody is connected to. ``key`` is for a service that has API keys; without
    it, the environment's NESTVEC_API_KEY and NESTVEC_CREDENTIAL count.
    """

    exit: int | None = None
    expert: str | None = None
    form: Form = "float"
    top: int | None = None
    name: str | None = None
    provider: Provider | None = None
    key: ServiceKey | None = None


def add_embedding(
    schema: CollectionSchema,
    source: str,
    *,
    encoder: str,
    dims: Sequence[int] = (),
    service: str,
    client: MilvusClient | None = None,
    options: EmbeddingOptions = EmbeddingOptions(),
) -> None:
    """Add a vector field ``{source}_{dim}`` per dim to ``schema``, filled by Milvus from ``source``.

    ``service`` is the base URL, as Milvus reaches it, of a running nestvec service. The kind of function
    is ``openai`` for Milvus Lite and ``tei`` for Milvus from 2.6; it is read off ``client``, else off the
    connections that are open in this process. Milvus Lite keeps no field's description: create a collection
    with sparse fields with ``properties=field_notes(schema)``, or nobody will know there what fills them.
    Raises SpecError (source field, key, form), DimNotOffered, ExitNotOffered, ExpertNotOffered,
    EncoderNotFound, ServiceUnreachable, ServiceRefused, StoreRefused, StoreUnknown. Nothing is added to
    ``schema`` then.
    """
    _check_source(schema, source)
    address, form = base_url(service), options.form
    key = options.key or environment_key()
    info = ask_info(address, key.api_key if key else None).encoder(encoder, address)
    sizes = _sizes(dims, encoder, options, info)
    names = [options.name] if options.name else [_column(source, dim, options) for dim in sizes]
    _check_names(schema, names, sizes)
    kind = _kind(options.provider or _provider(client), form)
    if form == "binary":
        for dim in dims:
            check_bits(dim)
    if kind != "openai" and form not in FILLED_HERE and key is not None and not key.credential:
        raise SpecError(
            "Milvus reads the service's API key from its own configuration, and the entry's name is missing",
            next_step="Put the key under credential in milvus.yaml and name it: "
            "options=EmbeddingOptions(key=ServiceKey(api_key, credential=NAME)), or NESTVEC_CREDENTIAL.",
        )
    _tell(kind, form, encoder, info, address)
    # The deepest exit is no exit: fields that differ in this word alone are of one family.
    stops = None if info.layers and options.exit == info.layers[0] else options.exit
    prompts = (info.prompts.get("document", ""), info.prompts.get("query", ""))
    for column, dim in zip(names, sizes, strict=True):
        call = Call(address, encoder, dim, *prompts, CHUNK, key, stops, options.expert, options.top)
        _add(schema, source, column, call, kind, form)


def _sizes(
    dims: Sequence[int], encoder: str, options: EmbeddingOptions, info: EncoderInfo
) -> tuple[int, ...]:
    """The dims of the fields, that of a sparse encoder where none is given; all that is asked is offered."""
    check_kind(options.form, encoder, info)
    check_exit(options.exit, encoder, info)
    check_expert(options.expert, encoder, info)
    check_top(options.top, options.form)
    sizes = tuple(dims) or ((info.dim,) if options.form == "sparse" else ())
    if not sizes:
        raise SpecError("no dims were given", next_step=f"Give some of {', '.join(map(str, info.dims))}.")
    for dim in sizes:
        check_dim(dim, encoder, info)
    return sizes


def _column(source: str, dim: int, options: EmbeddingOptions) -> str:
    if options.form == "sparse":
        return sparse_name(source, options.top)
    return column_name(source, dim, options.exit, options.form, options.expert)


def add_lexical(schema: CollectionSchema, source: str, name: str) -> None:
    """Add a sparse field that Milvus fills from the words of ``source``, a VARCHAR field with an analyzer.

    Raises SpecError where there is no such source, or a field of this name already.
    """
    _check_source(schema, source)
    _check_names(schema, [name], [0])
    schema.add_field(name, DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name=f"{name}_function",
            function_type=FunctionType.BM25,
            input_field_names=[source],
            output_field_names=[name],
        )
    )


def _add(schema: CollectionSchema, source: str, name: str, call: Call, kind: Provider, form: Form) -> None:
    """A vector field, what its description says, and its function where Milvus fills it."""
    told = form != "float" or kind == "cohere"
    noted = {"description": write_note(call, source)} if told else {}
    size = {} if form == "sparse" else {"dim": call.dim}
    schema.add_field(name, DataType[VECTOR_TYPES[form]], **size, **noted)
    if form not in FILLED_HERE:
        schema.add_function(
            Function(
                name=f"{name}_embedding",
                function_type=FunctionType.TEXTEMBEDDING,
                input_field_names=[source],
                output_field_names=[name],
                params=write_params(kind, call),
            )
        )


def _kind(kind: Provider, form: Form) -> Provider:
    """The provider that fills this form of field. Raises SpecError, StoreRefused where none can."""
    if form not in VECTOR_TYPES:
        raise SpecError(
            "there is no such form of vectors",
            value=form,
            next_step=f"Choose {', '.join(VECTOR_TYPES)}.{nearest(str(form), VECTOR_TYPES)}",
        )
    if form in ("float", "sparse"):
        return kind
    if kind == "openai":
        raise StoreRefused(
            f"Milvus Lite has no {VECTOR_TYPES[form]} fields",
            value=f"form {form}",
            next_step="Leave form away and choose fewer dims, or use a Milvus server from 2.6.",
        )
    return "cohere" if form == "int8" else kind


def _tell(kind: Provider, form: Form, encoder: str, info: EncoderInfo, address: str) -> None:
    """What the fields depend on that the schema cannot hold."""
    if kind == "openai" and form != "sparse" and any(info.prompts.values()):
        logger.warning(
            "Milvus Lite sends queries and documents alike: the prompts of %s are not used", encoder
        )
    if kind == "cohere":
        logger.warning(
            "Milvus has one address for its cohere provider: in milvus.yaml, "
            "function.textEmbedding.providers.cohere.url must be %s/v2/embed, and cohere.credential must "
            "name a key, of any value where the service has none",
            address,
        )
    if form in FILLED_HERE:
        logger.warning(
            "Milvus does not fill %s vectors: write the rows with nestvec ingest, which asks %s",
            form,
            address,
        )


def _check_source(schema: CollectionSchema, source: str) -> None:
    fields = {one.name: one for one in schema.fields}
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


def _check_names(schema: CollectionSchema, names: Sequence[str], dims: Sequence[int]) -> None:
    if len(names) != len(dims):
        raise SpecError(
            "one name is for one vector field, and there is a field per dim",
            value=names[0],
            next_step="Call add_embedding for each dim, or leave the name away.",
        )
    taken = [one.name for one in schema.fields]
    for position, name in enumerate(names):
        if name in taken or name in names[:position]:
            raise SpecError(
                "the schema has a field of this name already",
                value=name,
                next_step="Give each dim once, or rename the other field.",
            )


def _provider(client: MilvusClient | None) -> Provider:
    connections: list[Versioned] = [client] if client is not None else open_connections()
    kinds = {is_lite(one) for one in connections}
    if len(kinds) != 1:
        raise StoreUnknown(
            "it cannot be told whether the schema is for Milvus Lite or for a Milvus server",
            value="both are open" if kinds else "no connection is open",
            next_step="Pass client=, or options=EmbeddingOptions(provider='openai') for Milvus Lite and "
            "'tei' for Milvus.",
        )
    return "openai" if kinds.pop() else "tei"
