"""CREATE TABLE, bound to the spec of a collection; where each part of the spec stands in the statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.definition.columns import Draft, bind_column, constraint_name, field_spec, made
from nestvec.sql.bind.definition.generated import Bm25, Embed
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import Place, Source, folded
from nestvec_schemas.errors import SqlError, nearest
from nestvec_schemas.spec.collection_spec import (
    VECTOR_FIELDS,
    CollectionSpec,
    EmbeddingSpec,
    Form,
    LexicalSpec,
    VectorSpec,
)
from nestvec_schemas.spec.validation import Problem, problems

KEYS: Final = ("INT64", "VARCHAR")
"""Types that a key may have."""

_OPTIONS: Final = ("dynamic", "service", "max_vector_fields")
_WRITE = "Write CREATE TABLE name (id BIGINT PRIMARY KEY, text VARCHAR(8192), …)."


@dataclass(frozen=True)
class Definition:
    """A spec, and the columns in it that an encoder fills."""

    spec: CollectionSpec
    embeds: tuple[Draft, ...]


@dataclass(frozen=True)
class Options:
    """What stands behind the columns."""

    partition: exp.Column | None = None
    values: dict[str, Any] = field(default_factory=dict)


def bind_definition(source: Source, create: exp.Create, params: Params, service: str) -> Definition:
    """Bind a CREATE TABLE; ``service`` embeds where the statement names none. Raises SqlError."""
    schema = create.this
    if not isinstance(schema, exp.Schema):
        raise source.syntax_error("CREATE TABLE lists no columns", create.this, _WRITE)
    scope = Scope(source, Table(folded(schema.this.this), ()), folded(schema.this.this), params)
    drafts: dict[str, Draft] = {}
    keys: list[tuple[str, exp.Expr]] = []
    for node in schema.expressions:
        if isinstance(node, exp.ColumnDef):
            draft = bind_column(scope, node)
            if draft.name in drafts:
                raise source.syntax_error(f"column {draft.name} is there twice", node, "Rename one.")
            drafts[draft.name] = draft
        else:
            keys += _table_constraint(source, node)
    options = _options(scope, create)
    _mark_keys(source, drafts, keys, options, schema.this)
    _mark_sources(source, drafts)
    return _definition(scope, drafts, options, service, schema.this)


def _table_constraint(source: Source, node: exp.Expr) -> list[tuple[str, exp.Expr]]:
    """The columns of a PRIMARY KEY that stands by itself."""
    inner = node.expressions[0] if isinstance(node, exp.Constraint) and node.expressions else node
    if not isinstance(inner, exp.PrimaryKey):
        raise source.not_supported(
            f"{constraint_name(inner)} among the columns",
            node,
            "Milvus has a PRIMARY KEY of one column alone.",
        )
    if len(inner.expressions) > 1:
        raise source.not_supported(
            "a PRIMARY KEY of several columns", inner.expressions[1], "Join them into one VARCHAR column."
        )
    return [(folded(one), one) for one in inner.expressions if isinstance(one, exp.Identifier)]


def _options(scope: Scope, create: exp.Create) -> Options:
    source, found = scope.source, Options()
    properties = create.args.get("properties")
    for one in properties.expressions if properties is not None else ():
        if isinstance(one, exp.PartitionedByProperty):
            found = Options(_partition(source, one), found.values)
        elif isinstance(one, exp.Property) and isinstance(one.this, exp.Expr):
            name = str(one.this.name).lower()
            if name not in _OPTIONS:
                raise source.unknown_name(
                    "there is no option of this name", name, one.this,
                    f"Options: {', '.join(_OPTIONS)}.{nearest(name, _OPTIONS)}",
                )  # fmt: skip
            value = one.args["value"]
            found.values[name] = scope.constant(value)
        else:
            name = type(one).__name__.removesuffix("Property").upper()
            raise source.not_supported(
                f"{name} on a table", 0, "Write PARTITION BY HASH (column) or WITH (…)."
            )
    return found


def _partition(source: Source, node: exp.Expr) -> exp.Column:
    inner = node.this
    if (
        not isinstance(inner, exp.Anonymous)
        or str(inner.this).upper() != "HASH"
        or len(inner.expressions) != 1
        or not isinstance(inner.expressions[0], exp.Column)
    ):
        raise source.not_supported(
            "this kind of partitions", node, "Write PARTITION BY HASH (column): Milvus's partition key."
        )
    return inner.expressions[0]


def _mark_keys(
    source: Source,
    drafts: dict[str, Draft],
    keys: list[tuple[str, exp.Expr]],
    options: Options,
    table: exp.Expr,
) -> None:
    for name, node in keys:
        _named(source, drafts, name, node).primary = True
    primary = [one for one in drafts.values() if one.primary]
    if not primary:
        raise source.syntax_error(
            "the table has no primary key", table, "Write PRIMARY KEY on one BIGINT or VARCHAR column."
        )
    if len(primary) > 1:
        raise source.syntax_error(
            "the table has more than one primary key", primary[1].node, "Milvus has one: keep it."
        )
    if primary[0].type.name not in KEYS:
        raise source.type_mismatch(
            "Milvus has keys of BIGINT and VARCHAR alone",
            primary[0].type.name,
            primary[0].place,
            "Write BIGINT.",
        )
    _check_never_null(source, primary[0], "the primary key")
    if options.partition is not None:
        key = _named(source, drafts, folded(options.partition.this), options.partition)
        _check_never_null(source, key, "the partition key")
        key.partition = True
    for one in drafts.values():
        if one.auto and not one.primary:
            raise source.not_supported("a column of ids beside the primary key", one.place, "Write BIGINT.")


def _check_never_null(source: Source, draft: Draft, what: str) -> None:
    if draft.null:
        raise source.type_mismatch(f"{what} is never NULL in Milvus", draft.name, draft.node, "Remove NULL.")
    draft.null = False


def _named(source: Source, drafts: Mapping[str, Draft], name: str, node: exp.Expr) -> Draft:
    if name not in drafts:
        raise source.unknown_name(
            "the table has no column of this name",
            name,
            node,
            f"There: {', '.join(drafts)}.{nearest(name, drafts)}",
        )
    return drafts[name]


def _mark_sources(source: Source, drafts: Mapping[str, Draft]) -> None:
    """Milvus makes columns of VARCHAR columns that are never NULL."""
    for one in drafts.values():
        if one.made is None:
            continue
        wanted = ("FLOAT_VECTOR",) if isinstance(one.made, Embed) else ()
        if one.type.name not in (*wanted, "SPARSE_FLOAT_VECTOR"):
            right = "VECTOR(n) or SPARSEVEC" if isinstance(one.made, Embed) else "SPARSEVEC"
            raise source.type_mismatch(
                f"{one.made.function} fills a {right} column", one.type.name, one.place, f"Write {right}."
            )
        of = _named(source, drafts, one.made.source, one.made.node)
        if of.type.name != "VARCHAR":
            raise source.type_mismatch(
                f"{one.made.function} is of a VARCHAR or TEXT column, and {of.name} is none",
                of.type.name,
                one.made.node,
                "Name a column of texts.",
            )
        _check_never_null(source, of, f"a column that {one.made.function} reads")
    for one in drafts.values():
        if one.type.name == "SPARSE_FLOAT_VECTOR" and one.made is None:
            raise source.not_supported(
                "a SPARSEVEC column that rows bring",
                one.place,
                "Write GENERATED ALWAYS AS (BM25(text)) STORED, or EMBED(text, 'encoder') there.",
            )


def _definition(
    scope: Scope, drafts: Mapping[str, Draft], options: Options, service: str, table: exp.Expr
) -> Definition:
    source, name = scope.source, scope.table.name
    spec = {"collection": name, "service": service, "max_vector_fields": VECTOR_FIELDS} | options.values
    parts: dict[str, list[Any]] = {"embeddings": [], "lexical": [], "vectors": []}
    fields, places = dict[str, Any](), dict[str, Place]({"": table})
    for one in drafts.values():
        part = _vector_part(source, one)
        if part is None:
            places[f"fields.{one.name}"] = one.node
            fields[one.name] = field_spec(source, one)
        else:
            places[f"{part[0]}[{len(parts[part[0]])}]"] = one.node
            parts[part[0]].append(part[1])
    if not any(parts.values()):
        raise source.type_mismatch(
            "the table has no vector column, and Milvus wants one",
            "none",
            table,
            "Add one: v VECTOR(384), with GENERATED ALWAYS AS (EMBED(a, 'encoder')) STORED for a text's.",
        )
    whole = made(source, table, CollectionSpec, {**spec, "fields": fields, **parts})
    for problem in problems(whole):
        raise _told(source, problem, places)
    return Definition(whole, tuple(one for one in drafts.values() if isinstance(one.made, Embed)))


def _vector_part(source: Source, draft: Draft) -> tuple[str, Any] | None:
    """In which list of a spec a vector column stands, and as what; None for a scalar one."""
    values: dict[str, Any] = {"name": draft.name}
    if isinstance(draft.made, Embed):
        of = draft.made
        form: Form = "float" if draft.type.dim is not None else "sparse"
        values |= {"field": of.source, "encoder": of.encoder, "form": form}
        values |= {} if draft.type.dim is None else {"dims": (draft.type.dim,)}
        values |= {"exit": of.exit, "expert": of.expert, "top": of.top, "service": of.service}
        return "embeddings", made(source, draft.node, EmbeddingSpec, values)
    if isinstance(draft.made, Bm25):
        values |= {"field": draft.made.source, "k1": draft.made.k1, "b": draft.made.b}
        return "lexical", made(source, draft.node, LexicalSpec, values)
    if draft.type.dim is not None:
        return "vectors", made(source, draft.node, VectorSpec, values | {"dim": draft.type.dim})
    return None


def _told(source: Source, problem: Problem, places: Mapping[str, Place]) -> SqlError:
    """A problem of the spec as one of the statement: at its column, and in SQL's words."""
    found = re.match(r"fields\.\w+|\w+\[\d+\]", problem.where)
    at = places.get(found[0] if found else f"fields.{problem.value}", places[""])
    what = f"column {folded(at.this)}" if isinstance(at, exp.ColumnDef) else "the table"
    where = "its columns" if at is places[""] and problem.where in ("fields", "embeddings") else ""
    cause = f"{what}: {where} {problem.cause}" if where else f"{what} {problem.cause}"
    return source.type_mismatch(cause, problem.value, at, problem.next_step)
