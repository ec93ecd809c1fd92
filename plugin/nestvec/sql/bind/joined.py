"""The select list above LATERAL: columns of the queries, and of what is found for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from nestvec.sql.bind.expressions.expressions import Field
from nestvec.sql.bind.outputs import Output
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.source import Source, folded, stray_parts
from nestvec_schemas.errors import nearest

Sides = Mapping[str, Mapping[str, str]]
"""The columns of each side by their names, with their types."""


def key(side: str, column: str) -> str:
    """What a column of a side is called in the rows that are found."""
    return f"{side}.{column}"


def bind_joined(source: Source, select: exp.Select, sides: Sides) -> tuple[Output, ...]:
    """The answer's columns. Raises SqlUnknownName with the nearest name, SqlNotSupported for expressions."""
    found: dict[str, Output] = {}
    for node in select.expressions:
        inner = node.this if isinstance(node, exp.Alias) else node
        given = folded(node.args["alias"]) if isinstance(node, exp.Alias) else ""
        for side, column in _columns(source, inner, sides):
            name = given or column
            if name in found:
                raise source.not_supported(
                    f"a second column of the answer named {name}", node, "Rename one with AS."
                )
            found[name] = Output(name, Field(key(side, column)), sides[side][column])
    return tuple(found.values())


def _columns(source: Source, node: exp.Expr, sides: Sides) -> Iterator[tuple[str, str]]:
    star = node.this if isinstance(node, exp.Column) else node
    if isinstance(star, exp.Star):
        if stray_parts(star, ()):
            raise source.not_supported("* with more than a table's name", node, "Name the columns.")
        wanted = [_side(source, node, sides)] if node.args.get("table") else list(sides)
        yield from ((side, column) for side in wanted for column in sides[side])
        return
    if not isinstance(node, exp.Column) or stray_parts(node, ("this", "table")):
        raise source.not_supported(
            f"{words(node)} in the select list above LATERAL", node, "Work it out inside, and name it there."
        )
    name = folded(node.this)
    among = [_side(source, node, sides)] if node.args.get("table") else list(sides)
    having = [side for side in among if name in sides[side]]
    if len(having) > 1:
        raise source.unknown_name("this name is of both sides", name, node, f"Write {having[0]}.{name}.")
    if not having:
        names = [column for side in among for column in sides[side]]
        raise source.unknown_name(
            f"there is no column of this name in {' or '.join(among)}",
            name,
            node,
            f"There: {', '.join(names)}.{nearest(name, names)}",
        )
    yield having[0], name


def _side(source: Source, node: exp.Expr, sides: Sides) -> str:
    name = folded(node.args["table"])
    if name not in sides:
        raise source.unknown_name(
            "FROM has no table of this name", name, node, f"There: {', '.join(sides)}.{nearest(name, sides)}"
        )
    return name
