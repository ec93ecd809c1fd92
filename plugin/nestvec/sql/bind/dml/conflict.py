"""ON CONFLICT: what happens to a row whose id exists."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import Column
from nestvec.sql.bind.dml.defaults import with_default
from nestvec.sql.bind.dml.literals import (
    bind_value,
    check_no_star,
    fit_value,
    is_computed,
    is_default,
    writable_column,
)
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import identifier_name, stray_parts

_WRITE = "Write ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, or ON CONFLICT DO NOTHING."


@dataclass(frozen=True)
class OnConflict:
    """ON CONFLICT DO UPDATE; without columns, DO NOTHING."""

    node: exp.Expr
    copied: dict[str, str] = field(default_factory=dict)
    """The columns that are set from the new row, each with the column of EXCLUDED."""
    constants: dict[str, object] = field(default_factory=dict)
    """The columns that are set to a constant."""
    computed: dict[str, exp.Expr] = field(default_factory=dict)
    """The columns that are set to what a query computes from the stored row and the new one."""
    where: exp.Expr | None = None
    """The condition for the update."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.copied, *self.constants, *self.computed)

    @property
    def needs_query(self) -> bool:
        """Whether stored rows must be read for what is set, or whether it is."""
        return bool(self.computed) or self.where is not None

    def row(self, key: str, row: dict[str, object]) -> dict[str, object]:
        """The update of the stored row that conflicts with ``row``."""
        return {
            key: row[key],
            **{name: row.get(of) for name, of in self.copied.items()},
            **self.constants,
        }


def bind_conflict(scope: Scope, shape: RowSchema, node: exp.Expr | None) -> OnConflict | None:
    """Bind ON CONFLICT; None without it. Raises SqlError."""
    if node is None:
        return None
    source = scope.source
    for part in stray_parts(node, ("conflict_keys", "constraint", "action", "expressions", "where")):
        where = node.args[part]
        raise source.not_supported(
            f"{part.replace('_', ' ').upper()} in ON CONFLICT",
            where if isinstance(where, exp.Expr) else node,
            _WRITE,
        )
    _check_target(scope, node)
    action = node.args.get("action")
    if action is None:
        raise source.syntax_error("ON CONFLICT has no action", node, _WRITE)
    if str(action.name).upper() != "DO UPDATE":
        return OnConflict(node)
    if not node.args.get("conflict_keys") and node.args.get("constraint") is None:
        raise source.syntax_error("ON CONFLICT DO UPDATE without a target", node, _WRITE)
    copied, constants, computed = dict[str, str](), dict[str, object](), dict[str, exp.Expr]()
    for assignment in (single for each in node.expressions for single in _single(each)):
        if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column):
            raise source.not_supported("this SET", assignment, _WRITE)
        column = writable_column(scope, assignment.this.this)
        if column is None or column.primary:
            raise source.not_supported(
                "SET on the primary key or a dynamic field", assignment.this, "Omit it."
            )
        if column.name in (*copied, *constants, *computed):
            raise source.syntax_error(f"column {column.name} is set twice", assignment.this, "Remove one.")
        value = with_default(scope.table, column, assignment.args["expression"])
        check_no_star(scope, value)
        if (
            isinstance(value, exp.Column)
            and identifier_name(value.args.get("table") or exp.Identifier(this="")) == "excluded"
        ):
            source_column = writable_column(scope, value.this)
            if source_column is None:
                raise source.type_mismatch(
                    f"column {column.name} is {column.type_params.sql_type or column.type}",
                    "dynamic",
                    value,
                    "Write a constant, or EXCLUDED and a column of the table.",
                )
            if _stored_type(source_column) == _stored_type(column):
                copied[column.name] = source_column.name
            else:
                computed[column.name] = value
        elif is_computed(value) and not is_default(value):
            computed[column.name] = value
        else:
            bound = bind_value(scope, value, column)
            constants[column.name] = fit_value(scope, shape, bound, column, value)
    condition = node.args.get("where")
    return OnConflict(node, copied, constants, computed, condition.this if condition is not None else None)


def _single(assignment: exp.Expr) -> list[exp.Expr]:
    """``(a, b) = (1, 2)`` as assignments of a column each."""
    left, right = assignment.this, assignment.args.get("expression")
    is_row = isinstance(right, exp.Anonymous) and right.name.upper() == "ROW"
    if not isinstance(left, exp.Tuple) or right is None or not (is_row or isinstance(right, exp.Tuple)):
        return [assignment]
    if len(right.expressions) != len(left.expressions):
        return [assignment]
    pairs = zip(left.expressions, right.expressions, strict=True)
    return [exp.EQ(this=target, expression=value) for target, value in pairs]


def _check_target(scope: Scope, node: exp.Expr) -> None:
    key = scope.table.primary.name
    named = [*(node.args.get("conflict_keys") or ()), *filter(None, [node.args.get("constraint")])]
    if scope.table.has_row_id and named:
        raise scope.source.type_mismatch(
            "there is no unique constraint that ON CONFLICT could name: the table has no primary key",
            scope.table.name,
            named[0],
            "Omit it with DO NOTHING, or create a table with a PRIMARY KEY, and copy the rows.",
        )
    constraint = node.args.get("constraint")
    if constraint is not None and constraint.name != f"{scope.table.name}_pkey":
        raise scope.source.not_supported(
            f"ON CONFLICT ON CONSTRAINT {constraint.name[:60]}", constraint, f"Write ON CONFLICT ({key})."
        )
    for assignment in node.args.get("conflict_keys") or ():
        inner = assignment.this if isinstance(assignment, exp.Ordered) else assignment
        identifier = inner.this if isinstance(inner, exp.Column) else inner
        if not isinstance(identifier, exp.Identifier) or key not in (
            identifier_name(identifier),
            str(identifier.this),
        ):
            raise scope.source.not_supported(
                "ON CONFLICT on anything but the primary key", inner, f"Write ON CONFLICT ({key})."
            )


def _stored_type(column: Column) -> tuple[str, str, str | None]:
    """What makes the stored values of two columns mean the same."""
    return column.type, column.type_params.sql_type, column.type_params.element_type
