CREATE TABLE authors (id BIGINT PRIMARY KEY, name TEXT NOT NULL, country VARCHAR(2), born DATE, meta JSONB)
CREATE TABLE books (id BIGINT PRIMARY KEY, title TEXT NOT NULL, author_id BIGINT, price NUMERIC(8,2), pages INT, published TIMESTAMP, seen TIMESTAMPTZ, tags TEXT[], nums INT[], meta JSONB, rating REAL, score DOUBLE PRECISION, stock SMALLINT, open BOOLEAN, day DATE, at TIME, code UUID, v VECTOR(3))
CREATE TABLE stocks (id INT PRIMARY KEY, item TEXT, qty INT NOT NULL DEFAULT 0, updated TIMESTAMP)
CREATE TABLE users (id BIGSERIAL PRIMARY KEY, email TEXT NOT NULL, name TEXT DEFAULT 'anon', age INT, created TIMESTAMPTZ DEFAULT '2024-01-01 00:00:00+00', active BOOLEAN DEFAULT true)
INSERT INTO authors VALUES (1,'Ada','GB','1815-12-10','{"langs":["en","fr"],"born":{"city":"London","year":1815}}'),(2,'Alan','GB','1912-06-23','{"langs":["en"],"awards":[{"n":"OBE","y":1946}]}'),(3,'Grace','US','1906-12-09',NULL),(4,'Kurt','AT',NULL,'{"a":null,"langs":[]}'),(5,'Emmy','DE','1882-03-23','[1,2,{"x":"y"}]')
INSERT INTO books VALUES (1,'Notes on Engines',1,12.50,120,'2020-01-31 10:15:30.5','2020-01-31 10:15:30+00','{math,old}','{3,1,2}','{"lang":"en","n":1,"dims":{"w":10,"h":20}}',4.5,0.1,3,true,'2020-01-31','10:15:30','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','[1,0,0]'),(2,'Machines',2,30.00,250,'2021-03-15 00:00:00','2021-03-15 23:59:59+00','{cs}','{5}','{"lang":"en","n":2,"list":[1,2,3]}',3.7,2.5,0,false,'2021-03-15','00:00:00','b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12','[0,1,0]'),(3,'Compilers',3,45.99,500,'1999-12-31 23:59:59','1999-12-31 23:59:59+00','{cs,old,code}','{9,8,7,6}','{"lang":"de","n":"3","list":[]}',5,-7.25,12,true,'1999-12-31','23:59:59','c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13','[0,0,1]'),(4,'Incomplete',4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[1,1,0]'),(5,'Rings',5,19.99,90,'2024-02-29 12:00:00','2024-02-29 12:00:00+00','{}','{}','{"lang":null,"tags":["a","b"]}',4.25,100,7,true,'2024-02-29','12:00:00','d0eebc99-9c0b-4ef8-bb6d-6bb9bd380a14','[0.5,0.5,0.5]'),(6,'Ideals',5,19.99,300,'2023-11-05 06:07:08.123456','2023-11-05 06:07:08.123456+00','{math}','{1,4,3}','{"lang":"de","n":4.50}',4.5,3.14159,1,false,'2023-11-05','06:07:08','e0eebc99-9c0b-4ef8-bb6d-6bb9bd380a15','[0,1,1]')
INSERT INTO stocks VALUES (1,'bolt',10,'2024-01-01'),(2,'nut',20,'2024-01-02'),(3,'gear',0,NULL),(4,'cog',5,'2024-01-04')
SELECT jsonb_agg(jsonb_build_object('id', id, 'title', title) ORDER BY title) FROM books
SELECT coalesce(jsonb_agg(b.title ORDER BY b.id) FILTER (WHERE b.id IS NOT NULL), '[]'::jsonb) AS titles, a.name FROM authors a LEFT JOIN books b ON b.author_id = a.id AND b.pages > 200 GROUP BY a.id, a.name ORDER BY a.id
SELECT jsonb_object_agg(name, born) FROM authors
SELECT jsonb_insert('{"a": [0,1,2]}', '{a, 1}', '"new_value"', true)
SELECT jsonb_path_query(meta, '$.list[*] ? (@ > 1)') FROM books ORDER BY id
SELECT id, jsonb_path_query_array(meta, '$.tags[*]') FROM books ORDER BY id
SELECT jsonb_path_exists(meta, '$.dims.w ? (@ > $min)', '{"min": 5}') FROM books ORDER BY id
SELECT * FROM jsonb_to_recordset('[{"a":1,"b":"foo"},{"a":"2","c":"bar"}]') AS x(a int, b text)
INSERT INTO stocks (id, item, qty) SELECT id, item, qty FROM json_to_recordset('[{"id": 21, "item": "a", "qty": 1}]'::json) AS t(id int, item text, qty int) RETURNING id, item
SELECT (meta -> 'list') || '4'::jsonb FROM books WHERE id = 2
SELECT key, value FROM books b, jsonb_each_text(b.meta) WHERE b.id <= 2 ORDER BY b.id, key
SELECT jsonb_object_keys(meta) FROM books WHERE id = 1
SELECT DISTINCT jsonb_object_keys(meta) AS k FROM books WHERE jsonb_typeof(meta) = 'object' ORDER BY k
SELECT id, jsonb_typeof(meta -> 'n') FROM books ORDER BY id
SELECT id, jsonb_array_length(meta -> 'list') FROM books ORDER BY id
SELECT id FROM books WHERE meta @> '{"lang": "en"}' ORDER BY id
SELECT id FROM books WHERE meta ? 'list' ORDER BY id
SELECT id FROM books WHERE meta ?| array['list', 'tags'] ORDER BY id
SELECT id FROM books WHERE meta @? '$.list[*] ? (@ > 2)' ORDER BY id
SELECT id FROM books WHERE meta @@ '$.n > 1' ORDER BY id
SELECT id, meta['dims']['w'] FROM books ORDER BY id
SELECT jsonb_pretty('{"a":[1,2],"b":{}}')
SELECT '{"a":1}'::jsonb = '{"a":1.0}'::jsonb, '{"a":1,"a":2}'::jsonb, '{"b":1,"a":2, "aa": 3}'::jsonb::text
SELECT jsonb_array_elements_text('["a",1,null]') AS x
SELECT elem, pos FROM books, jsonb_array_elements(meta -> 'list') WITH ORDINALITY AS t(elem, pos) WHERE id = 2 ORDER BY pos
SELECT jsonb_path_query('{"a":[1,2,3]}', 'strict $.a[*]'), jsonb_path_match('{"a":3}', '$.a == 3')
SELECT '[1,2,3]'::jsonb @> '2', '{"a":{"b":1}}'::jsonb @> '{"a":{}}', '{"a":1}'::jsonb <@ '{"a":1,"b":2}'
SELECT '{"a": 1}' IS JSON, '[1]' IS JSON ARRAY, '{"a":1,"a":2}' IS JSON OBJECT WITH UNIQUE KEYS, '1' IS JSON SCALAR, 'x' IS NOT JSON
SELECT jsonb_object_agg(k, v) FROM (VALUES ('a', 1), ('b', NULL)) AS t(k, v)
SELECT jsonb_object_agg(NULL, 1)
SELECT '{"a":1'::jsonb
SELECT jsonb_array_length('{}')
SELECT ('{"a":"x"}'::jsonb ->> 'a')::int
SELECT count(*), meta ->> 'lang' AS lang FROM books GROUP BY meta ->> 'lang' ORDER BY 2 NULLS FIRST
SELECT '{"x": [1, {"y": 2}]}'::jsonb #> '{x,1,y}', '{"x": [1, {"y": 2}]}'::json #>> array['x','1','y']
SELECT to_char(published, 'YYYY-MM-DD HH24:MI:SS.MS'), to_char(published, 'Day, DD Month YYYY'), to_char(published, 'FMDay, FMDDth FMMonth YYYY') FROM books ORDER BY id
SELECT to_char(published, 'IYYY-IW-ID'), to_char(published, 'Q'), to_char(published, 'DDD'), to_char(published, 'HH12:MI AM'), to_char(published, 'J') FROM books ORDER BY id
SELECT to_char(1234567.891, '9,999,999.99'), to_char(-12, 'S999'), to_char(12, '0000'), to_char(0.5, 'FM990.00'), to_char(485, 'RN'), to_char(12.45, 'FM999.9'), to_char(-5, '999PR'), to_char(7, '9th')
SELECT to_char(interval '26 hours 3 minutes', 'HH24:MI:SS'), to_char(interval '1 year 2 months', 'YYYY MM')
SELECT to_timestamp(1700000000), to_timestamp(1700000000.5), to_timestamp('2024-05-06 07:08', 'YYYY-MM-DD HH24:MI')
SELECT to_date('05 Dec 2000', 'DD Mon YYYY'), to_date('20240229', 'YYYYMMDD')
SELECT to_timestamp('x', 'YYYY')
SELECT to_date('2024-13-01', 'YYYY-MM-DD')
SELECT date_trunc('quarter', published), date_trunc('week', published), date_trunc('decade', published), date_trunc('month', day) FROM books ORDER BY id
SELECT date_trunc('hour', interval '3 days 02:47:33'), date_trunc('day', seen, 'Europe/Berlin') FROM books ORDER BY id
SELECT age(published), age('2024-03-01'::timestamp, published) FROM books WHERE false
SELECT age('2024-03-01'::timestamp, published), age(timestamp '2001-04-10', timestamp '1957-06-13') FROM books ORDER BY id
SELECT extract(epoch FROM published), extract(dow FROM published), extract(isodow FROM day), extract(week FROM day), extract(isoyear FROM day), extract(doy FROM day), extract(quarter FROM day), extract(microseconds FROM published) FROM books ORDER BY id
SELECT extract(epoch FROM interval '1 year 2 days 03:04:05.678'), extract(hour FROM at), extract(century FROM day), extract(millennium FROM day), extract(julian FROM day) FROM books ORDER BY id
SELECT extract(epoch FROM ('2024-01-02'::timestamp - '2024-01-01'::timestamp)) / 3600
SELECT EXTRACT(YEAR FROM AGE('2024-01-01'::date, born)) FROM authors ORDER BY id
SELECT INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 4:05:06' DAY TO SECOND, INTERVAL '10' DAY, INTERVAL '1:30' HOUR TO MINUTE, INTERVAL '5' MINUTE
SELECT INTERVAL '1 year 2 mons 3 days 04:05:06.789', INTERVAL 'P1Y2M3DT4H5M6S', INTERVAL '-1 day +02:03', INTERVAL '1.5 days', INTERVAL '2 weeks ago'
SELECT interval '1 day' * 2.5, interval '1 month' / 2, interval '1 day' - interval '25 hours', -interval '1 day 2 hours', 3 * interval '1 week'
SELECT published + interval '1 month', published - interval '1 year 1 day', day + 7, day + interval '1 day', day - date '2020-01-01', published - timestamp '2020-01-01' FROM books ORDER BY id
SELECT day + time '10:00', at + interval '2 hours', at - time '01:00' FROM books ORDER BY id
SELECT justify_interval(interval '35 days 25 hours'), justify_days(interval '65 days'), make_interval(days => 3, hours => 4), make_date(2024, 2, 29), make_timestamp(2024,1,2,3,4,5.5)
SELECT date_part('year', published), date_part('dow', day) FROM books ORDER BY id
SELECT seen AT TIME ZONE 'America/New_York', published AT TIME ZONE 'Europe/Berlin' FROM books ORDER BY id
SELECT generate_series('2024-01-01'::date, '2024-03-01'::date, '1 month')::date AS m
SELECT d::date, count(b.id) FROM generate_series('2020-01-01'::timestamp, '2024-01-01', interval '1 year') AS d LEFT JOIN books b ON date_trunc('year', b.published) = d GROUP BY d ORDER BY d
SELECT '2024-01-31'::date + interval '1 month', '2024-02-29'::date - interval '1 year'
SELECT timestamp '2024-02-30'
SELECT '25:00'::time
SELECT interval 'x'
SELECT date_trunc('foo', now())
SELECT extract(foo FROM now())
SELECT min(published), max(day), min(at) FROM books
SELECT date '2024-01-01' - 5, date '2024-01-01' - interval '5 hours', timestamp '2024-01-01' - date '2023-01-01'
SELECT to_char(day, 'TMDay'), to_char(seen, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(at, 'HH24:MI') FROM books ORDER BY id
SELECT to_char(published, 'YY-Mon-DD HH:MI:SS am'), to_char(published, 'SSSS'), to_char(published, 'US'), to_char(published, 'CC'), to_char(published, 'WW W') FROM books ORDER BY id
SELECT extract(timezone FROM seen), seen::date, seen::time, seen::text FROM books ORDER BY id
SELECT date_bin('15 minutes', published, '2001-01-01') FROM books ORDER BY id
SELECT format('Hello %s, %I = %L', name, country, born) FROM authors ORDER BY id
SELECT format('%2$s %1$s', 'a', 'b'), format('|%10s|%-10s|', 'x', 'y'), format('%%'), format('%s', NULL), format('%L', NULL), format('%1$s %1$s', 'z')
SELECT format('%I', NULL)
SELECT format('%s %s', 'a')
SELECT string_agg(title, ', ' ORDER BY title DESC), string_agg(DISTINCT country, '|' ORDER BY country) FROM books b JOIN authors a ON a.id = b.author_id
SELECT string_agg(title, E'\n' ORDER BY pages NULLS FIRST, id) FROM books
SELECT regexp_replace(title, '(\w+) (\w+)', '\2 \1') FROM books ORDER BY id
SELECT regexp_match('foobarbequebaz', '(bar)(beque)'), regexp_matches('foobarbequebazilbarfbonk', '(b[^b]+)(b[^b]+)', 'g')
SELECT regexp_split_to_array('the quick brown', '\s+'), regexp_split_to_table('a,b,c', ',')
SELECT regexp_count('ABCABCAXYaxy', 'A.'), regexp_instr('ABC', 'B'), regexp_substr('ABCDEF', 'C.'), regexp_like('Hello', 'hel', 'i')
SELECT split_part(title, ' ', 1), split_part('a,b,c', ',', -1), split_part('abc', ',', 2) FROM books ORDER BY id
SELECT split_part('a', ',', 0)
SELECT overlay('Txxxxas' PLACING 'hom' FROM 2 FOR 4), overlay(title PLACING '**' FROM 1) FROM books ORDER BY id
SELECT translate('12345', '143', 'ax'), translate(title, 'aeiou', '') FROM books ORDER BY id
SELECT trim(both 'xyz' FROM 'yxTomxx'), trim(leading FROM ' a '), btrim('xyxtrimyyx', 'xy'), ltrim('zzzytest', 'xyz'), trim('a' FROM 'aba')
SELECT position('om' IN 'Thomas'), strpos('high', 'ig'), left('abcde', -2), right('abcde', -2), lpad('hi', 5, 'xy'), rpad('hi', 5, 'xy'), lpad('hello', 2), repeat('ab', 3), reverse('abc')
SELECT initcap('hi THOMAS'), ascii('x'), chr(65), concat('a', 1, NULL, true, 2.50), concat_ws(',', 'a', NULL, 1), quote_ident('Foo bar'), quote_literal(E'O\'Reilly'), quote_nullable(NULL)
SELECT 'abc' LIKE 'a%', 'abc' NOT LIKE '_b', 'ABC' ILIKE 'a%', 'a_c' LIKE 'a\_c', 'a%c' LIKE 'a!%c' ESCAPE '!', 'abc' ~~ 'a%', 'abc' !~~* 'A%', 'abc' SIMILAR TO '%(b|d)%', 'abc' ~ '^A', 'abc' ~* '^A', 'abc' !~ 'z'
SELECT E'a\tb\\n\u00e9', $$dollar 'quoted'$$, $tag$a $$ b$tag$, U&'d\0061t\+000061', 'a' 'b', B'101', X'1F'
SELECT title COLLATE "C" FROM books ORDER BY title COLLATE "C" DESC
SELECT title < 'M' COLLATE "POSIX" FROM books ORDER BY id
SELECT upper(title) || '!' || id, title || NULL, 'n' || 1.50, length(title)::text || 'x' FROM books ORDER BY id
SELECT starts_with(title, 'Ma'), title ^@ 'Ma', string_to_array(title, ' '), array_to_string(tags, ',', '*') FROM books ORDER BY id
SELECT string_to_array('a,b,,c', ',', ''), string_to_array('abc', NULL), string_to_table('a b', ' ')
SELECT left(title, 3) AS p, count(*) FROM books GROUP BY 1 ORDER BY 1
SELECT casefold('A')
SELECT 'x'::char(3) || 'y', 'abc'::varchar(2), cast('abcdef' AS char(2)), 'a '::char(3) = 'a'
SELECT id, t, n FROM books, unnest(tags) WITH ORDINALITY AS u(t, n) ORDER BY id, n
SELECT b.id, u.* FROM books b LEFT JOIN LATERAL unnest(b.nums) WITH ORDINALITY AS u(x, i) ON true ORDER BY b.id, i
SELECT tags[1:2], nums[2:], nums[:2], nums[-1:1] FROM books ORDER BY id
SELECT (ARRAY[1,2,3,4])[2:3], (ARRAY[1,2,3])[5], ('{1,2,3}'::int[])[1]
SELECT array_position(tags, 'old'), array_positions(nums, 3), array_length(nums, 1), cardinality(nums), array_upper(nums, 1), array_ndims(nums) FROM books ORDER BY id
SELECT id FROM books WHERE 'cs' = ANY(tags) ORDER BY id
SELECT id FROM books WHERE tags @> ARRAY['cs','old'] ORDER BY id
SELECT id FROM books WHERE tags @> '{cs}' ORDER BY id
SELECT id FROM books WHERE tags && ARRAY['math','code']::text[] ORDER BY id
SELECT id FROM books WHERE tags <@ ARRAY['math','old','cs'] ORDER BY id
SELECT id FROM books WHERE 3 <> ALL(nums) ORDER BY id
SELECT id FROM books WHERE id = ANY(ARRAY[1,3,5]) AND id <> ALL('{5}'::bigint[]) ORDER BY id
SELECT id FROM books WHERE id = ANY('{1,3}') ORDER BY id
SELECT ARRAY(SELECT id FROM books ORDER BY id DESC), ARRAY(SELECT title FROM books WHERE false)
SELECT a.name, ARRAY(SELECT b.title FROM books b WHERE b.author_id = a.id ORDER BY b.id) FROM authors a ORDER BY a.id
SELECT array_append(nums, 4), array_prepend(0, nums), array_cat(nums, '{7,8}'), nums || 9, 0 || nums, nums || '{1,2}' FROM books ORDER BY id
SELECT array_remove(nums, 3), array_replace(nums, 1, 100), array_to_string(nums, ','), trim_array(nums, 1) FROM books WHERE cardinality(nums) > 0 ORDER BY id
SELECT unnest(ARRAY[1,2]), unnest(ARRAY['a','b','c'])
SELECT * FROM unnest(ARRAY[1,2], ARRAY['a','b','c']) AS t(n, s)
SELECT * FROM unnest(ARRAY[1,2]::int[], ARRAY['x','y']::text[]) WITH ORDINALITY
SELECT ARRAY[]::int[], ARRAY[1,NULL]::int[], '{}'::text[] = ARRAY[]::text[], ARRAY[1,2] < ARRAY[1,3], ARRAY['a b','c"d', 'NULL', NULL, '']
SELECT array_fill(7, ARRAY[3]), array_dims(ARRAY[1,2]), generate_subscripts(ARRAY[5,6], 1)
SELECT ARRAY[1,2.5], ARRAY[1,'2'], ARRAY['2024-01-01'::date]
SELECT '{1,a}'::int[]
SELECT ARRAY[]
SELECT some_tag, count(*) FROM books CROSS JOIN unnest(tags) AS some_tag GROUP BY some_tag ORDER BY count(*) DESC, some_tag
SELECT 1 = SOME(ARRAY[1,2]), NULL = ANY(ARRAY[1]), 1 = ANY(NULL::int[]), 5 > ALL(ARRAY[]::int[])
SELECT id, sum(pages) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), avg(price) OVER (ORDER BY id ROWS 2 PRECEDING) FROM books ORDER BY id
SELECT id, sum(pages) OVER (ORDER BY pages RANGE BETWEEN 100 PRECEDING AND CURRENT ROW) FROM books ORDER BY id
SELECT id, count(*) OVER (ORDER BY published RANGE BETWEEN '1 year' PRECEDING AND '1 month' FOLLOWING) FROM books ORDER BY id
SELECT id, sum(id) OVER (ORDER BY author_id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM books ORDER BY id
SELECT id, sum(id) OVER (ORDER BY author_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW), sum(id) OVER (ORDER BY author_id RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES), array_agg(id) OVER (ORDER BY author_id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE GROUP) FROM books ORDER BY id
SELECT id, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w, ntile(4) OVER w, row_number() OVER (w) FROM books WINDOW w AS (ORDER BY price DESC NULLS LAST) ORDER BY id
SELECT id, first_value(title) OVER w, last_value(title) OVER w, nth_value(title, 2) OVER w, lag(title) OVER w, lead(title, 2, 'none') OVER w FROM books WINDOW w AS (ORDER BY id) ORDER BY id
SELECT id, sum(pages) OVER (w ROWS UNBOUNDED PRECEDING) FROM books WINDOW w AS (PARTITION BY author_id ORDER BY id) ORDER BY id
SELECT id, count(*) OVER (), sum(price) OVER (PARTITION BY author_id) FROM books ORDER BY id LIMIT 2
SELECT rank(20.00, 'x') WITHIN GROUP (ORDER BY price, title) FROM books
SELECT mode() WITHIN GROUP (ORDER BY price), percentile_cont(0.5) WITHIN GROUP (ORDER BY pages), percentile_disc(ARRAY[0.25,0.75]) WITHIN GROUP (ORDER BY pages) FROM books
SELECT id, lag(id) OVER (ORDER BY id) + 1 FROM books WHERE row_number() OVER () = 1
SELECT author_id, max(id) FROM books GROUP BY author_id HAVING count(*) OVER () > 1
SELECT author_id, count(*), rank() OVER (ORDER BY count(*) DESC), sum(count(*)) OVER () FROM books GROUP BY author_id ORDER BY author_id
SELECT * FROM (SELECT id, title, row_number() OVER (PARTITION BY author_id ORDER BY published DESC NULLS LAST) rn FROM books) x WHERE rn = 1 ORDER BY id
SELECT id, sum(pages) FILTER (WHERE open) OVER (ORDER BY id) FROM books ORDER BY id
SELECT nth_value(id, 0) OVER (ORDER BY id) FROM books
SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM books
SELECT string_agg(title, ',') OVER (PARTITION BY author_id ORDER BY id), array_agg(id) OVER (ORDER BY id), bool_and(open) OVER (ORDER BY id) FROM books ORDER BY id
SELECT a.name, t.title FROM authors a CROSS JOIN LATERAL (SELECT title FROM books b WHERE b.author_id = a.id ORDER BY price DESC LIMIT 1) t ORDER BY a.id
SELECT a.name, t.* FROM authors a LEFT JOIN LATERAL (SELECT count(*) AS n, max(pages) AS m FROM books b WHERE b.author_id = a.id) t ON t.n > 1 ORDER BY a.id
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n), array_agg(n) FROM t
WITH RECURSIVE tree(id, path) AS (SELECT id, ARRAY[id] FROM stocks WHERE id = 1 UNION ALL SELECT s.id, t.path || s.id FROM stocks s JOIN tree t ON s.id = t.id + 1) SELECT * FROM tree ORDER BY id
WITH RECURSIVE fib(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM fib WHERE b < 50) SELECT a FROM fib
WITH RECURSIVE t(id, parent) AS (SELECT 1, 0 UNION SELECT (id % 3) + 1, id FROM t) SELECT * FROM t ORDER BY 1, 2 LIMIT 5
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT 'x' FROM t) SELECT * FROM t
SELECT author_id, open, count(*), grouping(author_id, open) FROM books GROUP BY GROUPING SETS ((author_id), (open), ()) ORDER BY 4, 1, 2
SELECT author_id, open, sum(price) FROM books GROUP BY CUBE (author_id, open) ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3
SELECT author_id, open, count(*) FROM books GROUP BY author_id, ROLLUP (open) ORDER BY 1, 2 NULLS LAST, 3
SELECT DISTINCT ON (author_id) author_id, id, title FROM books ORDER BY author_id, published DESC NULLS LAST
SELECT DISTINCT ON (author_id) title FROM books ORDER BY id
SELECT id, title FROM books ORDER BY price DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES
SELECT id FROM books ORDER BY price OFFSET 1 ROW FETCH NEXT 2 ROWS ONLY
SELECT id FROM books FETCH FIRST ROW ONLY
SELECT id FROM books WHERE (price, id) < (30, 2) ORDER BY price DESC, id DESC LIMIT 3
SELECT id FROM books WHERE ROW(price, id) > ROW(19.99, 5) ORDER BY price, id LIMIT 2
SELECT id FROM books WHERE (published, id) < ('2023-11-05 06:07:08.123456', 6) ORDER BY published DESC, id DESC LIMIT 2
SELECT v.n, b.title FROM (VALUES (1, 'x'), (2, 'y')) AS v(id, n) JOIN books b USING (id) ORDER BY id
SELECT column1, column2 FROM (VALUES (1, 'a'), (2, NULL)) t
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC LIMIT 1
SELECT * FROM (VALUES (1), (2.5), (NULL)) AS t(x) WHERE x > 1
SELECT id FROM books TABLESAMPLE BERNOULLI (100) ORDER BY id
SELECT id FROM books TABLESAMPLE SYSTEM (100) REPEATABLE (1) ORDER BY id
TABLE stocks ORDER BY id LIMIT 1
SELECT 1 UNION SELECT 2 UNION ALL SELECT 1 ORDER BY 1
SELECT id FROM books INTERSECT SELECT author_id FROM books EXCEPT SELECT 1 ORDER BY 1
(SELECT id FROM books ORDER BY id DESC LIMIT 1) UNION ALL (SELECT id FROM books ORDER BY id LIMIT 1)
SELECT a.id, b.id FROM authors a FULL JOIN books b ON a.id = b.author_id AND b.pages > 200 ORDER BY a.id, b.id
SELECT id, (SELECT count(*) FROM books b2 WHERE b2.author_id = b.author_id AND b2.id <> b.id) FROM books b ORDER BY id
SELECT name FROM authors a WHERE EXISTS (SELECT FROM books b WHERE b.author_id = a.id AND price > 20) ORDER BY 1
SELECT name FROM authors WHERE id NOT IN (SELECT author_id FROM books WHERE open) ORDER BY 1
SELECT count(*) FILTER (WHERE pages > 200), count(DISTINCT author_id), count(price), sum(DISTINCT price) FROM books
SELECT id FROM books WHERE title = ANY(ARRAY(SELECT title FROM books WHERE pages > 200)) ORDER BY id
SELECT CASE WHEN pages IS NULL THEN 'none' WHEN pages < 200 THEN 'short' ELSE 'long' END AS size, count(*) FROM books GROUP BY size ORDER BY size
SELECT greatest(1, NULL, 3), least('a', 'b'), nullif(1, 1), coalesce(NULL, 2)
SELECT concat('a', true)
SELECT concat('a', true, 2.50)
SELECT concat('a', NULL, true)
SELECT concat('a', 1, NULL, true)
SELECT concat_ws(',', 'a', true)
SELECT concat('a', 1 > 0), concat_ws(',', 1 > 0, 'x')
SELECT concat(open, id) FROM books ORDER BY id
SELECT title || NULL FROM books WHERE id = 1
SELECT NULL || title FROM books WHERE id = 1
SELECT NULL || 'x'
SELECT max(country), min(country) FROM authors
SELECT name FROM authors a WHERE EXISTS (SELECT FROM books b WHERE b.author_id = a.id) ORDER BY 1
SELECT name FROM authors a WHERE EXISTS (SELECT 1 FROM books b WHERE b.author_id = a.id AND price > 20) ORDER BY 1
SELECT name FROM authors a WHERE EXISTS (SELECT FROM books WHERE price > 20) ORDER BY 1
SELECT column2 FROM (VALUES (1, 'a'), (2, NULL)) t WHERE column1 > 1
SELECT t.column1 FROM (VALUES (1, 'a')) t JOIN (VALUES (1)) u ON u.column1 = t.column1
SELECT column1 FROM (VALUES (1), (2)) AS v ORDER BY column1
WITH v AS (VALUES (1, 'a')) SELECT column1, column2 FROM v
SELECT * FROM (VALUES (1, 'a')) AS v
SELECT id, count(*) OVER (ORDER BY day RANGE BETWEEN '1 year' PRECEDING AND CURRENT ROW) FROM books ORDER BY id
SELECT id, count(*) OVER (ORDER BY day RANGE BETWEEN INTERVAL '1 year' PRECEDING AND CURRENT ROW) FROM books ORDER BY id
SELECT INTERVAL '1-2' YEAR TO MONTH
SELECT INTERVAL '1-2'
SELECT INTERVAL 'P1Y2M3DT4H5M6S'
SELECT 'PT36H'::interval, 'P1W'::interval
SELECT max(v) FROM (VALUES (interval '1 day'), (interval '2 hours')) AS t(v)
SELECT title COLLATE "default" FROM books ORDER BY title COLLATE "C.utf8"
SELECT jsonb_build_object('a', 1.50) ->> 'a'
SELECT extract(day FROM INTERVAL '40 days 1 hour'), date_part('hour', interval '25 hours')
SET hnsw.ef_search = -1
SET ivfflat.probes = -1
INSERT INTO stocks (id, item, qty) VALUES (201, 'x', NULL)
INSERT INTO stocks (id, item) VALUES (202, 'x'), (202, 'y')
SELECT (b).item FROM stocks b WHERE id = 1
SELECT count(DISTINCT (author_id, open)) FROM books
SELECT array_agg(DISTINCT tag ORDER BY tag) FROM books, unnest(tags) AS tag
SELECT id FROM books WHERE id = ANY (SELECT author_id FROM books) ORDER BY id
SELECT id FROM books WHERE price > ALL (SELECT price FROM books WHERE id IN (1, 5)) ORDER BY id
SELECT date '2024-01-31' + make_interval(months => 1), now() - interval '1 day' < now()
SELECT 'x' IS DISTINCT FROM NULL, 1 NOTNULL, NULL ISNULL
SELECT '5'::int + 1, int '5', float8 '1.5', bool 'yes', numeric '1.10', json '{"a": 1}' -> 'a', jsonb '{"a": [1]}' #> '{a,0}'
SELECT 1::int4, 2::int8, 3::int2, 4::float4, 5::float8, 'a'::bpchar, '2024-01-01'::timestamptz::date
SELECT (1, 2) = (1, 2), (1, NULL) = (1, 2), ROW(1, 2) IS DISTINCT FROM ROW(1, 3), (1,2) < (1,3)
SELECT least(price, 20), greatest(pages, 200.5) FROM books ORDER BY id
SELECT sum(price) / nullif(count(*), 0), round(avg(price), 2), avg(pages)::int FROM books
SELECT id % 2 = 0 AS even, count(*) FROM books GROUP BY 1 ORDER BY 1
SELECT date_trunc('month', published)::date AS m, count(*), sum(count(*)) OVER (ORDER BY date_trunc('month', published)) FROM books WHERE published IS NOT NULL GROUP BY 1, date_trunc('month', published) ORDER BY 1
SELECT title, CASE author_id WHEN 1 THEN 'one' WHEN 2 THEN 'two' END FROM books ORDER BY id
SELECT id FROM books ORDER BY CASE WHEN open THEN 0 ELSE 1 END, id
SELECT id FROM books ORDER BY open DESC NULLS LAST, price NULLS FIRST, id
SELECT id, title FROM books WHERE lower(title) LIKE lower('%ING%') OR meta ->> 'lang' ILIKE 'EN' ORDER BY id
SELECT id FROM books WHERE published BETWEEN '2020-01-01' AND '2021-12-31' AND seen >= now() - interval '100 years' ORDER BY id
SELECT id FROM books WHERE published::date = DATE '2020-01-31' AND EXTRACT(MONTH FROM published) = 1
SELECT id FROM books WHERE code = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'
SELECT id FROM books WHERE code::text LIKE 'a0%' OR code IN ('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'::uuid) ORDER BY id
SELECT (array_agg(title ORDER BY length(title), title))[1] FROM books
SELECT DISTINCT open, id % 2 FROM books ORDER BY open, id % 2
SELECT DISTINCT title FROM books ORDER BY id
SELECT author_id FROM books GROUP BY author_id ORDER BY max(price) DESC NULLS LAST, 1
SELECT author_id, count(*) c FROM books GROUP BY author_id HAVING c > 1
SELECT id AS x FROM books WHERE x = 1
SELECT x.id FROM (SELECT id FROM books) x, LATERAL generate_series(1, x.id) g ORDER BY 1 LIMIT 3
SELECT i.* FROM books b, jsonb_to_recordset('[{"a":1}]'::jsonb) AS i(a int) WHERE b.id = 1
SELECT jsonb_path_query_array('[1,2,3]', '$[*] ? (@ > 1 && @ < 3)'), '{"a":[1,2]}'::jsonb @? '$.a[*] ? (@ == 2)', jsonb_path_query('{"a":"x"}', '$.a.type()')
SELECT xmlconcat('a')
SELECT lower(ARRAY['a']::text), lower('Ä'), upper('ß')
SELECT ntile(0) OVER () FROM books
SELECT sum(sum(pages)) OVER () FROM books
SELECT lead(day) OVER (ORDER BY id) - day FROM books ORDER BY id
UPDATE stocks SET qty = s.qty + 1, updated = '2024-02-01' FROM (VALUES (1, 5), (2, 6)) AS s(id, qty) WHERE stocks.id = s.id RETURNING stocks.id, stocks.qty, s.qty AS old
UPDATE stocks SET (qty, item) = (qty * 2, upper(item)) WHERE id = 3 RETURNING qty, item
UPDATE stocks SET (qty, item) = (SELECT id, name FROM authors WHERE authors.id = stocks.id) WHERE id = 4 RETURNING *
UPDATE stocks SET qty = qty + 1 WHERE id IN (SELECT id FROM stocks ORDER BY qty LIMIT 1) RETURNING id
UPDATE "stocks" SET "qty" = "stocks"."qty" - 1 WHERE "stocks"."id" = 1 RETURNING "stocks"."qty"
UPDATE stocks SET nope = 1
UPDATE stocks SET qty = NULL WHERE id = 1
UPDATE stocks SET qty = DEFAULT WHERE id = 4 RETURNING qty
DELETE FROM stocks USING authors WHERE stocks.id = authors.id AND authors.country = 'US' RETURNING stocks.id, authors.name
INSERT INTO stocks (id, item, qty) VALUES (3, 'gear', 1), (4, 'cog', 2) ON CONFLICT (id) DO UPDATE SET qty = stocks.qty + EXCLUDED.qty WHERE stocks.qty < 100 RETURNING id, qty
INSERT INTO stocks (id, item, qty) VALUES (3, 'gear', 5) ON CONFLICT (id) DO UPDATE SET qty = EXCLUDED.qty WHERE stocks.qty > 100 RETURNING id, qty
INSERT INTO stocks AS s (id, qty) VALUES (3, 5) ON CONFLICT (id) DO UPDATE SET (qty, item) = (s.qty + excluded.qty, coalesce(excluded.item, s.item)) RETURNING s.id, s.qty, s.item
INSERT INTO stocks (id, qty) VALUES (1, 5) ON CONFLICT DO NOTHING
INSERT INTO stocks (id, qty) VALUES (1, 5) ON CONFLICT ON CONSTRAINT stocks_pkey DO NOTHING
INSERT INTO stocks (id, qty) VALUES (1, 5)
INSERT INTO stocks (id, qty) VALUES (50, 5), (50, 6) ON CONFLICT (id) DO UPDATE SET qty = EXCLUDED.qty
INSERT INTO stocks VALUES (51, 'x', DEFAULT, '2024-01-01 10:00') RETURNING *, qty + 1 AS next, upper(item)
INSERT INTO stocks SELECT id + 100, name, length(name), born FROM authors WHERE id < 3 RETURNING id, qty
INSERT INTO stocks (id, item) VALUES (60, 'a') RETURNING id AS "stockId", (SELECT count(*) FROM authors) AS n
INSERT INTO users (email) VALUES ('a@x.org') RETURNING id IS NOT NULL, email, name, active, created
INSERT INTO users (email, age) VALUES ('b@x.org', '42'), ('c@x.org', NULL) RETURNING email, age
INSERT INTO users (email) VALUES (NULL)
INSERT INTO users (email, age) VALUES ('x', 99999999999)
INSERT INTO users (email, age) VALUES ('x', 'abc')
INSERT INTO users (email, nosuch) VALUES ('x', 1)
INSERT INTO users (email, age) VALUES ('x')
INSERT INTO nosuch VALUES (1)
INSERT INTO users DEFAULT VALUES
WITH s(id, q) AS (VALUES (1, 77)) UPDATE stocks SET qty = s.q FROM s WHERE stocks.id = s.id RETURNING stocks.id, qty
WITH gone AS (SELECT id FROM stocks WHERE id > 100) DELETE FROM stocks WHERE id IN (SELECT id FROM gone) RETURNING id
WITH src AS (SELECT 70 AS id, 'z' AS item) INSERT INTO stocks (id, item) SELECT id, item FROM src RETURNING *
SELECT "authors"."id", "authors"."name" FROM "authors" WHERE "authors"."name" LIKE '%a%' ESCAPE '\' ORDER BY "authors"."id" ASC LIMIT 21
SELECT COUNT(*) AS "__count" FROM "books" WHERE ("books"."price" > 10 AND NOT ("books"."author_id" IN (1, 2)))
SELECT "books"."id", "books"."title", (ROUND("books"."price"::numeric, 1)) AS "r" FROM "books" WHERE UPPER("books"."title"::text) LIKE UPPER('%comp%') ORDER BY 1
SELECT (1) AS "a" FROM "books" WHERE "books"."id" = 1 LIMIT 1
SELECT 1 AS one FROM "books" WHERE "books"."title" = 'Rings' LIMIT 1
SELECT "public"."books"."id", "public"."books"."title" FROM "public"."books" WHERE ("public"."books"."id" = 1 AND 1=1) LIMIT 1 OFFSET 0
SELECT "t1"."id", "t1"."name", "t2"."cnt" FROM "public"."authors" AS "t1" LEFT JOIN LATERAL (SELECT COALESCE(COUNT(*), 0) AS "cnt" FROM "public"."books" AS "t3" WHERE "t1"."id" = "t3"."author_id") AS "t2" ON TRUE ORDER BY 1
SELECT "t0"."id", COALESCE("b"."__prisma_data__", '[]'::jsonb) AS "books" FROM "public"."authors" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]'::jsonb) AS "__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'title', "t2"."title") AS "__prisma_data__" FROM "public"."books" AS "t2" WHERE "t0"."id" = "t2"."author_id" ORDER BY "t2"."id") AS "t3") AS "b" ON TRUE ORDER BY 1
select b1_0.id, b1_0.title from books b1_0 join authors a1_0 on a1_0.id=b1_0.author_id where a1_0.name='Emmy' and b1_0.price>=10 order by b1_0.price desc, b1_0.id fetch first 5 rows only
select b1_0.id from books b1_0 where b1_0.title like 'M%' escape '' order by b1_0.id offset 0 rows fetch first 10 rows only
SELECT anon_1.id AS anon_1_id, anon_1.title AS anon_1_title, authors_1.name AS authors_1_name FROM (SELECT books.id AS id, books.title AS title, books.author_id AS author_id FROM books LIMIT 2) AS anon_1 LEFT OUTER JOIN authors AS authors_1 ON authors_1.id = anon_1.author_id ORDER BY 1
SELECT CAST(books.price AS FLOAT) AS p, CAST(books.id AS VARCHAR) AS s, CAST('1' AS INTEGER) AS n, CAST(books.meta ->> 'lang' AS VARCHAR(2)) AS l FROM books ORDER BY books.id
SELECT id FROM books WHERE title = ANY('{Rings,Machines}'::text[]) ORDER BY id
SELECT EXISTS(SELECT 1 FROM books WHERE id = 1), NOT EXISTS(SELECT 1 FROM books WHERE id = 100) AS missing
SELECT id, v <-> '[1,0,0]' AS distance FROM books ORDER BY v <-> '[1,0,0]', id LIMIT 3
SELECT id FROM books WHERE v <-> '[1,0,0]' < 1.2 ORDER BY v <-> '[1,0,0]', id LIMIT 5
SELECT avg(v) FROM books
SELECT author_id, avg(v), sum(v) FROM books GROUP BY author_id ORDER BY 1
WITH a AS (SELECT id, row_number() OVER (ORDER BY v <=> '[1,0,0]', id) AS r FROM books ORDER BY v <=> '[1,0,0]', id LIMIT 4), b AS (SELECT id, rank() OVER (ORDER BY price DESC NULLS LAST) AS r FROM books WHERE title ILIKE '%i%' ORDER BY price DESC NULLS LAST LIMIT 4) SELECT coalesce(a.id, b.id) AS id, coalesce(1.0/(60+a.r), 0.0) + coalesce(1.0/(60+b.r), 0.0) AS score FROM a FULL OUTER JOIN b ON a.id = b.id ORDER BY score DESC, id LIMIT 3
WITH a AS (SELECT id, row_number() OVER (ORDER BY v <=> '[1,0,0]', id) AS r FROM books ORDER BY v <=> '[1,0,0]', id LIMIT 4), b AS (SELECT id, row_number() OVER (ORDER BY price DESC NULLS LAST, id) AS r FROM books) SELECT id, sum(1.0 / (60 + r)) AS score FROM (SELECT * FROM a UNION ALL SELECT * FROM b) u GROUP BY id ORDER BY score DESC, id LIMIT 3
SELECT id FROM books ORDER BY v <-> (SELECT v FROM books WHERE id = 1), id LIMIT 2
SELECT b.id, n.id FROM books b CROSS JOIN LATERAL (SELECT id FROM books x WHERE x.id <> b.id ORDER BY x.v <-> b.v, x.id LIMIT 1) n ORDER BY b.id
SET hnsw.ef_search = 'x'
SET hnsw.ef_search TO 100
SHOW hnsw.ef_search
SET LOCAL hnsw.ef_search = 10
RESET hnsw.ef_search
SHOW search_path
SHOW TimeZone
SHOW transaction_isolation
SHOW standard_conforming_strings
SHOW client_encoding
SHOW nosuch.setting
SHOW nosuch
SELECT current_setting('search_path'), current_setting('nosuch.x', true), current_setting('TimeZone')
SELECT current_setting('nosuch.x')
SELECT set_config('search_path', 'public', false)
SET search_path TO public
SET statement_timeout = '5s'
SHOW statement_timeout
SET statement_timeout = 0
SET application_name = 'x'
SHOW application_name
SET nosuch = 1
SET work_mem = '64MB'
SET TIME ZONE 'UTC'
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED
SET client_min_messages TO warning
BEGIN
SELECT 1
COMMIT
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY
INSERT INTO stocks (id) VALUES (900)
ROLLBACK
START TRANSACTION
SELECT 1/0
SELECT 1
COMMIT
SAVEPOINT a
ROLLBACK
BEGIN
SAVEPOINT a
RELEASE SAVEPOINT a
RELEASE SAVEPOINT a
ROLLBACK
COMMIT
PREPARE p (int) AS SELECT $1 + 1
EXECUTE p(2)
EXECUTE p
DEALLOCATE p
EXECUTE p(1)
PREPARE q AS INSERT INTO stocks (id, item) VALUES ($1, $2) RETURNING id
EXECUTE q(80, 'eighty')
DEALLOCATE ALL
DISCARD ALL
SELECT nosuch FROM books
SELECT * FROM nosuch
SELECT nosuch(1)
SELECT id FROM books GROUP BY title
SELECT books.id FROM books b
SELECT id, id FROM books b, authors a
SELEC 1
SELECT 'abc
SELECT 1 + 'a'
SELECT id FROM books ORDER BY 5
SELECT id FROM books LIMIT -1
SELECT max(count(*)) FROM books
SELECT id FROM books WHERE count(*) > 1
SELECT id FROM books UNION SELECT title FROM books
SELECT (SELECT id FROM books)
SELECT (SELECT id, title FROM books LIMIT 1)
SELECT 1 AS a, 2 AS a ORDER BY a
SELECT 2147483647 + 1
SELECT 9223372036854775807 + 1
SELECT cast('12.5' AS int)
SELECT 12.5::int, 13.5::int, -0.5::int, 2.5::float8::int, 3.5::float8::int
SELECT 5 / 2, -5 / 2, 5 % -3, 5.0 / 2, 2 ^ 3, 2 ^ 0.5, 7 / 2.0, 10 / 3::numeric
SELECT 'true'::bool, 'yes'::bool, 't'::bool, 1::bool, true::int, 'on'::boolean
SELECT NULL = NULL, NULL IS NOT DISTINCT FROM NULL, NOT NULL, true AND NULL, false AND NULL
SELECT DISTINCT ON (1) 1 AS a
SELECT ALL id FROM books ORDER BY id LIMIT 1
SELECT count(ALL id), count(*) FROM books
SELECT sum(id), avg(id), stddev(pages), variance(pages), bit_or(stock), bool_or(open), every(open) FROM books
SELECT width_bucket(5.35, 0.024, 10.06, 5), round(2.5), round(-2.5), round(2.5::float8), trunc(42.4382, 2), ceil(-0.8), sign(-8.4), mod(9, 4), gcd(12, 18), log(2, 64), cbrt(27), factorial(5), div(9, 4), sqrt(2)
SELECT num_nonnulls(1, NULL, 2), nullif('', ''), 5 BETWEEN SYMMETRIC 10 AND 1, 1 IN (1, NULL), 2 NOT IN (1, NULL)
SELECT id FROM books WHERE (author_id, open) IN ((5, true), (1, true)) ORDER BY id
SELECT generate_series(1, 3) AS n, generate_series(10, 11) AS m
SELECT generate_series(5, 1, -2)
SELECT x, y FROM generate_series(1, 2) x CROSS JOIN generate_series(1, 2) y ORDER BY 1, 2
SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS t(v, n)
SELECT 0x1F, 0b11, 0o17, 1_000, 1e3, .5
SELECT "id" "identifier", title t FROM books ORDER BY "identifier" LIMIT 1
SELECT a.id FROM authors a LEFT JOIN books b ON b.author_id = a.id WHERE b.id IS NULL
SELECT id, title FROM books WHERE title > 'M' AND id > 1 ORDER BY title, id LIMIT 2
SELECT count(*) FROM books HAVING count(*) > 100
SELECT title, price, sum(price) OVER (ORDER BY price, id) / sum(price) OVER () AS share FROM books WHERE price IS NOT NULL ORDER BY price, id
SELECT similarity('a', 'b')
SELECT crosstab('x')
SELECT 'a'::citext
SELECT xmlelement(name foo)
SELECT b.id FROM ONLY books b ORDER BY 1 LIMIT 1
SELECT id FROM books * ORDER BY 1 LIMIT 1
CREATE TABLE IF NOT EXISTS books (id bigint PRIMARY KEY)
CREATE TABLE books (id bigint PRIMARY KEY)
DROP TABLE IF EXISTS nosuch
DROP TABLE nosuch
VACUUM ANALYZE books
UPDATE stocks SET qty = 3 FROM authors a WHERE a.id = stocks.id RETURNING a.nope
UPDATE stocks SET qty = 5 WHERE id = 60 RETURNING (SELECT max(id) FROM authors), qty
DELETE FROM stocks WHERE id = 60 RETURNING id, (SELECT name FROM authors WHERE authors.id = 1)
UPDATE books SET tags = '{a,b}', meta = '{"b":1,"a":2}', nums = ARRAY[1], code = 'f0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' FROM authors a WHERE a.id = books.author_id AND a.id = 1 RETURNING tags, books.meta, nums, code, a.name
INSERT INTO stocks (id, item, qty) VALUES (201, 'x', NULL)
SELECT ARRAY[]
SELECT ARRAY[]::int[]
SELECT title COLLATE "C" FROM books ORDER BY title COLLATE "C" DESC
START TRANSACTION
COMMIT
SELECT t.column1 FROM (VALUES (1, 'a')) t JOIN (VALUES (1)) u ON u.column1 = t.column1
SELECT column1 FROM (VALUES (1), (2)) AS v ORDER BY column1
WITH v AS (VALUES (1, 'a')) SELECT column1, column2 FROM v
SELECT * FROM (VALUES (1, 'a')) AS v
SELECT id, count(*) OVER (ORDER BY day RANGE BETWEEN '1 year' PRECEDING AND CURRENT ROW) FROM books ORDER BY id
SELECT id, count(*) OVER (ORDER BY day RANGE BETWEEN INTERVAL '1 year' PRECEDING AND CURRENT ROW) FROM books ORDER BY id
SELECT title || NULL FROM books WHERE id = 1
SELECT NULL || title FROM books WHERE id = 1
SELECT title COLLATE "C" FROM books ORDER BY title COLLATE "C" DESC
SELECT title FROM books ORDER BY title COLLATE "POSIX", title COLLATE "default"
SELECT title FROM books WHERE title COLLATE "C" > 'M' ORDER BY 1
SELECT ARRAY[]
INSERT INTO stocks (id, item, qty) VALUES (201, 'x', NULL)
DELETE FROM stocks s USING authors a, books b WHERE s.id = a.id AND b.author_id = a.id AND a.id = 4 RETURNING s.id, a.name, b.title
DELETE FROM stocks s USING authors a JOIN books b ON b.author_id = a.id WHERE s.id = a.id AND a.id = 3
INSERT INTO stocks (id, item, qty) VALUES (3, 'gear', 1), (4, 'cog', 2) ON CONFLICT ON CONSTRAINT stocks_pkey DO UPDATE SET (qty, item) = (stocks.qty + EXCLUDED.qty, 'z') RETURNING *
INSERT INTO stocks (id, item, qty) VALUES (3, 'gear', 1), (4, 'cog', 2) ON CONFLICT (id) DO UPDATE SET (qty, item) = ROW(EXCLUDED.qty, EXCLUDED.item || '!') RETURNING *
INSERT INTO stocks (id, qty) VALUES (50, 5), (50, 6) ON CONFLICT (id) DO UPDATE SET qty = EXCLUDED.qty
SELECT quote_ident('a b'), concat('a', true), 5 / 2
SELECT count(*) FROM authors a WHERE NOT EXISTS (SELECT 1 FROM books b WHERE b.author_id = a.id AND b.price = 19.99)
SELECT id, (SELECT max(price) FROM books b WHERE b.author_id = a.id AND b.price > 15) FROM authors a ORDER BY id
SELECT a.id FROM authors a WHERE EXISTS (SELECT 1 FROM books b WHERE b.author_id = a.id AND b.price BETWEEN 10 AND 20 AND b.pages > 100) ORDER BY 1
SELECT title || NULL FROM books WHERE id = 1
SELECT count(*) FROM books WHERE title || NULL = 'x'
SELECT current_setting('nosuch.x')
SELECT current_setting('nosuch.x', true)
SELECT INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 4:05:06' DAY TO SECOND, INTERVAL '10' DAY, INTERVAL '1:30' HOUR TO MINUTE, INTERVAL '5' MINUTE, INTERVAL '-1-2' YEAR TO MONTH
SELECT timestamp '2024-01-31' + INTERVAL '1-2' YEAR TO MONTH AS x
SELECT '1-2'::interval, '1 2:03'::interval, INTERVAL 'P1Y2M3DT4H5M6S', 'PT36H'::interval, 'P1W'::interval, interval 'PT0.5S', interval 'P-1Y2M'
BEGIN
SAVEPOINT a
SAVEPOINT b
ROLLBACK TO SAVEPOINT a
RELEASE b
ROLLBACK TO SAVEPOINT a
RELEASE SAVEPOINT a
ROLLBACK
BEGIN
SAVEPOINT a
SELECT 1/0
ROLLBACK TO a
RELEASE a
COMMIT
