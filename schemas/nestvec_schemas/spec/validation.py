"""The rules that a collection spec must keep beyond its types: Milvus's own, each a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nestvec_schemas.errors import SpecError, nearest
from nestvec_schemas.spec.compose import (
    FLATTEN_KEYWORD,
    Placeholder,
    Template,
    composition_order,
    read_template,
)

if TYPE_CHECKING:
    from nestvec_schemas.spec.collection_spec import CollectionSpec, EmbeddingSpec, FieldSpec

FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
MAX_FIELDS = 64
INTEGER_RANGES = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
MAX_FLOAT32 = 3.4028234663852886e38

_RESERVED_NAMES = {"_seq", "_partition", "rowid", "timestamp", "iso", "interval", "$meta"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    where: str
    """The place in the spec, such as ``embeddings[0].dims``."""

    cause: str
    """A clause whose subject is the place."""

    value: object
    next_step: str


def check_spec(spec: CollectionSpec, *, path: str) -> None:
    """Raise SpecError for the first rule that a spec breaks."""
    for problem in find_problems(spec):
        raise SpecError(
            f"{path}: {problem.where} {problem.cause}", value=problem.value, next_step=problem.next_step
        )


def find_problems(spec: CollectionSpec) -> Iterator[Problem]:
    """Every rule that a spec breaks."""
    for check in _CHECKS:
        yield from check(spec)


_NAME_RULE = "Use letters, digits and _, at most 255, the first a letter or _."


def _check_names(spec: CollectionSpec) -> Iterator[Problem]:
    if not FIELD_NAME.fullmatch(spec.collection):
        yield Problem("collection", "is not a name that Milvus takes", spec.collection, _NAME_RULE)
    for name in spec.fields:
        if not FIELD_NAME.fullmatch(name):
            yield Problem("fields", "has a name that Milvus does not take", name, _NAME_RULE)
        if name.lower() in _RESERVED_NAMES:
            yield Problem("fields", "has a name that Milvus keeps for itself", name, "Choose another.")


def _check_primary_key(spec: CollectionSpec) -> Iterator[Problem]:
    keys = [name for name, field in spec.fields.items() if field.primary]
    if len(keys) != 1:
        listed = ", ".join(keys) or "none"
        yield Problem(
            "fields",
            "must have exactly one primary key",
            listed,
            "Write primary: true on one INT64 or VARCHAR field.",
        )
    for name in keys:
        if spec.fields[name].type not in ("INT64", "VARCHAR"):
            yield Problem(
                f"fields.{name}",
                "cannot be the primary key",
                spec.fields[name].type,
                "Make it INT64 or VARCHAR.",
            )
    for name, field in spec.fields.items():
        if field.auto_id and not field.primary:
            yield Problem(
                f"fields.{name}.auto_id",
                "is for the primary key only",
                True,
                "Remove it, or add primary: true.",
            )
        for key in ("nullable", "partition_key"):
            if field.primary and getattr(field, key):
                yield Problem(f"fields.{name}.{key}", "cannot be true of the primary key", True, "Remove it.")


def _check_partition_key(spec: CollectionSpec) -> Iterator[Problem]:
    keys = [name for name, field in spec.fields.items() if field.partition_key]
    if len(keys) > 1:
        yield Problem("fields", "have more than one partition key", ", ".join(keys), "Keep one of them.")
    for name in keys:
        field = spec.fields[name]
        if field.type not in ("INT64", "VARCHAR") or field.nullable:
            description = f"{'nullable ' if field.nullable else ''}{field.type}"
            yield Problem(
                f"fields.{name}",
                "cannot be the partition key",
                description,
                "Make it INT64 or VARCHAR, not nullable.",
            )


def _check_type_keys(spec: CollectionSpec) -> Iterator[Problem]:
    for name, field in spec.fields.items():
        where = f"fields.{name}"
        requirements = {
            "max_length": "VARCHAR" in (field.type, field.element_type),
            "element_type": field.type == "ARRAY",
            "max_capacity": field.type == "ARRAY",
        }
        for key, required in requirements.items():
            value = getattr(field, key)
            if required and value is None:
                yield Problem(where, f"needs {key}", field.type, f"Add {key}: to it.")
            if value is not None and not required:
                yield Problem(f"{where}.{key}", "does not go with the field's type", field.type, "Remove it.")
        if field.element_type in ("JSON", "ARRAY"):
            yield Problem(
                f"{where}.element_type", "cannot be in an ARRAY", field.element_type, "Use a JSON field."
            )


def _check_defaults(spec: CollectionSpec) -> Iterator[Problem]:
    for name, field in spec.fields.items():
        if field.default is None:
            continue
        if field.primary or field.type in ("JSON", "ARRAY"):
            what = "a primary key" if field.primary else field.type
            yield Problem(f"fields.{name}.default", "cannot be given", what, "Remove the default.")
        elif not _default_fits(field):
            yield Problem(
                f"fields.{name}.default",
                f"does not fit {field.type}" + (f" of {field.max_length} bytes" if field.max_length else ""),
                field.default,
                "Correct the default or the type.",
            )


def _default_fits(field: FieldSpec) -> bool:
    value = field.default
    if field.type == "VARCHAR":
        return isinstance(value, str) and _fits_in_bytes(value, field.max_length or 0)
    if field.type == "BOOL":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if field.type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[field.type]
        return isinstance(value, int) and low <= value <= high
    return abs(value) <= (MAX_FLOAT32 if field.type == "FLOAT" else 1.7e308)


def _fits_in_bytes(text: str, max_bytes: int) -> bool:
    try:
        return len(text.encode()) <= max_bytes
    except UnicodeEncodeError:
        return False


def _check_sources(spec: CollectionSpec) -> Iterator[Problem]:
    sources = (
        *(
            (f"embeddings[{number}]", declaration.field, "embedded")
            for number, declaration in enumerate(spec.embeddings)
        ),
        *(
            (f"lexical[{number}]", declaration.field, "split into words")
            for number, declaration in enumerate(spec.lexical)
        ),
    )
    for where, source, verb in sources:
        field = spec.fields.get(source)
        if field is None:
            yield Problem(
                f"{where}.field",
                "is not one of the fields",
                source,
                f"Fields: {', '.join(spec.fields)}.{nearest(source, spec.fields)}",
            )
        elif field.type != "VARCHAR" or field.nullable:
            description = f"{'nullable ' if field.nullable else ''}{field.type}"
            yield Problem(
                f"{where}.field",
                f"cannot be {verb} by Milvus, as {source} is not a VARCHAR that is always there",
                description,
                f"Make {source} a VARCHAR that is not nullable.",
            )


def _check_templates(spec: CollectionSpec) -> Iterator[Problem]:
    templates = dict[str, Template]()
    for name, field in spec.fields.items():
        if field.compose is None:
            continue
        where = f"fields.{name}.compose"
        if field.type != "VARCHAR" or field.primary:
            description = "the primary key" if field.primary else field.type
            yield Problem(where, "is for a VARCHAR that is not the primary key", description, "Remove it.")
        try:
            templates[name] = read_template(field.compose)
        except SpecError as error:
            yield Problem(where, f"is not a template: {error.cause}", error.value, error.next_step)
            continue
        if templates[name].flattens and not spec.dynamic and not _flattened_fields(spec):
            yield Problem(where, "has nothing to flatten", FLATTEN_KEYWORD, "Add fields, or dynamic: true.")
        for value in templates[name].values:
            yield from _check_placeholder(spec, where, value)
    for name in templates.keys() - set(composition_order(templates)):
        yield Problem(
            f"fields.{name}.compose",
            "needs itself, by way of what it names",
            templates[name].text,
            "Name fields that are not composed of this one.",
        )


def _flattened_fields(spec: CollectionSpec) -> list[str]:
    """The fields that ``compose: flatten`` contains."""
    return [name for name, field in spec.fields.items() if not field.primary and field.compose is None]


def _check_placeholder(spec: CollectionSpec, where: str, value: Placeholder) -> Iterator[Problem]:
    field = spec.fields.get(value.field)
    if field is None:
        if not spec.dynamic:
            names = ", ".join(spec.fields)
            step = f"Fields: {names}.{nearest(value.field, spec.fields)}"
            yield Problem(where, "names what is not one of the fields", value.field, step)
    elif field.auto_id:
        yield Problem(where, "names a key that Milvus makes later", value.field, "Take it out.")
    elif value.path and field.type not in ("JSON", "ARRAY"):
        step = f"Write {{{value.field}}}, or make it a JSON field."
        yield Problem(where, f"looks into {value.field}, which has no parts", field.type, step)


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
                    f"{where}.index", "is for sparse vectors alone", embedding.index, "Write form: sparse."
                )
            if embedding.index in _BINARY_INDEXES or embedding.metric == "HAMMING":
                value = embedding.index if embedding.index in _BINARY_INDEXES else embedding.metric
                yield Problem(where, "has what is for binary vectors alone", value, "Write form: binary.")
            continue
        indexes, metrics = _FORM_INDEXES_AND_METRICS[embedding.form]
        for key, value, allowed in (
            ("index", embedding.index, indexes),
            ("metric", embedding.metric, metrics),
        ):
            if value not in allowed:
                yield Problem(
                    f"{where}.{key}",
                    f"does not go with form: {embedding.form}",
                    value,
                    f"Omit it, or write {' or '.join(allowed)}.",
                )
        for dim in embedding.dims if embedding.form == "binary" else ():
            if dim % 8:
                yield Problem(
                    f"{where}.dims", "do not fill whole bytes of bits", dim, "Choose multiples of 8."
                )


def _check_dims(where: str, embedding: EmbeddingSpec) -> Iterator[Problem]:
    if embedding.form != "sparse":
        if not embedding.dims:
            yield Problem(f"{where}.dims", "are missing", "none", "Write at least one: dims: [64].")
        if embedding.top is not None:
            step = "Remove it: dims say how many numbers are kept."
            yield Problem(where, "has top, which is for form: sparse alone", embedding.top, step)
        return
    if embedding.dims:
        listed = ", ".join(map(str, embedding.dims))
        yield Problem(
            f"{where}.dims", "are not chosen with form: sparse: they are the words", listed, "Remove them."
        )
    if embedding.exit is not None:
        yield Problem(f"{where}.exit", "does not go with form: sparse", embedding.exit, "Remove it.")


def _check_plain_vectors(spec: CollectionSpec) -> Iterator[Problem]:
    for number, vector in enumerate(spec.vectors):
        if vector.index in _SPARSE_INDEXES:
            yield Problem(
                f"vectors[{number}]", "has what is for sparse vectors alone", vector.index, "Remove it."
            )
        if vector.index in _BINARY_INDEXES or vector.metric == "HAMMING":
            value = vector.index if vector.index in _BINARY_INDEXES else vector.metric
            yield Problem(f"vectors[{number}]", "has what is for binary vectors alone", value, "Remove it.")


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
        if not FIELD_NAME.fullmatch(name) or name.lower() in _RESERVED_NAMES:
            yield Problem(
                where,
                "give a vector field a name that Milvus does not take",
                name,
                f"Rename it. {_NAME_RULE}",
            )
        names.add(name)
    if not names:
        yield Problem(
            "the spec",
            "has no vector field, and Milvus requires one",
            "none",
            "Add embeddings: - {field: FIELD, encoder: NAME, dims: [64]}.",
        )
    if len(names) > spec.max_vector_fields:
        yield Problem(
            "embeddings",
            f"give more than {spec.max_vector_fields} vector fields, Milvus's limit",
            f"{len(names)} vector fields",
            "Keep fewer dims (a shorter one is a prefix of a longer one), or raise proxy.maxVectorFieldNum "
            "in milvus.yaml (at most 10) and write max_vector_fields: with that number in the spec.",
        )
    if len(names) + len(spec.fields) > MAX_FIELDS:
        yield Problem(
            "fields",
            f"are more than {MAX_FIELDS} with the vector fields",
            len(names) + len(spec.fields),
            "Keep fewer.",
        )


_CHECKS: tuple[Callable[[CollectionSpec], Iterator[Problem]], ...] = (
    _check_names,
    _check_primary_key,
    _check_partition_key,
    _check_type_keys,
    _check_defaults,
    _check_sources,
    _check_templates,
    _check_services,
    _check_forms,
    _check_plain_vectors,
    _check_embedding_names,
    _check_vector_fields,
)
