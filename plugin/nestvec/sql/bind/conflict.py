"""ON CONFLICT: what becomes of a row whose id is there already."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from nestvec.ingest.row_schema import Shape
from nestvec.sql.bind.literals import bind_value, fitted_value, named_column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import folded, stray_parts

_WRITE = "Write ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, or ON CONFLICT DO NOTHING."


@dataclass(frozen=True)
class Conflict:
    """DO UPDATE SET ``columns``: each from a column of the new row, or a constant; none: DO NOTHING."""

    node: exp.Expr
    taken: dict[str, str] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.taken, *self.constants)

    def row(self, key: str, row: dict[str, object]) -> dict[str, object]:
        """What is written over the row that is there, where ``row`` was to be inserted."""
        return {
            key: row[key],
            **{name: row.get(of) for name, of in self.taken.items()},
            **self.constants,
        }


def bind_conflict(scope: Scope, shape: Shape, node: exp.Expr | None) -> Conflict | None:
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
    for one in node.args.get("conflict_keys") or ():
        inner = one.this if isinstance(one, exp.Ordered) else one
        identifier = inner.this if isinstance(inner, exp.Column) else inner
        if not isinstance(identifier, exp.Identifier) or key not in (
            folded(identifier),
            str(identifier.this),
        ):
            raise source.not_supported(
                "ON CONFLICT of anything but the primary key", inner, f"Write ON CONFLICT ({key})."
            )
    if str(node.args["action"].name).upper() != "DO UPDATE":
        return Conflict(node)
    taken, constants = dict[str, str](), dict[str, object]()
    for one in node.expressions:
        if not isinstance(one, exp.EQ) or not isinstance(one.this, exp.Column):
            raise source.not_supported("this SET", one, _WRITE)
        column = named_column(scope, one.this.this)
        if column is None or column.primary:
            raise source.not_supported("SET of the primary key or a dynamic field", one.this, "Leave it out.")
        if column.name in taken or column.name in constants:
            raise source.syntax_error(f"column {column.name} is there twice", one.this, "Remove one.")
        value = one.args["expression"]
        if (
            isinstance(value, exp.Column)
            and folded(value.args.get("table") or exp.Identifier(this="")) == "excluded"
        ):
            of = named_column(scope, value.this)
            if of is None or of.type != column.type:
                raise source.type_mismatch(
                    f"column {column.name} is {column.type}", of.type if of else "dynamic", value, _WRITE
                )
            taken[column.name] = of.name
        else:
            bound = bind_value(scope, value, column)
            constants[column.name] = fitted_value(scope, shape, bound, column, value)
    return Conflict(node, taken, constants)
