"""Rows of the catalogs for the collections of a database."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nestvec.milvus.catalog import Column, Table
from nestvec.pgwire.catalog.macros import TYPE_NAMES
from nestvec.pgwire.catalog.shown_views import ShownView
from nestvec.pgwire.types.milvus import column_modifier
from nestvec.sql.analysis.column_types import column_oid
from nestvec.sql.statements.show import generated_expression
from nestvec.sqltypes import from_stored, oids
from nestvec.sqltypes.texts import any_text

PUBLIC: Final = 2200
PG_CATALOG: Final = 11
INFORMATION_SCHEMA: Final = 13_000
RELATIONS_OID: Final = 1259
"""The id of pg_class, which descriptions of relations and columns name."""
OWNER: Final = 10
_FIRST: Final = 100_000
_SPAN: Final = 1 << 29
_INDEX: Final = 1 << 30
"""What is added to a collection's id for those of its indexes and constraints, which follow each other."""

Values = Mapping[str, Any]
Rows = dict[str, list[Values]]


@dataclass(frozen=True)
class Relation:
    """A collection with its ids."""

    table: Table
    oid: int

    def index_oid(self, number: int) -> int:
        """The id of its index of this number, of which 0 is that of the primary key."""
        return (
            _INDEX + self.oid * 2 + number
            if number < 2
            else _INDEX + _SPAN * 3 + (self.oid * 64 + number) % _SPAN
        )

    @property
    def constraint_oid(self) -> int:
        """The id of its primary key."""
        return self.index_oid(1)


def relations(tables: Iterable[Table]) -> list[Relation]:
    """Each collection with an id that its name determines, so that it is the same on every connection."""
    used, result = set[int](), list[Relation]()
    for table in sorted(tables, key=lambda table: table.name):
        result.append(Relation(table, _relation_oid(table.name, used)))
    return result


def relation_oid(name: str) -> int:
    """The id of a relation, unless several names have the same."""
    return _FIRST + zlib.crc32(name.encode()) % (_SPAN - _FIRST)


def _relation_oid(name: str, used: set[int]) -> int:
    """An id that a name determines, unless another relation has it; ``used`` gets it."""
    oid = relation_oid(name)
    while oid in used:
        oid += 1
    used.add(oid)
    return oid


def _view_rows(view: ShownView, oid: int) -> Iterator[tuple[str, Values]]:
    yield (
        "pg_class",
        _class(oid, view.name, "v", len(view.columns), 0)
        | {"relfilenode": 0, "relhasrules": True, "definition": f" {view.definition};"},
    )
    for number, field in enumerate(view.columns, 1):
        yield (
            "pg_attribute",
            {
                "attrelid": oid,
                "attname": field.name,
                "atttypid": field.oid,
                "attlen": field.size,
                "attnum": number,
                "attcacheoff": -1,
                "atttypmod": field.modifier,
                "attislocal": True,
                "attstattarget": -1,
                "attalign": "i",
                "attstorage": "p" if field.size > 0 else "x",
                "attcollation": 100 if field.oid in oids.TEXTS else 0,
            },
        )


def catalog_rows(tables: Iterable[Table], owner: str, database: str, views: Iterable[ShownView] = ()) -> Rows:
    """The rows that depend on the collections, the user and the database, by the name of the relation."""
    rows: Rows = defaultdict(list)
    shown = relations(tables)
    for relation in shown:
        for name, values in _relation_rows(relation):
            rows[name].append(values)
    used = {relation.oid for relation in shown}
    for view in views:
        for name, values in _view_rows(view, _relation_oid(view.name, used)):
            rows[name].append(values)
    for name, values in _fixed_rows(owner, database):
        rows[name].append(values)
    return rows


def _fixed_rows(owner: str, database: str) -> Iterator[tuple[str, Values]]:
    for oid, schema in (
        (PG_CATALOG, "pg_catalog"),
        (PUBLIC, "public"),
        (INFORMATION_SCHEMA, "information_schema"),
    ):
        yield "pg_namespace", {"oid": oid, "nspname": schema, "nspowner": OWNER}
    yield (
        "pg_database",
        {
            "oid": 5,
            "datname": database,
            "datdba": OWNER,
            "encoding": 6,
            "datlocprovider": "c",
            "datallowconn": True,
            "datconnlimit": -1,
            "dattablespace": 1663,
            "datcollate": "C.UTF-8",
            "datctype": "C.UTF-8",
        },
    )
    role = {"oid": OWNER, "rolname": owner, "rolcanlogin": True, "rolinherit": True, "rolconnlimit": -1}
    yield "pg_roles", role
    yield "pg_authid", role
    yield "pg_user", {"usename": owner, "usesysid": OWNER}
    yield (
        "pg_extension",
        {"oid": 16384, "extname": "vector", "extowner": OWNER, "extnamespace": PUBLIC, "extversion": "0.8.0"},
    )
    for name in ("vector", "halfvec", "bfloat16_vector", "sparsevec"):
        yield from _vector_type(name)


def _vector_type(name: str) -> Iterator[tuple[str, Values]]:
    type_ = oids.BY_NAME[name]
    common = {
        "typnamespace": PUBLIC,
        "typowner": OWNER,
        "typlen": -1,
        "typtype": "b",
        "typisdefined": True,
        "typdelim": ",",
        "typalign": "i",
        "typmodin": f"{name}_typmod_in",
        "typmodout": "-",
        "typtypmod": -1,
    }
    functions = {f"typ{kind}": f"{name}_{kind[:4]}" for kind in ("receive", "send")}
    functions |= {"typinput": f"{name}_in", "typoutput": f"{name}_out"}
    yield (
        "pg_type",
        common
        | functions
        | {"oid": type_.oid, "typname": name, "typcategory": "U", "typarray": type_.array, "typstorage": "e"},
    )
    yield (
        "pg_type",
        common
        | {
            "oid": type_.array,
            "typname": f"_{name}",
            "typcategory": "A",
            "typelem": type_.oid,
            "typsubscript": "array_subscript_handler",
            "typinput": "array_in",
            "typoutput": "array_out",
            "typreceive": "array_recv",
            "typsend": "array_send",
            "typstorage": "x",
        },
    )


def _relation_rows(relation: Relation) -> Iterator[tuple[str, Values]]:
    table, oid = relation.table, relation.oid
    columns = table.columns
    yield (
        "pg_class",
        _class(oid, table.name, "r", len(columns), 2) | {"relhasindex": True, "relreplident": "d"},
    )
    if table.description:
        yield "pg_description", _description(oid, 0, table.description)
    for number, column in enumerate(columns, 1):
        yield "pg_attribute", _attribute(relation, column, number)
        default = default_sql(table, column)
        if default is not None:
            yield "pg_attrdef", {"oid": oid * 2 + number, "adrelid": oid, "adnum": number, "adbin": default}
        if column.description:
            yield "pg_description", _description(oid, number, column.description)
    yield from _index_rows(relation)


def _class(oid: int, name: str, kind: str, columns: int, method: int) -> dict[str, Any]:
    return {
        "oid": oid,
        "relname": name,
        "relnamespace": PUBLIC,
        "relowner": OWNER,
        "relam": method,
        "relfilenode": oid,
        "reltuples": -1.0,
        "relpersistence": "p",
        "relkind": kind,
        "relnatts": columns,
        "relispopulated": True,
        "relreplident": "n",
    }


def _description(oid: int, number: int, text: str) -> Values:
    return {"objoid": oid, "classoid": RELATIONS_OID, "objsubid": number, "description": text}


def _attribute(relation: Relation, column: Column, number: int) -> Values:
    oid = column_oid(column)
    identity = "a" if column.auto_id else ""
    stored = column.name in relation.table.generated
    return {
        "attrelid": relation.oid,
        "attname": column.name,
        "atttypid": oid,
        "attlen": oids.size_of(oid),
        "attnum": number,
        "attcacheoff": -1,
        "atttypmod": column_modifier(column),
        "attndims": int(column.type == "ARRAY"),
        "attnotnull": not column.nullable,
        "atthasdef": default_sql(relation.table, column) is not None,
        "attidentity": identity,
        "attgenerated": "s" if stored else "",
        "attislocal": True,
        "attstattarget": -1,
        "attalign": "i",
        "attstorage": "p" if oids.size_of(oid) > 0 else "x",
        "attcompression": "",
        "attcollation": 100 if oid in oids.TEXTS else 0,
    }


_TEXT_CONSTANT: Final = re.compile("'(?:[^']|'')*'")


def default_sql(table: Table, column: Column) -> str | None:
    """The default of a column, or the expression that it is generated by."""
    generated = generated_expression(table, column.name)
    if generated is not None:
        return generated
    expression = table.default_expressions.get(column.name)
    if expression is not None:
        is_text = _TEXT_CONSTANT.fullmatch(expression) is not None
        name = type_name(column)
        name = f"{name[1:]}[]" if name.startswith("_") else name
        return f"{expression}::{name}" if is_text else expression
    if column.default is None:
        return None
    value = from_stored(column, column.default)
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    text = any_text(value).decode().replace("'", "''")
    return f"'{text}'::{type_name(column)}"


def type_name(column: Column) -> str:
    """PostgreSQL's name of a column's type, without its size."""
    name = oids.BY_OID[column_oid(column)].name
    return TYPE_NAMES.get(name, name)


def _index_rows(relation: Relation) -> Iterator[tuple[str, Values]]:
    table = relation.table
    numbers = {column.name: number for number, column in enumerate(table.columns, 1)}
    if not table.has_row_id:
        yield from _key_rows(relation, numbers[table.primary.name])
    for number, (column, kind) in enumerate(sorted(table.indexes.items()), 2):
        if column in numbers and column != table.primary.name:
            index = f"{table.name}_{column}_idx"
            definition = _definition(table, index, column, kind.lower() or "autoindex")
            yield from _index(relation, number, index, numbers[column], definition)


def _key_rows(relation: Relation, number: int) -> Iterator[tuple[str, Values]]:
    """The primary key and its index, of the column of this number."""
    table, primary = relation.table, relation.table.primary
    name = f"{table.name}_pkey"
    yield from _index(relation, 0, name, number, _definition(table, name, primary.name, "btree"))
    yield (
        "pg_constraint",
        {
            "oid": relation.constraint_oid,
            "conname": name,
            "connamespace": PUBLIC,
            "contype": "p",
            "convalidated": True,
            "conrelid": relation.oid,
            "conindid": relation.index_oid(0),
            "conkey": [number],
            "conislocal": True,
            "confupdtype": " ",
            "confdeltype": " ",
            "confmatchtype": " ",
            "definition": f"PRIMARY KEY ({quoted(primary.name)})",
        },
    )


def _index(
    relation: Relation, number: int, name: str, column: int, definition: str
) -> Iterator[tuple[str, Values]]:
    oid, primary = relation.index_oid(number), number == 0
    yield "pg_class", _class(oid, name, "i", 1, 403)
    yield (
        "pg_attribute",
        {"attrelid": oid, "attnum": 1, "attname": relation.table.columns[column - 1].name, "attislocal": True}
        | {"atttypid": column_oid(relation.table.columns[column - 1]), "atttypmod": -1, "attstattarget": -1},
    )
    yield (
        "pg_index",
        {
            "indexrelid": oid,
            "indrelid": relation.oid,
            "indnatts": 1,
            "indnkeyatts": 1,
            "indisunique": primary,
            "indisprimary": primary,
            "indimmediate": True,
            "indisvalid": True,
            "indisready": True,
            "indislive": True,
            "indkey": [column],
            "indcollation": [0],
            "indclass": [0],
            "indoption": [0],
            "definition": definition,
            "key": quoted(relation.table.columns[column - 1].name),
        },
    )


_OPERATORS: Final = {"COSINE": "vector_cosine_ops", "L2": "vector_l2_ops", "IP": "vector_ip_ops"}


def _definition(table: Table, name: str, column: str, method: str) -> str:
    operators = _OPERATORS.get(table.metrics.get(column, ""), "")
    unique = "UNIQUE " if name == f"{table.name}_pkey" else ""
    key = f"{quoted(column)} {operators}".strip()
    return f"CREATE {unique}INDEX {quoted(name)} ON public.{quoted(table.name)} USING {method} ({key})"


def quoted(name: str) -> str:
    """A name as SQL needs it: in quotes unless it is lower case."""
    if name.isidentifier() and name == name.lower() and name.isascii():
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
