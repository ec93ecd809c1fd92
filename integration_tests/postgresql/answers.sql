SELECT count(*) FROM (SELECT * FROM rows) AS x WHERE b NOT BETWEEN SYMMETRIC NULL AND 12
SELECT id FROM (SELECT * FROM rows) AS x WHERE r BETWEEN 0.1 AND 2 OR a BETWEEN SYMMETRIC 3 AND s
SELECT id FROM rows WHERE NULL <> ALL(tags)
SELECT id FROM rows WHERE NOT NULL = ANY(nums)
SELECT id, (a, s) IN (SELECT y.a, y.s FROM rows AS y WHERE y.id < 3) AS x FROM rows
SELECT id FROM rows WHERE (a, s) NOT IN (SELECT y.a, y.s FROM rows AS y WHERE y.a > 0)
SELECT id, meta->'n' = '1.0'::jsonb AS x, meta->'deep' <> '{"x": 1.0}' AS y FROM rows
SELECT id FROM rows WHERE t NOT ILIKE ALL (ARRAY['%b%', 'A%'])
SELECT id FROM rows WHERE t NOT LIKE ANY (ARRAY['%b%', 'a%', NULL])
SELECT id, u LIKE ANY ('{a%,%b}') AS x, NOT u LIKE ALL (ARRAY['a%', '%b']) AS y FROM rows
SELECT id, t LIKE ANY (tags) AS x FROM rows WHERE tags::text !~ '\\'
SELECT id, a << 2 AS x, a >> 1 AS y FROM rows
SELECT id, u ~ '\w' AS x, u ~ '[[:alpha:]]' AS y, u ~ '^[^\w]' AS z, u ~ '[[:upper:]]' AS q FROM rows
SELECT id, u SIMILAR TO 'a\%b' AS x, u SIMILAR TO 'a[%_]b' AS y, u NOT SIMILAR TO '(a|b)+' AS z FROM rows
SELECT id, u SIMILAR TO 'a!%b' ESCAPE '!' AS x, u SIMILAR TO '%\_b' AS y FROM rows
SELECT id, regexp_replace(u, '[^\w]', '-', 'g') AS x, regexp_replace(u, '\s', '', 'g') AS y FROM rows
SELECT id, r <= '0.1' AS x, '0.25' < r AS y, r * '0.1' AS z FROM rows
SELECT id FROM rows WHERE left(u, 9) = 'x' OR r <= '0.1'
SELECT id FROM rows WHERE (meta->'list' ? 'a' OR meta->'list' ? '1') AND left(u, 99) <> '-'
SELECT id, date_trunc('week', day) AS x, encode(raw, 'hex') AS y FROM typed
SELECT id, raw = '\x00ff' AS x, raw > '\x00' AS y, raw IN ('\xff', '\x00') AS z FROM typed
SELECT count(*) FROM typed WHERE NOT (date_trunc('month', ts) = '1900-01-01 12:30:15.5')
SELECT id, raw::text AS x, length(raw) AS y, octet_length(raw) AS z, raw >= '\x' AS q FROM typed
SELECT id, n = '1.005' AS x, '1.005' < n AS y, n IN ('1.005', '2') AS z, n + '1.005' AS q FROM typed
SELECT id, n BETWEEN '1.005' AND '99.994' AS x, n IS NOT DISTINCT FROM '1.005' AS y FROM typed
SELECT id, ts::timestamp(0) AS x, ts1 AS y, tz::timestamptz(1) AS z, ts::timestamp(3) AS q FROM typed
SELECT id, upper(u) AS x, initcap(u || ' ' || u) AS y, upper(t) AS z FROM rows
SELECT id, n = ANY(ARRAY[1::numeric, '-1.25']) AS x, coalesce(n, '1.005') AS y, greatest(n, '1.2345') AS z FROM typed
SELECT id, array_remove(tags, NULL) AS x, array_remove(nums, 1) AS y, array_remove(tags, t) AS z FROM rows
SELECT id, -3 - s AS x, s * (-2) AS y FROM rows
SELECT id, u ~* '[[:upper:]]' AS x, u ~ '(?i)[[:lower:]]' AS y, u ~ '[[:upper:]]' AS z FROM rows
SELECT id, meta - NULL AS x, meta - u AS y, meta || NULL AS z, meta || '{"k": 1}' || '{"k": 2}' AS q FROM rows
SELECT id, (meta || jsonb_build_object('u', u) - 'list' ->> 'u') AS x, (meta - ARRAY['k', NULL])::text IS NULL AS y FROM rows
SELECT id, (meta->'deep'->'l') - 1 AS x, (meta->'deep'->'l') - -1 AS y, jsonb_set(meta, '{added, z}', to_jsonb(id)) || jsonb_set(meta, '{added}', to_jsonb(id)) #- '{n}' AS z FROM rows
SELECT id, meta ?& ARRAY['k', NULL] AS x, meta ?| ARRAY['k', NULL] AS y FROM rows
SELECT id, ROW(a, s) IS NULL AS x, (a, s) IS NOT NULL AS y FROM rows
SELECT id FROM rows WHERE NOT ((a, s) IS NOT NULL) AND g
SELECT id, ROW(a, t) = ROW(1, 'a') AS x, ROW(a, s) < ROW(1, 2) AS y, ROW(a, s) IN (ROW(1, 2), ROW(2, NULL)) AS z FROM rows
SELECT id, ROW(a, s) IN (SELECT y.a, y.s FROM rows AS y WHERE y.f) AS x FROM rows
SELECT id, dense_rank() OVER (ORDER BY t COLLATE "C" DESC NULLS LAST) AS c FROM rows AS x
SELECT id, round(a::numeric, 2)::text AS x, round(a / 7.0, 3)::text AS y, round(a * 1.2345, 3)::text AS z FROM rows
SELECT id, 'x' || round(n, 1) AS x, concat(round(n, 3), '-', round(m)) AS y, round(n, -1)::text AS z, trunc(n)::text AS w FROM typed
SELECT round(p)::text AS x, trunc(p)::text AS y FROM rows WHERE abs(p) < 1000
SELECT id FROM rows WHERE (CASE WHEN (a, s) IN (SELECT y.a, y.s FROM rows AS y WHERE y.id < 3) THEN t ELSE u END) = ANY(tags)
SELECT x.id, (SELECT max(y.a) FROM rows AS y WHERE y.s = x.s) = ANY(x.nums) AS c, (SELECT 1) <> ALL(nums) AS d, (SELECT x.a) > ANY('{1,2}') AS e FROM rows AS x
SELECT string_agg(u, ',' ORDER BY a DESC NULLS LAST, s, id) AS x, array_agg(u ORDER BY a DESC, id) AS y, jsonb_agg(a ORDER BY s, id) AS z FROM rows
SELECT id, tz::time AS x, tm::interval AS y, ts::time AS w FROM typed
SELECT id FROM typed WHERE tz::time > '10:00' AND tm::interval >= interval '1 hour'
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n DESC) AS a, percentile_cont(ARRAY[0.1, 0.75]) WITHIN GROUP (ORDER BY m) AS b, percentile_disc(0.3) WITHIN GROUP (ORDER BY n) AS c FROM typed
SELECT k, percentile_cont(0.3) WITHIN GROUP (ORDER BY n) AS a FROM typed GROUP BY k
SELECT id, encode(substring(raw, 1, 1), 'hex') AS a, substring(raw, 2) AS b, substring(raw FROM 1 FOR 2) || '\x09'::bytea AS c, length(substr(raw, 2, 5)) AS d FROM typed
SELECT NULL::int / 0 AS a, NULL::float8 / 0 AS b, NULL::int % 0 AS c, sum(a) / count(*) AS d, sum(a::numeric) / count(*) AS e FROM rows WHERE id < 0
SELECT id, a / (id - id) AS x FROM rows WHERE a IS NULL
SELECT DATE '1900-01-01' BETWEEN '1900-01-01 23:59:59' AND '2024-03-01 12:30:15+02'::timestamptz
SELECT count(*) FROM typed WHERE ts > '2000-01-01 00:00:00.1234567 -07' OR tz >= '1999-01-01 00:00:00 PST'
SELECT id, coalesce(ts, '2024-01-01 00:00:00.1234567') AS x, coalesce(tz, '2024-01-01 -07') AS y FROM typed
SELECT id FROM typed WHERE tm > '10:00 AM' AND day <> 'Jan 31, 2024'
SELECT id, day - '2024-01-01' AS x, greatest(day, '2024-01-01 AD') AS y FROM typed
SELECT (rows).id, -(rows).a AS x, (rows).meta->'n' AS y, (rows).tags[1] AS z FROM rows WHERE (rows).a > 0
SELECT jsonb_agg(r ORDER BY id) AS x, jsonb_object_agg(id, r) AS y FROM rows WHERE r = 0.1::real
SELECT jsonb_agg(a ORDER BY id DESC) FILTER (WHERE a < 5) AS x, jsonb_agg(id ORDER BY id) FILTER (WHERE r < 5) AS y FROM rows WHERE id < 20
SELECT id, jsonb_agg(a) OVER (ORDER BY id) AS x FROM rows WHERE id < 5
SELECT jsonb_agg(ts ORDER BY id) AS x FROM typed
SELECT string_agg(DISTINCT t, ','), array_agg(DISTINCT a), array_agg(DISTINCT f), jsonb_agg(DISTINCT a) FROM rows
SELECT f, array_agg(DISTINCT a) FILTER (WHERE a > 1) AS x, string_agg(DISTINCT t, ',' ORDER BY t DESC) AS y FROM rows GROUP BY f
SELECT id, k.key, k.value FROM rows CROSS JOIN LATERAL jsonb_each(meta) AS k WHERE jsonb_typeof(meta) = 'object'
SELECT id, e, n FROM rows, jsonb_array_elements_text(meta->'list') WITH ORDINALITY AS x(e, n) WHERE jsonb_typeof(meta->'list') = 'array'
SELECT id, (SELECT count(*) FROM jsonb_array_elements(meta->'list')) AS n FROM rows WHERE jsonb_typeof(meta->'list') = 'array'
SELECT id, x FROM rows LEFT JOIN LATERAL string_to_table(t, 'a') AS x ON true WHERE id < 20
SELECT id FROM rows WHERE EXISTS (SELECT 1 FROM jsonb_each_text(meta) AS x(k, w) WHERE w = '2')
SELECT to_char(a, '9,999') AS a, to_char(r, 'FM999.00') AS b, to_char(p, '9G999D9') AS c FROM rows
SELECT id, jsonb_strip_nulls(meta) AS a, jsonb_pretty(meta) AS b, num_nulls(a, s, t) AS c, quote_nullable(t) AS d, format('%s|%I|%5s|%-4s|%L', a, coalesce(t, ''), s, f, r) AS e FROM rows
SELECT id, to_char(n, '999,990.99') AS a, to_char(day, 'Mon YYYY') AS b, to_char(ts, 'Dy DD Mon') AS c, to_char(tz, 'YYYY-MM-DD"T"HH24:MI:SS TZ') AS d FROM typed
SELECT date_bin(interval '7 days', ts, '2000-01-01') AS a, date_trunc('hour', tz, 'Asia/Kolkata') AS b, date_trunc('month', tz, 'America/New_York') AS c FROM typed
SELECT id, substring(t from '[a-z]+') AS a, regexp_match(t, '(a)(b)?') AS b, regexp_count(t, '[a-z]') AS c, regexp_substr(t, '\w+') AS d FROM rows
SELECT id, regexp_matches(t, '[a-z]', 'g') AS a FROM rows WHERE t IS NOT NULL
SELECT id, m[1] AS a FROM rows CROSS JOIN LATERAL regexp_matches(t, '(\w)', 'g') AS m
SELECT id, t ~ '\ma' AS a, t ~ 'b\M' AS b, t ~* '\mab\M' AS c FROM rows
SELECT count(*) AS c
SELECT count(*), 1 WHERE 1 = 2
SELECT id FROM rows WHERE meta @? '$.n ? (@ > 0)'
SELECT id FROM rows WHERE NOT meta @? '$.n ? (@ > 0)'
SELECT id FROM rows WHERE meta @@ '$.n > 0'
SELECT id FROM rows WHERE NOT (meta @@ '$.n > 0')
SELECT id FROM rows WHERE meta->'n' @@ '$ > 0' OR a = 3
SELECT id, jsonb_path_query_array(meta, '$.*') FROM rows
SELECT id, jsonb_path_query_first(meta, '$.**{last}') FROM rows ORDER BY v <-> '[1, 2]', id LIMIT 7
SELECT id, x FROM rows, jsonb_path_query(meta, '$.*') AS x
SELECT id, x FROM rows, LATERAL jsonb_path_query(meta, '$.* ? (@.type() == "string")') AS x ORDER BY id
SELECT id, x FROM rows LEFT JOIN LATERAL jsonb_path_query(meta, '$.*') AS x ON true WHERE id < 9
SELECT count(*) FROM rows WHERE jsonb_path_exists(meta, '$.y')
SELECT id FROM rows WHERE meta IS JSON OBJECT AND id < 5
SELECT id FROM rows WHERE t IS JSON OR t IS NULL
SELECT * FROM jsonb_path_query('{"a":[1,2,3]}', '$.a[*]')
SELECT x, x::int + 1 FROM jsonb_path_query('{"a":[1,2,3]}', '$.a[*]') AS x
SELECT x.v FROM jsonb_path_query('{"a":[1,2,3]}', '$.a[*]') AS x(v)
SELECT x.v, x.n FROM jsonb_path_query('{"a":[1,2,3]}', '$.a[*]') WITH ORDINALITY AS x(v, n)
SELECT concat(x) FROM jsonb_array_elements('[{"z":1,"y":[2,3]}]') AS x
SELECT concat(meta), concat_ws('-', meta, id), concat(tags) FROM rows WHERE id < 5
SELECT string_agg(x::text, ',') FROM jsonb_array_elements('[{"z":1,"y":[2,3]}]') AS x
SELECT left(meta::text, 5) FROM rows
SELECT md5(meta::text) FROM rows
SELECT array_to_string(tags, ',', '') FROM rows
SELECT array_to_string(ARRAY(SELECT id FROM rows WHERE id < 4 ORDER BY id), '-')
SELECT array_to_string(array_agg(u ORDER BY id), ',') FROM rows WHERE id < 9
SELECT quote_literal(t) FROM rows
SELECT * FROM jsonb_to_recordset('[{"a":1,"b":"x"},{"a":2}]') AS x(a int, b text)
SELECT * FROM jsonb_to_record('{"a":1,"b":"x"}') AS x(a int, b text)
SELECT * FROM json_to_recordset('[{"a":1,"b":[1,2]},{"a":null}]') AS x(a int, b jsonb)
SELECT "A b" FROM jsonb_to_record('{"A b":true, "a":null}') AS x("A b" text, a jsonb)
SELECT rows.id, x.s FROM rows, jsonb_to_record(meta) AS x(s text, n text) WHERE rows.id < 12
SELECT rows.id, x.* FROM rows CROSS JOIN LATERAL jsonb_to_record(rows.meta) AS x(deep jsonb, y jsonb) ORDER BY rows.id
SELECT x.y, count(*) FROM rows, jsonb_to_record(meta) AS x(y text) GROUP BY x.y
SELECT n FROM rows LEFT JOIN LATERAL jsonb_to_record(rows.meta) AS x(n text) ON true WHERE n ~ '^[0-9]'
SELECT sum(x.a) FROM jsonb_to_recordset('[{"a":1,"b":"x"},{"a":2}]') AS x(a int, b text) WHERE x.b IS NULL OR x.b = 'x'
SELECT c FROM jsonb_to_recordset('[{"c":1.25},{"c":"1.35"}, {"c":-1.25}]') AS x(c numeric(10,1))
SELECT h FROM jsonb_to_recordset('[{"h":1e2},{"h":"NaN"},{"h":0.1}]') AS x(h real)
SELECT h FROM jsonb_to_recordset('[{"h":1e2},{"h":"NaN"},{"h":0.1},{"h":"1e5"}]') AS x(h double precision)
SELECT h FROM jsonb_to_recordset('[{"h":1e2},{"h":0.1},{"h":1.23456789012345678}]') AS x(h numeric)
SELECT h FROM jsonb_to_recordset('[{"h":"1 day 02:00:00"}]') AS x(h interval)
SELECT e, f, u FROM jsonb_to_recordset('[{"e":"2020-1-2","f":"2020-01-02 03:04:05+02","u":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}]') AS x(e date, f timestamptz, u uuid)
SELECT rows.id, x.a FROM rows LEFT JOIN LATERAL jsonb_to_recordset(CASE WHEN id < 3 THEN '[{"a":1},{"a":2}]'::jsonb END) AS x(a int) ON true WHERE id < 6
SELECT t::numeric(10,1) FROM (VALUES ('1.25'),('1.35'),('-1.25')) AS v(t)
SELECT concat(meta) FROM rows WHERE id < 5
SELECT a / 2, a::text FROM jsonb_to_record('{"a":3}') AS x(a int)
SELECT a / 2, a::text, upper(b) FROM jsonb_to_record('{"a":3.0, "b":"x"}') AS x(a real, b text)
SELECT d - 1, d::text FROM jsonb_to_record('{"d":"2020-01-02"}') AS x(d date)
SELECT f::text, f > '2020-01-01' FROM jsonb_to_record('{"f":"2020-01-02"}') AS x(f timestamptz)
SELECT rows.id, x.m / 2 FROM rows, LATERAL (SELECT max(a) AS m FROM rows AS r WHERE r.id < rows.id) AS x WHERE rows.id < 9
SELECT rows.id, x.m::text, y.k / 2 FROM rows, LATERAL (SELECT rows.meta AS m, rows.a AS b) AS x, LATERAL (SELECT x.b + 1 AS k) AS y WHERE rows.id < 9
SELECT id, value || '{"b":1}' FROM rows, jsonb_each(meta) WHERE value ? 'x'
SELECT id, key, value::text FROM rows, jsonb_each(meta) WHERE id < 9
SELECT g / 2 FROM generate_series(1, 5) AS g
SELECT g.n / 2 FROM generate_series(1, 5) AS g(n)
SELECT n / 2 FROM generate_series(1, 5) AS g(n)
SELECT generate_series / 2 FROM generate_series(1, 5)
SELECT g / 2, o / 2 FROM generate_series(1, 5) WITH ORDINALITY AS x(g, o)
SELECT id, n / 2 FROM rows, generate_series(1, a) AS s(n) WHERE id < 5
SELECT id, n / 2 FROM rows, LATERAL generate_series(1, a) AS s(n) WHERE id < 5
SELECT rows.id, n / 2, n::text || 'x' FROM rows JOIN generate_series(1, 9) AS s(n) ON s.n = rows.id
SELECT d + interval '1 day', d::text FROM generate_series(date '2020-01-01', date '2020-01-03', interval '1 day') AS d
SELECT d::date, d::text FROM generate_series(timestamp '2020-01-01', '2020-01-03', '1 day') AS d
SELECT extract(day FROM d) / 2 FROM generate_series(timestamp '2020-01-01', '2020-01-03', '1 day') AS d
SELECT n, n % 3, n / 3, avg(n) FROM generate_series(1, 9) AS s(n) GROUP BY n
SELECT sum(n) / 2, max(n) / 2, count(*) / 2 FROM generate_series(1, 9) AS s(n)
SELECT x / 2 FROM (SELECT g AS x FROM generate_series(1, 5) AS g) AS y
SELECT n FROM generate_series(1, 5) AS s(n) WHERE n / 2 = 1
SELECT ARRAY(SELECT n / 2 FROM generate_series(1, 5) AS s(n))
SELECT n / 2.0, n * 1.5 FROM generate_series(1, 3) AS s(n)
SELECT n FROM generate_series(5, 1, -2) AS s(n)
SELECT n / 2 FROM generate_series(1, 10000000000, 4999999999) AS s(n)
SELECT jsonb_agg(n) FROM generate_series(1, 3) AS s(n)
SELECT 7 / n FROM generate_series(1, 3) AS s(n)
SELECT g.n / 2, h.m / 2 FROM generate_series(1, 3) AS g(n), generate_series(1, g.n) AS h(m)
SELECT to_char(d, 'YYYY-MM-DD') FROM generate_series(date '2020-01-01', date '2020-01-03', interval '1 day') AS d
SELECT n + 2147483647 FROM generate_series(1::bigint, 2) AS s(n)
SELECT id, CASE WHEN id < 3 THEN meta ELSE '{"b": 1, "a": 2}' END FROM rows WHERE id < 9
SELECT id, (CASE WHEN id < 3 THEN meta ELSE '{"b":1,"a":2}' END)::text FROM rows WHERE id < 9
SELECT x FROM (SELECT meta->'deep' AS x FROM rows UNION SELECT '{"l":1}'::jsonb) AS y
SELECT x::text FROM (SELECT meta AS x FROM rows UNION ALL SELECT '{"b":1,"a":2}'::jsonb) AS y
SELECT key, count(*) FROM rows, jsonb_object_keys(meta) AS key GROUP BY key
SELECT key, jsonb_typeof(value), count(*) FROM rows, jsonb_each(meta) GROUP BY 1, 2
SELECT key, sum(value::numeric) FROM rows, jsonb_each_text(meta) WHERE value ~ '^[0-9]+$' GROUP BY key
SELECT count(*) FROM rows WHERE EXISTS (SELECT 1 FROM jsonb_each(meta) WHERE value = '2')
SELECT id, (SELECT count(*) FROM jsonb_object_keys(meta)) FROM rows
SELECT id, (SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys(meta) AS k) FROM rows
SELECT id, ARRAY(SELECT jsonb_object_keys(meta)) FROM rows WHERE id < 5
SELECT id, (SELECT jsonb_object_agg(key, value) FROM jsonb_each(meta) WHERE key <> 's') FROM rows WHERE id < 9
SELECT id, x.n FROM rows, LATERAL (SELECT count(*) AS n FROM rows AS r WHERE r.a = rows.a) AS x WHERE id < 9
SELECT id, x.avg, x.sum / 2 FROM rows, LATERAL (SELECT avg(a), sum(a) FROM rows AS r WHERE r.id <= rows.id) AS x WHERE id < 9
SELECT id, x.t || 'y', length(x.t) FROM rows, LATERAL (SELECT rows.t) AS x WHERE id < 9
SELECT id, x.d + 1 FROM rows, LATERAL (SELECT date '2020-01-01' AS d) AS x WHERE id < 3
SELECT id, x.arr[1], x.arr FROM rows, LATERAL (SELECT ARRAY[id, a] AS arr) AS x WHERE id < 3
SELECT id, x.b, NOT x.b FROM rows, LATERAL (SELECT rows.a > 1 AS b) AS x WHERE id < 9
SELECT x.a / 2 FROM rows LEFT JOIN LATERAL (SELECT rows.a WHERE rows.id > 3) AS x ON true WHERE rows.id < 9
SELECT x / 2 FROM (SELECT a AS x FROM rows UNION SELECT 7) AS y
SELECT * FROM unnest(ARRAY['a','b']) WITH ORDINALITY
SELECT unnest, ordinality FROM unnest(ARRAY['a','b']) WITH ORDINALITY
SELECT ordinality / 2 FROM unnest(ARRAY['a','b','c']) WITH ORDINALITY
SELECT * FROM unnest(ARRAY['a','b']) WITH ORDINALITY AS x
SELECT id, x.ordinality, x.u FROM rows, unnest(tags) WITH ORDINALITY AS x(u) WHERE id < 5
SELECT to_jsonb(y) - 'v' - 'r' AS x FROM (SELECT id, a, t FROM rows) AS y WHERE y.id < 5
SELECT to_jsonb(y)->'a' AS x, to_jsonb(y)->>'t' AS z FROM rows AS y WHERE y.id < 5
WITH RECURSIVE w(x, y) AS (SELECT 1, 1.0 UNION ALL SELECT x + 1, y * 1.5 FROM w WHERE x < 6) SELECT x, y FROM w
SELECT id, a, v <-> '[1, 2]' AS d FROM rows GROUP BY id, a, v
SELECT count(*) AS n, (v <-> '[1, 2]') * 2 AS d FROM rows GROUP BY v HAVING v <-> '[1, 2]' < 9 ORDER BY v <-> '[1, 2]'
SELECT a, min(v <-> '[1, 2]') AS d, every(v <-> '[1, 2]' < 1) AS e, count(*) FILTER (WHERE v <-> '[1, 2]' < 9) AS n FROM rows GROUP BY a
WITH rows AS (SELECT id, a FROM rows) SELECT * FROM rows
WITH rows AS (SELECT id + 100 AS id FROM public.rows WHERE a > 1) SELECT rows.id, y.id AS x FROM rows, public.rows AS y WHERE y.id = rows.id - 100
WITH rows AS (SELECT 1 AS id) SELECT count(*) AS n FROM public.rows
WITH rows AS (SELECT 1 AS id) SELECT count(*) AS n FROM rows
WITH rows(x) AS (SELECT id FROM rows ORDER BY v <-> '[1, 2]', id LIMIT 5), y AS (SELECT x FROM rows) SELECT y.x, z.a FROM y JOIN public.rows AS z ON z.id = y.x
WITH y AS (SELECT id FROM rows), rows AS (SELECT 5 AS id) SELECT y.id, rows.id AS z FROM y JOIN rows USING (id)
SELECT x.n, rows.id FROM (WITH rows AS (SELECT 3 AS id) SELECT count(*) AS n FROM rows) AS x, rows WHERE rows.id < 4
WITH rows AS (SELECT id FROM rows WHERE id IN (SELECT id FROM rows WHERE a > 2)) SELECT id FROM rows WHERE EXISTS (SELECT 1 FROM rows AS z WHERE z.id > rows.id)
SELECT to_jsonb(rows) - 'v' - 'r' - 'p' AS x FROM rows
SELECT row_to_json(y) AS x FROM (SELECT id, a, s, t, f, nums, tags, meta FROM rows) AS y
SELECT x.id, to_jsonb(y) - 'v' - 'r' - 'p' AS z FROM rows AS x LEFT JOIN rows AS y ON y.id = x.id + 1
SELECT x.id, y.n FROM rows AS x, LATERAL (SELECT jsonb_agg(to_jsonb(z) - 'v' - 'r' - 'p' ORDER BY z.id) AS n FROM rows AS z WHERE z.a = x.a) AS y
SELECT to_jsonb(y) AS x FROM (SELECT id, timestamp '2024-02-29 10:00:00' AS ts, timestamptz '2024-02-29 10:00:00.5+02' AS tz, 1.50::numeric(8,2) AS n, '\x01ff'::bytea AS b, date '2024-02-29' AS d, 0.1::real AS r, time '10:00' AS c, interval '1 day 2 hours' AS i, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u FROM rows WHERE id < 3) AS y
SELECT jsonb_agg(y ORDER BY y.id) AS x, json_build_object('a', min(y.id)) AS z FROM (SELECT id, now() - now() AS i, DATE '2024-02-29' AS d FROM rows WHERE id < 5) AS y
WITH w(x, y) AS (SELECT id, TIMESTAMP '2024-02-29 10:00:00' FROM rows) SELECT to_json(w) AS z FROM w
SELECT id FROM rows AS x WHERE to_jsonb(x) @> '{"a": 1}'
SELECT jsonb_object_agg(y.id, y) AS x FROM (SELECT id, t FROM rows WHERE id < 9) AS y
SELECT (SELECT to_jsonb(y)) AS x FROM (SELECT id, t FROM rows WHERE id < 9) AS y
SELECT w.id FROM rows w WHERE EXISTS (SELECT 1 FROM (SELECT id, a FROM rows) AS rows WHERE rows.id = w.id + 1)
SELECT '{"a":1,"a":2}'::json ->> 'a' AS x, '{"a":1,"a":2}'::json -> 'a' AS y, '{"a":{"b":1,"b":2}}'::json #>> '{a,b}' AS z
SELECT '{"a":1, "a":2}'::json::text AS x, '{"a":1,"a":2}'::json::jsonb -> 'a' AS y, to_jsonb('{"a":1,"a":2}'::json) -> 'a' AS z
SELECT ('{"a":1, "a" : ' || id || '}')::json -> 'a' AS x, ('{"a":1,"a":' || id || '}')::jsonb ->> 'a' AS y FROM rows WHERE id < 3
SELECT jsonb_build_object('a', 1, 'a', 2) -> 'a' AS x, json_build_object('a', 1, 'a', 2)::text AS y, json_build_object('a', 1, 'a', 2) -> 'a' AS z
SELECT json_build_object('a', 1, 'b', ARRAY[1, 2], 'c', '{"x":1}'::jsonb, 'd', '{"x":1}'::json, 'e', NULL, 'f', 'q"', 'g', json_build_array(1, 'z'))::text AS x
SELECT jsonb_build_object('a', 1, 'b', ARRAY[1.50], 'c', '{"x":1}'::jsonb, 'd', '{"x":1,"x":2}'::json, 'g', json_build_object('z', 1))::text AS x
SELECT to_json(y)::text AS x, to_jsonb(y)::text AS z FROM (SELECT id, t, meta, p, r, tags, nums, f FROM rows WHERE id < 9) AS y
SELECT json_agg(y ORDER BY y.id)::text AS x, json_agg(y.t ORDER BY y.id)::text AS z FROM (SELECT id, t, meta FROM rows WHERE id < 5) AS y
SELECT json_agg(nums ORDER BY id)::text AS x, json_agg(p ORDER BY id)::text AS y, jsonb_agg(p ORDER BY id)::text AS z FROM rows WHERE id < 9
SELECT (json_agg(a ORDER BY id) FILTER (WHERE a > 0))::text AS x, (jsonb_agg(a ORDER BY id) FILTER (WHERE a > 0))::text AS y FROM rows WHERE id < 9
SELECT json_object_agg(id, p ORDER BY id)::text AS x, jsonb_object_agg(t, id ORDER BY id)::text AS y FROM rows WHERE t IS NOT NULL AND id < 9
SELECT json_agg(DISTINCT a)::text AS x, jsonb_agg(DISTINCT a)::text AS y FROM rows
SELECT jsonb_agg(ARRAY[1.50])::text AS x, to_jsonb(ARRAY[1e-9::float8])::text AS y, to_json(ARRAY[1e-9::float8])::text AS z FROM rows WHERE id < 2
SELECT json_build_object('a', 1e-7::float8, 'b', 1e20::float8, 'c', 1.50)::text AS x, to_json(1.5::real)::text AS y
SELECT ('{"a": 1.50, "b":{"x":  1}}'::json -> 'b')::text AS x, '[1, {"a" : 1} ]'::json ->> -1 AS y, '{"a":{"b" : [1, {"c" :"x"}]}}'::json #>> '{a,b}' AS z
SELECT k, v::text AS x FROM json_each('{"a":1, "b": {"x" : 2}}'::json) AS e(k, v)
SELECT value AS x FROM json_array_elements_text('[1, {"a" : 2}, "x", null]'::json)
SELECT ARRAY['{"a" :1}'::json, NULL]::text AS x, '{"a" : 1}'::json || 'x' AS y, concat('{"a" : 1}'::json, 1) AS z
SELECT a AS x, n FROM (SELECT id, a, rank() OVER (ORDER BY a) AS n FROM rows ORDER BY rank() OVER (ORDER BY a) FETCH FIRST 3 ROWS WITH TIES) AS y
SELECT a AS x, rank() OVER (ORDER BY a DESC NULLS LAST) AS n FROM rows ORDER BY 2 OFFSET 2 FETCH FIRST 1 ROWS WITH TIES
SELECT n, m FROM generate_series(1, 3) AS n, LATERAL (SELECT n * 2 AS m) AS x
SELECT n, m, x.id FROM generate_series(1, 3) AS g(n) CROSS JOIN LATERAL (SELECT n + 1 AS m) AS y JOIN rows AS x ON x.id = n ORDER BY n
SELECT unnest(tags) AS tag, count(*) AS n FROM rows GROUP BY tag ORDER BY tag
SELECT unnest(tags) AS "Tag", max(a) AS x FROM rows WHERE id < 30 GROUP BY "Tag" HAVING count(*) > 1
SELECT unnest(tags), count(*) AS n FROM rows GROUP BY unnest(tags) ORDER BY unnest(tags)
SELECT u, unnest(nums), count(*) AS n FROM rows GROUP BY 1, 2
SELECT regexp_split_to_table(u, '') AS c, count(*) AS n FROM rows GROUP BY 1 ORDER BY 1
SELECT max(n) AS x FROM (SELECT unnest(tags) AS tag, count(*) AS n FROM rows GROUP BY tag) AS y
SELECT pg_typeof(v)::text AS x, pg_typeof(v + v)::text AS y FROM typed LIMIT 1
SELECT DISTINCT ON (a % 3) a, id FROM rows ORDER BY a % 3, id
SELECT DISTINCT ON (upper(t)) t, id FROM rows ORDER BY upper(t), id
SELECT n FROM (VALUES (1.0), (2.0)) AS v(n) GROUP BY n HAVING sum(n / 1e25) > 1.5e-25
