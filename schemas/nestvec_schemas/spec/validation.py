"""What a collection spec must hold beyond its shape: Milvus's rules, each a function in a row of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nestvec_schemas.errors import SpecError, nearest
from nestvec_schemas.spec.compose import FLATTEN, Template, Value, order, read_template

if TYPE_CHECKING:
    from nestvec_schemas.spec.collection_spec import CollectionSpec, EmbeddingSpec, FieldSpec

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
ALL_FIELDS = 64
INTEGERS = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
FLOAT_MAX = 3.4028234663852886e38

_RESERVED = {"_seq", "_partition", "rowid", "timestamp", "iso", "interval", "$meta"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands, the clause, what was found, what to do."""

    where: str
    cause: str
    value: object
    next_step: str


def check_spec(spec: CollectionSpec, *, path: str) -> None:
    """Raise SpecError for the first of Milvus's rules that a spec breaks."""
    for one in problems(spec):
        raise SpecError(f"{path}: {one.where} {one.cause}", value=one.value, next_step=one.next_step)


def problems(spec: CollectionSpec) -> Iterator[Problem]:
    """Every one of Milvus's rules that a spec breaks."""
    for check in _CHECKS:
        yield from check(spec)


_RULE = "Begin with a letter or _, go on with letters, digits and _, at most 255 in all."


def _names(spec: CollectionSpec) -> Iterator[Problem]:
    if not NAME.fullmatch(spec.collection):
        yield Problem("collection", "is not a name that Milvus takes", spec.collection, _RULE)
    for name in spec.fields:
        if not NAME.fullmatch(name):
            yield Problem("fields", "has a name that Milvus does not take", name, _RULE)
        if name.lower() in _RESERVED:
            yield Problem("fields", "has a name that Milvus keeps for itself", name, "Choose another.")


def _primary(spec: CollectionSpec) -> Iterator[Problem]:
    keys = [name for name, field in spec.fields.items() if field.primary]
    if len(keys) != 1:
        found = ", ".join(keys) or "none"
        yield Problem(
            "fields",
            "must have exactly one primary key",
            found,
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


def _partition_key(spec: CollectionSpec) -> Iterator[Problem]:
    keys = [name for name, field in spec.fields.items() if field.partition_key]
    if len(keys) > 1:
        yield Problem("fields", "have more than one partition key", ", ".join(keys), "Keep one of them.")
    for name in keys:
        field = spec.fields[name]
        if field.type not in ("INT64", "VARCHAR") or field.nullable:
            found = f"{'nullable ' if field.nullable else ''}{field.type}"
            yield Problem(
                f"fields.{name}",
                "cannot be the partition key",
                found,
                "Make it INT64 or VARCHAR, not nullable.",
            )


def _type_keys(spec: CollectionSpec) -> Iterator[Problem]:
    for name, field in spec.fields.items():
        where = f"fields.{name}"
        wants = {
            "max_length": "VARCHAR" in (field.type, field.element_type),
            "element_type": field.type == "ARRAY",
            "max_capacity": field.type == "ARRAY",
        }
        for key, wanted in wants.items():
            found = getattr(field, key)
            if wanted and found is None:
                yield Problem(where, f"needs {key}", field.type, f"Add {key}: to it.")
            if found is not None and not wanted:
                yield Problem(f"{where}.{key}", "does not go with the field's type", field.type, "Remove it.")
        if field.element_type in ("JSON", "ARRAY"):
            yield Problem(
                f"{where}.element_type", "cannot be in an ARRAY", field.element_type, "Use a JSON field."
            )


def _defaults(spec: CollectionSpec) -> Iterator[Problem]:
    for name, field in spec.fields.items():
        if field.default is None:
            continue
        if field.primary or field.type in ("JSON", "ARRAY"):
            what = "a primary key" if field.primary else field.type
            yield Problem(f"fields.{name}.default", "cannot be given", what, "Remove the default.")
        elif not _fits(field):
            yield Problem(
                f"fields.{name}.default",
                f"does not fit {field.type}" + (f" of {field.max_length} bytes" if field.max_length else ""),
                field.default,
                "Correct the default or the type.",
            )


def _fits(field: FieldSpec) -> bool:
    value = field.default
    if field.type == "VARCHAR":
        return isinstance(value, str) and _storable(value, field.max_length or 0)
    if field.type == "BOOL":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        return isinstance(value, int) and low <= value <= high
    return abs(value) <= (FLOAT_MAX if field.type == "FLOAT" else 1.7e308)


def _storable(text: str, most: int) -> bool:
    try:
        return len(text.encode()) <= most
    except UnicodeEncodeError:
        return False


def _sources(spec: CollectionSpec) -> Iterator[Problem]:
    read = (
        *((f"embeddings[{number}]", one.field, "embedded") for number, one in enumerate(spec.embeddings)),
        *((f"lexical[{number}]", one.field, "split into words") for number, one in enumerate(spec.lexical)),
    )
    for where, source, done in read:
        field = spec.fields.get(source)
        if field is None:
            yield Problem(
                f"{where}.field",
                "is not one of the fields",
                source,
                f"Fields: {', '.join(spec.fields)}.{nearest(source, spec.fields)}",
            )
        elif field.type != "VARCHAR" or field.nullable:
            found = f"{'nullable ' if field.nullable else ''}{field.type}"
            yield Problem(
                f"{where}.field",
                f"cannot be {done} by Milvus, as {source} is not a VARCHAR that is always there",
                found,
                f"Make {source} a VARCHAR that is not nullable.",
            )


def _composed(spec: CollectionSpec) -> Iterator[Problem]:
    templates = dict[str, Template]()
    for name, field in spec.fields.items():
        if field.compose is None:
            continue
        where = f"fields.{name}.compose"
        if field.type != "VARCHAR" or field.primary:
            found = "the primary key" if field.primary else field.type
            yield Problem(where, "is for a VARCHAR that is not the primary key", found, "Remove it.")
        try:
            templates[name] = read_template(field.compose)
        except SpecError as error:
            yield Problem(where, f"is no template: {error.cause}", error.value, error.next_step)
            continue
        if templates[name].flattens and not spec.dynamic and not _attributes(spec):
            yield Problem(where, "has nothing to flatten", FLATTEN, "Add fields, or dynamic: true.")
        for value in templates[name].values:
            yield from _composed_of(spec, where, value)
    for name in templates.keys() - set(order(templates)):
        yield Problem(
            f"fields.{name}.compose",
            "needs itself, by way of what it names",
            templates[name].text,
            "Name fields that are not composed of this one.",
        )


def _attributes(spec: CollectionSpec) -> list[str]:
    """The fields that ``compose: flatten`` writes."""
    return [name for name, one in spec.fields.items() if not one.primary and one.compose is None]


def _composed_of(spec: CollectionSpec, where: str, value: Value) -> Iterator[Problem]:
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


def _services(spec: CollectionSpec) -> Iterator[Problem]:
    for index, one in enumerate(spec.embeddings):
        if not _is_url(spec.service_of(one)):
            yield Problem(
                f"embeddings[{index}].service" if one.service else "service",
                "is not the address of a service",
                spec.service_of(one) or "none",
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

_FITTING = {
    # A vector's own scale is lost in int8, and with it what other metrics than the cosine measure.
    "int8": (("AUTOINDEX", "HNSW"), ("COSINE",)),
    "binary": (_BINARY_INDEXES, ("HAMMING",)),
    "sparse": (("SPARSE_INVERTED_INDEX", "AUTOINDEX"), ("IP",)),
}
"""The indexes and metrics that Milvus has for each form other than float."""


def _forms(spec: CollectionSpec) -> Iterator[Problem]:
    for number, one in enumerate(spec.embeddings):
        where = f"embeddings[{number}]"
        yield from _dims_of(where, one)
        if one.form == "float":
            if one.index in _SPARSE_INDEXES:
                yield Problem(
                    f"{where}.index", "is for sparse vectors alone", one.index, "Write form: sparse."
                )
            if one.index in _BINARY_INDEXES or one.metric == "HAMMING":
                found = one.index if one.index in _BINARY_INDEXES else one.metric
                yield Problem(where, "has what is for binary vectors alone", found, "Write form: binary.")
            continue
        indexes, metrics = _FITTING[one.form]
        for key, found, fitting in (("index", one.index, indexes), ("metric", one.metric, metrics)):
            if found not in fitting:
                yield Problem(
                    f"{where}.{key}",
                    f"does not go with form: {one.form}",
                    found,
                    f"Leave it away, or write {' or '.join(fitting)}.",
                )
        for dim in one.dims if one.form == "binary" else ():
            if dim % 8:
                yield Problem(
                    f"{where}.dims", "do not fill whole bytes of bits", dim, "Choose multiples of 8."
                )


def _dims_of(where: str, one: EmbeddingSpec) -> Iterator[Problem]:
    if one.form != "sparse":
        if not one.dims:
            yield Problem(f"{where}.dims", "are missing", "none", "Write at least one: dims: [64].")
        if one.top is not None:
            step = "Remove it: dims say how many numbers are kept."
            yield Problem(where, "has top, which is for form: sparse alone", one.top, step)
        return
    if one.dims:
        found = ", ".join(map(str, one.dims))
        yield Problem(
            f"{where}.dims", "are not chosen with form: sparse: they are the words", found, "Remove them."
        )
    if one.exit is not None:
        yield Problem(f"{where}.exit", "does not go with form: sparse", one.exit, "Remove it.")


def _plain_vectors(spec: CollectionSpec) -> Iterator[Problem]:
    for number, one in enumerate(spec.vectors):
        if one.index in _SPARSE_INDEXES:
            yield Problem(
                f"vectors[{number}]", "has what is for sparse vectors alone", one.index, "Remove it."
            )
        if one.index in _BINARY_INDEXES or one.metric == "HAMMING":
            found = one.index if one.index in _BINARY_INDEXES else one.metric
            yield Problem(f"vectors[{number}]", "has what is for binary vectors alone", found, "Remove it.")


def _free_names(spec: CollectionSpec) -> Iterator[Problem]:
    for number, one in enumerate(spec.embeddings):
        if one.name is not None and len(one.dims) > 1:
            yield Problem(
                f"embeddings[{number}].name",
                "is for one vector field, and this embedding has a field per dim",
                one.name,
                "Write an embedding for each dim, or leave the name away.",
            )


def _made(spec: CollectionSpec) -> Iterator[tuple[str, str, str]]:
    """Where a vector field is declared, its name, and what of the spec to change about that name."""
    for number, one in enumerate(spec.embeddings):
        for dim in one.sizes:
            keep = f"Keep one {dim} for {one.field}." if one.name is None else "Choose another name."
            where = f"embeddings[{number}].{'dims' if one.name is None else 'name'}"
            if one.form == "sparse":
                where, keep = f"embeddings[{number}]", "Give one of them another name."
            yield where, one.column(dim), keep
    for number, lexical in enumerate(spec.lexical):
        yield f"lexical[{number}]", lexical.column, "Choose another name."
    for number, vector in enumerate(spec.vectors):
        yield f"vectors[{number}].name", vector.name, "Choose another name."


def _vector_fields(spec: CollectionSpec) -> Iterator[Problem]:
    made: set[str] = set()
    for where, name, keep in _made(spec):
        if name in spec.fields:
            yield Problem(where, "give a vector field the name of a scalar field", name, "Rename the field.")
        if name in made:
            yield Problem(where, "give the same vector field twice", name, keep)
        if not NAME.fullmatch(name) or name.lower() in _RESERVED:
            yield Problem(
                where, "give a vector field a name that Milvus does not take", name, f"Rename it. {_RULE}"
            )
        made.add(name)
    if not made:
        yield Problem(
            "the spec",
            "has no vector field, and Milvus wants one",
            "none",
            "Add embeddings: - {field: FIELD, encoder: NAME, dims: [64]}.",
        )
    if len(made) > spec.max_vector_fields:
        yield Problem(
            "embeddings",
            f"give more than {spec.max_vector_fields} vector fields, Milvus's limit",
            f"{len(made)} vector fields",
            "Keep fewer dims (a shorter one is a prefix of a longer one), or raise proxy.maxVectorFieldNum "
            "in milvus.yaml (at most 10) and write max_vector_fields: with that number in the spec.",
        )
    if len(made) + len(spec.fields) > ALL_FIELDS:
        yield Problem(
            "fields",
            f"are more than {ALL_FIELDS} with the vector fields",
            len(made) + len(spec.fields),
            "Keep fewer.",
        )


_CHECKS: tuple[Callable[[CollectionSpec], Iterator[Problem]], ...] = (
    _names,
    _primary,
    _partition_key,
    _type_keys,
    _defaults,
    _sources,
    _composed,
    _services,
    _forms,
    _plain_vectors,
    _free_names,
    _vector_fields,
)
