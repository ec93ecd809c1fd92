"""The select list above LATERAL: columns of the queries, and of what is found for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from nestvec.sql.bind.expressions.expressions import ColumnRef
from nestvec.sql.bind.outputs import OutputColumn
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec_schemas.errors import nearest

Sides = Mapping[str, Mapping[str, str]]
"""The columns of each side by their names, with their types."""


def side_column(side: str, column: str) -> str:
    """What a column of a side is called in the rows that are found."""
    return f"{side}.{column}"


def bind_lateral_outputs(source: SourceText, select: exp.Select, sides: Sides) -> tuple[OutputColumn, ...]:
    """The answer's columns. Raises SqlUnknownName with the nearest name, SqlNotSupported for expressions."""
    outputs: dict[str, OutputColumn] = {}
    for node in select.expressions:
        inner = node.this if isinstance(node, exp.Alias) else node
        alias = identifier_name(node.args["alias"]) if isinstance(node, exp.Alias) else ""
        for side, column in _columns(source, inner, sides):
            name = alias or column
            if name in outputs:
                raise source.not_supported(
                    f"a second column of the answer named {name}", node, "Rename one with AS."
                )
            outputs[name] = OutputColumn(name, ColumnRef(side_column(side, column)), sides[side][column])
    return tuple(outputs.values())


def _columns(source: SourceText, node: exp.Expr, sides: Sides) -> Iterator[tuple[str, str]]:
    star = node.this if isinstance(node, exp.Column) else node
    if isinstance(star, exp.Star):
        if stray_parts(star, ()):
            raise source.not_supported("* with more than a table's name", node, "Name the columns.")
        selected = [_side(source, node, sides)] if node.args.get("table") else list(sides)
        yield from ((side, column) for side in selected for column in sides[side])
        return
    if not isinstance(node, exp.Column) or stray_parts(node, ("this", "table")):
        raise source.not_supported(
            f"{construct_name(node)} in the select list above LATERAL",
            node,
            "Work it out inside, and name it there.",
        )
    name = identifier_name(node.this)
    searched = [_side(source, node, sides)] if node.args.get("table") else list(sides)
    matching = [side for side in searched if name in sides[side]]
    if len(matching) > 1:
        raise source.unknown_name("this name is of both sides", name, node, f"Write {matching[0]}.{name}.")
    if not matching:
        names = [column for side in searched for column in sides[side]]
        raise source.unknown_name(
            f"there is no column of this name in {' or '.join(searched)}",
            name,
            node,
            f"There: {', '.join(names)}.{nearest(name, names)}",
        )
    yield matching[0], name


def _side(source: SourceText, node: exp.Expr, sides: Sides) -> str:
    name = identifier_name(node.args["table"])
    if name not in sides:
        raise source.unknown_name(
            "FROM has no table of this name", name, node, f"There: {', '.join(sides)}.{nearest(name, sides)}"
        )
    return name
