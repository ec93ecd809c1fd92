"""One column of a CREATE TABLE or ADD COLUMN: its name, type and constraints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlglot import exp

from nestvec.milvus.catalog import Column, TypeParams
from nestvec.sql.bind.ddl.column_types import MAX_CAPACITY, ColumnType, bind_type, is_serial
from nestvec.sql.bind.ddl.defaults import DefaultExpression, bind_default, read_default
from nestvec.sql.bind.ddl.generated import Bm25Column, EmbedColumn, bind_generated
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import Position, SourceText, identifier_name, stray_parts
from nestvec_schemas.spec.collection_spec import FieldSpec

M = TypeVar("M", bound=BaseModel)


@dataclass
class ColumnDraft:
    """A column while its definition is being read."""

    name: str
    node: exp.ColumnDef
    type: ColumnType
    type_position: int
    """The offset of the type in the statement."""
    primary: bool = False
    auto_id: bool = False
    nullable: bool | None = None
    """None if the definition has neither NULL nor NOT NULL."""
    default: bool | int | float | str | DefaultExpression | None = None
    function: EmbedColumn | Bm25Column | None = None
    partition_key: bool = False

    @property
    def column(self) -> Column:
        """The column as values are converted for it."""
        type_ = self.type
        params = TypeParams(
            type_.length,
            type_.dim,
            type_.element,
            MAX_CAPACITY if type_.element else None,
            sql_type="" if type_.sql is None else str(type_.sql),
        )
        nullable = self.nullable is not False
        return Column(self.name, type_.name, params, primary=self.primary, nullable=nullable)


def bind_column(scope: Scope, node: exp.ColumnDef) -> ColumnDraft:
    """Bind one column. Raises SqlError."""
    source = scope.source
    type_position = next_token_start(source, node.this)
    if node.args.get("kind") is None:
        raise source.syntax_error(
            f"column {identifier_name(node.this)} has no type", node, "Write the type after the name."
        )
    kind = node.args["kind"]
    draft = ColumnDraft(
        identifier_name(node.this), node, bind_type(source, kind, type_position), type_position
    )
    draft.auto_id = is_serial(kind)
    for constraint in node.args.get("constraints") or ():
        binder = _CONSTRAINTS.get(type(constraint.kind))
        if binder is None:
            raise source.not_supported(
                f"{constraint_name(constraint.kind)} on a column",
                constraint.kind
                if any(part.meta.get("start") is not None for part in constraint.walk())
                else type_position,
                "Milvus only checks types, NOT NULL and keys.",
            )
        binder(scope, draft, constraint.kind)
    return draft


def settle_default(scope: Scope, draft: ColumnDraft) -> None:
    """Have Milvus hold the default of a column whose keys are known, if it can. Raises SqlError."""
    if isinstance(draft.default, DefaultExpression):
        draft.default = bind_default(scope, draft.column, draft.default)


def next_token_start(source: SourceText, node: exp.Expr) -> int:
    """The offset of the token after a node of one token."""
    start = source.position(node) or 0
    return next((token.start for token in source.tokens if token.start > start), start)


def _primary(scope: Scope, draft: ColumnDraft, node: exp.Expr) -> None:
    draft.primary = True


def _null(scope: Scope, draft: ColumnDraft, node: exp.Expr) -> None:
    draft.nullable = bool(node.args.get("allow_null"))


def _default(scope: Scope, draft: ColumnDraft, node: exp.Expr) -> None:
    if draft.default is not None:
        raise scope.source.syntax_error(f"column {draft.name} has two defaults", node, "Remove one of them.")
    draft.default = read_default(scope.source, node.this, draft.type_position)


def _generated(scope: Scope, draft: ColumnDraft, node: exp.Expr) -> None:
    if node.args.get("expression") is not None:
        draft.function = bind_generated(scope, node.args["expression"])
        return
    if stray_parts(node, ("this",)):
        raise scope.source.not_supported("IDENTITY options", draft.type_position, "Milvus assigns the ids.")
    draft.auto_id = True


def _computed(scope: Scope, draft: ColumnDraft, node: exp.Expr) -> None:
    draft.function = bind_generated(scope, node.this)


def constraint_name(node: exp.Expr) -> str:
    """The name of a constraint in SQL."""
    if isinstance(node, exp.Reference):
        return "REFERENCES"
    name = type(node).__name__.removesuffix("ColumnConstraint").removesuffix("Constraint")
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", name).upper()


def field_spec(source: SourceText, draft: ColumnDraft) -> FieldSpec:
    """The spec of a scalar column, nullable unless it is NOT NULL or has a default."""
    default = None if isinstance(draft.default, DefaultExpression) else draft.default
    values: dict[str, Any] = {
        "type": draft.type.name,
        "primary": draft.primary,
        "auto_id": draft.auto_id,
        "nullable": draft.nullable is not False and default is None,
        "partition_key": draft.partition_key,
        "default": default,
        "max_length": draft.type.length,
        "element_type": draft.type.element,
        "max_capacity": MAX_CAPACITY if draft.type.element else None,
        "sql_type": "" if draft.type.sql is None else str(draft.type.sql),
    }
    return validate_model(source, draft.node, FieldSpec, values)


def validate_model(source: SourceText, position: Position, model: type[M], values: Mapping[str, Any]) -> M:
    """A part of a spec. Raises SqlTypeMismatch at ``position`` for values that its model rejects."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "a value"
        raise source.type_mismatch(
            f"invalid value for {name}", str(first["input"])[:60], position, f"{first['msg']}."
        ) from error


_CONSTRAINTS: dict[type[exp.Expr], Callable[[Scope, ColumnDraft, exp.Expr], None]] = {
    exp.PrimaryKeyColumnConstraint: _primary,
    exp.NotNullColumnConstraint: _null,
    exp.DefaultColumnConstraint: _default,
    exp.GeneratedAsIdentityColumnConstraint: _generated,
    exp.ComputedColumnConstraint: _computed,
}
