"""Functions of PostgreSQL in FROM that return rows of JSON or texts: each is the unnesting of an array."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.relational.names import function_label
from nestvec.sql.relational.rewrites.nodes import call

_COLUMNS: Final = {
    "JSONB_ARRAY_ELEMENTS": "value",
    "JSON_ARRAY_ELEMENTS": "value",
    "JSONB_ARRAY_ELEMENTS_TEXT": "value",
    "JSON_ARRAY_ELEMENTS_TEXT": "value",
    "JSONB_OBJECT_KEYS": "",
    "JSON_OBJECT_KEYS": "",
    "STRING_TO_TABLE": "",
    "REGEXP_SPLIT_TO_TABLE": "",
    "REGEXP_MATCHES": "",
    "GENERATE_SUBSCRIPTS": "",
    "JSONB_PATH_QUERY": "",
}
"""Functions of one column, with its name; empty for that of the alias or the function."""

_PAIRS: Final = {
    "JSONB_EACH": "JSONB_EACH_VALUES",
    "JSONB_EACH_TEXT": "JSONB_EACH_TEXTS",
    "JSON_EACH": "JSON_EACH_VALUES",
    "JSON_EACH_TEXT": "JSON_EACH_TEXTS",
}
"""Functions of keys and values, with the name of the rule for the values."""


_RECORDS: Final = ("JSONB_TO_RECORD", "JSON_TO_RECORD", "JSONB_TO_RECORDSET", "JSON_TO_RECORDSET")
"""Functions whose columns the statement names, with their types."""
_GROUPED: Final = "grouped_rows"
_DOCUMENTS: Final = (exp.DType.JSON, exp.DType.JSONB)
_FIELD_TYPES: Final = {
    *exp.DataType.INTEGER_TYPES, exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.DECIMAL, exp.DType.BOOLEAN,
    exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.DATE, exp.DType.TIME, exp.DType.TIMESTAMP,
    exp.DType.TIMESTAMPTZ, exp.DType.INTERVAL, exp.DType.UUID, exp.DType.JSON, exp.DType.JSONB,
}  # fmt: skip
"""Types of such columns."""


def expand_table_functions(source: SourceText, tree: exp.Expr, columns: Collection[str]) -> None:
    """Replace the functions in FROM, and references to their rows; ``columns`` are the names of all tables.

    Raises SqlNotSupported for WITH ORDINALITY of keys and values.
    """
    _join_grouped(tree, columns)
    _expand_unnested(source, tree)
    for node in list(tree.find_all(exp.Table, exp.Lateral)):
        name = function_label(node.this)
        if name in _RECORDS:
            node.replace(_records(source, node, name.lower()))
            continue
        if name not in _COLUMNS and name not in _PAIRS:
            continue
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name.lower()))
        if not isinstance(alias.this, exp.Identifier):
            alias.set("this", exp.to_identifier(name.lower()))
        if name in _PAIRS:
            if node.args.get("ordinality"):
                raise source.not_supported(
                    f"WITH ORDINALITY of {name.lower()}()", node.this, "Write row_number()."
                )
            node.replace(_pairs(node.this, _PAIRS[name], alias))
            continue
        if not alias.args.get("columns"):
            if _COLUMNS[name]:
                _use_column(node, alias, _COLUMNS[name], columns)
            names = [_COLUMNS[name] or alias.this.name]
            alias.set("columns", [exp.to_identifier(each) for each in names])
        node.replace(_unnested(node, alias))


def _join_grouped(tree: exp.Expr, columns: Collection[str]) -> None:
    """``SELECT unnest(a) AS x … GROUP BY x`` unnests before it groups: the rows are joined in FROM."""
    for select in tree.find_all(exp.Select):
        group, items = select.args.get("group"), select.expressions
        calls = [item for item in items if _gives_rows(item.unalias())]
        if group is None or select.args.get("from_") is None or len(calls) != 1:
            continue
        item, rows = calls[0], calls[0].unalias()
        name = "unnest" if isinstance(rows, exp.Explode) else function_label(rows).lower()
        label = item.args.get("alias") or exp.to_identifier(name)
        place = exp.Literal.number(items.index(item) + 1)
        if not any(key in (rows, place) or _is_output(key, label, columns) for key in group.expressions):
            continue
        column = exp.column(_GROUPED, table=_GROUPED, quoted=True)
        select.append("joins", exp.Join(this=_joined(rows)))
        for part in filter(None, (group, select.args.get("order"))):
            for same in [node for node in part.find_all(type(rows)) if node == rows]:
                same.replace(column.copy())
        item.replace(exp.alias_(column, label))


def _gives_rows(node: exp.Expr) -> bool:
    return isinstance(node, exp.Explode) or function_label(node) in _COLUMNS


def _joined(rows: exp.Expr) -> exp.Expr:
    """A call that gives rows as an entry of FROM."""
    name = exp.to_identifier(_GROUPED, quoted=True)
    if isinstance(rows, exp.Explode):
        return exp.Unnest(expressions=[rows.this.copy()], alias=exp.TableAlias(this=name))
    return exp.Table(this=rows.copy(), alias=exp.TableAlias(this=name, columns=[name.copy()]))


def _is_output(key: exp.Expr, label: exp.Identifier, columns: Collection[str]) -> bool:
    """Whether a key of GROUP BY is the name of a result's column, which a column of a table comes before."""
    name = identifier_name(label)
    is_name = isinstance(key, exp.Column) and not key.table and isinstance(key.this, exp.Identifier)
    return is_name and identifier_name(key.this) == name and name not in columns


def _expand_unnested(source: SourceText, tree: exp.Expr) -> None:
    """``LATERAL unnest(a)`` is ``unnest(a)``; of several arrays each is a column."""
    for node in list(tree.find_all(exp.Unnest)):
        entry = node.parent if isinstance(node.parent, exp.Lateral) else node
        alias = (entry.args.get("alias") or exp.TableAlias()).copy()
        offset = node.args.get("offset")
        if len(node.expressions) > 1:
            _check_no_row(source, node, alias)
            entry.replace(_side_by_side(node.expressions, alias, offset))
        elif entry is not node:
            if offset is True and len(alias.args.get("columns") or ()) > 1:
                offset = alias.args["columns"].pop()
            entry.replace(exp.Unnest(expressions=node.expressions, alias=alias, offset=offset))


def _check_no_row(source: SourceText, node: exp.Expr, alias: exp.TableAlias) -> None:
    """Raise SqlNotSupported for ``SELECT u FROM unnest(a, b) AS u``: DuckDB would give a STRUCT."""
    select, names = node.find_ancestor(exp.Select), alias.args.get("columns") or ()
    table = identifier_name(alias.this) if alias.this is not None else "unnest"
    if select is None or table in map(identifier_name, names):
        return
    for column in select.find_all(exp.Column):
        is_row = not column.table and isinstance(column.this, exp.Identifier)
        if len(names) >= len(node.expressions) and isinstance(column.parent, exp.Func):
            # to_jsonb(u) has the names of its columns.
            continue
        if is_row and identifier_name(column.this) == table:
            raise source.not_supported("a row as one value", column, "Name the columns: u(a, b).")


def _side_by_side(arrays: list[exp.Expr], alias: exp.TableAlias, offset: Any) -> exp.Lateral:
    """``unnest(a, b) AS t(x, y)``: as many rows as the longest array has, filled with NULL."""
    selected: list[exp.Expr] = [exp.Explode(this=array.copy()) for array in arrays]
    names = [each.copy() for each in alias.args.get("columns") or ()]
    place = names.pop() if offset is True and len(names) > len(arrays) else offset
    names += [exp.to_identifier("unnest") for _ in selected[len(names) :]]
    if place:
        lengths = [exp.func("coalesce", call("len", array), exp.Literal.number(0)) for array in arrays]
        longest = exp.Greatest(this=lengths[0], expressions=lengths[1:])
        places = call("generate_series", exp.Literal.number(1), longest)
        selected.append(exp.cast(exp.Explode(this=places), "bigint"))
        names.append(exp.to_identifier("ordinality") if place is True else place.copy())
    items = [exp.alias_(each, name) for each, name in zip(selected, names, strict=True)]
    table = alias.this.copy() if alias.this is not None else exp.to_identifier("unnest")
    query = exp.Subquery(this=exp.Select(expressions=items))
    return exp.Lateral(this=query, alias=exp.TableAlias(this=table))


def _unnested(node: exp.Expr, alias: exp.TableAlias) -> exp.Unnest:
    unnest = exp.Unnest(expressions=[node.this.copy()], alias=alias.copy())
    if node.args.get("ordinality"):
        names = unnest.args["alias"].args["columns"]
        unnest.set("offset", names.pop() if len(names) > 1 else exp.to_identifier("ordinality"))
    return unnest


def _pairs(function: exp.Expr, values: str, alias: exp.TableAlias) -> exp.Lateral:
    names = [each.copy() for each in alias.args.get("columns") or ()]
    names += [exp.to_identifier(each) for each in ("key", "value")[len(names) :]]
    of_values = exp.Anonymous(this=values, expressions=[part.copy() for part in function.expressions])
    selected = [
        exp.alias_(exp.Explode(this=each), name.copy())
        for each, name in zip((function.copy(), of_values), names, strict=True)
    ]
    query = exp.Subquery(this=exp.Select(expressions=selected))
    return exp.Lateral(this=query, alias=exp.TableAlias(this=alias.this.copy()))


def _records(source: SourceText, node: exp.Expr, name: str) -> exp.Lateral:
    """``jsonb_to_recordset(document) AS x(a INT, b TEXT)``: a column for each key that is named."""
    alias = node.args.get("alias") or exp.TableAlias()
    columns = alias.args.get("columns") or []
    if not columns or not all(isinstance(column, exp.ColumnDef) and column.kind for column in columns):
        raise source.syntax_error(
            f"{name}() has no list of columns", node.this, f"Write FROM {name}(…) AS x(a INT, b TEXT)."
        )
    if node.args.get("ordinality"):
        raise source.not_supported(f"WITH ORDINALITY of {name}()", node.this, "Write row_number().")
    document = node.this.expressions[0]
    if not name.endswith("set") and not isinstance(document, exp.Literal):
        # Of no document there is a row, too, as of one without keys.
        document = exp.Coalesce(
            this=document.copy(), expressions=[exp.cast(exp.Literal.string("{}"), "jsonb")]
        )
    selected = []
    for column in columns:
        type_, key = column.kind, identifier_name(column.this)
        if type_.this not in _FIELD_TYPES or (type_.expressions and type_.this == exp.DType.VARCHAR):
            raise source.not_supported(
                f"a column of type {type_.sql('postgres')} of {name}()", node.this, "Write TEXT, and cast it."
            )
        called = "JSONB_FIELD_DOCUMENTS" if type_.this in _DOCUMENTS else "JSONB_FIELD_TEXTS"
        values = exp.Anonymous(
            this=called,
            expressions=[document.copy(), *map(exp.Literal.string, (key, name))],
        )
        selected.append(exp.alias_(exp.cast(exp.Explode(this=values), type_.copy()), key, quoted=True))
    query = exp.Subquery(this=exp.Select(expressions=selected))
    table = alias.this.copy() if alias.this is not None else exp.to_identifier(name, quoted=True)
    return exp.Lateral(this=query, alias=exp.TableAlias(this=table))


def _use_column(node: exp.Expr, alias: exp.TableAlias, column: str, columns: Collection[str]) -> None:
    """``SELECT e FROM jsonb_array_elements(…) AS e`` has the values, whose column is another."""
    name = identifier_name(alias.this)
    select = node.find_ancestor(exp.Select)
    if select is None or name in columns or name == column:
        return
    for reference in list(select.find_all(exp.Column)):
        if reference.table or isinstance(reference.this, exp.Star) or reference.name != reference.this.name:
            continue
        if identifier_name(reference.this) != name:
            continue
        replaced = exp.Column(this=exp.to_identifier(column), table=alias.this.copy())
        replaced.meta.update(reference.meta)
        is_output = isinstance(reference.parent, exp.Select) and reference.arg_key == "expressions"
        reference.replace(exp.alias_(replaced, alias.this.copy()) if is_output else replaced)


def name_unnested(tree: exp.Expr) -> None:
    """The column of ``unnest(…) AS x`` is x, too."""
    for node in tree.find_all(exp.Unnest):
        alias = node.args.get("alias")
        if node.args.get("offset") is True:
            node.set("offset", exp.to_identifier("ordinality"))
            alias = alias or exp.TableAlias(this=exp.to_identifier("unnest"))
            node.set("alias", alias)
        if isinstance(alias, exp.TableAlias) and alias.this is not None and not alias.args.get("columns"):
            alias.set("columns", [alias.this.copy()])
    for series in tree.find_all(exp.ExplodingGenerateSeries):
        alias = series.parent.args.get("alias") if isinstance(series.parent, exp.Lateral) else None
        if isinstance(alias, exp.TableAlias) and alias.this is not None and not alias.args.get("columns"):
            alias.set("columns", [alias.this.copy()])


def qualify_series(tree: exp.Expr, columns: Collection[str]) -> None:
    """Qualify the values of ``generate_series(…) AS n``, whose columns sqlglot does not know.

    ``columns`` are the names of all tables; a name that anything else may have stays as it is.
    """
    in_from = list(tree.find_all(exp.ExplodingGenerateSeries))
    if not in_from:
        return
    inner = [select for node in tree.find_all(exp.Subquery, exp.CTE) for select in node.find_all(exp.Select)]
    outputs = {item.alias_or_name for select in inner for item in select.expressions} | set(columns)
    for series in in_from:
        table, select = series.parent, series.find_ancestor(exp.Select)
        if not isinstance(table, exp.Table) or select is None or not table.alias:
            continue
        alias = table.args["alias"]
        if not alias.args.get("columns"):
            alias.set("columns", [alias.this.copy()])
        labels = set(table.alias_column_names) - outputs
        for column in select.find_all(exp.Column):
            if not column.table and column.name in labels:
                column.set("table", exp.to_identifier(table.alias, quoted=True))
