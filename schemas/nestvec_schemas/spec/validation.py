"""The rules that a collection spec must keep beyond its types: Milvus's own, each a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from nestvec_schemas.errors import SpecError, nearest
from nestvec_schemas.spec.compose import (
    FLATTEN_KEYWORD,
    Placeholder,
    Template,
    composition_order,
    read_template,
)
from nestvec_schemas.spec.problem import FIELD_NAME, NAME_RULE, RESERVED_NAMES, TEXT_TYPES, Problem
from nestvec_schemas.spec.vector_validation import VECTOR_CHECKS

if TYPE_CHECKING:
    from nestvec_schemas.spec.collection_spec import CollectionSpec, FieldSpec

INTEGER_RANGES = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
MAX_TEXT_BYTES = 65_535
"""The longest default of a TEXT field, as of a VARCHAR."""

MAX_FLOAT32 = 3.4028234663852886e38


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


def _check_names(spec: CollectionSpec) -> Iterator[Problem]:
    if not FIELD_NAME.fullmatch(spec.collection):
        yield Problem("collection", "is not a name that Milvus accepts", spec.collection, NAME_RULE)
    for name in spec.fields:
        if not FIELD_NAME.fullmatch(name):
            yield Problem("fields", "has a name that Milvus does not accept", name, NAME_RULE)
        if name.lower() in RESERVED_NAMES:
            yield Problem("fields", "has a name that Milvus reserves", name, "Choose another.")


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
                yield Problem(
                    f"fields.{name}.{key}", "cannot be true for the primary key", True, "Remove it."
                )


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
            if value is not None and not required and not (key == "max_length" and field.type == "TEXT"):
                yield Problem(
                    f"{where}.{key}", "does not apply to this type of field", field.type, "Remove it."
                )
        if field.element_type in ("JSON", "ARRAY", "TEXT"):
            step = "Use VARCHAR." if field.element_type == "TEXT" else "Use a JSON field."
            yield Problem(f"{where}.element_type", "cannot be in an ARRAY", field.element_type, step)


def _check_defaults(spec: CollectionSpec) -> Iterator[Problem]:
    for name, field in spec.fields.items():
        if field.default is None:
            continue
        if field.primary or field.type in ("JSON", "ARRAY"):
            what = "a primary key" if field.primary else field.type
            yield Problem(f"fields.{name}", "cannot have a default", what, "Remove the default.")
        elif not _default_fits(field):
            yield Problem(
                f"fields.{name}.default",
                f"does not fit {field.type}" + (f" of {field.max_length} bytes" if field.max_length else ""),
                field.default,
                "Correct the default or the type.",
            )


def _default_fits(field: FieldSpec) -> bool:
    value = field.default
    if field.type in TEXT_TYPES:
        return isinstance(value, str) and _fits_in_bytes(value, field.max_length or MAX_TEXT_BYTES)
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
        elif field.type not in TEXT_TYPES or field.nullable:
            description = f"{'nullable ' if field.nullable else ''}{field.type}"
            yield Problem(
                f"{where}.field",
                f"cannot be {verb} by Milvus, because {source} is not a VARCHAR or TEXT that is never null",
                description,
                f"Make {source} a VARCHAR or TEXT that is not nullable.",
            )


def _check_templates(spec: CollectionSpec) -> Iterator[Problem]:
    templates = dict[str, Template]()
    for name, field in spec.fields.items():
        if field.compose is None:
            continue
        where = f"fields.{name}.compose"
        if field.type not in TEXT_TYPES or field.primary:
            description = "the primary key" if field.primary else field.type
            cause = "is only for a VARCHAR or TEXT that is not the primary key"
            yield Problem(where, cause, description, "Remove it.")
        try:
            templates[name] = read_template(field.compose)
        except SpecError as error:
            yield Problem(where, f"is not a template: {error.cause}", error.value, error.next_step)
            continue
        if templates[name].flattens and not spec.dynamic and not _flattened_fields(spec):
            yield Problem(where, "has nothing to flatten", FLATTEN_KEYWORD, "Add fields, or dynamic: true.")
        for value in templates[name].placeholders:
            yield from _check_placeholder(spec, where, value)
    for name in templates.keys() - set(composition_order(templates)):
        yield Problem(
            f"fields.{name}.compose",
            "depends on itself, through the fields that it names",
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
            yield Problem(where, "names an unknown field", value.field, step)
    elif field.auto_id:
        yield Problem(
            where, "names a key that Milvus generates later", value.field, "Remove it from the template."
        )
    elif value.path and field.type not in ("JSON", "ARRAY"):
        step = f"Write {{{value.field}}}, or make it a JSON field."
        yield Problem(where, f"names a part of {value.field}, which has none", field.type, step)


_CHECKS: tuple[Callable[[CollectionSpec], Iterator[Problem]], ...] = (
    _check_names,
    _check_primary_key,
    _check_partition_key,
    _check_type_keys,
    _check_defaults,
    _check_sources,
    _check_templates,
    *VECTOR_CHECKS,
)
