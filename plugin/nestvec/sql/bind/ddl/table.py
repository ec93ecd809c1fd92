"""CREATE TABLE, bound to the spec of a collection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlglot import exp

from nestvec.collections.hidden_fields import hidden_vector, row_id
from nestvec.milvus.catalog import Table
from nestvec.milvus.catalog.column_properties import HIDDEN_VECTOR, ROW_ID_FIELD
from nestvec.milvus.null_vectors.names import NULL_FLAG_PREFIX
from nestvec.sql.bind.ddl.column_types import ColumnType
from nestvec.sql.bind.ddl.columns import (
    ColumnDraft,
    bind_column,
    constraint_name,
    field_spec,
    settle_default,
    validate_model,
)
from nestvec.sql.bind.ddl.defaults import DefaultExpression
from nestvec.sql.bind.ddl.generated import Bm25Column, EmbedColumn
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import Position, SourceText, identifier_name
from nestvec.sqltypes import SqlType
from nestvec_schemas.embedding_config import Form
from nestvec_schemas.errors import SqlError, nearest
from nestvec_schemas.spec.collection_spec import (
    CollectionSpec,
    EmbeddingSpec,
    LexicalSpec,
    VectorSpec,
)
from nestvec_schemas.spec.problem import Problem
from nestvec_schemas.spec.validation import find_problems

KEY_TYPES: Final = ("INT64", "VARCHAR")
"""Types of a primary key."""

_SMALL_KEYS: Final = {"INT16": "int2", "INT32": "int4"}
"""Integer types that are stored in 64 bits if they are a key: Milvus's keys are INT64."""

_FLAT_TYPES: Final = ("FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR")

_OPTIONS: Final = ("dynamic", "service", "max_vector_fields", "chunk")
_WRITE = "Write CREATE TABLE name (id BIGINT PRIMARY KEY, text VARCHAR(8192), …)."
TEMPORARY_STEP: Final = "Milvus's collections belong to no session: create a table, and drop it."


@dataclass(frozen=True)
class TableDefinition:
    """The spec of a table, its columns that EMBED fills, and the names of all in their order."""

    spec: CollectionSpec
    embeds: tuple[ColumnDraft, ...]
    columns: tuple[str, ...]
    defaults: tuple[ColumnDraft, ...] = ()
    """The columns whose defaults nestvec evaluates."""


@dataclass(frozen=True)
class TableOptions:
    """The clauses after the columns."""

    partition: exp.Column | None = None
    values: dict[str, Any] = field(default_factory=dict)


def bind_definition(source: SourceText, create: exp.Create, params: Params, service: str) -> TableDefinition:
    """Bind a CREATE TABLE; ``service`` is the default of EMBED. Raises SqlError."""
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
                raise source.syntax_error(f"column {draft.name} is defined twice", node, "Rename one.")
            drafts[draft.name] = draft
        else:
            keys += _table_constraint(source, node)
    options = _options(scope, create)
    _mark_keys(source, drafts, keys, options, schema.this)
    for draft in drafts.values():
        settle_default(scope, draft)
    _check_generated(source, drafts)
    return _definition(scope, drafts, options, service, schema.this)


def _table_constraint(source: SourceText, node: exp.Expr) -> list[tuple[str, exp.Expr]]:
    """The columns of PRIMARY KEY as a table constraint."""
    inner = node.expressions[0] if isinstance(node, exp.Constraint) and node.expressions else node
    if not isinstance(inner, exp.PrimaryKey):
        raise source.not_supported(
            f"{constraint_name(inner)} as a table constraint",
            node,
            "Only a PRIMARY KEY on one column is supported.",
        )
    if len(inner.expressions) > 1:
        raise source.not_supported(
            "a PRIMARY KEY on several columns", inner.expressions[1], "Combine them into one VARCHAR column."
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
                    "there is no such option", name, prop.this,
                    f"Available: {', '.join(_OPTIONS)}.{nearest(name, _OPTIONS)}",
                )  # fmt: skip
            value = prop.args["value"]
            options.values[name] = scope.constant(value)
        elif isinstance(prop, exp.TemporaryProperty):
            raise source.not_supported("a temporary table", 0, TEMPORARY_STEP)
        elif not isinstance(prop, exp.UnloggedProperty):
            # Milvus keeps the rows of every table over a crash, which PostgreSQL does not promise of these.
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
            "this kind of partitioning",
            node,
            "Write PARTITION BY HASH (column), which sets Milvus's partition key.",
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
    if not drafts:
        raise source.not_supported("a table without columns", table, _WRITE)
    primary = [draft for draft in drafts.values() if draft.primary]
    if len(primary) > 1:
        raise source.syntax_error("the table has more than one primary key", primary[1].node, "Keep one.")
    for draft in primary:
        _check_primary(source, draft)
    if options.partition is not None:
        key = _find_draft(source, drafts, identifier_name(options.partition.this), options.partition)
        _check_never_null(source, key, "the partition key")
        _widen_key(key)
        key.partition_key = True
    for draft in drafts.values():
        if draft.default is not None and (draft.auto_id or draft.function is not None):
            raise source.syntax_error(
                f"column {draft.name} has a default, and is generated", draft.node, "Remove one of them."
            )
        if draft.auto_id and not draft.primary:
            raise source.not_supported(
                "generated ids in a column other than the primary key", draft.type_position, "Use BIGINT."
            )


def _check_primary(source: SourceText, draft: ColumnDraft) -> None:
    _widen_key(draft)
    if draft.type.name not in KEY_TYPES:
        raise source.type_mismatch(
            "a primary key in Milvus is an integer, a text, or what is stored as one of them",
            draft.type.name,
            draft.type_position,
            "Use BIGINT.",
        )
    _check_never_null(source, draft, "the primary key")


def _widen_key(draft: ColumnDraft) -> None:
    name = _SMALL_KEYS.get(draft.type.name)
    if name is not None:
        draft.type = ColumnType("INT64", sql=None if draft.auto_id else SqlType(name))


def _check_never_null(source: SourceText, draft: ColumnDraft, role: str) -> None:
    if draft.nullable:
        raise source.type_mismatch(f"{role} cannot be NULL in Milvus", draft.name, draft.node, "Remove NULL.")
    draft.nullable = False


def _find_draft(
    source: SourceText, drafts: Mapping[str, ColumnDraft], name: str, node: exp.Expr
) -> ColumnDraft:
    if name not in drafts:
        raise source.unknown_name(
            "the table has no such column",
            name,
            node,
            f"Available: {', '.join(drafts)}.{nearest(name, drafts)}",
        )
    return drafts[name]


def _check_generated(source: SourceText, drafts: Mapping[str, ColumnDraft]) -> None:
    """Check the generated columns: Milvus computes them from VARCHAR columns without NULL."""
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
                f"{draft.function.function} reads VARCHAR or TEXT, and column {source_draft.name} is neither",
                source_draft.type.name,
                draft.function.node,
                "Name a text column.",
            )
        _check_never_null(source, source_draft, f"a column that {draft.function.function} reads")


def _definition(
    scope: Scope, drafts: Mapping[str, ColumnDraft], options: TableOptions, service: str, table: exp.Expr
) -> TableDefinition:
    source, name = scope.source, scope.table.name
    spec = {"collection": name, "service": service} | options.values
    parts: dict[str, list[Any]] = {"embeddings": [], "lexical": [], "vectors": []}
    fields, positions = dict[str, Any](), dict[str, Position]({"": table})
    for draft in drafts.values():
        part = vector_part(source, draft)
        if part is None:
            positions[f"fields.{draft.name}"] = draft.node
            fields[draft.name] = field_spec(source, draft)
        else:
            positions[f"{part[0]}[{len(parts[part[0]])}]"] = draft.node
            parts[part[0]].append(part[1])
    for draft in drafts.values():
        check_own_name(source, draft)
    if not any(parts.values()):
        parts["vectors"].append(hidden_vector())
    if not any(draft.primary for draft in drafts.values()):
        fields[ROW_ID_FIELD] = row_id()
    collection_spec = validate_model(source, table, CollectionSpec, {**spec, "fields": fields, **parts})
    find_spec_problem(source, collection_spec, positions)
    embeds = tuple(draft for draft in drafts.values() if isinstance(draft.function, EmbedColumn))
    defaults = tuple(draft for draft in drafts.values() if isinstance(draft.default, DefaultExpression))
    return TableDefinition(collection_spec, embeds, tuple(drafts), defaults)


def check_own_name(source: SourceText, draft: ColumnDraft) -> None:
    """Raise SqlTypeMismatch for a column with the name of a field that nestvec hides."""
    if draft.name in (HIDDEN_VECTOR, ROW_ID_FIELD) or draft.name.startswith(NULL_FLAG_PREFIX):
        raise source.type_mismatch("this name is nestvec's own", draft.name, draft.node, "Choose another.")


def find_spec_problem(source: SourceText, spec: CollectionSpec, positions: Mapping[str, Position]) -> None:
    """Raise SqlTypeMismatch for what a spec must not have, at its column."""
    for problem in find_problems(spec):
        raise _problem_error(source, problem, positions)


def vector_part(source: SourceText, draft: ColumnDraft) -> tuple[str, Any] | None:
    """The list of the spec that holds a vector column, and its entry; None for a scalar column."""
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
        words = draft.function
        values |= {"field": words.source, "k1": words.k1, "b": words.b}
        values |= {"analyzer": words.analyzer, "analyzers": words.analyzers}
        return "lexical", validate_model(source, draft.node, LexicalSpec, values)
    if draft.type.name.endswith("_VECTOR"):
        values |= {"type": draft.type.name, "dim": draft.type.dim}
        values |= {"sql_type": "" if draft.type.sql is None else str(draft.type.sql)}
        values |= {"nullable": draft.nullable is not False}
        # A column without CREATE INDEX is searched exactly, as in PostgreSQL.
        values |= {"index": "FLAT"} if draft.type.name in _FLAT_TYPES else {}
        return "vectors", validate_model(source, draft.node, VectorSpec, values)
    return None


def _problem_error(source: SourceText, problem: Problem, positions: Mapping[str, Position]) -> SqlError:
    """A problem of the spec as an error of the statement, at its column and in SQL's words."""
    match = re.match(r"fields\.\w+|\w+\[\d+\]", problem.where)
    position = positions.get(match[0] if match else f"fields.{problem.value}", positions[""])
    subject = (
        f"column {identifier_name(position.this)}" if isinstance(position, exp.ColumnDef) else "the table"
    )
    part = "its columns" if position is positions[""] and problem.where in ("fields", "embeddings") else ""
    cause = f"{subject}: {part} {problem.cause}" if part else f"{subject} {problem.cause}"
    return source.type_mismatch(cause, problem.value, position, problem.next_step)
