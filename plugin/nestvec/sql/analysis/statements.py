"""Types of the expressions of a statement: its queries, the columns of what they read, and its writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.analysis.column_types import column_oid
from nestvec.sql.analysis.expressions import Expressions
from nestvec.sql.analysis.nodes import type_name
from nestvec.sql.analysis.signatures import UNKNOWN, UNTYPED, VECTORS, common_type
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import first_select, identifier_name

Columns = Mapping[str, str]
"""The types of the columns of a relation, by their names."""


class Statements(Expressions):
    """The types of the expressions of statements on these tables."""

    def __init__(self, tables: Iterable[Table], declared: Sequence[int] = (), *, strict: bool = True) -> None:
        super().__init__(declared, strict=strict)
        self._tables = tuple(tables)
        self._scopes = list[dict[str, Columns]]()
        self._named_queries = list[dict[str, Columns]]()
        self._written: Sequence[str] = ()
        """The columns of an INSERT."""

    def column_type(self, name: str) -> str:
        """The type of a column that no relation of FROM is known to have: of any table of the statement."""
        columns = (table.column(name) for table in self._tables)
        column = next((column for column in columns if column is not None), None)
        return UNTYPED if column is None else type_name(column_oid(column))

    def of_column(self, node: exp.Column) -> str:
        name = identifier_name(node.this) if isinstance(node.this, exp.Identifier) else ""
        label = identifier_name(node.args["table"]) if node.args.get("table") is not None else ""
        for scope in reversed(self._scopes):
            relations = [scope[label]] if label in scope else [] if label else list(scope.values())
            for columns in relations:
                if name in columns:
                    return columns[name]
        return self.column_type(name)

    def of_query(self, node: exp.Expr) -> str:
        columns = list(self._query(node).values())
        return columns[0] if columns else UNTYPED

    def of_distance(self, node: VectorDistance) -> str:
        """Beside a column that the service embeds, a text; beside another one, a vector."""
        for side, other in ((node.this, node.expression), (node.expression, node.this)):
            if isinstance(other, exp.Column) and self._is_generated(other) and self.type_of(side) == UNKNOWN:
                self.coerce(side, "text")
                return "float8"
        types = [self.type_of(node.this), self.type_of(node.expression)]
        kind = next((type_ for type_ in types if type_ in VECTORS), "vector")
        for side, type_ in zip((node.this, node.expression), types, strict=True):
            if type_ == UNKNOWN:
                self.coerce(side, kind)
        return "float8"

    def _is_generated(self, column: exp.Column) -> bool:
        name = identifier_name(column.this) if isinstance(column.this, exp.Identifier) else ""
        return any(name in table.generated for table in self._tables)

    def statement(self, tree: exp.Expr) -> None:
        """The types of a whole statement."""
        if isinstance(tree, exp.Insert):
            self._insert(tree)
        elif isinstance(tree, (exp.Update, exp.Delete)):
            self._change(tree)
        elif isinstance(tree, (exp.Query, exp.Values)):
            self._query(tree)
        else:
            self.of_other(tree)

    def _query(self, node: exp.Expr, targets: Sequence[str] = ()) -> dict[str, str]:
        """The columns of a query; ``targets`` are the types of those that its rows are inserted into."""
        if isinstance(node, exp.Subquery):
            return self._query(node.this, targets)
        defined = self._define(node.args.get("with_"))
        try:
            if isinstance(node, exp.SetOperation):
                return self._set_operation(node)
            if isinstance(node, exp.Values):
                return self._rows(node, targets)
            if isinstance(node, exp.Select):
                return self._select(node, targets)
        finally:
            if defined:
                self._named_queries.pop()
        self.of_other(node)
        return {}

    def _define(self, clause: exp.Expr | None) -> bool:
        """The queries of a WITH; whether there are any."""
        if clause is None:
            return False
        named = dict[str, Columns]()
        self._named_queries.append(named)
        for cte in clause.expressions:
            query = cte.this.unnest() if isinstance(cte.this, exp.Expr) else cte.this
            if clause.args.get("recursive") and isinstance(query, exp.SetOperation):
                named[identifier_name(cte.args["alias"].this)] = _renamed(cte, self._query(query.this))
            columns = self._query(query) if isinstance(query, (exp.Query, exp.Values)) else {}
            if isinstance(query, exp.DML):
                self.statement(query)
            named[identifier_name(cte.args["alias"].this)] = _renamed(cte, columns)
        return True

    def _set_operation(self, node: exp.SetOperation) -> dict[str, str]:
        sides = [self._query(side, ("",) * 1000) for side in (node.this, node.expression)]
        left, right = (_select_list(side) for side in (node.this, node.expression))
        columns = dict[str, str]()
        for at, (name, type_) in enumerate(sides[0].items()):
            others = list(sides[1].values())
            types = [type_, others[at] if at < len(others) else UNTYPED]
            common = common_type(types)
            self.united(node.key.upper(), (node.expression, node.expression), types, common)
            common = "text" if common == UNKNOWN else common
            for items in (left, right):
                if at < len(items):
                    self.coerce(items[at].unalias(), common)
            columns[name] = common
        self._limits(node)
        return columns

    def _rows(self, node: exp.Values, targets: Sequence[str] = ()) -> dict[str, str]:
        """VALUES: each column has one type, or that of its target."""
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        columns = dict[str, str]()
        types = [[self.type_of(item) for item in row] for row in rows] if targets else []
        for at, items in enumerate(zip(*rows, strict=False), 1):
            target = targets[at - 1] if at <= len(targets) else UNTYPED
            columns[f"column{at}"] = target or self.common(items, "VALUES")
            for item, row in zip(items, types, strict=False):
                if row[at - 1] == UNKNOWN:
                    self.write_constant(item, target)
                if at <= len(self._written):
                    self.assigned(item, row[at - 1], target, self._written[at - 1])
        self._limits(node)
        return columns

    def _select(self, node: exp.Select, targets: Sequence[str]) -> dict[str, str]:
        scope = dict[str, Columns]()
        self._scopes.append(scope)
        self._read(node, scope)
        selected = self._selected(node, scope)
        for clause in ("where", "having", "qualify"):
            part = node.args.get(clause)
            if part is not None:
                self.condition(part.this, clause.upper())
        for clause in ("order", "group", "distinct", "windows", "rerank"):
            part = node.args.get(clause)
            for each in part if isinstance(part, list) else [part]:
                self._keys(each)
        self._limits(node)
        columns = dict[str, str]()
        targets = () if node.args.get("distinct") else targets  # what is compared is a text
        for at, (name, type_, item) in enumerate(selected):
            # What the clauses behind the list have not given a type is a text.
            target = targets[at] if at < len(targets) else "text"
            if type_ == UNKNOWN and item is not None:
                self.coerce(item, target)
            name = name if name and name not in columns else f"?column{at}"
            columns[name] = (target or type_) if type_ == UNKNOWN else type_
        self._scopes.pop()
        return columns

    def _selected(
        self, node: exp.Select, scope: Mapping[str, Columns]
    ) -> list[tuple[str, str, exp.Expr | None]]:
        """The columns of a select list: names and types, each with its expression."""
        selected = list[tuple[str, str, exp.Expr | None]]()
        for item in node.expressions:
            if item.is_star:
                label = item.table if isinstance(item, exp.Column) else ""
                relations = (each for relation, each in scope.items() if label in ("", relation))
                selected += ((name, type_, None) for each in relations for name, type_ in each.items())
            else:
                selected.append((item.alias_or_name, self.type_of(item.unalias()), item.unalias()))
        return selected

    def write_constant(self, node: Any, type_: str) -> None:
        """A value without a type that is written into a column of this type."""
        self.coerce(node, type_)

    def joined(self, join: exp.Join, scope: Mapping[str, Columns]) -> None:
        """A join, with the relations that it and those before it read."""

    def _keys(self, part: Any) -> None:
        """ORDER BY, GROUP BY, DISTINCT ON: a key without a type is a text."""
        if not isinstance(part, exp.Expr):
            return
        for item in part.expressions or list(part.iter_expressions()):
            self.settle(item.this if isinstance(item, exp.Ordered) else item, "text")

    def _limits(self, node: exp.Expr) -> None:
        for name in ("offset", "limit"):
            part = node.args.get(name)
            if part is not None:
                count = part.args.get("count") if isinstance(part, exp.Fetch) else part.expression
                self.placed(count, self.settle(count, "int8"), "int8", name.upper())

    def _read(self, node: exp.Expr, scope: dict[str, Columns]) -> None:
        """What FROM and its joins read."""
        from_ = node.args.get("from_")
        joins = node.args.get("joins") or ()
        sources = [] if from_ is None else [from_.this, *(from_.this.args.get("joins") or ())]
        for join in (*sources, *joins, *(node.args.get("laterals") or ())):
            source = join.this if isinstance(join, exp.Join) else join
            self.read_source(source, scope)
            if isinstance(join, exp.Join):
                self.joined(join, scope)
            if isinstance(join, exp.Join) and isinstance(join.args.get("on"), exp.Expr):
                self.condition(join.args["on"], "JOIN/ON")

    def read_source(self, node: Any, scope: dict[str, Columns]) -> None:
        """A relation of FROM, by its name or its alias."""
        label = node.alias_or_name if isinstance(node, exp.Expr) else ""
        if isinstance(node, exp.Lateral):
            columns = (
                self._query(node.this) if isinstance(node.this, exp.Subquery) else self._function(node.this)
            )
        elif isinstance(node, (exp.Subquery, exp.Values, exp.Query)):
            columns = self._query(node)
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            columns = self._relation(identifier_name(node.this))
        else:
            columns = self._function(node.this if isinstance(node, exp.Table) else node)
        scope[label or f"?{len(scope)}"] = _renamed(node, columns)

    def _function(self, node: Any) -> dict[str, str]:
        """A function in FROM: its column has the name of its alias."""
        items = node.expressions if isinstance(node, exp.Unnest) else [node]
        types = [self.type_of(item) for item in items]
        if isinstance(node, exp.Unnest):
            types = [type_.removeprefix("_") for type_ in types]
        return {f"?column{at}": type_ for at, type_ in enumerate(types)}

    def _relation(self, name: str) -> dict[str, str]:
        for named in reversed(self._named_queries):
            if name in named:
                return dict(named[name])
        table = next((table for table in self._tables if table.name == name), None)
        return {} if table is None else _table_columns(table)

    def _insert(self, tree: exp.Insert) -> None:
        defined = self._define(tree.args.get("with_"))
        schema = tree.this
        node = schema.this if isinstance(schema, exp.Schema) else schema
        table = self._table(node)
        if isinstance(schema, exp.Schema):
            names = [identifier_name(each) for each in schema.expressions if isinstance(each, exp.Identifier)]
        else:
            names = [
                column.name
                for column in (table.columns if table is not None else ())
                if not (column.auto_id or (table is not None and column.name in table.generated))
            ]
        targets = [self._target(table, name) for name in names]
        query = tree.expression
        self._written = names
        types = self._query(query, targets).values() if isinstance(query, exp.Expr) else ()
        if not isinstance(query, exp.Values):
            for own, type_, name in zip(types, targets, names, strict=False):
                self.assigned(query, own, type_, name)
        columns = {} if table is None else _table_columns(table)
        label = node.alias_or_name if isinstance(node, exp.Expr) else ""
        self._scopes.append({label: columns, "excluded": columns})
        conflict = tree.args.get("conflict")
        if conflict is not None:
            self._assignments(conflict.expressions, table)
            self._where(conflict)
        self._returning(tree)
        self._scopes.pop()
        if defined:
            self._named_queries.pop()

    def _change(self, tree: exp.Expr) -> None:
        """UPDATE and DELETE."""
        defined = self._define(tree.args.get("with_"))
        scope = dict[str, Columns]()
        self._scopes.append(scope)
        self.read_source(tree.this, scope)
        self._read(tree, scope)
        for source in tree.args.get("using") or ():
            self.read_source(source, scope)
        if isinstance(tree, exp.Update):
            self._assignments(tree.expressions, self._table(tree.this))
        self._where(tree)
        self._returning(tree)
        self._scopes.pop()
        if defined:
            self._named_queries.pop()

    def _where(self, tree: exp.Expr) -> None:
        where = tree.args.get("where")
        if where is not None:
            self.condition(where.this, "WHERE")

    def _returning(self, tree: exp.Expr) -> None:
        returning = tree.args.get("returning")
        for item in returning.expressions if returning is not None else ():
            self.settle(item.unalias(), "text")

    def _assignments(self, nodes: Sequence[exp.Expr], table: Table | None) -> None:
        """``c = value`` of SET, and ``(a, b) = (value, value)``."""
        for node in nodes:
            if not isinstance(node, exp.EQ):
                self.type_of(node)
                continue
            left, right = node.this, node.expression
            pairs = [(left, right)]
            if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
                pairs = list(zip(left.expressions, right.expressions, strict=False))
            for target, value in pairs:
                name = identifier_name(target.this) if isinstance(target, exp.Column) else target.name
                type_ = self._target(table, name)
                own = self.type_of(value)
                if own == UNKNOWN:
                    self.write_constant(value, type_)
                self.assigned(value, own, type_, name)

    def _table(self, node: Any) -> Table | None:
        name = identifier_name(node.this) if isinstance(node, exp.Table) else ""
        return next((table for table in self._tables if table.name == name), None)

    def _target(self, table: Table | None, name: str) -> str:
        column = None if table is None else table.column(name)
        return UNTYPED if column is None else type_name(column_oid(column))


def _table_columns(table: Table) -> dict[str, str]:
    return {column.name: type_name(column_oid(column)) for column in table.columns}


def _renamed(node: exp.Expr, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns by the names that ``AS t (a, b)`` gives them; that of a function by the alias alone."""
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return dict(columns)
    names = [identifier_name(each) for each in alias.args.get("columns") or ()]
    if not names and len(columns) == 1 and next(iter(columns)).startswith("?") and alias.this is not None:
        names = [identifier_name(alias.this)]
    own = list(columns)
    return dict(zip([*names, *own[len(names) :]], columns.values(), strict=False))


def _select_list(node: exp.Expr) -> list[exp.Expr]:
    """The items of the first SELECT of a query."""
    select = first_select(node)
    return list(select.expressions) if select is not None else []
