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
SELECT r.id, greatest(y.n, r.id::int) || 'x' AS a, sqrt(abs(y.m))::text AS b, coalesce(y.n, 0)::text AS c, concat(y.n / 3, '|', y.m % 7) AS d, round(y.m / 3, 2)::text AS e, div(y.n, 3)::text AS f FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT concat_ws(',', '1.0'::jsonb->>0, power(99999999999999999999, 2), 2 ^ 0.5, exp(0.5), ln(2.0), log(20.5), log(2.0, 10), 10::numeric ^ -3) AS a, (CASE WHEN false THEN 1.25 ELSE 2 END)::text AS b, div('1e3'::numeric, 3::numeric) || '' AS c
SELECT extract(epoch FROM timestamp '2024-01-15 08:05:06.5')::text AS a, extract(second FROM time '10:00:01.25') || '' AS b, ARRAY[1.5, 2]::text AS c, array_to_string(ARRAY[0.25, 10], ' ') AS d, '1.50'::text::numeric::text AS e, 0.1::float8::numeric::text AS f, least(2, 1.50)::text AS g, nullif(2.50, 1)::text AS h
SELECT jsonb_build_array(date '0001-01-01' - 1, timestamp '0001-01-01' - interval '1 hour', 1e2, -5.0, '\x6162'::bytea) AS a, (date '0001-01-01' - 1)::text AS b, (timestamptz '0001-01-01 00:00+00' - interval '1 hour') || '' AS c
SELECT r.id, r.t::numeric + nullif(NULL::numeric, r.a) AS c FROM rows AS r
SELECT r.id, (r.nums)[r.s:y.k] AS a, (r.nums)[-1:1] AS b, (r.nums)[2:0] AS c, (r.nums)[:-1] AS d FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT array_positions(ARRAY[1, 2, 1], (SELECT 1)) AS a, array_replace(ARRAY[1, 2], (SELECT 2), 9) AS b, array_remove(ARRAY[1, 2], (SELECT 2)) AS c
SELECT to_jsonb(ARRAY[timestamp '2024-01-01 10:00', NULL]) AS a, to_jsonb('\x6162'::bytea) AS b, ARRAY['\x6162'::bytea]::text AS c, ARRAY[interval '1 month']::text AS d, 'a\\b'::text::bytea AS e
SELECT time '10:30' - time '11:00:00.5' AS a, (interval '-90 minutes 2 days')::time AS b, interval '1 month - 1 day' AS c, greatest(interval '1 month', interval '40 days') AS d, least(interval '1 month', NULL, interval '-1 day') AS e
SELECT date '2024-01-31' + 3::bigint::int % 2 AS a, date_trunc('quarter', (-2147483648) % 100 + date '2024-01-01') AS b, date_trunc('month', CASE WHEN true THEN date '2024-02-03' ELSE timestamp '2024-02-03' END) AS c, (B'1010' << 1)::text AS d
SELECT array_cat(ARRAY[1], (SELECT array_agg(x ORDER BY x DESC) FROM (VALUES (1), (2)) AS v(x))) AS a, 'a'::text || (SELECT array_agg(DISTINCT t) FROM (VALUES ('b'), ('c')) AS v(t)) AS b
SELECT '12.0'::jsonb IN (SELECT '12'::jsonb) AS a, '12.0'::jsonb NOT IN (SELECT '12'::jsonb) AS b, '12.0' = ANY (SELECT '12'::jsonb) AS c, '12.0'::jsonb <> ALL (SELECT '12'::jsonb) AS d, '2'::jsonb < ANY (SELECT '10'::jsonb) AS e, '12.0'::jsonb IN (VALUES ('11'::jsonb), ('12')) AS f
SELECT '12.0'::jsonb = ANY (ARRAY['12'::jsonb]) AS a, '2'::jsonb < ALL (ARRAY['10'::jsonb]) AS b, CASE '12.0'::jsonb WHEN '12' THEN 1 ELSE 2 END AS c, nullif('12.0'::jsonb, '12'::jsonb) AS d, ('12.0'::jsonb, 1) IN (SELECT '12'::jsonb, 1) AS e
SELECT id FROM rows AS lhs WHERE jsonb_build_array(id) IN (SELECT jsonb_build_array(x.id + 0.0) FROM rows AS x WHERE x.id = lhs.id ORDER BY 1 LIMIT 1)
SELECT r.id, x.id AS i FROM rows AS r JOIN rows AS x ON jsonb_build_array(r.id) IS NOT DISTINCT FROM jsonb_build_array(x.id + 0.0)
SELECT 5::bit(4)::text AS a, 5::bit(40)::text AS b, (-5)::bit(4)::text AS c, (-5)::bit(40)::text AS d, 5::bigint::bit(70)::text AS e, 5::bit::text AS f, NULL::int::bit(3) AS g, 5::bit(4) AS h
SELECT B'1010'::bit(6)::text AS a, B'1010'::bit(2)::text AS b, '1010'::bit(6)::text AS c, (5::bit(4) & B'0100')::text AS d, 5::bit(4)::int AS e, 300::bit(8)::int AS f, 5::bit(3)::bit(5)::text AS g
SELECT 3 * 1e40 AS a, 123456789012345678901234567890123456789012 + 1 AS b, 1e20 + 1 AS c, 1e40::text AS d, '1e40'::numeric AS e, greatest(1e40, 2) AS f, -1e40 AS g, ceil(99999999999999999999) AS h
SELECT r.id, r.a * 1e40 AS a, r.a < 1e40 AS b, r.p < 1e300 AS c, 3::numeric ^ 40 AS d, round(r.a / 7.0, 2) AS e FROM rows AS r
SELECT id, sqrt(abs(w)) AS a, w * extract(epoch FROM ts) AS b, power(extract(epoch FROM tz), 2) AS c, (extract(isoyear FROM day)) ^ (abs(k)) AS d, trunc(x::numeric, 1) AS e FROM typed
SELECT mod((ln(abs((extract(isoyear FROM (DATE '9999-12-31')))) + 1)), ((mod(0.00001, ('1e3'::numeric))) * (ln(abs((2.5e-3)) + 1)))) AS a, ((SELECT avg(x) FROM (VALUES ('Infinity'::float8), (0)) AS v(x)))::numeric AS b
SELECT (-2147483648) << 2 AS a, -9223372036854775808 / 2 AS b, -9223372036854775809 / 2 AS c, to_timestamp((-2147483648) << 2) AS d
SELECT r.id, div(r.a, r.a * 0) / NULL::numeric AS a, NULL * (r.a / (r.a - r.a)) AS b FROM rows AS r
SELECT r.id, substr(r.u, y.k) AS a, substring(r.u, 2, y.k) AS b, overlay(r.u PLACING 'x' FROM 2 FOR abs(y.k)) AS c FROM rows AS r JOIN typed AS y ON y.id = r.id WHERE y.k IS NULL OR y.k > 0
SELECT (E'\u00e9')::bytea AS a, sha256(((U&'\00e9x')::bytea)) AS b, (('a\\b')::bytea) AS c
SELECT jsonb_build_object('a', cos(0), 'b', 1e-7::float8, 'c', '-0'::float8, 'd', 1.5::real, 'e', 1e15::float8) AS a, jsonb_build_object('a', 1e20::float8, 'b', 1e-7::float8)::text AS b
SELECT r.id, jsonb_build_object('a', (CASE WHEN r.f THEN r.a ELSE r.p END), 'b', r.p, 'c', y.n) AS a, ARRAY[(CASE WHEN r.g THEN to_jsonb(r.r) END)]::text AS b FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT to_jsonb(1.50)::text AS a, to_jsonb(ARRAY[1.50, NULL])::text AS b, jsonb_build_object('a', 19.90, 'b', NULL, 'c', 'x"y', 'd', '{"z": 1.0}'::jsonb)::text AS c, jsonb_build_array(1, 1.50)::text AS d, to_jsonb('[1.0]'::jsonb)::text AS e
SELECT jsonb_object_agg(k, v)::text AS a, jsonb_agg(v ORDER BY v DESC)::text AS b FROM (VALUES ('a', 1.50), ('b', 2.25), ('c', NULL)) AS x(k, v)
SELECT r.id, ((SELECT jsonb_object_agg(x, 1) FROM unnest(r.tags) AS x)) || 'null' AS c FROM rows AS r
SELECT jsonb_agg(DISTINCT j)::text AS a, array_agg(DISTINCT j ORDER BY j DESC)::text AS b, count(DISTINCT j) AS c FROM (VALUES ('12'::jsonb), ('12.0'), ('"a"'), ('2'), ('null'), (NULL)) AS v(j)
SELECT id % 3 AS g, jsonb_agg(DISTINCT meta->'n') AS a, jsonb_agg(DISTINCT meta->'s') FILTER (WHERE id > 4) AS b FROM rows GROUP BY 1
SELECT a::text FROM (SELECT '12.0'::jsonb AS a INTERSECT SELECT '12'::jsonb) AS x
SELECT a::text AS a FROM (SELECT j AS a FROM (VALUES ('1.0'::jsonb), ('1.0'), ('2'), (NULL), (NULL)) AS v(j) EXCEPT ALL SELECT j FROM (VALUES ('1'::jsonb), (NULL)) AS w(j)) AS x
SELECT x.n::text AS n FROM (SELECT '1.0'::jsonb AS n UNION SELECT '2.0'::jsonb INTERSECT SELECT '2'::jsonb) AS x
SELECT meta->'n' AS n, id FROM rows EXCEPT SELECT meta->'n', id FROM rows WHERE id > 5 ORDER BY 1, 2 LIMIT 4
SELECT '12345678901234567890123'::jsonb = '12345678901234567890124'::jsonb AS a, '1e20'::jsonb = '100000000000000000000'::jsonb AS b, '0.00001'::jsonb = '1e-5' AS c, '[12345678901234567890123]'::jsonb @> '12345678901234567890124' AS d
SELECT '0100'::time AS a, '040506.789'::time AS b, '123456+02'::time AS c, '2024-01-01 0405'::timestamp AS d, '20240101T040506'::timestamp AS e, '20240101 040506.5+02'::timestamptz AS f, '2024-01-31'::date AS g
SELECT r.id, ARRAY(SELECT upper(x) FROM unnest((array_cat((r.t || r.tags), (regexp_match(r.t, '(l+)(.)'))))) AS x ORDER BY 1) AS c FROM rows AS r
SELECT r.id, ARRAY(SELECT x + 1 FROM unnest((array_positions((ARRAY[2]), r.a))) AS x ORDER BY 1) AS a, array_positions(r.nums, r.a) AS b FROM rows AS r
SELECT r.id, format('%2$s %1$5s', ceil(r.p), ('ABC'::varchar LIKE r.u)) AS a, array_to_string(ARRAY[NULL::text], ',') AS b, array_to_string(ARRAY[r.a, NULL]::int[], ' ', '*') AS c FROM rows AS r
SELECT B'101'::bit AS a, '101'::bit::text AS b, B'101'::varbit(2)::text AS c, '101'::bit varying AS d, cast('1011' as bit varying(3)) AS e, B'10'::varbit(5)::text AS f, (B'1010' << 1)::text AS g
SELECT id, v <-> NULL AS a, NULL::vector <=> v AS b, (v <-> v)::text AS c, (v <#> v)::text AS d, jsonb_build_array(v <-> v)::text AS e FROM typed
SELECT r.id, trunc(r.r)::text AS a, ((-(r.r))::numeric)::real AS b, date_part('second', timestamp '2000-01-01') || 'x' AS c, 123456789012345678::float8::numeric AS d FROM rows AS r
SELECT r.id FROM rows AS r WHERE r.r::numeric = 16777200 OR (0.1::float8 + 0.2::float8)::numeric(20, 17) = 0.3 AND r.id < 3
SELECT jsonb_set('[]'::jsonb, '{q,r}', '1', false) AS a, jsonb_set('{}'::jsonb, '{q}', '1', false) AS b, jsonb_set('[1]'::jsonb, '{0}', '2', false) AS c
SELECT r.id, split_part(r.t, '', 2) AS a, split_part(r.t, y.vc, 2) AS b, overlay(split_part(r.t, y.vc, 2) PLACING 'ZZ' FROM 2 FOR 1) < r.u AS c FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT '1 year 2 mons -8458 days +04:05:06.7'::text::interval AS a, (interval '-1 day +02:00')::text::interval AS b, ('1 day -' || '02:00')::interval AS c
SELECT r.id, ((date_trunc('hour', (y.ts - y.ts1))) + (INTERVAL '1 year 2 mons 3 days 04:05:06.7'))::text::interval AS c FROM rows AS r JOIN typed AS y ON y.id = r.id
SELECT 978256768::real::text AS a, 978256832::real::text AS b, 16777216::real::text AS c
SELECT 978256832::real::text AS b, 16777216::real::text AS c, 1e6::real::text AS d, 999999::real::text AS e, 1234567::real::text AS f, (-2e9)::real::text AS g, 3.4e38::real::text AS h, 'NaN'::real::text AS i, '-Infinity'::real::text AS j, NULL::real::text AS k, 1e-5::real::text AS l, 0.1::real::text AS m, 123456.7::real::text AS n, 12345678.9::real::text AS o
SELECT r.id, r.r::text AS a, (r.r * 1e6::real)::text AS b, ARRAY[r.r, 2e9::real]::text AS c, to_jsonb(r.r * 1e6::real)::text AS d, concat(r.r, (r.r * 3e7::real)::real) AS e FROM rows AS r
SELECT id, a ^ 0::numeric AS x, 0::numeric ^ 0 AS y, 0.00 ^ 0 AS z FROM rows
SELECT jsonb_pretty(to_jsonb(ARRAY[0.5, length('héllo'), NULL])) AS x, to_jsonb(ARRAY[1.50, 2])::text AS y
SELECT degrees(p)::text AS x, radians(p)::text AS y, degrees(0.1::float8)::text AS z FROM rows
SELECT r.id, (SELECT sum(x) FROM unnest(array_replace(ARRAY[1, 2, 3], r.a, 0)) AS x) AS c FROM rows AS r
SELECT r.id, (SELECT sum(x) FROM unnest(array_remove(ARRAY[1, 2, 3], r.a)) AS x) AS c FROM rows AS r
SELECT array_replace(NULL::int[], 1, 2) AS x, array_replace(ARRAY[1, NULL], NULL, 5) AS y, array_remove(ARRAY[1, NULL], NULL) AS z, array_remove(ARRAY[]::int[], 1) AS w
SELECT 1e2+1 AS x, 1.5e3-2 AS y, 1e2-1e1-1 AS z
VALUES (5.55/3, 'a'), (NULL, 'b'), (2, 'c')
SELECT (1/3.0)::text || a FROM (VALUES (1), (2)) AS x(a)
SELECT NULL AS a UNION ALL SELECT 5.55/3 UNION ALL SELECT s FROM rows
SELECT a / 3.0 AS x, u FROM rows UNION ALL SELECT 1, NULL
WITH t AS (SELECT i, w::numeric(30,10) AS w FROM (VALUES (1, 1234567890123000000.5), (2, 1234567890123000000.6)) AS v(i, w)) SELECT a.i, b.i AS j FROM t AS a, t AS b WHERE a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w*a.w < b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w*b.w
WITH t AS (SELECT i, w::numeric(30,10) AS w FROM (VALUES (1, 1234567890123000000.5), (2, 1234567890123000000.6)) AS v(i, w)), q AS (SELECT i, w*w*w*w*w*w*w AS x FROM t), r AS (SELECT i, x*x*x AS y FROM q) SELECT a.i, b.i AS j FROM r AS a, r AS b WHERE a.y < b.y
SELECT (SELECT max(w) FROM (SELECT 1234567890123.5::numeric(30,10) AS w) AS v) / (k + 9) AS c FROM (VALUES (1), (3)) AS u(k)
SELECT i, power(n, 2) > 25 AS a, n ^ 3 = 421.875 AS b, sqrt(n) > 2.236067977499790 AS c, power(n, -2) < power(n, 2) AS d, sqrt(n * n) = n AS e FROM (VALUES (1, 5.0), (2, 7.5), (3, 0.3)) AS v(i, n)
SELECT i FROM (VALUES (1, 5.0), (2, -7.5)) AS v(i, n) WHERE n > 0 AND sqrt(n) > sqrt(n - 1)
SELECT id, to_json(v)::text AS a, to_jsonb(v)::text AS b, json_build_object('v', v)::text AS c, to_json(ARRAY[v])::text AS d FROM typed
SELECT json_agg(v ORDER BY id)::text AS a, jsonb_agg(v ORDER BY id)::text AS b, to_json(avg(v))::text AS c FROM typed
SELECT row_to_json(x)::text AS a, to_jsonb(x)::text AS b FROM (SELECT id, v, v + v AS s FROM typed) AS x
SELECT id, (v + v)::text AS a, to_json(v::real[])::text AS b FROM typed
SELECT to_json(m)::text AS a, m::text AS b FROM (SELECT avg(v) AS m FROM typed) AS x
SELECT count(DISTINCT n / 1e25) FROM (VALUES (1.0),(2.0)) v(n)
SELECT count(DISTINCT n * 1e25) FROM (VALUES (1.0),(2.0)) v(n)
SELECT count(n * 1e25), count(nullif(n * 1e25, 1e25)) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n / 1e25 IN (SELECT m / 1e25 FROM (VALUES (2.0)) w(m)) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n / 1e25 NOT IN (SELECT m / 1e25 FROM (VALUES (2.0), (NULL)) w(m)) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n * 1e25 IN (SELECT m * 1e25 FROM (VALUES (2.0)) w(m)) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n / 1e25 = ANY (SELECT m / 1e25 FROM (VALUES (2.0)) w(m)) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n / 1e25 > ALL (SELECT m / 1e25 FROM (VALUES (1.0)) w(m)) FROM (VALUES (1.0),(2.0)) v(n)
SELECT (n / 1e25, 1) = (1 / 1e25, 1) FROM (VALUES (1.0),(2.0)) v(n)
SELECT (n / 1e25, 1) < (2 / 1e25, 1) FROM (VALUES (1.0),(2.0)) v(n)
SELECT (n / 1e25, 1) IN (SELECT 2.0 / 1e25, 1) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE (n / 1e25, n) IN (SELECT m / 1e25, 2 FROM (VALUES (1.0)) w(m))
SELECT n, rank() OVER (ORDER BY n / 1e25) AS r FROM (VALUES (1.0),(2.0)) v(n)
SELECT n, count(*) OVER (PARTITION BY n / 1e25) AS r FROM (VALUES (1.0),(2.0)) v(n)
SELECT string_agg((n / 1e25)::text, ',' ORDER BY n / 1e25 DESC) FROM (VALUES (1.0),(2.0)) v(n)
SELECT array_agg(n ORDER BY n / 1e25 DESC) FROM (VALUES (1.0),(2.0)) v(n)
SELECT CASE n / 1e25 WHEN 1 / 1e25 THEN 'a' ELSE 'b' END FROM (VALUES (1.0),(2.0)) v(n)
SELECT n / 1e25 IS DISTINCT FROM 1 / 1e25 FROM (VALUES (1.0),(2.0)) v(n)
SELECT x FROM (SELECT n / 1e25 AS x FROM (VALUES (1.0),(2.0)) v(n)) q JOIN (SELECT n / 1e25 AS x FROM (VALUES (1.0),(2.0)) v(n)) r USING (x)
SELECT x FROM (SELECT n / 1e25 AS x FROM (VALUES (1.0),(2.0)) v(n)) q NATURAL JOIN (SELECT n / 1e25 AS x FROM (VALUES (2.0)) v(n)) r
SELECT count(*) FROM (SELECT n / 1e25 AS x FROM (VALUES (1.0),(2.0)) v(n)) q WHERE x IN (SELECT n / 1e25 FROM (VALUES (1.0)) v(n))
SELECT count(DISTINCT x) FROM (SELECT n / 1e25 AS x FROM (VALUES (1.0),(2.0)) v(n)) q
SELECT n / 3 IN (SELECT m / 3 FROM (VALUES (5.55), (1e30)) w(m)) FROM (VALUES (5.55),(2.0)) v(n)
SELECT n FROM (VALUES (5.55),(2.0)) v(n) WHERE n / 3 IN (SELECT 1.85)
SELECT n FROM (VALUES (5.55),(2.0)) v(n) WHERE 1.85 IN (SELECT n / 3)
SELECT n FROM (VALUES (5),(2)) v(n) WHERE n IN (SELECT 15.0 / 3)
SELECT n FROM (VALUES (5),(2)) v(n) WHERE n NOT IN (SELECT 15.0 / 3)
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n / 1e25 IN (SELECT m / 1e25 FROM (VALUES (1.0)) w(m) UNION SELECT 7)
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n / 1e25 IN (SELECT m / 1e25 FROM (VALUES (1.0)) w(m) WHERE m < n + 1)
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n / 1e25 IN (SELECT DISTINCT m / 1e25 FROM (VALUES (1.0)) w(m))
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n / 1e25 IN (WITH q AS (SELECT 1 / 1e25 AS x) SELECT x FROM q)
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n / 1e25 IN (SELECT max(m / 1e25) FROM (VALUES (1.0)) w(m))
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n / 1e25 IN (SELECT m / 1e25 FROM (VALUES (2.0)) w(m) ORDER BY m / 1e25 LIMIT 1)
SELECT count(n * 1e25 / 7) FILTER (WHERE n * 1e25 / 7 IS NOT NULL), count(*) FILTER (WHERE nullif(n * 1e25, 1e25) IS NULL) FROM (VALUES (1.0),(2.0)) v(n)
SELECT n FROM (VALUES (1.0),(2.0)) v(n) WHERE n * 1e25 / 7 IS NOT NULL AND n / 1e25 IN (SELECT 1.0::float8 / 3)
SELECT n, CASE n / 3 WHEN 1.85 THEN n / 7 ELSE n / 9 END + 1 AS x FROM (VALUES (5.55),(2.0)) v(n)
SELECT (1 & ~ (-3)::smallint # 1) << (-1) AS a, (1 | 2::smallint) << 20 AS b, (7 # 3::smallint) >> 1 AS c
SELECT (16777217::real - (-7)::real)::numeric AS a, (nullif(16777217::real, 1.5::real))::numeric::text AS b, (16777217::real * 2)::numeric AS c, (CASE WHEN true THEN 16777217::real ELSE 1::real END)::numeric AS d
SELECT rank(5.55) WITHIN GROUP (ORDER BY n) AS a, dense_rank(7) WITHIN GROUP (ORDER BY n) AS b, percent_rank(7) WITHIN GROUP (ORDER BY n) AS c, cume_dist(7) WITHIN GROUP (ORDER BY n) AS d FROM amounts
SELECT k, rank(5) WITHIN GROUP (ORDER BY n DESC) AS a, dense_rank(5) WITHIN GROUP (ORDER BY n DESC) AS b, cume_dist(NULL::numeric) WITHIN GROUP (ORDER BY n) AS c, percent_rank(NULL::numeric) WITHIN GROUP (ORDER BY n NULLS FIRST) AS d FROM amounts GROUP BY k
SELECT rank(1, 5.55) WITHIN GROUP (ORDER BY k, n) AS a, cume_dist(1, 5.55) WITHIN GROUP (ORDER BY k DESC, n) AS b, rank(1.85) WITHIN GROUP (ORDER BY n / 3) AS c, rank('b') WITHIN GROUP (ORDER BY k::text) AS d FROM amounts
SELECT rank(5.55) WITHIN GROUP (ORDER BY n) FILTER (WHERE k = 1) AS a, percent_rank(1) WITHIN GROUP (ORDER BY n) FILTER (WHERE id > 100) AS b, cume_dist(1) WITHIN GROUP (ORDER BY n) FILTER (WHERE id > 100) AS c FROM amounts
SELECT k, rank(k) WITHIN GROUP (ORDER BY id) AS a FROM amounts GROUP BY k HAVING rank(k) WITHIN GROUP (ORDER BY id) > 0
SELECT r.id, regexp_split_to_array(r.t, '\s+') = (ARRAY[r.u] || string_to_array(r.t, ',', 'x')) FROM rows AS r
SELECT r.id, NULL::text[] <@ (r.u || r.tags), r.tags @> ARRAY[r.u], r.tags = ARRAY[r.u] FROM rows AS r
