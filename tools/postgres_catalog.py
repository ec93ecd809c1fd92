"""Writes the relations of PostgreSQL's catalogs, and the rows that never change, for ``nestvec pg``.

    python tools/postgres_catalog.py "host=127.0.0.1 port=5432 user=postgres"

The server is a PostgreSQL 16 without user tables.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psycopg

TARGET = Path(__file__).parents[1] / "plugin/nestvec/pgwire/catalog/postgres16.json"

RELATIONS = """
SELECT n.nspname || '.' || c.relname, array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')
GROUP BY 1 ORDER BY 1"""

ROWS = {
    "pg_catalog.pg_type": """
        WHERE typrelid = 0 AND typnamespace = 11 AND typtype IN ('b', 'p', 'r', 'm')
        AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = pg_type.typelem AND e.typrelid <> 0)""",
    "pg_catalog.pg_am": "WHERE oid < 16384",
    "pg_catalog.pg_language": "WHERE oid < 16384",
    "pg_catalog.pg_collation": "WHERE collname IN ('default', 'C', 'POSIX')",
    "pg_catalog.pg_tablespace": "",
    "pg_catalog.pg_range": "",
    "information_schema.character_sets": "",
}


def main(address: str) -> None:
    with psycopg.connect(address) as connection:
        relations = {
            name: dict(zip(columns, types, strict=True))
            for name, columns, types in connection.execute(RELATIONS)
        }
        rows = {}
        for name, where in ROWS.items():
            columns = ", ".join(
                f'"{column}"::oid'
                if type_.startswith("reg") and type_ != "regproc"
                else f'"{column}"::text'
                if type_ in ("regproc", "name", '"char"', "aclitem[]", "pg_node_tree")
                else f'"{column}"'
                for column, type_ in relations[name].items()
            )
            rows[name] = [
                list(row) for row in connection.execute(f"SELECT {columns} FROM {name} {where} ORDER BY 1")
            ]
    lines = [f"{json.dumps(name)}: {json.dumps(columns)}" for name, columns in relations.items()]
    tables = [
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(row) for row in table) + "\n]"
        for name, table in rows.items()
    ]
    TARGET.write_text(
        '{"relations": {\n' + ",\n".join(lines) + '\n},\n"rows": {\n' + ",\n".join(tables) + "\n}}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(sys.argv[1])
