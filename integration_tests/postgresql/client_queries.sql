-- Queries of the catalogs in the shape in which DBeaver and Grafana send them, each after a line with the client
-- and its purpose. {table}, {schema}, {type} and {database} stand for parameters that are ids, {name} for a text.

-- dbeaver: databases
SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate OR
db.datname = {name} ORDER BY db.datname;

-- dbeaver: current database
SELECT current_database();

-- dbeaver: version
SELECT version();

-- dbeaver: schema and user
SELECT current_schema(), session_user;

-- dbeaver: has pg_enum
SELECT * FROM pg_catalog.pg_enum WHERE 1<>1 LIMIT 1;

-- dbeaver: has reltype
SELECT reltype FROM pg_catalog.pg_class WHERE 1<>1 LIMIT 1;

-- dbeaver: has typcategory
SELECT typcategory FROM pg_catalog.pg_type WHERE 1<>1 LIMIT 1;

-- dbeaver: size of the database
SELECT db.datname, pg_database_size(db.oid) FROM pg_catalog.pg_database db WHERE db.oid = {database};

-- dbeaver: comment of the database
select description from pg_shdescription join pg_database on objoid = pg_database.oid where datname = {name};

-- dbeaver: schemas
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d
ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname;

-- dbeaver: types
SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name,
d.description FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem LEFT
OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid
= d.objoid WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS
NULL OR et.typcategory <> 'C') AND t.typnamespace = {schema};

-- dbeaver: type by oid
SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name FROM
pg_catalog.pg_type t LEFT OUTER JOIN pg_class c ON c.oid = t.typrelid WHERE t.oid = {type};

-- dbeaver: enum labels
SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = {type} ORDER BY e.enumsortorder;

-- dbeaver: roles
SELECT a.oid, a.*, pd.description FROM pg_catalog.pg_roles a left join pg_catalog.pg_shdescription pd on
a.oid = pd.objoid ORDER BY a.rolname;

-- dbeaver: access methods
SELECT am.oid, am.* FROM pg_catalog.pg_am am ORDER BY am.oid;

-- dbeaver: encodings
SELECT c.contoencoding as encid, pg_catalog.pg_encoding_to_char(c.contoencoding) as encname FROM
pg_catalog.pg_conversion c GROUP BY c.contoencoding ORDER BY 2;

-- dbeaver: collations
SELECT c.oid, c.* FROM pg_catalog.pg_collation c ORDER BY c.oid;

-- dbeaver: languages
SELECT l.oid, l.* FROM pg_catalog.pg_language l ORDER BY l.oid;

-- dbeaver: foreign data wrappers
SELECT l.oid, l.*, p.pronamespace as handler_schema_id FROM pg_catalog.pg_foreign_data_wrapper l LEFT OUTER
JOIN pg_catalog.pg_proc p ON p.oid = l.fdwhandler ORDER BY l.fdwname;

-- dbeaver: foreign servers
SELECT l.oid, l.* FROM pg_catalog.pg_foreign_server l ORDER BY l.srvname;

-- dbeaver: tablespaces
SELECT t.oid, t.*, pg_tablespace_location(t.oid) loc FROM pg_catalog.pg_tablespace t ORDER BY t.oid;

-- dbeaver: event triggers
SELECT t.oid, t.* FROM pg_catalog.pg_event_trigger t;

-- dbeaver: extensions
SELECT e.oid, cfg.tbls, n.nspname as schema_name, e.* FROM pg_catalog.pg_extension e join pg_namespace n on
n.oid = e.extnamespace left join (select ARRAY_AGG(ns.nspname || '.' || cls.relname) tbls, oid_ext from
(select unnest(e1.extconfig) oid, e1.oid oid_ext from pg_catalog.pg_extension e1) c join pg_class cls on
cls.oid = c.oid join pg_namespace ns on ns.oid = cls.relnamespace group by oid_ext) cfg on cfg.oid_ext =
e.oid ORDER BY e.oid;

-- dbeaver: available extensions
SELECT name, default_version, installed_version, comment FROM pg_available_extensions ORDER BY name;

-- dbeaver: settings
select * from pg_catalog.pg_settings;

-- dbeaver: tables
SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,
pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN
pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
WHERE c.relnamespace = {schema} AND c.relkind not in ('i', 'I', 'c');

-- dbeaver: columns
SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value, dsc.description,
dep.objid FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid) LEFT OUTER
JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN
pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid) LEFT OUTER JOIN pg_depend
dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid =
dep.refclassid WHERE NOT a.attisdropped AND c.relkind not in ('i', 'I', 'c') AND c.oid = {table} ORDER BY
a.attnum;

-- dbeaver: constraints
SELECT c.oid, c.*, t.relname as tabrelname, rt.relnamespace as refnamespace, d.description, case when
c.contype = 'c' then "substring"(pg_get_constraintdef(c.oid), 7) else null end consrc_copy FROM
pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid LEFT OUTER JOIN
pg_catalog.pg_class rt ON rt.oid = c.confrelid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid =
c.oid AND d.objsubid = 0 AND d.classoid = 'pg_constraint'::regclass WHERE t.relnamespace = {schema} ORDER BY
c.oid;

-- dbeaver: indexes
SELECT i.*, i.indkey as keys, c.relname, c.relnamespace, c.relam, c.reltablespace, tc.relname as tabrelname,
dsc.description, pg_catalog.pg_get_expr(i.indpred, i.indrelid) as pred_expr,
pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) as expr, pg_catalog.pg_relation_size(i.indexrelid) as
index_rel_size, pg_catalog.pg_stat_get_numscans(i.indexrelid) as index_num_scans FROM pg_catalog.pg_index i
INNER JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid INNER JOIN pg_catalog.pg_class tc ON tc.oid =
i.indrelid LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid = dsc.objoid WHERE i.indrelid =
{table} ORDER BY c.relname;

-- dbeaver: procedures
SELECT p.oid as poid, p.*, pg_catalog.pg_get_expr(p.proargdefaults, 0) as arg_defaults, d.description FROM
pg_catalog.pg_proc p LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = p.oid and d.classoid =
'pg_proc'::regclass AND d.objsubid = 0 WHERE p.pronamespace = {schema} ORDER BY p.proname;

-- dbeaver: aggregates
SELECT p.oid AS proc_oid, p.proname AS proc_name, a.* FROM pg_catalog.pg_aggregate a, pg_catalog.pg_proc p
WHERE p.oid = a.aggfnoid AND p.pronamespace = {schema} ORDER BY p.proname;

-- dbeaver: inheritance of a schema
SELECT i.inhrelid relid, pc.relnamespace parent_ns, pc.oid parent_oid, i.inhseqno FROM
pg_catalog.pg_inherits i, pg_class rc, pg_class pc WHERE rc.oid = i.inhrelid AND rc.relnamespace = {schema}
AND pc.oid = i.inhparent;

-- dbeaver: inheritance
SELECT i.*, c.relnamespace FROM pg_catalog.pg_inherits i, pg_catalog.pg_class c WHERE i.inhrelid = {table}
AND c.oid = i.inhparent ORDER BY i.inhseqno;

-- dbeaver: partition
select pg_get_expr(c.relpartbound, c.oid, true) as partition_range from "pg_catalog".pg_class c where
relname = {name} and relnamespace = {schema};

-- dbeaver: sizes
select c.oid, pg_catalog.pg_total_relation_size(c.oid) as total_rel_size, pg_catalog.pg_relation_size(c.oid)
as rel_size FROM pg_class c WHERE c.relnamespace = {schema};

-- dbeaver: size
select pg_catalog.pg_total_relation_size({table}) as total_rel_size, pg_catalog.pg_relation_size({table}) as
rel_size;

-- dbeaver: triggers
SELECT x.oid, x.*, p.pronamespace as func_schema_id, d.description FROM pg_catalog.pg_trigger x LEFT OUTER
JOIN pg_catalog.pg_proc p ON p.oid = x.tgfoid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid =
x.oid AND d.objsubid = 0 WHERE x.tgrelid = {table} AND NOT x.tgisinternal;

-- dbeaver: rules
SELECT r.oid, r.*, pg_get_ruledef(r.oid) AS definition FROM pg_rewrite r WHERE r.ev_class = 0 AND r.rulename
<> '_RETURN'::name;

-- dbeaver: policies
select * from pg_catalog.pg_policies where schemaname = {name} and tablename = {name};

-- dbeaver: default privileges
SELECT * FROM pg_default_acl WHERE defaclnamespace = {schema};

-- dbeaver: comment of a table
select description from pg_catalog.pg_description join pg_catalog.pg_class on pg_description.objoid =
pg_class.oid join pg_catalog.pg_namespace on pg_class.relnamespace = pg_namespace.oid where pg_class.relname
= {name} and pg_namespace.nspname = {name};

-- dbeaver: search
SELECT pc.oid, pc.relname, pc.relnamespace, pc.relkind FROM pg_catalog.pg_class pc WHERE pc.relkind in ('r',
'v', 'm', 'f', 'p') AND (pc.relname ILIKE {name} OR obj_description(pc.oid, 'pg_class') ILIKE {name}) AND
pc.relnamespace IN ({schema}) ORDER BY pc.relname LIMIT 100;

-- dbeaver: sessions
SELECT sa.* FROM pg_catalog.pg_stat_activity sa;

-- dbeaver: privileges of tables
SELECT * FROM information_schema.table_privileges WHERE table_catalog = {name} AND grantee = {name};

-- dbeaver: sequences
SELECT * FROM information_schema.sequences;

-- dbeaver: view
SELECT pg_get_viewdef({table}, true);

-- dbeaver: dependents
SELECT DISTINCT dep.deptype, dep.classid, dep.objid, cl.relkind, attr.attname, pg_get_expr(ad.adbin,
ad.adrelid) adefval FROM pg_depend dep LEFT JOIN pg_class cl ON dep.objid = cl.oid LEFT JOIN pg_attribute
att ON dep.objid = att.attrelid AND dep.objsubid = att.attnum LEFT JOIN pg_attrdef ad ON ad.oid = dep.objid
LEFT JOIN pg_attribute attr ON attr.attrelid = ad.adrelid and attr.attnum = ad.adnum LEFT JOIN pg_rewrite rw
ON dep.objid = rw.oid LEFT JOIN pg_trigger tg ON dep.objid = tg.oid WHERE dep.refobjid = {table};

-- grafana: version
SELECT current_setting('server_version_num')::int/100 as version;

-- grafana: timescale
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb';

-- grafana: schemas
SELECT schema_name AS "name" FROM information_schema.schemata WHERE schema_name NOT IN
('information_schema', 'pg_catalog', 'pg_toast') ORDER BY schema_name;

-- grafana: tables of a schema
SELECT quote_ident(table_name) AS "table" FROM information_schema.tables WHERE quote_ident(table_schema) =
'public' ORDER BY 1;

-- grafana: tables
SELECT CASE WHEN quote_ident(table_schema) IN (
SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
FROM generate_series(
array_lower(string_to_array(current_setting('search_path'), ','), 1),
array_upper(string_to_array(current_setting('search_path'), ','), 1)) as i,
string_to_array(current_setting('search_path'), ',') s) THEN quote_ident(table_name)
ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
FROM information_schema.tables
WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', 'timescaledb_experimental')
ORDER BY CASE WHEN quote_ident(table_schema) IN (
SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
FROM generate_series(
array_lower(string_to_array(current_setting('search_path'), ','), 1),
array_upper(string_to_array(current_setting('search_path'), ','), 1)) as i,
string_to_array(current_setting('search_path'), ',') s) THEN 0 ELSE 1 END, 1;

-- grafana: columns
SELECT quote_ident(column_name) AS "column", data_type AS "type"
FROM information_schema.columns WHERE
CASE WHEN array_length(parse_ident('t'), 1) = 2
THEN quote_ident(table_schema) = (parse_ident('t'))[1] AND quote_ident(table_name) = (parse_ident('t'))[2]
ELSE quote_ident(table_name) = 't' AND quote_ident(table_schema) IN (
SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
FROM generate_series(
array_lower(string_to_array(current_setting('search_path'), ','), 1),
array_upper(string_to_array(current_setting('search_path'), ','), 1)) as i,
string_to_array(current_setting('search_path'), ',') s) END;

-- grafana: columns with the schema
SELECT quote_ident(column_name) AS "column", data_type AS "type"
FROM information_schema.columns WHERE
CASE WHEN array_length(parse_ident('public.t'), 1) = 2
THEN quote_ident(table_schema) = (parse_ident('public.t'))[1]
AND quote_ident(table_name) = (parse_ident('public.t'))[2]
ELSE quote_ident(table_name) = 'public.t' AND quote_ident(table_schema) IN (
SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
FROM generate_series(
array_lower(string_to_array(current_setting('search_path'), ','), 1),
array_upper(string_to_array(current_setting('search_path'), ','), 1)) as i,
string_to_array(current_setting('search_path'), ',') s) END;
