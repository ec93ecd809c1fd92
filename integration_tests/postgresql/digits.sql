SELECT DISTINCT n / 3 AS c FROM amounts
SELECT DISTINCT n / 3 AS c, n / 7 AS d, n, k FROM amounts ORDER BY n / 3 DESC, d, n, k LIMIT 9
SELECT c, c * 2 AS d FROM (SELECT DISTINCT n / 3 AS c FROM amounts) AS q WHERE c > 2
SELECT n / 3 AS c FROM amounts UNION SELECT m / 7 FROM amounts ORDER BY 1 DESC LIMIT 5 OFFSET 1
SELECT n / 3 AS c, k FROM amounts EXCEPT SELECT m / 3, k FROM amounts
SELECT n / 3 AS c FROM amounts INTERSECT SELECT n / 3 FROM amounts WHERE id < 9
SELECT n / 3 AS c FROM amounts UNION (SELECT n / 7 FROM amounts INTERSECT SELECT n / 7 FROM amounts) ORDER BY c
SELECT n FROM amounts UNION SELECT w FROM amounts
SELECT NULL AS c UNION SELECT n / 3 FROM amounts
SELECT n / 3 AS c, count(*) AS d FROM amounts GROUP BY ROLLUP (n / 3)
SELECT k, n / 3 + 1 AS c, grouping(n / 3) AS g, count(*) AS d FROM amounts GROUP BY CUBE (k, n / 3)
SELECT n * 1e30 / 3 AS c, count(*) AS d FROM amounts GROUP BY ROLLUP (n * 1e30 / 3)
SELECT round(n / 3, 1) AS c, count(*) AS d FROM amounts GROUP BY CUBE (round(n / 3, 1)) HAVING count(*) > 0
SELECT c FROM (SELECT n / 3 AS c FROM amounts GROUP BY n / 3) AS q WHERE c > 2
SELECT c FROM (SELECT n / 3 AS c, k FROM amounts GROUP BY 1, ROLLUP (k)) AS q WHERE c > 2
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY n / 3) AS c, mode() WITHIN GROUP (ORDER BY n / 3) AS d FROM amounts WHERE n = 5.55
SELECT percentile_disc(0.25) WITHIN GROUP (ORDER BY n / 3 DESC) FILTER (WHERE id > 3) / 7 AS c FROM amounts
SELECT percentile_disc(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY n / 3) AS c, percentile_disc(ARRAY[0.5]) WITHIN GROUP (ORDER BY n) AS d FROM amounts
SELECT array_agg(n / 3 ORDER BY id) AS c, array_agg(n * 1e30 / 3 ORDER BY n / 3 DESC NULLS LAST) AS d FROM amounts
SELECT array_agg(DISTINCT n / 3) AS c, array_agg(DISTINCT n / 3 ORDER BY n / 3 DESC) AS d FROM amounts
SELECT ARRAY[n / 3, n, 1] AS c, ARRAY[1.5, 2.250, 3] AS d, (ARRAY[n / 3, n])[1] AS e FROM amounts
SELECT ARRAY(SELECT n / 3 FROM amounts ORDER BY id) AS c, ARRAY(SELECT n / 7 FROM amounts ORDER BY 1) AS d
SELECT array_agg(n / 3 ORDER BY id)::text AS c, array_to_string(array_agg(n / 3 ORDER BY id), ',') AS d FROM amounts
SELECT id, stddev(n / 3) OVER (ORDER BY id) AS c, var_samp(m) OVER (ORDER BY id DESC) AS d, stddev(b) OVER (PARTITION BY k) AS e FROM amounts
SELECT id, round(var_pop(n / 7) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW), 3) AS c, stddev_pop(n) FILTER (WHERE id > 3) OVER (ORDER BY id) / 3 AS d FROM amounts
SELECT sum(x) AS a, avg(x) AS b, max(x) AS c, min(x) AS d, stddev(x) AS e FROM (VALUES (1.5), (2.250), (3), (NULL)) AS v(x)
SELECT x, x + 1 AS a, x * 2 AS b, x::text AS c, -x AS d, round(x, 1) AS e FROM (VALUES (1.5), (2.250), (-3)) AS v(x) WHERE x < 3
SELECT max(x) OVER () AS m, sum(x) OVER (ORDER BY x) AS s, lag(x) OVER (ORDER BY x) AS l FROM (VALUES (1.5), (2.250)) AS v(x)
VALUES (1.5, 'a', 1), (2.250, 'b', 2.5), (3, NULL, NULL)
WITH v(x) AS (VALUES (1.5), (2.250)) SELECT DISTINCT x, x / 3 AS y FROM v
SELECT n / 3 AS c FROM amounts UNION SELECT x FROM (VALUES (1.5), (2.250)) AS v(x)
SELECT scale(n) AS a, scale(n / 3) AS b, min_scale(n) AS c, min_scale(n / 3) AS d, trim_scale(n) AS e, trim_scale(n / 3) AS f FROM amounts
SELECT scale(8) AS a, min_scale(8.4100 + 1) AS b, trim_scale(100.00) AS c, scale('1.230') AS d, scale('1e5') AS e, scale('NaN'::numeric) AS f, scale(NULL::numeric) AS g, scale(1.0 / 3) AS h
SELECT trim_scale(n) AS a, count(*) AS b FROM amounts GROUP BY trim_scale(n)
SELECT gcd(7.5, 2.5) AS a, lcm(1.5, 2.25) AS b, gcd(n, 2.5) AS c, lcm(n, 0.3) AS d, gcd(n / 3, k) AS e, gcd(0.0, 0.00) AS f, lcm(-1.5, 1) AS g FROM amounts
SELECT max(u) AS a, min(u) AS b, max(u)::text || 'x' AS c FROM amounts
SELECT 5.55 / 3 AS c UNION SELECT 1.85
SELECT 1.85 AS c UNION SELECT n / 3 FROM amounts
SELECT DISTINCT x FROM (VALUES (1.500), (1.50), (1.5)) AS v(x)
SELECT x, x / 3 AS y, x * 2 AS z, x::text AS t, x > 0.5 AS c FROM generate_series(0.10, 1.0, 0.3) AS g(x)
SELECT sum(x) AS s, max(x) AS m, avg(x) AS a, count(*) AS n, array_agg(x ORDER BY x DESC) AS l FROM generate_series(3.0, 1, -0.7) AS x WHERE x > 1.5
SELECT a.id, y FROM amounts AS a LEFT JOIN LATERAL generate_series(1.0, a.n / 3, 0.5) AS g(y) ON true WHERE a.n < 10
SELECT a.id, y, y / 3 AS z FROM amounts AS a JOIN generate_series(5.55, 10, 4.45) AS y ON a.n = y
SELECT DISTINCT x / 3 AS y FROM generate_series(1.5, 4.5, 1.5) AS x
SELECT * FROM generate_series(1.0, NULL::numeric)
