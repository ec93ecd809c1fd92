"""ON CONFLICT: what becomes of a row whose id is there already."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from nestvec.ingest.row_schema import RowSchema
from nestvec.sql.bind.dml.literals import bind_value, fit_value, writable_column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import identifier_name, stray_parts

_WRITE = "Write ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, or ON CONFLICT DO NOTHING."


@dataclass(frozen=True)
class OnConflict:
    """DO UPDATE SET ``columns``: each from a column of the new row, or a constant; none: DO NOTHING."""

    node: exp.Expr
    copied: dict[str, str] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.copied, *self.constants)

    def row(self, key: str, row: dict[str, object]) -> dict[str, object]:
        """What is written over the row that is there, where ``row`` was to be inserted."""
        return {
            key: row[key],
            **{name: row.get(of) for name, of in self.copied.items()},
            **self.constants,
        }


def bind_conflict(scope: Scope, shape: RowSchema, node: exp.Expr | None) -> OnConflict | None:
    """Bind an ON CONFLICT; None where there is none. Raises SqlError."""
    if node is None:
        return None
    source, key = scope.source, scope.table.primary.name
    for part in stray_parts(node, ("conflict_keys", "action", "expressions")):
        where = node.args[part]
        raise source.not_supported(
            f"{part.replace('_', ' ').upper()} in ON CONFLICT",
            where if isinstance(where, exp.Expr) else node,
            _WRITE,
        )
    for assignment in node.args.get("conflict_keys") or ():
        inner = assignment.this if isinstance(assignment, exp.Ordered) else assignment
        identifier = inner.this if isinstance(inner, exp.Column) else inner
        if not isinstance(identifier, exp.Identifier) or key not in (
            identifier_name(identifier),
            str(identifier.this),
        ):
            raise source.not_supported(
                "ON CONFLICT of anything but the primary key", inner, f"Write ON CONFLICT ({key})."
            )
    if str(node.args["action"].name).upper() != "DO UPDATE":
        return OnConflict(node)
    copied, constants = dict[str, str](), dict[str, object]()
    for assignment in node.expressions:
        if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column):
            raise source.not_supported("this SET", assignment, _WRITE)
        column = writable_column(scope, assignment.this.this)
        if column is None or column.primary:
            raise source.not_supported(
                "SET of the primary key or a dynamic field", assignment.this, "Leave it out."
            )
        if column.name in copied or column.name in constants:
            raise source.syntax_error(f"column {column.name} is there twice", assignment.this, "Remove one.")
        value = assignment.args["expression"]
        if (
            isinstance(value, exp.Column)
            and identifier_name(value.args.get("table") or exp.Identifier(this="")) == "excluded"
        ):
            source_column = writable_column(scope, value.this)
            if source_column is None or source_column.type != column.type:
                raise source.type_mismatch(
                    f"column {column.name} is {column.type}",
                    source_column.type if source_column else "dynamic",
                    value,
                    _WRITE,
                )
            copied[column.name] = source_column.name
        else:
            bound = bind_value(scope, value, column)
            constants[column.name] = fit_value(scope, shape, bound, column, value)
    return OnConflict(node, copied, constants)
