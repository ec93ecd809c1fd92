SELECT 0x1F AS a, 0b101 AS b, 0o17 AS c, 1_000 AS d, 1_0.5_0 AS e, 0XfF + 1_1 AS f
SELECT id FROM rows WHERE a = 0x1 AND id < 1_0 ORDER BY id LIMIT 0b11
SELECT $$a'b$$ || $q$x$$y$q$ AS a, length($$$$) AS b
SELECT 1e2 AS a, 1e20 AS b, 1.5e-3 AS c, 1e2/3 AS d, 1e0::int AS e, 1e2::text AS f, trunc(1e2) || 'x' AS g, 1e-5::text AS h
SELECT to_jsonb(interval '1 month') AS a, jsonb_build_array(interval '-1 month 2 days') AS b
SELECT '{"b":1,"a":2,"aa":3,"a":4}'::jsonb::text AS a, '{"é":1,"zz":2,"b":3}'::jsonb::text AS b, '{"a": 1, "a": 2}'::jsonb->>'a' AS c
SELECT '[1.50, -0, -0.0, 1E+2, 0e5]'::jsonb::text AS a, '"a\u00e9\n\t\\\""'::jsonb::text AS b, '"\ud83d\ude00"'::jsonb::text AS c
SELECT id, meta::text AS a, meta->>'deep' AS b FROM rows
SELECT sha256('\x6162'::bytea)::text AS a, length(sha256('\x6162'::bytea)) AS b, '\x61'::bytea || '\x62' AS c
SELECT id, coalesce(tags, '{}') AS a, coalesce(nums, '{7}') AS b, CASE WHEN f THEN tags ELSE '{}' END AS c FROM rows
SELECT id, array_cat(tags, tags) AS a, array_remove(tags, 'a') || NULL::text AS b FROM rows
SELECT coalesce(regexp_split_to_array('a1b22c', '[0-9]+') || NULL::text, '{}') AS a, string_to_array('a,b', ',')::text || 'x' AS b
SELECT ARRAY[1] || ARRAY(SELECT 2) AS a, ARRAY(SELECT 1)::text AS b
SELECT 'Infinity'::float8 ^ 2 AS a, 0.5::float8 ^ '-Infinity'::float8 AS b, exp('Infinity'::float8) AS c, exp('-Infinity'::float8) AS d
SELECT (2e9::real / 3)::text AS a, 1.5::real / 3 AS b, 1.5::real * 2147483647 AS c
SELECT extract(year FROM date '2023-05-05') / 2 AS a, date_part('year', date '2023-05-05') / 2 AS b
SELECT to_jsonb(to_timestamp(100)) AS a, to_jsonb(timestamptz '2024-01-01 10:00:00+00' + interval '1 day') AS b
SELECT date_trunc('month', date '2024-05-05' + time '10:00') AS a, date_trunc('milliseconds', date '2024-02-29' + time '10:30') AT TIME ZONE 'America/New_York' AS b
SELECT '[1]'::jsonb < '[1, 2]'::jsonb AS a, '{"a":1}'::jsonb > '[1]'::jsonb AS b, 'null'::jsonb < '1'::jsonb AS c, '"a"'::jsonb < '1'::jsonb AS d
SELECT id, rank() OVER (ORDER BY meta->'s') AS a, row_number() OVER (ORDER BY meta->'n', id) AS b FROM rows
SELECT DISTINCT id, row_number() OVER (ORDER BY meta->'n', id) AS a FROM rows ORDER BY id
SELECT id FROM rows WHERE meta->'n' BETWEEN '0' AND '2' OR meta->'s' > '"b"'
SELECT id FROM rows ORDER BY meta->'n' DESC, id LIMIT 7
SELECT id, meta FROM rows ORDER BY meta, id LIMIT 7
SELECT id, coalesce(raw, '\\x') AS a, CASE WHEN raw IS NULL THEN '\\x01' ELSE raw END AS b FROM typed
SELECT '[]'::jsonb #- '{k,x}' AS a, array_cat(ARRAY[1], ARRAY(SELECT generate_series(1, 3))::int[]) AS b
SELECT to_jsonb('Infinity'::float8) AS a, to_jsonb('NaN'::float8)->0 AS b, jsonb_build_array('-Infinity'::float8, 1.5::float8, NULL::float8) AS c
SELECT id, to_jsonb(p) AS a, to_jsonb(r) AS b, to_jsonb(p / 4) AS c FROM rows
SELECT jsonb_agg(p) AS a FROM (SELECT p FROM rows WHERE id = 3) AS x
SELECT to_jsonb(round('Infinity'::float8)) AS a, to_jsonb(floor('NaN'::float8)) AS b
SELECT to_jsonb(-jsonb_array_length('[1,2]'::jsonb)) AS a, -jsonb_array_length('[1,2]') - 1 AS b, 1 - jsonb_array_length('[1,2]') AS c
SELECT 'NaN'::float8 / 0 AS a, 'NaN'::real / 0 AS b, NULL::float8 / 0 AS c, 'Infinity'::float8 / 2 AS d
SELECT '-3'::int >> -2 AS a, 1 << 31 AS b, 1 << 32 AS c, 1::bigint << 63 AS d, 5 >> 33 AS e, 2::smallint << 14 AS f
SELECT 'ab c'::char(3) || '|' AS a, length('ab c'::char(3)) AS b, 'abc'::char AS c, 'ab '::bpchar || '|' AS d, 'a b'::char(2) = 'a  ' AS e, 'a' IN ('a b'::char(2), 'x') AS f
SELECT r.id, quote_literal((r.u::char(4) || '|') || greatest(y.id, y.id, NULL)) AS c FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT r.id, least(r.p, y.n)::bigint AS a, coalesce(y.n, r.p)::bigint AS b, (CASE WHEN r.f THEN y.n ELSE r.p END)::text AS c, (y.n + r.r)::text AS d, (y.n + 1.5::float8)::bigint AS e FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT r.id, (y.tz - (y.ts - y.ts1)) + (age(('2024-01-15 08:05:06.5'::timestamp(0)), y.ts)) AS c FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT timestamptz '2024-03-31 10:00+00' + interval '-1 month 1 day -10:00:00.5' AS a, timestamptz '2024-03-31 10:00+00' - interval '1 year 13 months 100:30:00' AS b, interval '-1 month -1 day -1 second' + timestamptz '2024-03-31 10:00+00' AS c
