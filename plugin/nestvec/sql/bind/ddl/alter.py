"""ADD COLUMN and DROP COLUMN: the columns that an ALTER TABLE drops, and those that it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from nestvec.collections.hidden_fields import hidden_vector
from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.ddl.columns import ColumnDraft, bind_column, field_spec, settle_default
from nestvec.sql.bind.ddl.generated import EmbedColumn
from nestvec.sql.bind.ddl.table import check_own_name, find_spec_problem, vector_part
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import SourceText, stray_parts
from nestvec_schemas.spec.collection_spec import CollectionSpec, FieldSpec, VectorSpec

_KEY: Final = "nestvec_key"
"""A key for the check of columns without their table."""


@dataclass(frozen=True)
class ColumnActions:
    """What an ALTER TABLE does to the columns of a table."""

    dropped: tuple[Column, ...]
    """First, as in PostgreSQL: an added column may have the name of a dropped one."""

    added: tuple[ColumnDraft, ...]
    remaining: Table
    """The table without those that are dropped."""


def bind_column_actions(
    source: SourceText, table: Table, actions: Sequence[exp.Expr], params: Params
) -> ColumnActions:
    """Bind ADD COLUMN and DROP COLUMN. Raises SqlError."""
    remaining, dropped = table, list[Column]()
    for node in actions:
        column = _dropped(source, remaining, node, params) if isinstance(node, exp.Drop) else None
        if column is not None:
            dropped.append(column)
            remaining = _without(remaining, column.name)
    for column in dropped:
        _check_unused(source, remaining, column, actions)
    if not remaining.columns:
        raise source.not_supported("a table without columns", actions[0], "DROP TABLE drops all of it.")
    added = dict[str, ColumnDraft]()
    for node in actions:
        if isinstance(node, exp.ColumnDef):
            draft = _added(source, remaining, node, params, added)
            if draft is not None:
                added[draft.name] = draft
    return ColumnActions(tuple(dropped), tuple(added.values()), remaining)


def _dropped(source: SourceText, table: Table, node: exp.Drop, params: Params) -> Column | None:
    """The column that a DROP COLUMN names; None if it does not exist, and need not."""
    for part in stray_parts(node, ("kind", "tables", "exists", "restrict")):
        raise source.not_supported(f"{part.upper()} in DROP COLUMN", node, "Write DROP COLUMN a.")
    name = node.args["tables"][0]
    exists = table.column(str(name.name)) or table.column(name.name.lower())
    if node.args.get("exists") and exists is None:
        return None
    column = Scope(source, table, table.name, params).column(name)
    if column.primary or column.partition_key:
        raise source.type_mismatch(
            "this column cannot be dropped: it is a key", column.name, name, "Create a new table."
        )
    return column


def _check_unused(source: SourceText, remaining: Table, column: Column, actions: Sequence[exp.Expr]) -> None:
    """Raise SqlTypeMismatch if a column that remains is made of a dropped one."""
    users = {target for target, of in remaining.generated.items() if of == column.name}
    users |= {name for name, template in remaining.composed.items() if column.name in template.fields}
    if users:
        names = {node.args["tables"][0].name.lower(): node for node in actions if isinstance(node, exp.Drop)}
        raise source.type_mismatch(
            f"this column cannot be dropped: {', '.join(sorted(users))} is generated from it",
            column.name,
            names.get(column.name.lower(), 0),
            f"Drop {', '.join(sorted(users))}, too, or create a new table.",
        )


def _without(table: Table, name: str) -> Table:
    return replace(
        table,
        columns=tuple(column for column in table.columns if column.name != name),
        embeddings=tuple(item for item in table.embeddings if item.column != name),
        lexical=tuple(item for item in table.lexical if item.column != name),
        generated={target: of for target, of in table.generated.items() if target != name},
    )


def _added(
    source: SourceText, table: Table, node: exp.ColumnDef, params: Params, added: dict[str, ColumnDraft]
) -> ColumnDraft | None:
    """The column that an ADD COLUMN defines; None if it exists, and may."""
    scope = Scope(source, table, table.name, params)
    draft = bind_column(scope, node)
    settle_default(scope, draft)
    if table.column(draft.name) is not None or draft.name in added:
        if node.args.get("exists"):
            return None
        raise source.type_mismatch(
            "the table already has a column of this name", draft.name, node, "Choose another name."
        )
    check_own_name(source, draft)
    if isinstance(draft.function, EmbedColumn):
        return draft
    for wrong, what in (
        (draft.primary or draft.auto_id, "a primary key"),
        (draft.function is not None, "a column that BM25 fills"),
    ):
        if wrong:
            raise source.not_supported(f"adding {what}", node, "Create a new table, and copy the rows.")
    return draft


def column_spec(source: SourceText, draft: ColumnDraft) -> FieldSpec | VectorSpec:
    """The spec of a column that no encoder fills. Raises SqlTypeMismatch."""
    part = vector_part(source, draft)
    vector = part[1] if part is not None and isinstance(part[1], VectorSpec) else None
    field = None if vector is not None else field_spec(source, draft)
    fields = {_KEY: FieldSpec(type="INT64", primary=True)} | ({} if field is None else {draft.name: field})
    vectors = (hidden_vector() if vector is None else vector,)
    spec = CollectionSpec(collection=_KEY, fields=fields, vectors=vectors)
    position = {"": draft.node, f"fields.{draft.name}": draft.node, "vectors[0]": draft.node}
    find_spec_problem(source, spec, position)
    return vector if vector is not None else field_spec(source, draft)
