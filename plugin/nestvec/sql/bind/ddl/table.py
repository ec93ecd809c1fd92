"""CREATE TABLE, bound to the spec of a collection; where each part of the spec stands in the statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.ddl.columns import (
    ColumnDraft,
    bind_column,
    constraint_name,
    field_spec,
    validate_model,
)
from nestvec.sql.bind.ddl.generated import Bm25Column, EmbedColumn
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import Position, SourceText, identifier_name
from nestvec_schemas.embedding_config import Form
from nestvec_schemas.errors import SqlError, nearest
from nestvec_schemas.spec.collection_spec import (
    DEFAULT_MAX_VECTOR_FIELDS,
    CollectionSpec,
    EmbeddingSpec,
    LexicalSpec,
    VectorSpec,
)
from nestvec_schemas.spec.validation import Problem, find_problems

KEY_TYPES: Final = ("INT64", "VARCHAR")
"""Types that a key may have."""

_OPTIONS: Final = ("dynamic", "service", "max_vector_fields")
_WRITE = "Write CREATE TABLE name (id BIGINT PRIMARY KEY, text VARCHAR(8192), …)."


@dataclass(frozen=True)
class TableDefinition:
    """A spec, and the columns in it that an encoder fills."""

    spec: CollectionSpec
    embeds: tuple[ColumnDraft, ...]


@dataclass(frozen=True)
class TableOptions:
    """What stands behind the columns."""

    partition: exp.Column | None = None
    values: dict[str, Any] = field(default_factory=dict)


def bind_definition(source: SourceText, create: exp.Create, params: Params, service: str) -> TableDefinition:
    """Bind a CREATE TABLE; ``service`` embeds where the statement names none. Raises SqlError."""
    schema = create.this
    if not isinstance(schema, exp.Schema):
        raise source.syntax_error("CREATE TABLE lists no columns", create.this, _WRITE)
    scope = Scope(
        source, Table(identifier_name(schema.this.this), ()), identifier_name(schema.this.this), params
    )
    drafts: dict[str, ColumnDraft] = {}
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
    _check_generated(source, drafts)
    return _definition(scope, drafts, options, service, schema.this)


def _table_constraint(source: SourceText, node: exp.Expr) -> list[tuple[str, exp.Expr]]:
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
    return [
        (identifier_name(column), column)
        for column in inner.expressions
        if isinstance(column, exp.Identifier)
    ]


def _options(scope: Scope, create: exp.Create) -> TableOptions:
    source, options = scope.source, TableOptions()
    properties = create.args.get("properties")
    for prop in properties.expressions if properties is not None else ():
        if isinstance(prop, exp.PartitionedByProperty):
            options = TableOptions(_partition(source, prop), options.values)
        elif isinstance(prop, exp.Property) and isinstance(prop.this, exp.Expr):
            name = str(prop.this.name).lower()
            if name not in _OPTIONS:
                raise source.unknown_name(
                    "there is no option of this name", name, prop.this,
                    f"Options: {', '.join(_OPTIONS)}.{nearest(name, _OPTIONS)}",
                )  # fmt: skip
            value = prop.args["value"]
            options.values[name] = scope.constant(value)
        else:
            name = type(prop).__name__.removesuffix("Property").upper()
            raise source.not_supported(
                f"{name} on a table", 0, "Write PARTITION BY HASH (column) or WITH (…)."
            )
    return options


def _partition(source: SourceText, node: exp.Expr) -> exp.Column:
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
    source: SourceText,
    drafts: dict[str, ColumnDraft],
    keys: list[tuple[str, exp.Expr]],
    options: TableOptions,
    table: exp.Expr,
) -> None:
    for name, node in keys:
        _find_draft(source, drafts, name, node).primary = True
    primary = [draft for draft in drafts.values() if draft.primary]
    if not primary:
        raise source.syntax_error(
            "the table has no primary key", table, "Write PRIMARY KEY on one BIGINT or VARCHAR column."
        )
    if len(primary) > 1:
        raise source.syntax_error(
            "the table has more than one primary key", primary[1].node, "Milvus has one: keep it."
        )
    if primary[0].type.name not in KEY_TYPES:
        raise source.type_mismatch(
            "Milvus has keys of BIGINT and VARCHAR alone",
            primary[0].type.name,
            primary[0].type_position,
            "Write BIGINT.",
        )
    _check_never_null(source, primary[0], "the primary key")
    if options.partition is not None:
        key = _find_draft(source, drafts, identifier_name(options.partition.this), options.partition)
        _check_never_null(source, key, "the partition key")
        key.partition_key = True
    for draft in drafts.values():
        if draft.auto_id and not draft.primary:
            raise source.not_supported(
                "a column of ids beside the primary key", draft.type_position, "Write BIGINT."
            )


def _check_never_null(source: SourceText, draft: ColumnDraft, role: str) -> None:
    if draft.nullable:
        raise source.type_mismatch(f"{role} is never NULL in Milvus", draft.name, draft.node, "Remove NULL.")
    draft.nullable = False


def _find_draft(
    source: SourceText, drafts: Mapping[str, ColumnDraft], name: str, node: exp.Expr
) -> ColumnDraft:
    if name not in drafts:
        raise source.unknown_name(
            "the table has no column of this name",
            name,
            node,
            f"There: {', '.join(drafts)}.{nearest(name, drafts)}",
        )
    return drafts[name]


def _check_generated(source: SourceText, drafts: Mapping[str, ColumnDraft]) -> None:
    """Milvus makes columns of VARCHAR columns that are never NULL."""
    for draft in drafts.values():
        if draft.function is None:
            continue
        dense_types = ("FLOAT_VECTOR",) if isinstance(draft.function, EmbedColumn) else ()
        if draft.type.name not in (*dense_types, "SPARSE_FLOAT_VECTOR"):
            expected = "VECTOR(n) or SPARSEVEC" if isinstance(draft.function, EmbedColumn) else "SPARSEVEC"
            raise source.type_mismatch(
                f"{draft.function.function} fills a {expected} column",
                draft.type.name,
                draft.type_position,
                f"Write {expected}.",
            )
        source_draft = _find_draft(source, drafts, draft.function.source, draft.function.node)
        if source_draft.type.name != "VARCHAR":
            raise source.type_mismatch(
                f"{draft.function.function} is of a VARCHAR or TEXT column, and {source_draft.name} is none",
                source_draft.type.name,
                draft.function.node,
                "Name a column of texts.",
            )
        _check_never_null(source, source_draft, f"a column that {draft.function.function} reads")
    for draft in drafts.values():
        if draft.type.name == "SPARSE_FLOAT_VECTOR" and draft.function is None:
            raise source.not_supported(
                "a SPARSEVEC column that rows bring",
                draft.type_position,
                "Write GENERATED ALWAYS AS (BM25(text)) STORED, or EMBED(text, 'encoder') there.",
            )


def _definition(
    scope: Scope, drafts: Mapping[str, ColumnDraft], options: TableOptions, service: str, table: exp.Expr
) -> TableDefinition:
    source, name = scope.source, scope.table.name
    spec = {
        "collection": name,
        "service": service,
        "max_vector_fields": DEFAULT_MAX_VECTOR_FIELDS,
    } | options.values
    parts: dict[str, list[Any]] = {"embeddings": [], "lexical": [], "vectors": []}
    fields, positions = dict[str, Any](), dict[str, Position]({"": table})
    for draft in drafts.values():
        part = _vector_part(source, draft)
        if part is None:
            positions[f"fields.{draft.name}"] = draft.node
            fields[draft.name] = field_spec(source, draft)
        else:
            positions[f"{part[0]}[{len(parts[part[0]])}]"] = draft.node
            parts[part[0]].append(part[1])
    if not any(parts.values()):
        raise source.type_mismatch(
            "the table has no vector column, and Milvus wants one",
            "none",
            table,
            "Add one: v VECTOR(384), with GENERATED ALWAYS AS (EMBED(a, 'encoder')) STORED for a text's.",
        )
    collection_spec = validate_model(source, table, CollectionSpec, {**spec, "fields": fields, **parts})
    for problem in find_problems(collection_spec):
        raise _problem_error(source, problem, positions)
    return TableDefinition(
        collection_spec, tuple(draft for draft in drafts.values() if isinstance(draft.function, EmbedColumn))
    )


def _vector_part(source: SourceText, draft: ColumnDraft) -> tuple[str, Any] | None:
    """In which list of a spec a vector column stands, and as what; None for a scalar one."""
    values: dict[str, Any] = {"name": draft.name}
    if isinstance(draft.function, EmbedColumn):
        function = draft.function
        form: Form = "float" if draft.type.dim is not None else "sparse"
        values |= {"field": function.source, "service": function.service}
        values |= {} if draft.type.dim is None else {"dims": (draft.type.dim,)}
        config = replace(function.config, form=form).attributes()
        values |= {name: value for name, value in config.items() if value is not None}
        return "embeddings", validate_model(source, draft.node, EmbeddingSpec, values)
    if isinstance(draft.function, Bm25Column):
        values |= {"field": draft.function.source, "k1": draft.function.k1, "b": draft.function.b}
        return "lexical", validate_model(source, draft.node, LexicalSpec, values)
    if draft.type.dim is not None:
        return "vectors", validate_model(source, draft.node, VectorSpec, values | {"dim": draft.type.dim})
    return None


def _problem_error(source: SourceText, problem: Problem, positions: Mapping[str, Position]) -> SqlError:
    """A problem of the spec as one of the statement: at its column, and in SQL's words."""
    match = re.match(r"fields\.\w+|\w+\[\d+\]", problem.where)
    position = positions.get(match[0] if match else f"fields.{problem.value}", positions[""])
    subject = (
        f"column {identifier_name(position.this)}" if isinstance(position, exp.ColumnDef) else "the table"
    )
    part = "its columns" if position is positions[""] and problem.where in ("fields", "embeddings") else ""
    cause = f"{subject}: {part} {problem.cause}" if part else f"{subject} {problem.cause}"
    return source.type_mismatch(cause, problem.value, position, problem.next_step)
