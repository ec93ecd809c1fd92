-- Statements with parameters, as applications, ORMs, Grafana and drivers prepare them, one per line. A comment
-- at the end has the values, where they matter: null is the value that all of this type have. Statements that
-- PostgreSQL refuses are refused in the same way.

-- the names and functions of values
SELECT to_date($1, 'YYYY') -- ["2024"]
SELECT 10 / ($1::int - 1)
SELECT $1::text::date -- ["2024-01-05"]
SELECT date_trunc($1, timestamp '2024-01-05 06:07:08') -- ["day"]
SELECT encode($1::bytea, $2) -- [null, "hex"]
SELECT $1::text::int + 1 -- ["41"]
SELECT sqrt($1::float8 - 2)
SELECT ($1::text)::jsonb ->> 'a' -- ["{\"a\": 1}"]
SELECT to_timestamp($1, 'YYYY') -- ["2024"]
SELECT interval '1 day' * $1
SELECT $1 * interval '1 day'
SELECT interval '1 day' / $1
SELECT $1::text::interval -- ["2 days"]
SELECT lpad('a', $1, $2) -- [3, "xy"]
SELECT rpad($1, $2) -- ["abc"]
SELECT date_part($1, timestamp '2024-01-05 06:07:08') -- ["hour"]
SELECT $1
SELECT $1 AS a, $2::int AS b
SELECT $1 || 'x'
SELECT 'x' || $1 || $2
SELECT $1 = $2
SELECT coalesce($1, 1.5)
SELECT coalesce($1, $2)
SELECT nullif($1, '')
SELECT nullif($1, 0)
SELECT greatest($1, 3), least($2, 2.5)
SELECT CASE WHEN $1 THEN $2 ELSE $3 END
SELECT CASE $1::int WHEN $2 THEN 'a' ELSE 'b' END
SELECT CASE WHEN $1 = 1 THEN 1 END
SELECT $1 IN (1, 2, 3)
SELECT 1 IN ($1, $2)
SELECT 1.5 IN ($1, 2)
SELECT $1 BETWEEN 1 AND 5
SELECT 3 BETWEEN $1 AND $2
SELECT $1 LIKE 'a%'
SELECT 'abc' ILIKE $1
SELECT 'abc' ~ $1 -- ["b"]
SELECT 'abc' NOT LIKE $1 ESCAPE '!'
SELECT $1::int[], $2::text[]
SELECT 1 = ANY($1)
SELECT 'a' = ANY($1)
SELECT $1 = ANY(ARRAY[1, 2])
SELECT 3 <> ALL($1)
SELECT ARRAY[$1, 2]
SELECT ARRAY[$1, $2]
SELECT ARRAY[$1, $2]::int[]
SELECT array_append(ARRAY[1, 2], $1)
SELECT array_position(ARRAY['a', 'b'], $1)
SELECT array_length($1::int[], $2)
SELECT ARRAY['a'] || $1
SELECT (ARRAY[1, 2, 3])[$1]
SELECT cardinality($1::text[])
SELECT string_to_array($1, ',')
SELECT array_to_string(ARRAY['a', 'b'], $1)
SELECT upper($1), length($2)
SELECT left($1, $2), right($1, $2)
SELECT substring($1, 2), substring($2 FROM 2 FOR 3) -- ["abcdef", "uvwxyz"]
SELECT substr($1, $2, 2)
SELECT position($1 IN 'abc'), strpos('abc', $1)
SELECT replace($1, $2, 'z')
SELECT split_part($1, ',', $2)
SELECT trim($1), ltrim($2, 'x'), btrim('xax', $3)
SELECT repeat($1, $2)
SELECT concat_ws(',', $1::text, $2::text)
SELECT md5($1)
SELECT starts_with($1, 'a')
SELECT regexp_replace('abc', $1, 'x') -- ["b"]
SELECT abs($1), round($2, 1), power($3, 2)
SELECT round($1::numeric, $2)
SELECT mod($1, 3), 7 % $2
SELECT 5 / $1, 5.0 / $2
SELECT $1 + 1, 2 - $2, 3 * $3
SELECT 1.5 + $1, 2::bigint + $2, 3::float8 * $3
SELECT $1::int + $2::int
SELECT $1::numeric(10, 2)
SELECT $1::bool AND $2
SELECT NOT $1
SELECT $1::uuid
SELECT $1::jsonb -> 'a', $1::jsonb ->> 'a'
SELECT '{"a": 1}'::jsonb -> $1
SELECT '{"a": 1}'::jsonb ->> $1
SELECT '{"a": {"b": 1}}'::jsonb #>> $1
SELECT '{"a": 1}'::jsonb ? $1
SELECT '{"a": 1}'::jsonb @> $1
SELECT '{"a": 1}'::jsonb || $1
SELECT '{"a": 1, "b": 2}'::jsonb - $1
SELECT jsonb_set('{"a": 1}'::jsonb, $1, $2)
SELECT jsonb_array_length($1) -- ["[1, 2]"]
SELECT date '2024-01-05' - $1
SELECT timestamp '2024-01-05' - $1
SELECT timestamp '2024-01-05' - $1::interval
SELECT timestamp '2024-01-05' + $1
SELECT timestamptz '2024-01-05 00:00+00' AT TIME ZONE $1 -- ["UTC"]
SELECT to_char($1::timestamp, $2) -- [null, "YYYY-MM"]
SELECT to_char($1::numeric, $2) -- [null, "999.9"]
SELECT extract(epoch FROM $1::timestamp)
SELECT make_date($1, $2, $3)
SELECT $1::date + 1
SELECT age($1::timestamp, $2)
SELECT generate_series($1, 3)
SELECT generate_series(1, $1)
SELECT * FROM generate_series($1::int, $2) AS g(x)
SELECT unnest($1::text[])
SELECT x FROM unnest($1::int[]) AS u(x) WHERE x > $2

-- applications
SELECT * FROM items WHERE id = $1
SELECT id, name FROM items WHERE name = $1 ORDER BY id
SELECT id FROM items WHERE code = $1
SELECT id FROM items WHERE code LIKE $1
SELECT id FROM items WHERE n > $1 AND price <= $2 ORDER BY id
SELECT id FROM items WHERE small = $1 OR score < $2 ORDER BY id
SELECT id FROM items WHERE r > $1 ORDER BY id
SELECT id FROM items WHERE ok = $1 ORDER BY id
SELECT id FROM items WHERE day >= $1 AND day < $2 ORDER BY id
SELECT id FROM items WHERE at > $1 ORDER BY id
SELECT id FROM items WHERE tz BETWEEN $1 AND $2 ORDER BY id
SELECT id FROM items WHERE u = $1
SELECT id FROM items WHERE meta @> $1 ORDER BY id
SELECT id FROM items WHERE meta ->> $1 = $2 ORDER BY id
SELECT id FROM items WHERE (meta ->> 'n')::int > $1 ORDER BY id
SELECT id FROM items WHERE meta ? $1 ORDER BY id
SELECT id FROM items WHERE tags @> $1 ORDER BY id
SELECT id FROM items WHERE tags && $1 ORDER BY id
SELECT id FROM items WHERE $1 = ANY(tags) ORDER BY id
SELECT id FROM items WHERE id = ANY($1) ORDER BY id
SELECT id FROM items WHERE id IN ($1, $2, $3) ORDER BY id
SELECT id FROM items WHERE name NOT IN ($1, $2) ORDER BY id
SELECT id FROM items WHERE id NOT IN (SELECT item FROM orders WHERE qty > $1) ORDER BY id
SELECT id FROM items WHERE n IS DISTINCT FROM $1 ORDER BY id
SELECT id FROM items WHERE ($1::text IS NULL OR name = $1) ORDER BY id
SELECT id FROM items WHERE coalesce(n, $1) > 0 ORDER BY id
SELECT id FROM items WHERE lower(name) = lower($1) ORDER BY id
SELECT id FROM items WHERE length(name) > $1 ORDER BY id
SELECT id FROM items WHERE n + $1 > 3 ORDER BY id
SELECT id FROM items WHERE n * 2 = $1 ORDER BY id
SELECT id FROM items WHERE price * $1 > 10 ORDER BY id
SELECT id FROM items WHERE day + 1 > $1 ORDER BY id
SELECT id FROM items WHERE at + $1 > at ORDER BY id
SELECT id FROM items ORDER BY id LIMIT $1
SELECT id FROM items ORDER BY id LIMIT $1 OFFSET $2
SELECT id FROM items ORDER BY id FETCH FIRST $1 ROWS ONLY
SELECT id, $1 AS mark FROM items ORDER BY id
SELECT id, $1::int + n FROM items ORDER BY id
SELECT count(*) FROM items WHERE n > $1
SELECT count(*) FILTER (WHERE n > $1) FROM items
SELECT n % $1, count(*) FROM items GROUP BY 1 ORDER BY 1
SELECT ok, sum(n) FROM items GROUP BY ok HAVING sum(n) > $1 ORDER BY ok
SELECT id, sum(n) OVER (ORDER BY id ROWS $1 PRECEDING) FROM items ORDER BY id
SELECT id, lag(n, $1, $2) OVER (ORDER BY id) FROM items ORDER BY id
SELECT id, ntile($1) OVER (ORDER BY id) FROM items ORDER BY id
SELECT i.id, o.qty FROM items i JOIN orders o ON o.item = i.id AND o.qty > $1 ORDER BY 1, 2
SELECT i.id FROM items i LEFT JOIN orders o ON o.item = i.id WHERE o.note = $1 ORDER BY 1
SELECT id FROM items WHERE EXISTS (SELECT 1 FROM orders WHERE item = items.id AND note = $1) ORDER BY id
SELECT id, (SELECT max(qty) FROM orders WHERE item = items.id AND qty < $1) FROM items ORDER BY id
SELECT s.m FROM (SELECT n AS m FROM items) s WHERE s.m > $1 ORDER BY 1
SELECT m FROM (SELECT n + 1 AS m, name FROM items WHERE name <> $1) s WHERE m > $2 ORDER BY 1
WITH w AS (SELECT id, n * 2 AS twice FROM items WHERE n > $1) SELECT id FROM w WHERE twice < $2 ORDER BY id
WITH w (a, b) AS (SELECT id, name FROM items) SELECT a FROM w WHERE b = $1 AND a > $2 ORDER BY a
WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t WHERE x < $1) SELECT x FROM t ORDER BY x
SELECT n FROM items WHERE n > $1 UNION SELECT qty FROM orders WHERE note = $2 ORDER BY 1
SELECT $1 UNION SELECT 1 ORDER BY 1
SELECT $1::text UNION ALL SELECT $2
VALUES ($1, 1), ($2, 2)
SELECT a FROM (VALUES ($1::int, $2), (2, 'b')) AS t (a, b) WHERE b = $3
SELECT id FROM items WHERE (id, n) = ($1, $2)
SELECT DISTINCT ON (ok) ok, id FROM items WHERE id > $1 ORDER BY ok, id
SELECT id FROM items WHERE CASE WHEN n > $1 THEN name = $2 ELSE ok END ORDER BY id
SELECT avg(n) FROM items WHERE id < $1
SELECT string_agg(name, $1 ORDER BY id) FROM items
SELECT max(price) - $1 FROM items
SELECT array_agg(id ORDER BY id) FROM items WHERE n < $1

-- vectors
SELECT id FROM items ORDER BY v <-> $1, id LIMIT $2
SELECT id FROM items ORDER BY v <-> $1::vector, id LIMIT 2
SELECT id, v <-> $1 AS distance FROM items ORDER BY id
SELECT id FROM items WHERE v <-> $1 < $2 ORDER BY id
SELECT id FROM items WHERE id <> $1 ORDER BY v <=> $2, id LIMIT 2
SELECT l2_distance(v, $1) FROM items ORDER BY id
SELECT cosine_distance($1, v) FROM items ORDER BY id
SELECT id FROM items WHERE v = $1
SELECT 1 - (v <=> $1) AS similarity FROM items ORDER BY id
SELECT vector_dims($1::vector)
SELECT id, v + $1 FROM items ORDER BY id

-- SQLAlchemy with asyncpg
SELECT items.id, items.name FROM items WHERE items.name = $1::VARCHAR ORDER BY items.id
SELECT items.id FROM items WHERE items.id = $1::BIGINT AND items.n = $2::INTEGER
SELECT items.id, items.name FROM items ORDER BY items.id LIMIT $1::INTEGER OFFSET $2::INTEGER
SELECT items.id FROM items WHERE items.id IN ($1::BIGINT, $2::BIGINT) ORDER BY items.id
SELECT items.id FROM items WHERE (items.name LIKE '%' || $1::VARCHAR || '%') ORDER BY items.id
SELECT items.id FROM items WHERE items.price > $1::NUMERIC(10, 2) ORDER BY items.id
SELECT items.id FROM items WHERE items.day = $1::DATE
SELECT count(*) AS count_1 FROM (SELECT items.id AS id FROM items WHERE items.n > $1::INTEGER) AS anon_1
INSERT INTO orders (id, item, qty, note, v) VALUES ($1::BIGINT, $2::BIGINT, $3::INTEGER, $4::VARCHAR, '[1,2,3]') RETURNING orders.id -- [11]
UPDATE orders SET qty=$1::INTEGER WHERE orders.id = $2::BIGINT
DELETE FROM orders WHERE orders.id = $1::BIGINT

-- Django
SELECT "items"."id", "items"."name" FROM "items" WHERE "items"."id" = $1 LIMIT 21
SELECT "items"."id" FROM "items" WHERE UPPER("items"."name"::text) LIKE UPPER($1) ORDER BY "items"."id" ASC
SELECT "items"."id" FROM "items" WHERE "items"."name"::text LIKE $1 ORDER BY "items"."id" ASC LIMIT 21
SELECT COUNT(*) AS "__count" FROM "items" WHERE "items"."n" >= $1
SELECT 1 AS "a" FROM "items" WHERE "items"."id" = $1 LIMIT 1
SELECT "items"."id" FROM "items" WHERE NOT ("items"."n" = $1 AND "items"."n" IS NOT NULL) ORDER BY "items"."id"
SELECT DATE_TRUNC($1, "items"."at" AT TIME ZONE 'UTC') AS "d" FROM "items" ORDER BY 1 -- ["day"]
SELECT "items"."id", ("items"."n" + $1) AS "m" FROM "items" ORDER BY "m" DESC, 1
UPDATE "orders" SET "qty" = ("orders"."qty" + $1) WHERE "orders"."id" IN ($2, $3)
UPDATE "orders" SET "note" = $1, "qty" = $2 WHERE "orders"."id" = $3

-- Prisma
SELECT "public"."items"."id", "public"."items"."name" FROM "public"."items" WHERE ("public"."items"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3
SELECT "public"."items"."id" FROM "public"."items" WHERE "public"."items"."name" ILIKE $1 ORDER BY "public"."items"."id" ASC LIMIT $2 OFFSET $3
SELECT COUNT(*) FROM (SELECT "public"."items"."id" FROM "public"."items" WHERE 1=1 OFFSET $1) AS "sub"
SELECT "t1"."id" FROM "public"."items" AS "t1" WHERE ("t1"."n" > $1 AND "t1"."day" < $2) ORDER BY 1

-- Hibernate
select i1_0.id,i1_0.name from items i1_0 where i1_0.id=$1
select i1_0.id from items i1_0 where i1_0.name like $1 escape '' order by i1_0.id offset $2 rows fetch first $3 rows only
select count(i1_0.id) from items i1_0 where i1_0.price>=$1 and i1_0.ok=$2
select i1_0.id from items i1_0 where upper(i1_0.name) in ($1,$2) order by 1
insert into orders (item,note,qty,v,id) values ($1,$2,$3,$4,$5) -- [null, null, null, null, 11]
update orders set item=$1,note=$2,qty=$3 where id=$4
delete from orders where id=$1

-- Grafana
SELECT at AS "time", n AS value FROM items WHERE at BETWEEN $1 AND $2 ORDER BY 1
SELECT floor(extract(epoch FROM at) / $1) * $1 AS "time", avg(score) FROM items GROUP BY 1 ORDER BY 1
SELECT date_trunc('hour', tz) AS "time", count(*) FROM items WHERE tz >= $1 AND tz < $2 GROUP BY 1 ORDER BY 1
SELECT date_bin('1 hour', at, $1) AS b, sum(n) FROM items GROUP BY 1 ORDER BY 1
SELECT name AS metric, n FROM items WHERE name IN ($1) AND at > $2::timestamp - interval '1 hour' ORDER BY 1

-- writes
INSERT INTO orders VALUES ($1, $2, $3, $4, $5) -- [11]
INSERT INTO orders (id, qty, v) VALUES ($1, $2 + 1, $3), ($4, 7, $5) RETURNING id, qty -- [11, 3, null, 12]
INSERT INTO orders (id, item, v) SELECT $1, id, v FROM items WHERE n = $2 LIMIT 1 -- [11, 5]
INSERT INTO orders (id, note, v) SELECT id + $1, name || $2, v FROM items WHERE id = $3 -- [11]
INSERT INTO orders (id, qty, note, v) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET qty = excluded.qty + $5, note = $6
INSERT INTO orders (id, qty, v) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
UPDATE orders SET qty = qty + $1, note = coalesce(note, $2) WHERE id = $3 RETURNING id, qty
UPDATE orders SET note = CASE WHEN qty > $1 THEN $2 ELSE note END WHERE item = $3
UPDATE orders SET v = $1 WHERE id = $2
UPDATE orders SET (qty, note) = ($1, $2) WHERE id = $3
DELETE FROM orders WHERE qty < $1 AND note LIKE $2
DELETE FROM orders WHERE id IN (SELECT id FROM items WHERE n = $1) RETURNING id

-- what PostgreSQL refuses when it is prepared
SELECT $2::int
SELECT $1 IS NULL
SELECT id FROM items WHERE $1 IS NOT NULL
SELECT id FROM items WHERE id = $1 AND name = $1
INSERT INTO orders (qty, note) VALUES ($1, $1)
SELECT id FROM items WHERE nothing = $1
SELECT id FROM nowhere WHERE id = $1
SELECT $1 FROM items WHERE id = $1
SELECT $1 + $2
SELECT concat('a', $1)
SELECT format('%s', $1)
SELECT concat_ws($1, $2)
