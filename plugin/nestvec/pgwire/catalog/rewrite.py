"""A query of the catalogs in DuckDB's SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlglot import exp

from nestvec.pgwire.catalog.database import SCHEMAS, postgres_relations
from nestvec.pgwire.catalog.rows import RELATIONS_OID
from nestvec.pgwire.errors import PgError

_NUMBERS: Final = frozenset({"oid", "xid"})
_TEXTS: Final = frozenset(
    {
        "name",
        "char",
        "regproc",
        "regrole",
        "regoper",
        "regoperator",
        "regprocedure",
        "sql_identifier",
        "character_data",
        "yes_or_no",
        "aclitem",
    }
)
_REGEXPS: Final[Mapping[str, Callable[[exp.Expr, exp.Expr], exp.Expr]]] = {
    "~": lambda left, right: exp.RegexpLike(this=left, expression=right),
    "!~": lambda left, right: exp.Not(this=exp.RegexpLike(this=left, expression=right)),
    "~*": lambda left, right: exp.RegexpILike(this=left, expression=right),
    "=": lambda left, right: exp.EQ(this=left, expression=right),
    "<>": lambda left, right: exp.NEQ(this=left, expression=right),
    "+": lambda left, right: exp.Add(this=left, expression=right),
}
_RENAMED: Final = {
    "json_build_object": "json_object",
    "jsonb_build_object": "json_object",
    "json_agg": "json_group_array",
    "jsonb_agg": "json_group_array",
    "array_length": "array_upper",
    "array_remove": "pg_array_remove",
}
"""Functions that DuckDB has by another name."""

_CATALOG_OIDS: Final = {
    "pg_class": RELATIONS_OID, "pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_authid": 1260,
    "pg_database": 1262, "pg_tablespace": 1213, "pg_am": 2601, "pg_attrdef": 2604, "pg_cast": 2605,
    "pg_constraint": 2606, "pg_description": 2609, "pg_index": 2610, "pg_language": 2612,
    "pg_namespace": 2615, "pg_opclass": 2616, "pg_operator": 2617, "pg_rewrite": 2618, "pg_trigger": 2620,
    "pg_extension": 3079, "pg_collation": 3456, "pg_enum": 3501,
}  # fmt: skip
"""PostgreSQL's ids of its own catalogs."""

_WORD_ITEM: Final = r'(?:"[\w-]+"|(?!null[,}])[\w-]+)'
_WORD_ARRAY: Final = re.compile(rf"\{{{_WORD_ITEM}(?:,{_WORD_ITEM})*\}}", re.I)
"""An array of words as a text, as JDBC writes the keywords of SQL."""

_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.In, exp.GT, exp.LT, exp.GTE, exp.LTE)


@dataclass(frozen=True)
class ClientContext:
    """What functions of the session return."""

    user: str
    database: str
    process: int
    version: str
    setting: Callable[[str], str | None]


def rewrite(tree: exp.Expr, context: ClientContext) -> str:
    """The query in DuckDB's SQL, over the schemas of the catalogs. Raises PgError."""
    # From the leaves up: what replaces a node holds children that were rewritten before.
    root: exp.Expr = exp.Paren(this=tree.copy())
    for table in root.find_all(exp.Table):
        name = _called_name(table.this)
        if name and not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    for node in reversed(list(root.walk())):
        replacement = _rewritten(node, context)
        if replacement is not node:
            node.replace(replacement)
    text: str = root.this.sql(dialect="duckdb", comments=False)
    return text


def relation_of(table: exp.Table) -> str | None:
    """The relation of the catalogs that a table is, ``pg_catalog.pg_class``; None for another table."""
    if not isinstance(table.this, exp.Identifier):
        return None
    name, schema = table.name.lower(), table.db.lower()
    if schema:
        return f"{schema}.{name}" if schema in SCHEMAS else None
    return f"pg_catalog.{name}" if f"pg_catalog.{name}" in postgres_relations() else None


def _rewritten(node: exp.Expr, context: ClientContext) -> exp.Expr:
    if isinstance(node, exp.Table):
        return _table(node)
    if isinstance(node, exp.Collate):
        return node if isinstance(node.parent, exp.Dot) else node.this
    if isinstance(node, exp.Operator):
        return _operator(node)
    if isinstance(node, exp.Dot):
        return _unqualified(node)
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return _cast(node)
    if isinstance(node, exp.Unnest):
        _name_column(node)
    if isinstance(node, (exp.EQ, exp.NEQ)):
        return _function_comparison(node)
    if isinstance(node, exp.Parameter):
        return exp.Parameter(this=node.this)
    if isinstance(node, exp.Column) and node.name.lower() == "tableoid":
        return exp.convert(RELATIONS_OID)
    if isinstance(node, exp.Column) and node.db.lower() in SCHEMAS:
        node.set("db", exp.to_identifier(SCHEMAS[node.db.lower()]))
    if isinstance(node, exp.Lock):
        raise PgError("0A000", "FOR UPDATE is not supported")
    if isinstance(node, exp.Anonymous) and node.name.lower() in _RENAMED:
        return exp.Anonymous(this=_RENAMED[node.name.lower()], expressions=node.expressions)
    replaced = _name_function(node) or _session_value(node, context)
    return node if replaced is None else replaced


def _table(node: exp.Table) -> exp.Expr:
    relation = relation_of(node)
    if relation is None:
        if not isinstance(node.this, exp.Identifier):
            node.set("db", None)
            if isinstance(node.this, _OF_ONE_VALUE):
                return _row_of(node)
            _name_column(node)
        return node
    schema, _, name = relation.partition(".")
    if relation not in postgres_relations():
        raise PgError("42P01", f'relation "{relation[:100]}" does not exist')
    node.set("this", exp.to_identifier(name, quoted=True))
    node.set("db", exp.to_identifier(SCHEMAS[schema]))
    node.set("catalog", None)
    node.set("only", None)
    return node


_OF_ONE_VALUE: Final = (exp.StringToArray, exp.Literal)
"""Functions that return no rows; those of the session are constants by then."""


def _row_of(node: exp.Table) -> exp.Expr:
    """A function in FROM that returns no rows: the row of its value, which is called as the table is."""
    name = node.alias_or_name or "value"
    row = exp.Select(expressions=[exp.alias_(node.this, name)])
    return exp.Subquery(this=row, alias=exp.TableAlias(this=exp.to_identifier(name)))


def _name_column(node: exp.Expr) -> None:
    """The alias of ``generate_series(…) s`` names its column, too."""
    alias = node.args.get("alias")
    is_series = isinstance(node, exp.Unnest) or isinstance(node.this, (exp.GenerateSeries, exp.Unnest))
    if is_series and isinstance(alias, exp.TableAlias) and not alias.columns:
        alias.set("columns", [exp.to_identifier(alias.name)])


def _operator(node: exp.Operator) -> exp.Expr:
    name = str(node.args["operator"]).rpartition(".")[2].strip()
    build = _REGEXPS.get(name)
    if build is None:
        raise PgError("0A000", f"OPERATOR({name[:40]}) is not supported in a query of the catalogs")
    return build(node.this, node.expression)


def _function_comparison(node: exp.Expr) -> exp.Expr:
    """``typreceive <> 0``: whether there is a function; the catalogs have its name, and ``-`` for none."""
    for side, other in (("this", "expression"), ("expression", "this")):
        column, number = node.args[side], node.args[other]
        if (
            isinstance(column, exp.Column)
            and column.name.lower() in _function_columns()
            and isinstance(number, exp.Literal)
            and not number.is_string
        ):
            node.set(other, exp.Literal.string("-" if number.name == "0" else number.name))
    return node


@cache
def _function_columns() -> frozenset[str]:
    """The columns of the catalogs that name functions."""
    relations = postgres_relations().values()
    return frozenset(name for columns in relations for name, type_ in columns.items() if type_ == "regproc")


def _unqualified(node: exp.Dot) -> exp.Expr:
    """``pg_catalog.format_type(…)`` without the schema."""
    first = node.this
    if isinstance(first, exp.Collate):  # COLLATE pg_catalog.default
        collated: exp.Expr = first.this
        return collated
    if isinstance(first, exp.Identifier) and first.name.lower() in (*SCHEMAS, "public"):
        function: exp.Expr = node.expression
        return function
    return node


_NAMES: Final = frozenset(
    {"relname", "tablename", "table_name", "indexname", "viewname", "typname", "nspname"}
)
"""Columns of the catalogs whose values are names of what a cast to ``regclass`` looks up."""


def _cast(node: exp.Expr) -> exp.Expr:
    target, value = node.args["to"], node.this
    kind = str(target.args.get("kind") or "") if isinstance(target, exp.DataType) else ""
    name = (kind or target.sql(dialect="postgres")).lower().replace('"', "").rpartition(".")[2]
    if name in ("regproc", "regprocedure"):
        _check_function(node)
    if name in ("regclass", "regtype", "regnamespace"):
        if _is_name(value) and not (isinstance(value, exp.Literal) and str(value.this).isdecimal()):
            if name == "regclass" and isinstance(value, exp.Literal):
                return _relation(node, value.name)
            return _shown_name(node, name, exp.func(f"{name}_oid", value))
        if isinstance(value, exp.Literal):
            return exp.cast(value, "bigint")
        return (
            exp.func("format_type", value, exp.null())
            if name == "regtype"
            else exp.func(f"{name}_name", value)
        )
    if name == "text[]" and isinstance(value, exp.Literal) and _WORD_ARRAY.fullmatch(value.name):
        items = value.name[1:-1].split(",")
        return exp.Array(expressions=[exp.Literal.string(item.strip('"')) for item in items])
    if name in _NUMBERS or name.startswith("cardinal_number"):
        return exp.cast(value, "bigint")
    if name in ("oid[]", "int2vector", "oidvector"):
        return exp.cast(value, exp.DataType.build("bigint[]", dialect="duckdb"))
    if name.rstrip("[]") in _TEXTS:
        return exp.cast(
            value, exp.DataType.build("text[]" if name.endswith("[]") else "text", dialect="duckdb")
        )
    return node


def _is_name(node: exp.Expr) -> bool:
    """Whether a value that is cast to ``regclass`` is a name; otherwise it is an id."""
    value = node.unnest()
    if isinstance(value, exp.Cast):
        return value.args["to"].this in exp.DataType.TEXT_TYPES or value.args["to"].sql().lower() == "name"
    if isinstance(value, exp.Column):
        return value.name.lower() in _NAMES
    is_text = isinstance(value, exp.Literal) and value.is_string
    return (
        is_text
        or isinstance(value, (exp.Parameter, exp.DPipe, exp.Concat, exp.Format))
        or (isinstance(value, exp.Anonymous) and value.name.lower() == "quote_ident")
    )


def _check_function(node: exp.Expr) -> None:
    """Refuse ``'name'::regproc::oid``: the catalogs have no functions to show."""
    parent = node.parent
    if (
        isinstance(node.this, exp.Literal)
        and isinstance(parent, exp.Cast)
        and parent.args["to"].sql(dialect="postgres").lower().rpartition(".")[2] == "oid"
    ):
        raise PgError("42883", f'function "{node.this.name[:100]}" does not exist')


def _relation(node: exp.Expr, name: str) -> exp.Expr:
    """The id of a relation that a literal names. One that is not there is an error, as in PostgreSQL."""
    relation = name.removeprefix("pg_catalog.")
    number = _CATALOG_OIDS.get(relation)
    if number is not None:
        oid: exp.Expr = exp.Literal.number(number)
        return oid if _shown_name(node, "regclass", oid) is oid else exp.Literal.string(relation)
    oid = exp.func("regclass_oid", exp.Literal.string(name))
    if f"pg_catalog.{relation}" not in postgres_relations():
        missing = exp.Literal.string(f'relation "{name[:100]}" does not exist')
        oid = exp.func("coalesce", oid, exp.func("error", missing))
    return _shown_name(node, "regclass", oid)


def _shown_name(node: exp.Expr, kind: str, oid: exp.Expr) -> exp.Expr:
    """The id that a name stands for; where the result shows it, the name."""
    parent = node.parent
    if isinstance(parent, exp.Cast) and parent.args["to"].this not in exp.DataType.TEXT_TYPES:
        return oid
    if not isinstance(parent, (exp.Cast, exp.Select, exp.Alias)):
        return oid
    return exp.func("format_type", oid, exp.null()) if kind == "regtype" else exp.func(f"{kind}_name", oid)


def _name_function(node: exp.Expr) -> exp.Expr | None:
    """``to_regclass('t')`` is compared as an id, and shown as a name."""
    if not isinstance(node, exp.Anonymous) or node.name.lower() not in ("to_regclass", "to_regtype"):
        return None
    kind = node.name.lower().removeprefix("to_")
    oid = exp.func(f"{kind}_oid", *node.expressions)
    if isinstance(node.parent, _COMPARISONS):
        return oid
    shown = exp.func("format_type", oid, exp.null()) if kind == "regtype" else exp.func("regclass_name", oid)
    return _named(node, shown, node.name.lower())


def _called_name(node: exp.Expr) -> str:
    """The name of a function of the session, or of one that sqlglot has no node for; else empty."""
    return node.name.lower() if isinstance(node, exp.Anonymous) else SESSION_FUNCTIONS.get(type(node), "")


def _session_value(node: exp.Expr, context: ClientContext) -> exp.Expr | None:
    name = _called_name(node)
    if isinstance(node, exp.Column) and not node.table and not node.this.args.get("quoted"):
        name = node.name.lower() if node.name.lower() in ("user", "current_catalog", "current_role") else ""
    values: Mapping[str, object] = {
        "version": context.version,
        "current_schema": "public",
        "current_database": context.database,
        "current_catalog": context.database,
        "current_user": context.user,
        "session_user": context.user,
        "current_role": context.user,
        "user": context.user,
        "pg_backend_pid": context.process,
    }
    if name in values:
        return _named(node, exp.convert(values[name]), name)
    if name == "current_setting" and node.expressions:
        setting = node.expressions[0]
        if not isinstance(setting, exp.Literal):
            return _named(node, exp.func("default_setting", setting), name)
        value = context.setting(setting.name)
        if value is None and len(node.expressions) == 1:
            cause = f'unrecognized configuration parameter "{setting.name[:60]}"'
            raise PgError("42704", cause, hint="Write current_setting(name, true) for NULL.")
        shown = exp.cast(exp.null(), "text") if value is None else exp.Literal.string(value)
        return _named(node, shown, name)
    if name == "set_config" and len(node.expressions) == 3:
        return _named(node, node.expressions[1], name)
    return None


def _named(node: exp.Expr, value: exp.Expr, name: str) -> exp.Expr:
    """The value; as a column of the result it keeps the function's name."""
    return (
        exp.alias_(value, name)
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions"
        else value
    )


SESSION_FUNCTIONS: Final[dict[type[exp.Expr], str]] = {
    kind: name
    for name, kind in {
        "current_schema": getattr(exp, "CurrentSchema", None),
        "current_user": getattr(exp, "CurrentUser", None),
        "session_user": getattr(exp, "SessionUser", None),
        "version": getattr(exp, "CurrentVersion", None) or getattr(exp, "Version", None),
        "current_database": getattr(exp, "CurrentDatabase", None),
        "current_catalog": getattr(exp, "CurrentCatalog", None),
        "current_role": getattr(exp, "CurrentRole", None),
    }.items()
    if kind is not None
}
"""Functions of the session that sqlglot has nodes for, with PostgreSQL's names."""
