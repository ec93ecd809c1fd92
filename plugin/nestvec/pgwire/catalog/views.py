"""The relations of the catalogs that others make up."""

from __future__ import annotations

from typing import Final

VIEWS: Final = {
    "pg_catalog.pg_tables": """
        SELECT n.nspname AS schemaname, c.relname AS tablename, pg_get_userbyid(c.relowner) AS tableowner,
            CAST(NULL AS VARCHAR) AS tablespace, c.relhasindex AS hasindexes, c.relhasrules AS hasrules,
            c.relhastriggers AS hastriggers, c.relrowsecurity AS rowsecurity
        FROM pgc.pg_class c LEFT JOIN pgc.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'""",
    "pg_catalog.pg_views": """
        SELECT n.nspname AS schemaname, c.relname AS viewname, pg_get_userbyid(c.relowner) AS viewowner,
            pg_get_viewdef(c.oid) AS definition
        FROM pgc.pg_class c LEFT JOIN pgc.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v'""",
    "information_schema.views": """
        SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
            pg_get_viewdef(c.oid) AS view_definition, 'NONE' AS check_option, 'NO' AS is_updatable,
            'NO' AS is_insertable_into, 'NO' AS is_trigger_updatable, 'NO' AS is_trigger_deletable,
            'NO' AS is_trigger_insertable_into
        FROM pgc.pg_class c JOIN pgc.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN pgc.pg_database d
        WHERE c.relkind = 'v'""",
    "pg_catalog.pg_indexes": """
        SELECT n.nspname AS schemaname, c.relname AS tablename, i.relname AS indexname,
            CAST(NULL AS VARCHAR) AS tablespace, pg_get_indexdef(i.oid) AS indexdef
        FROM pgc.pg_index x JOIN pgc.pg_class c ON c.oid = x.indrelid
        JOIN pgc.pg_class i ON i.oid = x.indexrelid
        LEFT JOIN pgc.pg_namespace n ON n.oid = c.relnamespace""",
    "information_schema.schemata": """
        SELECT d.datname AS catalog_name, n.nspname AS schema_name,
            pg_get_userbyid(n.nspowner) AS schema_owner,
            CAST(NULL AS VARCHAR) AS default_character_set_catalog,
            CAST(NULL AS VARCHAR) AS default_character_set_schema,
            CAST(NULL AS VARCHAR) AS default_character_set_name, CAST(NULL AS VARCHAR) AS sql_path
        FROM pgc.pg_namespace n CROSS JOIN pgc.pg_database d""",
    "information_schema.tables": """
        SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
            CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END AS table_type,
            CAST(NULL AS VARCHAR) AS self_referencing_column_name,
            CAST(NULL AS VARCHAR) AS reference_generation, CAST(NULL AS VARCHAR) AS user_defined_type_catalog,
            CAST(NULL AS VARCHAR) AS user_defined_type_schema,
            CAST(NULL AS VARCHAR) AS user_defined_type_name,
            CASE c.relkind WHEN 'v' THEN 'NO' ELSE 'YES' END AS is_insertable_into, 'NO' AS is_typed,
            CAST(NULL AS VARCHAR) AS commit_action
        FROM pgc.pg_class c JOIN pgc.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN pgc.pg_database d
        WHERE c.relkind IN ('r', 'v')""",
    "information_schema.columns": """
        SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
            a.attname AS column_name, CAST(a.attnum AS INTEGER) AS ordinal_position,
            CASE WHEN a.attgenerated = '' THEN f.adbin END AS column_default,
            CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
            CASE WHEN t.typcategory = 'A' THEN 'ARRAY' WHEN t.typnamespace <> 11 THEN 'USER-DEFINED'
                ELSE coalesce(y.shown, t.typname) END AS data_type,
            CASE WHEN t.typname = 'varchar' AND a.atttypmod > 0 THEN a.atttypmod - 4
                WHEN t.typname = 'bit' AND a.atttypmod > 0 THEN a.atttypmod END
                AS character_maximum_length,
            CASE WHEN t.typname IN ('varchar', 'text') THEN
                CASE WHEN a.atttypmod > 0 THEN (a.atttypmod - 4) * 4 ELSE 1073741824 END END
                AS character_octet_length,
            CASE t.typname WHEN 'int2' THEN 16 WHEN 'int4' THEN 32 WHEN 'int8' THEN 64 WHEN 'float4' THEN 24
                WHEN 'float8' THEN 53
                WHEN 'numeric' THEN CASE WHEN a.atttypmod > 0 THEN (a.atttypmod - 4) >> 16 END END
                AS numeric_precision,
            CASE WHEN t.typname IN ('int2', 'int4', 'int8', 'float4', 'float8') THEN 2
                WHEN t.typname = 'numeric' THEN 10 END AS numeric_precision_radix,
            CASE WHEN t.typname IN ('int2', 'int4', 'int8') THEN 0
                WHEN t.typname = 'numeric' AND a.atttypmod > 0 THEN (a.atttypmod - 4) & 65535 END
                AS numeric_scale,
            CASE WHEN t.typcategory = 'D' THEN CASE t.typname WHEN 'date' THEN 0 ELSE 6 END END
                AS datetime_precision,
            CAST(NULL AS VARCHAR) AS interval_type, CAST(NULL AS INTEGER) AS interval_precision,
            CAST(NULL AS VARCHAR) AS character_set_catalog, CAST(NULL AS VARCHAR) AS character_set_schema,
            CAST(NULL AS VARCHAR) AS character_set_name, CAST(NULL AS VARCHAR) AS collation_catalog,
            CAST(NULL AS VARCHAR) AS collation_schema, CAST(NULL AS VARCHAR) AS collation_name,
            CAST(NULL AS VARCHAR) AS domain_catalog, CAST(NULL AS VARCHAR) AS domain_schema,
            CAST(NULL AS VARCHAR) AS domain_name, d.datname AS udt_catalog,
            regnamespace_name(t.typnamespace) AS udt_schema, t.typname AS udt_name,
            CAST(NULL AS VARCHAR) AS scope_catalog, CAST(NULL AS VARCHAR) AS scope_schema,
            CAST(NULL AS VARCHAR) AS scope_name, CAST(NULL AS INTEGER) AS maximum_cardinality,
            CAST(a.attnum AS VARCHAR) AS dtd_identifier, 'NO' AS is_self_referencing,
            CASE WHEN a.attidentity <> '' THEN 'YES' ELSE 'NO' END AS is_identity,
            CASE WHEN a.attidentity = 'a' THEN 'ALWAYS' END AS identity_generation,
            CAST(NULL AS VARCHAR) AS identity_start, CAST(NULL AS VARCHAR) AS identity_increment,
            CAST(NULL AS VARCHAR) AS identity_maximum, CAST(NULL AS VARCHAR) AS identity_minimum,
            'NO' AS identity_cycle,
            CASE WHEN a.attgenerated = '' THEN 'NEVER' ELSE 'ALWAYS' END AS is_generated,
            CASE WHEN a.attgenerated <> '' THEN f.adbin END AS generation_expression,
            CASE c.relkind WHEN 'v' THEN 'NO' ELSE 'YES' END AS is_updatable
        FROM pgc.pg_attribute a JOIN pgc.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'v')
        JOIN pgc.pg_namespace n ON n.oid = c.relnamespace JOIN pgc.pg_type t ON t.oid = a.atttypid
        LEFT JOIN pgc.type_names y ON y.name = t.typname
        LEFT JOIN pgc.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
        CROSS JOIN pgc.pg_database d""",
    "information_schema.table_constraints": """
        SELECT d.datname AS constraint_catalog, n.nspname AS constraint_schema, o.conname AS constraint_name,
            d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
            'PRIMARY KEY' AS constraint_type, 'NO' AS is_deferrable, 'NO' AS initially_deferred,
            'YES' AS enforced,
            CAST(NULL AS VARCHAR) AS nulls_distinct
        FROM pgc.pg_constraint o JOIN pgc.pg_class c ON c.oid = o.conrelid
        JOIN pgc.pg_namespace n ON n.oid = o.connamespace CROSS JOIN pgc.pg_database d""",
    "information_schema.key_column_usage": """
        SELECT d.datname AS constraint_catalog, n.nspname AS constraint_schema, o.conname AS constraint_name,
            d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
            a.attname AS column_name, 1 AS ordinal_position,
            CAST(NULL AS INTEGER) AS position_in_unique_constraint
        FROM pgc.pg_constraint o JOIN pgc.pg_class c ON c.oid = o.conrelid
        JOIN pgc.pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.conkey[1]
        JOIN pgc.pg_namespace n ON n.oid = o.connamespace CROSS JOIN pgc.pg_database d""",
    "information_schema.constraint_column_usage": """
        SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
            a.attname AS column_name, d.datname AS constraint_catalog, n.nspname AS constraint_schema,
            o.conname AS constraint_name
        FROM pgc.pg_constraint o JOIN pgc.pg_class c ON c.oid = o.conrelid
        JOIN pgc.pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.conkey[1]
        JOIN pgc.pg_namespace n ON n.oid = o.connamespace CROSS JOIN pgc.pg_database d""",
}
"""The queries of the relations, by name."""
