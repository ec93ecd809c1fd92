"""The columns of a query of the catalogs: their names and types, as PostgreSQL chooses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from nestvec.pgwire.catalog.database import postgres_relations
from nestvec.pgwire.catalog.macros import TYPE_NAMES
from nestvec.pgwire.catalog.rewrite import SESSION_FUNCTIONS, relation_of
from nestvec.sql.parse.source import first_select
from nestvec.sqltypes import oids

_NAMES: Final = {
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "character varying": "varchar",
    "timestamp with time zone": "timestamptz",
    '"char"': "char",
}


def postgres_oid(type_: str) -> int:
    if type_.endswith("[]"):
        return oids.array_of(postgres_oid(type_[:-2]))
    return oids.BY_NAME[name].oid if (name := _NAMES.get(type_, type_)) in oids.BY_NAME else oids.TEXT


def column_names(tree: exp.Expr) -> list[str] | None:
    """The names of a query's columns, as PostgreSQL chooses them; None with a star."""
    select = first_select(tree)
    if select is None or any(node.is_star for node in select.expressions):
        return None
    return [node.alias or _column_name(node) for node in select.expressions]


def _column_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Column):
        return node.name
    if isinstance(node, exp.Dot):
        return _column_name(node.expression)
    if isinstance(node, exp.Identifier):
        return node.name
    if isinstance(node, exp.Cast):
        value = node.this
        while isinstance(value, exp.Cast):
            value = value.this
        name = _column_name(value)
        target = node.args["to"].sql(dialect="postgres").lower().rpartition(".")[2].strip('"')
        catalog_names = {shown: own for own, shown in TYPE_NAMES.items()}
        return catalog_names.get(target, target) if name == "?column?" else name
    if isinstance(node, exp.Case):
        return "case"
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    if isinstance(node, (exp.Paren, exp.Collate)):
        return _column_name(node.this)
    named = SESSION_FUNCTIONS.get(type(node), "")
    return named or (node.sql_name().lower() if isinstance(node, exp.Func) else "?column?")


def column_types(tree: exp.Expr) -> list[int] | None:
    """The types of plain columns of the catalogs; 0 for others. None if a star is of other tables."""
    select = first_select(tree)
    if select is None:
        return None
    relations = _relations(select)
    types = list[int]()
    for node in select.expressions:
        inner = node.unalias()
        if inner.is_star:
            starred = _star_types(inner, select, relations)
            if starred is None:
                return None
            types += starred
        else:
            types.append(_value_type(inner, relations))
    return types


def _value_type(node: exp.Expr, relations: dict[str, str]) -> int:
    """The type of a column of the catalogs, or of an array of its values; 0 for another expression."""
    if isinstance(node, exp.Column):
        return _column_type(node, relations)
    if not isinstance(node, exp.ArrayAgg):
        return 0
    value = node.this.this if isinstance(node.this, (exp.Order, exp.Distinct)) else node.this
    type_ = _column_type(value, relations) if isinstance(value, exp.Column) else 0
    return oids.array_of(type_) if type_ else 0


def _star_types(star: exp.Expr, select: exp.Select, relations: Mapping[str, str]) -> list[int] | None:
    """The types of ``*`` or ``x.*``; None if it is not of catalogs alone, or merges columns."""
    joins = select.args.get("joins", ())
    if isinstance(star, exp.Column):
        named = [relations.get(star.table.lower(), "")]
    elif len(relations) <= len(joins) or any(join.args.get("using") or join.method for join in joins):
        return None
    else:
        named = list(relations.values())
    columns = [postgres_relations().get(relation) for relation in named]
    if any(column is None for column in columns):
        return None
    return [postgres_oid(type_) for column in columns if column for type_ in column.values()]


def _relations(select: exp.Select) -> dict[str, str]:
    """The relations of FROM and JOIN by their aliases."""
    parts = [select.args.get("from_"), *select.args.get("joins", ())]
    tables = [part.this for part in parts if part is not None and isinstance(part.this, exp.Table)]
    return {table.alias_or_name.lower(): relation for table in tables if (relation := relation_of(table))}


def _column_type(column: exp.Column, relations: dict[str, str]) -> int:
    candidates = [relations.get(column.table.lower(), "")] if column.table else list(relations.values())
    for relation in candidates:
        type_ = postgres_relations().get(relation, {}).get(column.name.lower())
        if type_ is not None:
            return postgres_oid(type_)
    return 0
