"""The rules of a spec's vector fields: services, forms, dims, indexes, names and number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from nestvec_schemas.spec.problem import FIELD_NAME, NAME_RULE, RESERVED_NAMES, Problem

if TYPE_CHECKING:
    from nestvec_schemas.spec.collection_spec import CollectionSpec, EmbeddingSpec


def _check_services(spec: CollectionSpec) -> Iterator[Problem]:
    for index, embedding in enumerate(spec.embeddings):
        if not _is_url(spec.service_of(embedding)):
            yield Problem(
                f"embeddings[{index}].service" if embedding.service else "service",
                "is not the address of a service",
                spec.service_of(embedding) or "none",
                "Write service: http://HOST:PORT, for example http://127.0.0.1:8080.",
            )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


_BINARY_INDEXES = ("BIN_FLAT", "BIN_IVF_FLAT")
_SPARSE_INDEXES = ("SPARSE_INVERTED_INDEX",)

_FORM_INDEXES_AND_METRICS = {
    # int8 loses a vector's scale, on which all metrics but the cosine depend.
    "int8": (("AUTOINDEX", "HNSW"), ("COSINE",)),
    "binary": (_BINARY_INDEXES, ("HAMMING",)),
    "sparse": (("SPARSE_INVERTED_INDEX", "AUTOINDEX"), ("IP",)),
}
"""The indexes and metrics of Milvus for each form but float."""


def _check_forms(spec: CollectionSpec) -> Iterator[Problem]:
    for number, embedding in enumerate(spec.embeddings):
        where = f"embeddings[{number}]"
        yield from _check_dims(where, embedding)
        if embedding.form == "float":
            if embedding.index in _SPARSE_INDEXES:
                yield Problem(
                    f"{where}.index", "is for sparse vectors only", embedding.index, "Write form: sparse."
                )
            if embedding.index in _BINARY_INDEXES or embedding.metric == "HAMMING":
                value = embedding.index if embedding.index in _BINARY_INDEXES else embedding.metric
                yield Problem(where, "has an option for binary vectors only", value, "Write form: binary.")
            continue
        indexes, metrics = _FORM_INDEXES_AND_METRICS[embedding.form]
        for key, value, allowed in (
            ("index", embedding.index, indexes),
            ("metric", embedding.metric, metrics),
        ):
            if value not in allowed:
                yield Problem(
                    f"{where}.{key}",
                    f"is not allowed with form: {embedding.form}",
                    value,
                    f"Omit it, or write {' or '.join(allowed)}.",
                )
        for dim in embedding.dims if embedding.form == "binary" else ():
            if dim % 8:
                yield Problem(f"{where}.dims", "do not fill whole bytes", dim, "Choose multiples of 8.")


def _check_dims(where: str, embedding: EmbeddingSpec) -> Iterator[Problem]:
    if embedding.form != "sparse":
        if not embedding.dims:
            yield Problem(f"{where}.dims", "are missing", "none", "Write at least one: dims: [64].")
        if embedding.top is not None:
            step = "Remove it: dims say how many numbers are kept."
            yield Problem(where, "has top, which is only for form: sparse", embedding.top, step)
        return
    if embedding.dims:
        listed = ", ".join(map(str, embedding.dims))
        yield Problem(
            f"{where}.dims",
            "are not allowed with form: sparse: they are the vocabulary",
            listed,
            "Remove them.",
        )
    if embedding.exit is not None:
        yield Problem(f"{where}.exit", "is not allowed with form: sparse", embedding.exit, "Remove it.")


_PLAIN_KINDS = {
    "BINARY_VECTOR": ((*_BINARY_INDEXES, "AUTOINDEX"), ("HAMMING", "JACCARD")),
    "SPARSE_FLOAT_VECTOR": ((*_SPARSE_INDEXES, "AUTOINDEX"), ("IP",)),
}
"""The indexes and metrics of Milvus for each type of vector but those of floats."""


def _check_plain_vectors(spec: CollectionSpec) -> Iterator[Problem]:
    for number, vector in enumerate(spec.vectors):
        where = f"vectors[{number}]"
        sparse = vector.type == "SPARSE_FLOAT_VECTOR"
        if (vector.dim is None) != sparse:
            step = "Remove it." if sparse else "Write dim: 384."
            yield Problem(
                f"{where}.dim", "is only for dense vectors" if sparse else "is missing", "dim", step
            )
        if vector.type == "BINARY_VECTOR" and (vector.dim or 0) % 8:
            yield Problem(f"{where}.dim", "does not fill whole bytes", vector.dim, "Choose a multiple of 8.")
        kind = _PLAIN_KINDS.get(vector.type)
        if kind is not None:
            indexes, metrics = kind
            for key, value, allowed in (
                ("index", vector.index, indexes),
                ("metric", vector.metric, metrics),
            ):
                if value not in allowed:
                    step = f"Omit it, or write {' or '.join(allowed)}."
                    yield Problem(f"{where}.{key}", f"is not for {vector.type}", value, step)
            continue
        if vector.index in _SPARSE_INDEXES:
            yield Problem(where, "has an option for sparse vectors only", vector.index, "Remove it.")
        if vector.index in _BINARY_INDEXES or vector.metric in ("HAMMING", "JACCARD"):
            value = vector.index if vector.index in _BINARY_INDEXES else vector.metric
            yield Problem(where, "has an option for binary vectors only", value, "Remove it.")


def _check_embedding_names(spec: CollectionSpec) -> Iterator[Problem]:
    for number, embedding in enumerate(spec.embeddings):
        if embedding.name is not None and len(embedding.dims) > 1:
            yield Problem(
                f"embeddings[{number}].name",
                "is for one vector field, and this embedding has a field per dim",
                embedding.name,
                "Write an embedding for each dim, or omit the name.",
            )


def _declared_vector_fields(spec: CollectionSpec) -> Iterator[tuple[str, str, str]]:
    """Where each vector field is declared, its name, and how to change it."""
    for number, embedding in enumerate(spec.embeddings):
        for config in embedding.configs:
            advice = "Choose another name."
            if embedding.name is None:
                advice = f"Keep one {config.dim} for {embedding.field}."
            where = f"embeddings[{number}].{'dims' if embedding.name is None else 'name'}"
            if embedding.form == "sparse":
                where, advice = f"embeddings[{number}]", "Give one of them another name."
            yield where, embedding.column(config), advice
    for number, lexical in enumerate(spec.lexical):
        yield f"lexical[{number}]", lexical.column, "Choose another name."
    for number, vector in enumerate(spec.vectors):
        yield f"vectors[{number}].name", vector.name, "Choose another name."


def _check_vector_fields(spec: CollectionSpec) -> Iterator[Problem]:
    names: set[str] = set()
    for where, name, advice in _declared_vector_fields(spec):
        if name in spec.fields:
            yield Problem(where, "give a vector field the name of a scalar field", name, "Rename the field.")
        if name in names:
            yield Problem(where, "give the same vector field twice", name, advice)
        if not FIELD_NAME.fullmatch(name) or name.lower() in RESERVED_NAMES:
            yield Problem(
                where,
                "give a vector field a name that Milvus does not accept",
                name,
                f"Rename it. {NAME_RULE}",
            )
        names.add(name)
    if not names:
        yield Problem(
            "the spec",
            "has no vector field, and Milvus requires one",
            "none",
            "Add embeddings: - {field: FIELD, encoder: NAME, dims: [64]}.",
        )
    if spec.max_vector_fields is not None and len(names) > spec.max_vector_fields:
        yield too_many_vector_fields(len(names), spec.max_vector_fields)


def too_many_vector_fields(number: int, limit: int) -> Problem:
    """The problem of a spec with more vector fields than the server takes."""
    return Problem(
        "embeddings",
        f"give more than {limit} vector fields, Milvus's limit",
        f"{number} vector fields",
        "Keep fewer dims (a shorter one is a prefix of a longer one), or raise proxy.maxVectorFieldNum "
        "in milvus.yaml (at most 10) and write max_vector_fields: with that number in the spec.",
    )


def limit_problems(
    spec: CollectionSpec, *, vector_fields: int | None, fields: int | None
) -> Iterator[Problem]:
    """Where a spec exceeds the limits of a server; None for a limit that is not known.

    The spec's own ``max_vector_fields`` precedes the server's default.
    """
    number = len(list(_declared_vector_fields(spec)))
    if spec.max_vector_fields is None and vector_fields is not None and number > vector_fields:
        yield too_many_vector_fields(number, vector_fields)
    # A nullable vector takes a second field, which says where it is null.
    total = number + len(spec.fields) + sum(vector.nullable for vector in spec.vectors)
    if fields is not None and total > fields:
        yield Problem(
            "fields",
            f"are more than {fields} with the vector fields, Milvus's limit",
            total,
            "Keep fewer, or move some into a JSON field.",
        )


def _check_providers(spec: CollectionSpec) -> Iterator[Problem]:
    for number, embedding in enumerate(spec.embeddings):
        if embedding.provider is not None and embedding.form != "int8":
            yield Problem(
                f"embeddings[{number}].provider",
                "is only for form: int8",
                embedding.provider,
                "Remove it: Milvus has one provider for the other forms.",
            )


VECTOR_CHECKS: Final[tuple[Callable[[CollectionSpec], Iterator[Problem]], ...]] = (
    _check_services,
    _check_forms,
    _check_plain_vectors,
    _check_providers,
    _check_embedding_names,
    _check_vector_fields,
)
