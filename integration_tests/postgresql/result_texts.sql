SELECT avg(x), avg(x) FILTER (WHERE x > 1), avg(DISTINCT x) FROM (VALUES (1), (2), (4)) AS v(x)
SELECT avg(x), avg(-x), stddev(x), variance(x), var_pop(x), stddev_pop(x), stddev_samp(x), var_samp(x) FROM (VALUES (1), (2), (4)) AS v(x)
SELECT avg(x), stddev(x), variance(x), var_pop(x), stddev_pop(x) FROM (VALUES (1.5), (2.25), (4)) AS v(x)
SELECT avg(x), variance(x) FROM (VALUES (100000.5), (2.25)) AS v(x)
SELECT avg(x), stddev(x) FROM (VALUES (1234567890123::bigint), (2)) AS v(x)
SELECT avg(x), sum(x) FROM (VALUES (9223372036854775807), (9223372036854775807)) AS v(x)
SELECT stddev(x), var_pop(x) FROM (VALUES (9223372036854775807), (-9223372036854775807)) AS v(x)
SELECT stddev(x), variance(x), var_pop(x), stddev_pop(x), avg(x) FROM (VALUES (3)) AS v(x)
SELECT avg(x), stddev(x), var_pop(x) FROM (VALUES (1)) AS v(x) WHERE x > 5
SELECT avg(x), stddev(x) FROM (VALUES (0), (0)) AS v(x)
SELECT avg(x) FROM (VALUES (10000), (10001)) AS v(x)
SELECT x, avg(x) AS a FROM (VALUES (1), (2), (10), (9)) AS v(x) GROUP BY x ORDER BY a DESC
SELECT x, avg(x) FROM (VALUES (1), (2), (10), (9)) AS v(x) GROUP BY x ORDER BY 2
SELECT x, avg(x) OVER (ORDER BY x ROWS 1 PRECEDING) FROM (VALUES (1), (2), (4)) AS v(x) ORDER BY x
SELECT avg(x) FROM (VALUES (1.50::numeric(6, 2)), (2.25)) AS v(x)
SELECT 1.5, -1.50, 1.5 + 1, 2.50 * 2, 10::numeric, 1e3
SELECT extract(year FROM date '2024-01-03'), date_part('year', date '2024-01-03')
SELECT round(2.345, 2), round(2.5), trunc(-2.79, 1), div(7, 2), factorial(20), sign(-1.5)
SELECT '{"a": 1.50}'::jsonb ->> 'a', '{"a": {"b": [1, 2.10]}}'::jsonb -> 'a' -> 'b' ->> 1
SELECT '{"a": 1e3}'::jsonb ->> 'a', '{"a": 0.1000}'::jsonb #>> '{a}', ('[1, 2.10]'::jsonb -> -1)::text
SELECT '{"a": 123456789012345678901234567890.50}'::jsonb ->> 'a'
SELECT '{"a": 1.50}'::json ->> 'a', '{"7": 1.50}'::jsonb ->> '7', '[1.50]'::jsonb ->> '0', '[1.50]'::jsonb -> 'a'
SELECT '{"a": {"b": {"c": {"d": {"e": {"f": 1.50}}}}}}'::jsonb -> 'a' -> 'b' -> 'c' -> 'd' -> 'e' ->> 'f'
SELECT count(*) FROM (SELECT DISTINCT j FROM (VALUES ('12'::jsonb), ('12.0'), ('[1]'), ('[1.0]')) AS v(j)) AS x
SELECT j, count(*) FROM (VALUES ('12'::jsonb), ('12'), ('"a"'), ('true'), ('[1]'), ('{}'), ('[]')) AS v(j) GROUP BY j ORDER BY j
SELECT count(*) FROM (VALUES ('{"a": 1, "b": 2}'::jsonb), ('{"b": 2.0, "a": 1}')) AS v(j) GROUP BY j
SELECT j FROM (VALUES ('12'::jsonb), ('"a"'), ('true'), ('[1]'), ('{}'), ('[]'), ('100'), ('9')) AS v(j) ORDER BY j DESC
SELECT DISTINCT j FROM (VALUES ('12'::jsonb), ('"a"'), ('true'), ('[1]'), ('{}'), ('[]'), ('100')) AS v(j) ORDER BY j
SELECT j FROM (VALUES ('12'::jsonb), ('100'), ('"a"')) AS v(j) UNION SELECT '12.0'::jsonb ORDER BY j DESC
SELECT j FROM (VALUES ('12'::jsonb), ('100'), ('"a"')) AS v(j) UNION ALL SELECT '9'::jsonb ORDER BY 1
SELECT j FROM (VALUES ('12'::jsonb), ('100')) AS v(j) INTERSECT SELECT '12'::jsonb
SELECT j FROM (VALUES ('12'::jsonb), ('100')) AS v(j) EXCEPT SELECT '12.0'::jsonb
SELECT DISTINCT ON (j) j, k FROM (VALUES ('12'::jsonb, 1), ('12.0', 2), ('100', 3)) AS v(j, k) ORDER BY j, k
SELECT k, count(*) OVER (PARTITION BY j) FROM (VALUES ('12'::jsonb, 1), ('12.0', 2), ('100', 3)) AS v(j, k) ORDER BY k
SELECT count(DISTINCT j) FROM (VALUES ('12'::jsonb), ('12.0'), ('100')) AS v(j)
SELECT k FROM (VALUES ('12'::jsonb, 1), ('12.0', 2), ('100', 3)) AS v(j, k) WHERE j IN ('12', '"a"') ORDER BY k
SELECT 'ab'::char(5), 'abc'::char, 'abcdef'::char(3), 'ab'::char(5) = 'ab', 'ab'::char(5) || 'c', length('ab'::char(5))
SELECT x, count(*) FROM (VALUES ('a'::char(3)), ('a  ')) AS v(x) GROUP BY x
SELECT max(x) FROM (VALUES ('b'::char(3)), ('a')) AS v(x)
SELECT 'ab'::char(5)::varchar(9), 'ab'::char(5)::text, nullif('ab'::char(5), 'x')
SELECT interval '1 day' * 2, sum(1), interval '1 day 02:03:04.5'
SELECT ARRAY[1.5::real], ARRAY[date '2024-01-01'], ARRAY[1::smallint], array_agg(1.5::real)
