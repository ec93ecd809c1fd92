"""PostgreSQL's functions of its catalogs, as macros of DuckDB."""

from __future__ import annotations

from typing import Final

_TRUE: Final = """
    pg_table_is_visible(o) pg_type_is_visible(o) pg_function_is_visible(o) pg_operator_is_visible(o)
    pg_opclass_is_visible(o) pg_collation_is_visible(o) pg_conversion_is_visible(o)
    pg_statistics_obj_is_visible(o)
    has_table_privilege(a,b) has_table_privilege(a,b,c) has_schema_privilege(a,b) has_schema_privilege(a,b,c)
    has_database_privilege(a,b) has_database_privilege(a,b,c) has_column_privilege(a,b,c)
    has_column_privilege(a,b,c,d) has_any_column_privilege(a,b) has_any_column_privilege(a,b,c)
    has_sequence_privilege(a,b) has_sequence_privilege(a,b,c) has_function_privilege(a,b)
    has_function_privilege(a,b,c) has_type_privilege(a,b) has_type_privilege(a,b,c)
    has_tablespace_privilege(a,b) pg_has_role(a,b) pg_has_role(a,b,c)"""
_FALSE: Final = """
    pg_is_in_recovery() pg_is_other_temp_schema(o) pg_relation_is_publishable(o) pg_is_wal_replay_paused()
    row_security_active(o)"""
_NULL: Final = """
    shobj_description(a,b) pg_describe_object(a,b,c) pg_get_triggerdef(a) pg_get_triggerdef(a,b)
    pg_get_serial_sequence(a,b) pg_get_functiondef(a) pg_get_function_sqlbody(a) pg_get_function_result(a)
    pg_get_function_arguments(a)
    pg_get_function_identity_arguments(a) pg_get_function_arg_default(a,b) pg_get_partkeydef(a)
    pg_get_partition_constraintdef(a) pg_get_statisticsobjdef_columns(a) pg_get_statisticsobjdef(a)
    pg_get_ruledef(a) pg_get_ruledef(a,b) pg_tablespace_location(a) inet_server_addr() inet_server_port()
    inet_client_addr() inet_client_port() pg_advisory_unlock_all()
    pg_get_publication_tables(a) pg_sequence_parameters(a) pg_last_wal_receive_lsn()
    pg_last_wal_replay_lsn()
    txid_current_if_assigned() pg_get_replica_identity_index(a) pg_sequence_last_value(a)
    pg_cancel_backend(a)"""
_SIZES: Final = """
    pg_relation_size(a) pg_relation_size(a,b) pg_total_relation_size(a) pg_table_size(a) pg_indexes_size(a)
    pg_database_size(a) pg_tablespace_size(a)"""
"""Milvus does not say how many bytes a collection has: NULL."""
_ZERO: Final = """
    pg_my_temp_schema() txid_current() pg_notification_queue_usage()
    pg_relation_filenode(a) pg_stat_get_numscans(a)"""


def _looked_up(
    value: str, table: str, *, key: str = "pg_row.oid", argument: str = "o", where: str = "", **more: str
) -> str:
    """The value of the row whose key is an argument of the macro.

    DuckDB puts the arguments in as they are written: ``i.oid`` would mean a table ``i`` of the macro. So they
    are read where no table is in sight, and columns take their values from ``pg_arguments``.
    """
    arguments = ", ".join(f"{part} AS {name}" for name, part in {"pg_key": argument, **more}.items())
    rows = f"(SELECT {arguments}) AS pg_arguments, pgc.{table} AS pg_row"
    return f"(SELECT max({value}) FROM {rows} WHERE {key} = pg_arguments.pg_key{where})"  # noqa: S608 - of this file


def _pretty_size() -> str:
    """A number of bytes with its unit: in the units after bytes, halves are rounded up."""
    cases = ["WHEN a > -10240 AND a < 10240 THEN CAST(a AS VARCHAR) || ' bytes'"]
    units = ("kB", "MB", "GB", "TB", "PB")
    for power, unit in enumerate(units):
        halves = f"(abs(CAST(a AS HUGEINT)) // {512 << 10 * power})"
        shown = f"CAST(sign(a) * (({halves} + 1) // 2) AS VARCHAR) || ' {unit}'"
        cases.append(f"WHEN {halves} < 20479 THEN {shown}" if power + 1 < len(units) else f"ELSE {shown}")
    return f"CASE WHEN a IS NULL THEN NULL {' '.join(cases)} END"


_DESCRIPTION: Final = _looked_up(
    "pg_row.description", "pg_description", key="pg_row.objoid", where=" AND pg_row.objsubid = 0"
)
_EXPRESSIONS: Final = (
    (
        "format_type(t, m)",
        "(SELECT pg_row.shown FROM (SELECT t AS pg_key, m AS pg_modifier) AS pg_arguments, "
        "format_names(pg_arguments.pg_key, pg_arguments.pg_modifier) AS pg_row)",
    ),
    ("pg_get_expr(a, b)", "a"),
    ("pg_get_expr(a, b, c)", "a"),
    ("obj_description(o)", _DESCRIPTION),
    ("obj_description(o, c)", _DESCRIPTION),
    (
        "col_description(o, n)",
        _looked_up(
            "pg_row.description",
            "pg_description",
            key="pg_row.objoid",
            where=" AND pg_row.objsubid = pg_arguments.pg_position",
            pg_position="n",
        ),
    ),
    ("pg_get_indexdef(o)", _looked_up("pg_row.definition", "index_definitions")),
    (
        "pg_get_indexdef(o, n, p)",
        _looked_up(
            "CASE WHEN pg_arguments.pg_position = 0 THEN pg_row.definition ELSE pg_row.keys END",
            "index_definitions",
            where=" AND pg_arguments.pg_position <= 1",
            pg_position="n",
        ),
    ),
    ("pg_get_constraintdef(o)", _looked_up("pg_row.definition", "constraint_definitions")),
    ("pg_get_constraintdef(o, p)", _looked_up("pg_row.definition", "constraint_definitions")),
    ("pg_get_viewdef(o)", _looked_up("pg_row.definition", "view_definitions")),
    ("pg_get_viewdef(o, p)", _looked_up("pg_row.definition", "view_definitions")),
    ("pg_get_userbyid(o)", _looked_up("pg_row.rolname", "pg_roles")),
    ("pg_encoding_to_char(e)", "CASE WHEN e = 6 THEN 'UTF8' ELSE '' END"),
    ("pg_char_to_encoding(e)", "6"),
    ("regclass_name(o)", f"coalesce({_looked_up('pg_row.relname', 'pg_class')}, CAST(o AS VARCHAR))"),
    (
        "regclass_oid(n)",
        _looked_up("pg_row.oid", "pg_class", key="pg_row.relname", argument="relation_name(n)"),
    ),
    ("regtype_oid(n)", _looked_up("pg_row.oid", "pg_type", key="pg_row.typname", argument="type_alias(n)")),
    ("regnamespace_name(o)", _looked_up("pg_row.nspname", "pg_namespace")),
    ("regnamespace_oid(s)", _looked_up("pg_row.oid", "pg_namespace", key="pg_row.nspname", argument="s")),
    (
        "relation_name(n)",
        "trim(regexp_replace(trim(n), '^\"?(public|pg_catalog|information_schema)\"?\\s*\\.\\s*', ''), '\"')",
    ),
    (
        "type_alias(n)",
        "CASE lower(n) WHEN 'integer' THEN 'int4' WHEN 'int' THEN 'int4' WHEN 'bigint' THEN 'int8' "
        "WHEN 'smallint' THEN 'int2' WHEN 'boolean' THEN 'bool' WHEN 'double precision' THEN 'float8' "
        "WHEN 'real' THEN 'float4' WHEN 'character varying' THEN 'varchar' "
        "WHEN 'timestamp with time zone' THEN 'timestamptz' "
        "ELSE lower(regexp_replace(n, '^\"?(public|pg_catalog)\"?\\.', '')) END",
    ),
    ("current_schemas(implicit)", "CASE WHEN implicit THEN ['pg_catalog', 'public'] ELSE ['public'] END"),
    ("pg_size_pretty(a)", _pretty_size()),
    (
        "quote_ident(n)",
        "CASE WHEN regexp_full_match(n, '[a-z_][a-z0-9_$]*') THEN n "
        "ELSE '\"' || replace(n, '\"', '\"\"') || '\"' END",
    ),
    (
        "parse_ident(n)",
        """list_transform(regexp_extract_all(n, '"(?:[^"]|"")*"|[^."]+'), lambda x:
        CASE WHEN x[1] = '"' THEN replace(x[2:-2], '""', '"') ELSE lower(trim(x)) END)""",
    ),
    ("quote_literal(n)", "'''' || replace(CAST(n AS VARCHAR), '''', '''''') || ''''"),
    ("quote_nullable(n)", "coalesce(quote_literal(n), 'NULL')"),
    (
        "_pg_expandarray(a)",
        "unnest(list_transform(range(1, len(a) + 1), i -> {'x': a[i], 'n': i}))",
    ),
    ("pg_array_remove(a, v)", "list_filter(a, x -> x IS DISTINCT FROM v)"),
    ("array_lower(a, d)", "CASE WHEN len(a) > 0 AND d = 1 THEN 1 END"),
    ("array_upper(a, d)", "CASE WHEN len(a) > 0 AND d = 1 THEN len(a) END"),
    (
        "default_setting(n)",
        _looked_up("pg_row.setting", "pg_settings", key="lower(pg_row.name)", argument="lower(n)"),
    ),
    ("pg_postmaster_start_time()", "CAST('2000-01-01' AS TIMESTAMP)"),
    ("pg_client_encoding()", "'UTF8'"),
    ("getdatabaseencoding()", "'UTF8'"),
    ("pg_stat_get_live_tuples(a)", "-1"),
    ("pg_indexam_has_property(a, b)", "b = 'can_unique'"),
    ("pg_index_column_has_property(a, b, c)", "c IN ('asc', 'orderable')"),
    ("pg_index_has_property(a, b)", "false"),
)

_FORMAT_NAMES: Final = """
CREATE OR REPLACE MACRO main.format_names(t, m) AS TABLE
SELECT max(CASE
    WHEN y.typname IN ('numeric', '_numeric') AND m >= 0 THEN
        'numeric(' || CAST((m - 4) >> 16 AS VARCHAR) || ',' || CAST((m - 4) & 65535 AS VARCHAR) || ')'
        || CASE WHEN y.typelem <> 0 THEN '[]' ELSE '' END
    WHEN y.typelem <> 0 AND y.typcategory = 'A' THEN
        (SELECT max(coalesce(n.shown, e.typname)) FROM pgc.pg_type e
         LEFT JOIN pgc.type_names n ON n.name = e.typname WHERE e.oid = y.typelem) || '[]'
    WHEN m IS NULL OR m < 0 THEN coalesce(n.shown, y.typname)
    WHEN y.typname IN ('varchar', 'bpchar') THEN n.shown || '(' || CAST(m - 4 AS VARCHAR) || ')'
    WHEN y.typname IN ('vector', 'halfvec', 'bfloat16_vector', 'sparsevec', 'bit') THEN
        y.typname || '(' || CAST(m AS VARCHAR) || ')'
    ELSE coalesce(n.shown, y.typname) END) AS shown
FROM pgc.pg_type y LEFT JOIN pgc.type_names n ON n.name = y.typname WHERE y.oid = t"""

_OPTIONS: Final = """
CREATE OR REPLACE MACRO main.pg_options_to_table(a) AS TABLE
SELECT CAST(NULL AS VARCHAR) AS option_name, CAST(NULL AS VARCHAR) AS option_value WHERE false"""

_KEYWORDS: Final = """
CREATE OR REPLACE MACRO main.pg_get_keywords() AS TABLE
SELECT keyword_name AS word, upper(keyword_category[1]) AS catcode, true AS barelabel,
    keyword_category AS catdesc, 'can be bare label' AS baredesc FROM duckdb_keywords()"""

TYPE_NAMES: Final = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "bpchar": "character",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "char": '"char"',
}
"""The names by which SQL spells types that have another name in the catalog."""


def macro_statements() -> list[str]:
    """The statements that create the macros: several of a name with different parameters are one."""
    bodies = dict[str, list[tuple[str, str]]]()
    for signatures, value in (
        (_TRUE, "true"),
        (_FALSE, "false"),
        (_NULL, "CAST(NULL AS VARCHAR)"),
        (_SIZES, "CAST(NULL AS BIGINT)"),
        (_ZERO, "CAST(0 AS BIGINT)"),
    ):
        for signature in signatures.split():
            name, _, parameters = signature.partition("(")
            bodies.setdefault(name, []).append((f"({parameters}", value))
    for signature, value in _EXPRESSIONS:
        name, _, parameters = signature.partition("(")
        bodies.setdefault(name, []).append((f"({parameters}", value))
    late = {"quote_nullable", "regclass_oid", "regtype_oid", "format_type"}
    ordered = sorted(bodies, key=lambda name: name in late)
    statements = [
        f'CREATE OR REPLACE MACRO main."{name}"'
        + ", ".join(f"{head} AS {value}" for head, value in bodies[name])
        for name in ordered
    ]
    return [_FORMAT_NAMES, _OPTIONS, _KEYWORDS, *statements]


FUNCTIONS: Final = frozenset(
    signature.partition("(")[0]
    for signature in (
        *f"{_TRUE} {_FALSE} {_NULL} {_SIZES} {_ZERO}".split(),
        *(name for name, _ in _EXPRESSIONS),
    )
) | {
    "version",
    "current_schema",
    "current_database",
    "current_catalog",
    "current_user",
    "session_user",
    "current_role",
    "user",
    "pg_backend_pid",
    "current_setting",
    "set_config",
    "to_regclass",
    "to_regtype",
    "pg_get_keywords",
}
"""Functions whose calls are answered by the catalogs, whatever they are called on."""
