"""Names in a tree: which nodes are base tables, and identifiers as PostgreSQL folds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlglot import exp

from nestvec.sql.bind.select_list import (
    ambiguous_output,
    check_no_row_value,
    distinct_name,
    output_label,
    output_name,
)
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts, without_parens

FILE_FUNCTIONS = ("READ_PARQUET", "READ_CSV", "READ_CSV_AUTO", "READ_JSON", "READ_JSON_AUTO", "PARQUET_SCAN")
"""Functions in FROM that read a file."""


RENAMED = "renamed_columns"
"""The key of a query's meta that says that it is a table whose columns have other names."""


def base_tables(tree: exp.Expr) -> Iterator[exp.Table]:
    """The nodes in FROM that name a stored table, not a common table expression."""
    for node in tree.find_all(exp.Table):
        if isinstance(node.this, exp.Identifier) and _named_cte(node) is None:
            yield node


def resolve_ctes(source: SourceText, tree: exp.Expr) -> None:
    """Give common table expressions that share their name with another, or with a stored table, other names.

    ``WITH papers AS (SELECT … FROM papers)`` reads the collection, and ``public.papers`` does everywhere.
    The tree is changed. Raises SqlSyntaxError for two of one name and for recursion without UNION,
    SqlNotSupported for one that is read before it.
    """
    _check_names(source, tree)
    references: dict[int, list[exp.Table]] = {}
    expressions = list(tree.find_all(exp.CTE))
    uses = Counter(identifier_name(cte.args["alias"].this) for cte in expressions)
    stored = set()
    for node in tree.find_all(exp.Table):
        read = _named_cte(node)
        if read is not None:
            _check_recursion(source, node, read)
            references.setdefault(id(read), []).append(node)
        elif isinstance(node.this, exp.Identifier):
            stored.add(identifier_name(node.this))
    uses.update(stored)
    shared = [cte for cte in expressions if uses[identifier_name(cte.args["alias"].this)] > 1]
    for number, cte in enumerate(shared):
        name = identifier_name(cte.args["alias"].this)
        unique = exp.to_identifier(f"cte_{number}_{name}", quoted=True)
        for node in references.get(id(cte), ()):
            if node.args.get("alias") is None:
                node.set("alias", exp.TableAlias(this=node.this.copy()))
            identifier = unique.copy()
            identifier.meta.update(node.this.meta)
            node.set("this", identifier)
        cte.args["alias"].set("this", unique)


def _check_names(source: SourceText, tree: exp.Expr) -> None:
    for with_ in tree.find_all(exp.With):
        names = set()
        for cte in with_.expressions:
            name = identifier_name(cte.args["alias"].this)
            if name in names:
                raise source.syntax_error(f"WITH names {name} twice", cte.args["alias"], "Rename one.")
            names.add(name)


def _check_recursion(source: SourceText, node: exp.Table, read: exp.CTE) -> None:
    """Raise for recursion that PostgreSQL does not have: ``node`` is a table that ``read`` is."""
    enclosing = node.find_ancestor(exp.CTE)
    while enclosing is not None:
        if enclosing is read and not isinstance(read.this.unnest(), exp.SetOperation):
            raise source.syntax_error(
                "a recursive query needs UNION", node, "Write the first rows UNION [ALL] the next ones."
            )
        if enclosing.parent is read.parent and (enclosing.index or 0) < (read.index or 0):
            raise source.not_supported(
                "reading a common table expression before it", node, "Write it first in WITH."
            )
        enclosing = enclosing.find_ancestor(exp.CTE)


def file_tables(tree: exp.Expr) -> Iterator[exp.Table]:
    """The nodes in FROM that call a function of ``FILE_FUNCTIONS``."""
    for node in tree.find_all(exp.Table):
        if isinstance(node.this, exp.Func) and function_label(node.this) in FILE_FUNCTIONS:
            yield node


def function_label(node: exp.Expr) -> str:
    """The name of a function in upper case."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).upper()
    return node.sql_name() if isinstance(node, exp.Func) else ""


def _named_cte(node: exp.Table) -> exp.CTE | None:
    """The common table expression of a query around it that an entry of FROM names; None if it is no such."""
    if not isinstance(node.this, exp.Identifier) or node.args.get("db") is not None:
        return None
    name = identifier_name(node.this)
    child: exp.Expr = node
    ancestor = node.parent
    while ancestor is not None:
        with_ = ancestor if isinstance(ancestor, exp.With) else ancestor.args.get("with_")
        if isinstance(with_, exp.With) and with_ is not child:
            for cte in with_.expressions:
                if cte is child and not with_.args.get("recursive"):
                    # A query without RECURSIVE sees only those before it.
                    break
                if isinstance(cte, exp.CTE) and identifier_name(cte.args["alias"].this) == name:
                    return cte
        child, ancestor = ancestor, ancestor.parent
    return None


def fold_identifiers(tree: exp.Expr, column_names: Collection[str]) -> None:
    """Quote every identifier as PostgreSQL folds it, or as the catalog spells a column in mixed case."""
    for identifier in tree.find_all(exp.Identifier):
        if identifier.args.get("quoted") or isinstance(identifier.parent, (exp.DataType, exp.Dot)):
            continue
        original = str(identifier.this)
        lower = original.lower()
        identifier.set("this", original if lower not in column_names and original in column_names else lower)
        identifier.set("quoted", True)


def rename_columns(source: SourceText, node: exp.Table, columns: Collection[str]) -> None:
    """``t AS x (a, b)``: a table whose first columns have other names is a query of it.

    Raises SqlSyntaxError for more names than columns, for anything but names, and without the x.
    """
    alias = node.args.get("alias")
    names = [] if alias is None else alias.args.get("columns") or []
    if alias is None or not names:
        return
    if alias.this is None or not all(isinstance(name, exp.Identifier) for name in names):
        raise source.syntax_error("an alias of a table is no name", node, "Write t AS x, or t AS x (a, b).")
    if len(names) > len(columns):
        raise source.syntax_error(
            f"{len(names)} names are for {len(columns)} columns", names[len(columns)], "Omit some."
        )
    table = exp.Table(this=node.this.copy())
    labels = [*names, *(exp.to_identifier(name, quoted=True) for name in list(columns)[len(names) :])]
    items = [
        exp.alias_(exp.column(column, quoted=True), name.copy())
        for column, name in zip(columns, labels, strict=False)
    ]
    query = exp.Subquery(this=exp.Select(expressions=items, from_=exp.From(this=table)))
    query.set("alias", exp.TableAlias(this=alias.this.copy()))
    query.set("joins", node.args.get("joins"))
    query.meta[RENAMED] = True
    node.replace(query)


def flatten_joins(source: SourceText, tree: exp.Expr) -> None:
    """``FROM (a JOIN b ON …) JOIN c`` without its parentheses, which change nothing there.

    Raises SqlNotSupported for a join in parentheses elsewhere, and for one with an alias.
    """
    for select in list(tree.find_all(exp.Select)):
        from_ = select.args.get("from_")
        while from_ is not None and _is_join(from_.this) and from_.this.args.get("alias") is None:
            group = from_.this
            first, joins = group.this, group.args.get("joins") or []
            joins = [*(first.args.get("joins") or ()), *joins, *(select.args.get("joins") or ())]
            first.set("joins", None)
            from_.set("this", first)
            select.set("joins", joins)
        for entry in from_entries(select):
            if _is_join(entry):
                raise source.not_supported(
                    "a join in parentheses behind another entry of FROM, or with an alias",
                    entry,
                    "Write it first, without an alias.",
                )


def _is_join(entry: exp.Expr) -> bool:
    return isinstance(entry, exp.Subquery) and isinstance(entry.this, (exp.Table, exp.Subquery))


def drop_schemas(source: SourceText, tree: exp.Expr, tables: Collection[int]) -> None:
    """``public.papers.title`` of the collection in FROM, also beside a common table expression of its name.

    ``tables`` are the ids of the nodes that name collections. Raises SqlUnknownName for another entry's name.
    """
    for column in tree.find_all(exp.Column):
        schema = column.args.get("db")
        if schema is None or column.args.get("catalog") is not None or identifier_name(schema) != "public":
            continue
        name, select = identifier_name(column.args["table"]), column.find_ancestor(exp.Select)
        named: list[exp.Expr] = []
        while select is not None:
            named += [entry for entry in from_entries(select) if _label(entry) == name]
            select = select.find_ancestor(exp.Select)
        matches = [id(entry) in tables and entry.args.get("alias") is None for entry in named]
        if not any(matches):
            raise source.unknown_name(
                "FROM has no collection of this name", f"public.{name}", column, "Write TABLE.COLUMN."
            )
        if not matches[0]:
            raise source.not_supported(
                f"public.{name} inside of a query with another {name}", column, "Write aliases in FROM."
            )
        column.set("db", None)


def _label(entry: exp.Expr) -> str:
    """The name of an entry of FROM, folded."""
    alias = entry.args.get("alias")
    name = alias.this if alias is not None else entry.this
    return identifier_name(name) if isinstance(name, exp.Identifier) else ""


def is_whole_key(column: exp.Column) -> bool:
    """Whether a name is a whole key of ORDER BY, GROUP BY or DISTINCT ON: only such a one may be an alias."""
    parent = column.parent
    while isinstance(parent, (exp.Paren, exp.Tuple, exp.Rollup, exp.Cube, exp.GroupingSets)):
        parent = parent.parent
    return isinstance(parent, (exp.Ordered, exp.Group, exp.Distinct))


def name_outputs(source: SourceText, tree: exp.Expr) -> None:
    """Give every expression of a select list the name that PostgreSQL derives for it.

    Raises SqlNotSupported for ``(t.*)``, which DuckDB would expand.
    """
    for select in tree.find_all(exp.Select):
        used: set[str] = set()
        for position, item in enumerate(select.expressions):
            check_no_row_value(source, item)
            if item.is_star:
                continue
            bare = without_parens(item)
            named = isinstance(item, exp.Alias) or isinstance(bare, exp.Column)
            name = item.alias_or_name if named else _derived_name(source, bare)
            unique = distinct_name(name, used)
            used.add(unique)
            if named and unique == name:
                continue
            value = item.this if isinstance(item, exp.Alias) else item
            select.expressions[position].replace(exp.alias_(value.copy(), unique, quoted=True))


def _derived_name(source: SourceText, node: exp.Expr) -> str:
    while isinstance(node, (exp.Filter, exp.Window, exp.WithinGroup, exp.Paren)):
        node = node.this
    return output_name(source, node)


def ordered_names(tree: exp.Expr) -> list[tuple[exp.Query, exp.Column]]:
    """The keys of ORDER BY that are no more than a name, each with its query."""
    keys: list[tuple[exp.Query, exp.Column]] = []
    for query in tree.find_all(exp.Query):
        order = query.args.get("order")
        for ordered in order.expressions if isinstance(order, exp.Order) else ():
            key = without_parens(ordered.this)
            if isinstance(key, exp.Column) and not key.table and isinstance(key.this, exp.Identifier):
                keys.append((query, key))
    return keys


def check_ambiguous_keys(source: SourceText, keys: Collection[tuple[exp.Query, exp.Column]]) -> None:
    """Raise SqlSyntaxError for a key of ORDER BY that names several different columns of its result."""
    for query, key in keys:
        outputs = [item for item in query.selects if output_label(item.alias_or_name) == key.name]
        values = {item.unalias() for item in outputs}
        if len(values) > 1 or (len(outputs) > 1 and not isinstance(query, exp.Select)):
            raise ambiguous_output(source, key, key.name, "ORDER BY")


def expand_joined_stars(tree: exp.Expr, schemas: Mapping[str, Sequence[str]]) -> None:
    """Write ``*`` in a query of FROM as the columns of the tables it joins: some have the same name.

    NATURAL joins are written with the columns by which they join.
    """
    _name_natural_keys(tree, schemas)
    for select in tree.find_all(exp.Select):
        entries = from_entries(select)
        joins = select.args.get("joins") or ()
        if len(entries) < 2 or select.parent is None or any(join.args.get("using") for join in joins):
            continue
        if any(not isinstance(entry, exp.Table) or entry.name not in schemas for entry in entries):
            continue
        for item in list(select.expressions):
            if not isinstance(item, exp.Star) or stray_parts(item, ()) or any(j.method for j in joins):
                continue
            columns = [
                exp.column(name, table=entry.alias_or_name, quoted=True)
                for entry in entries
                for name in schemas[entry.name]
            ]
            at = select.expressions.index(item)
            select.set("expressions", [*select.expressions[:at], *columns, *select.expressions[at + 1 :]])


def has_natural_joins(tree: exp.Expr) -> bool:
    """Whether the keys of a join are what its sides have in common."""
    return any(join.method == "NATURAL" for join in tree.find_all(exp.Join))


def _name_natural_keys(tree: exp.Expr, schemas: Mapping[str, Sequence[str]]) -> None:
    """Write NATURAL joins of tables with USING, and as CROSS joins where they have no column in common."""
    for select in tree.find_all(exp.Select):
        joins = select.args.get("joins") or ()
        entries = from_entries(select)
        if any(not isinstance(entry, exp.Table) or entry.name not in schemas for entry in entries):
            continue
        first = 0
        for at, join in enumerate(joins, 1):
            if not any(join.args.get(part) for part in ("on", "using", "method", "side", "kind")):
                first = at
            if join.method != "NATURAL":
                continue
            left = dict.fromkeys(name for entry in entries[first:at] for name in schemas[entry.name])
            keys = [name for name in left if name in schemas[join.this.name]]
            join.set("method", None)
            if keys:
                join.set("using", [exp.to_identifier(name, quoted=True) for name in keys])
            elif join.side:
                join.set("on", exp.true())
            else:
                join.set("kind", "CROSS")


def separate_cases(tree: exp.Expr, stored: Collection[str]) -> str | None:
    """Rename identifiers that differ in case alone, which DuckDB takes for one; ``stored`` names stay.

    Returns a stored name for which that is impossible, or None.
    """
    spellings: dict[str, dict[str, None]] = {}
    identifiers = list(tree.find_all(exp.Identifier))
    identifiers = [node for node in identifiers if not isinstance(node.parent, (exp.DataType, exp.Collate))]
    for identifier in identifiers:
        spellings.setdefault(identifier.name.lower(), {})[identifier.name] = None
    renamed: dict[str, str] = {}
    for lower, names in spellings.items():
        chosen = [name for name in names if name in stored] or [next(iter(names))]
        if len(chosen) > 1:
            return chosen[0]
        for number, name in enumerate((name for name in names if name != chosen[0]), 2):
            unused = f"{lower}__{number}"
            while unused in spellings:
                unused += "_"
            renamed[name] = unused
    for identifier in identifiers:
        if identifier.name in renamed:
            identifier.set("this", renamed[identifier.name])
    return None


def source_node(column: exp.Column) -> exp.Expr | None:
    """The entry of FROM that a qualified column belongs to; None if there is none."""
    alias, ancestor = column.table, column.parent
    while ancestor is not None:
        if isinstance(ancestor, exp.Select):
            for entry in from_entries(ancestor):
                if entry.alias_or_name == alias:
                    return entry
        ancestor = ancestor.parent
    return None


def from_entries(select: exp.Select) -> list[exp.Expr]:
    """What FROM and JOIN name."""
    from_ = select.args.get("from_")
    entries = [from_.this] if from_ is not None else []
    entries += [join.this for join in select.args.get("joins") or ()]
    return entries + list(select.args.get("laterals") or ())
