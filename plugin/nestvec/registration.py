"""Nested embedding fields in pymilvus's own idiom."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient
from pymilvus.milvus_client import IndexParams

from nestvec.milvus import Versioned, is_lite, open_connections
from nestvec.providers import (
    CHUNK,
    Call,
    Provider,
    ServiceKey,
    base_url,
    environment_key,
    note_property,
    read_note,
    write_note,
    write_params,
)
from nestvec.service.client import EncoderInfo, ask_info
from nestvec_schemas.compressed import check_bits
from nestvec_schemas.errors import (
    DimNotOffered,
    ExitNotOffered,
    ExpertNotOffered,
    SpecError,
    StoreRefused,
    StoreUnknown,
    nearest,
)
from nestvec_schemas.spec import (
    FILLED_HERE,
    VECTOR_TYPES,
    Form,
    column_name,
    default_index,
    default_metric,
)
from nestvec_schemas.towers import Kind

__all__ = ["Index", "ServiceKey", "add_embedding", "field_notes", "index_params"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Index:
    """How one vector field is indexed: Milvus's index type, metric and build params."""

    type: str = "AUTOINDEX"
    metric: str = "COSINE"
    params: Mapping[str, Any] = field(default_factory=dict)


def add_embedding(
    schema: CollectionSchema,
    source: str,
    *,
    encoder: str,
    dims: Sequence[int] = (),
    service: str,
    client: MilvusClient | None = None,
    provider: Provider | None = None,
    key: ServiceKey | None = None,
    exit: int | None = None,
    expert: str | None = None,
    form: Form = "float",
    name: str | None = None,
) -> None:
    """Add a vector field ``{source}_{dim}`` per dim to ``schema``, filled by Milvus from ``source``.

    ``service`` is the base URL, as Milvus reaches it, of a running nestvec service. The kind of function
    is ``openai`` for Milvus Lite and ``tei`` for Milvus from 2.6; it is read off ``client``, else off the
    connections that are open in this process; ``provider`` overrides. ``key`` is for a service that has
    API keys; without it, the environment's NESTVEC_API_KEY and NESTVEC_CREDENTIAL count.
    ``name`` is the field's, in place of that, where there is one dim.
    ``exit`` is the layer that the encoder stops after, None for the deepest; it is named in the fields
    (``{source}_{dim}_exit{exit}``). So is the ``expert`` whose weights are used, None for the encoder's own
    (``{source}_{dim}_{expert}``), and a ``form`` other than float. ``int8`` gives INT8_VECTOR
    fields, which Milvus from 2.6 fills through its ``cohere`` provider, whose address is in milvus.yaml;
    ``binary`` gives BINARY_VECTOR fields, which ``nestvec ingest`` fills. Milvus Lite has neither.
    ``sparse`` is for a sparse encoder, without ``dims``: a SPARSE_FLOAT_VECTOR field ``{source}_sparse``,
    which ``nestvec ingest`` fills too. Milvus Lite keeps no field's description: create the collection with
    ``properties=field_notes(schema)``, or nobody will know there what fills it.
    Raises SpecError (source field, key, form), DimNotOffered, ExitNotOffered, ExpertNotOffered,
    EncoderNotFound, ServiceUnreachable, ServiceRefused, StoreRefused, StoreUnknown. Nothing is added to
    ``schema`` then.
    """
    _check_source(schema, source)
    address = base_url(service)
    known = key or environment_key()
    info = ask_info(address, known.api_key if known else None).encoder(encoder, address)
    check_kind(form, encoder, info)
    check_exit(exit, encoder, info)
    check_expert(expert, encoder, info)
    sizes = dims or ((info.dim,) if form == "sparse" else ())
    if not sizes:
        raise SpecError("no dims were given", next_step=f"Give some of {', '.join(map(str, info.dims))}.")
    for dim in sizes:
        check_dim(dim, encoder, info)
    names = [name] if name else [column_name(source, dim, exit, form, expert) for dim in sizes]
    _check_names(schema, names, sizes)
    kind = _kind(provider or _provider(client), form)
    if form == "binary":
        for dim in dims:
            check_bits(dim)
    if kind != "openai" and form not in FILLED_HERE and known is not None and not known.credential:
        raise SpecError(
            "Milvus reads the service's API key from its own configuration, and the entry's name is missing",
            next_step="Put the key under credential in milvus.yaml and name it: "
            "key=ServiceKey(api_key, credential=NAME), or NESTVEC_CREDENTIAL.",
        )
    _tell(kind, form, encoder, info, address)
    # The deepest exit is no exit: fields that differ in this word alone are of one family.
    stops = None if info.layers and exit == info.layers[0] else exit
    prompts = (info.prompts.get("document", ""), info.prompts.get("query", ""))
    for column, dim in zip(names, sizes, strict=True):
        call = Call(address, encoder, dim, *prompts, CHUNK, known, stops, expert)
        _add(schema, source, column, call, kind, form)


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


def index_params(schema: CollectionSchema, indexes: Mapping[str, Index] | None = None) -> IndexParams:
    """An index for every vector field that add_embedding added; ``indexes`` overrides by name.

    Raises SpecError when ``indexes`` names a field that is not one of them.
    """
    chosen = indexes or {}
    forms = dict(_filled(schema))
    for name in chosen:
        if name not in forms:
            raise SpecError(
                "there is no embedding field of this name to index",
                value=name,
                next_step=f"There: {', '.join(forms) or 'none'}.{nearest(name, forms)}",
            )
    params = IndexParams()
    for name, form in forms.items():
        index = chosen.get(name, Index(default_index(form), default_metric(form)))
        params.add_index(
            name, index_type=index.type, index_name=name, metric_type=index.metric, params=dict(index.params)
        )
    return params


def _filled(schema: CollectionSchema) -> Iterator[tuple[str, Form]]:
    """The vector fields that functions fill from encoders, and those that ingest does."""
    outputs = {
        name
        for function in schema.functions
        if function.type == FunctionType.TEXTEMBEDDING
        for name in function.output_field_names
    }
    here = {DataType[VECTOR_TYPES[form]]: form for form in FILLED_HERE}
    for one in schema.fields:
        if one.name in outputs:
            yield one.name, "float"
        elif one.dtype in here and read_note(one.description or "", "nestvec"):
            yield one.name, here[one.dtype]


def field_notes(schema: CollectionSchema) -> dict[str, str]:
    """The properties of a collection of this schema that say what fills its sparse fields."""
    return {
        note_property(one.name): one.description
        for one in schema.fields
        if one.dtype == DataType.SPARSE_FLOAT_VECTOR and read_note(one.description or "", "nestvec")
    }


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


_ELSEWHERE: Final[Mapping[Kind, str]] = {
    "reranker": " This one ranks what a search finds: RERANK BY in SQL.",
    "multivector": " This one ranks what a search finds: RERANK BY in SQL.",
    "dense": " This one fills fields with dims.",
}
"""What an encoder is for whose vectors have another form."""


def check_kind(form: Form, encoder: str, info: EncoderInfo) -> None:
    """Raise SpecError where an encoder of this kind has no vectors of this form."""
    if info.kind == "sparse" and form != "sparse":
        raise SpecError(
            f"{encoder} is a sparse encoder, and has no vectors of the form {form}",
            value=encoder,
            next_step="Write form: sparse without dims; in SQL, SPARSEVEC.",
        )
    if info.kind != ("sparse" if form == "sparse" else "dense"):
        raise SpecError(
            f"{encoder} is a {info.kind} encoder, and has no vectors of the form {form}",
            value=encoder,
            next_step=f"Name a {'sparse' if form == 'sparse' else 'dense'} encoder."
            + _ELSEWHERE.get(info.kind, ""),
        )


def check_exit(exit: int | None, encoder: str, info: EncoderInfo) -> None:
    """Raise ExitNotOffered where an encoder does not stop after this layer."""
    if exit is None or (type(exit) is int and exit in info.layers):
        return
    raise ExitNotOffered(
        f"{encoder} has no exit after this layer",
        value=exit,
        next_step=f"It has {', '.join(map(str, info.layers)) or 'one'}; export it with --exits for others.",
    )


def check_expert(expert: str | None, encoder: str, info: EncoderInfo) -> None:
    """Raise ExpertNotOffered where an encoder has no weights of this name."""
    if expert is None or expert in info.experts:
        return
    there = f"It has {', '.join(info.experts)}" if info.experts else "It has none"
    raise ExpertNotOffered(
        f"{encoder} has no expert of this name",
        value=expert,
        next_step=f"{there}; export it with --expert NAME=CHECKPOINT for others."
        f"{nearest(expert, info.experts)}",
    )


def check_dim(dim: int, encoder: str, info: EncoderInfo) -> None:
    """Raise DimNotOffered where an encoder has no vectors of this many dims."""
    if isinstance(dim, bool) or not isinstance(dim, int) or dim not in info.dims:
        raise DimNotOffered(
            f"{encoder} does not offer vectors of this many dims",
            value=dim,
            next_step=f"It offers {', '.join(map(str, info.dims))}; export it with --dims to offer others.",
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
            next_step="Pass client=, or provider='openai' for Milvus Lite and provider='tei' for Milvus.",
        )
    return "openai" if kinds.pop() else "tei"
