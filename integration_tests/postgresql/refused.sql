SELECT rating % 2 FROM books
SELECT 2 % rating FROM books
SELECT price % rating FROM books
SELECT 1.5::float8 % 2
SELECT mod(1.5::float8, 2)
SELECT mod(rating, 2) FROM books
SELECT 5::float8 & 3
SELECT 5.5 & 3
SELECT 5.5 | 3
SELECT 5.5 # 3
SELECT ~ 5.5
SELECT ~ rating FROM books
SELECT -title FROM books
SELECT -open FROM books
SELECT @ title FROM books
SELECT |/ title FROM books
SELECT title + 1 FROM books
SELECT title + title FROM books
SELECT title - 'a' FROM books
SELECT title * 2 FROM books
SELECT 'a' + 1
SELECT open + 1 FROM books
SELECT open + open FROM books
SELECT open > 1 FROM books
SELECT open = 1 FROM books
SELECT open = 'maybe' FROM books
SELECT id = 'x' FROM books
SELECT id = title FROM books
SELECT id > true FROM books
SELECT title = 1 FROM books
SELECT title > 1 FROM books
SELECT title LIKE 1 FROM books
SELECT id LIKE '1%' FROM books
SELECT open LIKE 't%' FROM books
SELECT published LIKE '2020%' FROM books
SELECT published + 1 FROM books
SELECT published - 1 FROM books
SELECT published + published FROM books
SELECT published * 2 FROM books
SELECT born + born FROM authors
SELECT born + 1.5 FROM authors
SELECT born - 'x' FROM authors
SELECT born > 1 FROM authors
SELECT born = 'abc' FROM authors
SELECT born = '2020-13-01' FROM authors
SELECT tags + 1 FROM books
SELECT tags || 1 FROM books
SELECT tags = 'a' FROM books
SELECT tags @> ARRAY[1] FROM books
SELECT tags && ARRAY[1] FROM books
SELECT tags['a'] FROM books
SELECT title[1] FROM books
SELECT id[1] FROM books
SELECT meta + 1 FROM books
SELECT meta > 1 FROM books
SELECT meta = 'x' FROM books
SELECT meta ? 1 FROM books
SELECT meta::int FROM books
SELECT meta::text::int FROM books
SELECT (meta->>'lang') + 1 FROM books
SELECT (meta->'n') + 1 FROM books
SELECT meta->>'n' > 1 FROM books
SELECT meta->'n' > 1 FROM books
SELECT open AND 1 FROM books
SELECT open AND 'x' FROM books
SELECT open OR title FROM books
SELECT NOT id FROM books
SELECT NOT title FROM books
SELECT NOT 'maybe'
SELECT id IS TRUE FROM books
SELECT title IS FALSE FROM books
SELECT 1 FROM books WHERE id
SELECT 1 FROM books WHERE title
SELECT 1 FROM books WHERE 1
SELECT 1 FROM books WHERE NULL + 1
SELECT 1 FROM books HAVING id
SELECT CASE WHEN id THEN 1 END FROM books
SELECT CASE WHEN title THEN 1 END FROM books
SELECT CASE WHEN open THEN 1 ELSE 'x' END FROM books
SELECT CASE WHEN open THEN 1 ELSE title END FROM books
SELECT CASE WHEN open THEN id ELSE open END FROM books
SELECT CASE WHEN open THEN born ELSE 1 END FROM books, authors
SELECT CASE id WHEN 'x' THEN 1 END FROM books
SELECT CASE id WHEN title THEN 1 END FROM books
SELECT CASE title WHEN 1 THEN 1 END FROM books
SELECT coalesce(id, title) FROM books
SELECT coalesce(open, 1) FROM books
SELECT coalesce(tags, 1) FROM books
SELECT nullif(id, title) FROM books
SELECT nullif(id, 'x') FROM books
SELECT nullif(open, 1) FROM books
SELECT greatest(id, title) FROM books
SELECT greatest(open, 1) FROM books
SELECT least(published, 1) FROM books
SELECT id IN ('x') FROM books
SELECT id IN (title) FROM books
SELECT id IN (1, 'x') FROM books
SELECT title IN (1) FROM books
SELECT title IN (1, 2) FROM books
SELECT open IN (1) FROM books
SELECT id IN (SELECT title FROM books) FROM books
SELECT title IN (SELECT id FROM books) FROM books
SELECT id IN (SELECT id, title FROM books) FROM books
SELECT (id, title) < 1 FROM books
SELECT id = (SELECT id, title FROM books) FROM books
SELECT id = (SELECT id FROM books) FROM books
SELECT (SELECT id, title FROM books LIMIT 1)
SELECT (SELECT id FROM books)
SELECT id = ANY (tags) FROM books
SELECT id = ANY (ARRAY['a']) FROM books
SELECT title = ANY (ARRAY[1]) FROM books
SELECT title = ALL (SELECT id FROM books) FROM books
SELECT id BETWEEN 'a' AND 'b' FROM books
SELECT id BETWEEN title AND title FROM books
SELECT title BETWEEN 1 AND 2 FROM books
SELECT open BETWEEN 0 AND 1 FROM books
SELECT born BETWEEN 1 AND 2 FROM authors
SELECT EXISTS (SELECT nothing FROM books)
SELECT EXISTS (1)
SELECT nothing FROM books
SELECT books.nothing FROM books
SELECT b.id FROM books
SELECT books.id FROM books b
SELECT public.books.id FROM books b
SELECT id FROM nothing
SELECT id FROM public.nothing
SELECT id FROM books, authors
SELECT title FROM books JOIN authors USING (id, title)
SELECT v FROM books JOIN authors USING (id)
SELECT 1 FROM books JOIN authors ON books.id
SELECT 1 FROM books JOIN authors ON nothing = 1
SELECT 1 FROM books JOIN authors ON orders.id = 1
SELECT 1 FROM books b JOIN (SELECT b.id) x ON true
SELECT 1 FROM books b, (SELECT b.id) x
SELECT 1 FROM books b JOIN authors a
SELECT 1 FROM books NATURAL JOIN authors ON true
SELECT id, count(*) FROM books
SELECT title, max(id) FROM books GROUP BY open
SELECT title FROM books GROUP BY open
SELECT open, title FROM books GROUP BY open
SELECT id + 1 FROM books GROUP BY id + 2
SELECT * FROM books GROUP BY open
SELECT open FROM books GROUP BY open ORDER BY title
SELECT open FROM books GROUP BY open HAVING title = 'x'
SELECT open FROM books HAVING open
SELECT count(*) FROM books HAVING title = 'x'
SELECT open FROM books GROUP BY 0
SELECT open FROM books GROUP BY -1
SELECT count(*) FROM books GROUP BY 1
SELECT count(*) AS c FROM books GROUP BY c
SELECT open FROM books GROUP BY count(*)
SELECT open FROM books GROUP BY nothing
SELECT open AS x FROM books GROUP BY x HAVING x
SELECT id FROM books WHERE count(*) > 1
SELECT id FROM books WHERE max(id) = id
SELECT id FROM books WHERE row_number() OVER () = 1
SELECT id FROM books HAVING row_number() OVER () = 1
SELECT row_number() OVER (ORDER BY row_number() OVER ()) FROM books
SELECT max(id) FILTER (WHERE id) FROM books
SELECT row_number() FROM books
SELECT rank() FROM books
SELECT row_number(DISTINCT id) OVER () FROM books
SELECT row_number(id) OVER () FROM books
SELECT count(DISTINCT id) OVER () FROM books
SELECT sum(DISTINCT id) OVER (ORDER BY id) FROM books
SELECT max(*) FROM books
SELECT sum(*) FROM books
SELECT max() FROM books
SELECT sum() FROM books
SELECT lower(*) FROM books
SELECT max(id, 1) FROM books
SELECT max(DISTINCT id, 1) FROM books
SELECT sum(title) FROM books
SELECT sum(open) FROM books
SELECT avg(title) FROM books
SELECT avg(published) FROM books
SELECT sum(published) FROM books
SELECT max(open) FROM books
SELECT max(meta) FROM books
SELECT bool_and(id) FROM books
SELECT every(title) FROM books
SELECT bit_and(title) FROM books
SELECT bit_or(rating) FROM books
SELECT string_agg(title) FROM books
SELECT string_agg(id, ',') FROM books
SELECT string_agg(title, 1) FROM books
SELECT array_agg() FROM books
SELECT percentile_cont(0.5) FROM books
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY title) FROM books
SELECT percentile_cont(2) WITHIN GROUP (ORDER BY id) FROM books
SELECT mode() FROM books
SELECT sum(id) WITHIN GROUP (ORDER BY id) FROM books
SELECT nth_value(id, 0) OVER () FROM books
SELECT nth_value(id, -1) OVER () FROM books
SELECT ntile(0) OVER () FROM books
SELECT ntile(-1) OVER () FROM books
SELECT ntile('x') OVER () FROM books
SELECT lag(id, 'x') OVER () FROM books
SELECT lag(id, 1, 'x') OVER () FROM books
SELECT sum(id) OVER (ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM books
SELECT sum(id) OVER (ROWS BETWEEN id PRECEDING AND CURRENT ROW) FROM books
SELECT sum(id) OVER (w PARTITION BY id) FROM books WINDOW w AS (ORDER BY title)
SELECT id FROM books LIMIT -1
SELECT id FROM books OFFSET -1
SELECT id FROM books LIMIT (SELECT 1, 2)
SELECT id FROM books LIMIT 1 + 'x'
SELECT id FROM books FETCH FIRST 1 ROWS WITH TIES
SELECT id FROM books ORDER BY 2
SELECT id FROM books ORDER BY 0
SELECT id FROM books ORDER BY nothing
SELECT id AS x, title AS x FROM books ORDER BY x
SELECT DISTINCT id FROM books ORDER BY title
SELECT DISTINCT ON (id) id FROM books ORDER BY title
SELECT DISTINCT ON (nothing) id FROM books
SELECT id FROM books UNION SELECT id, title FROM books
SELECT id FROM books UNION SELECT title FROM books
SELECT id FROM books UNION SELECT 'x'
SELECT id FROM books UNION SELECT open FROM books
SELECT id FROM books EXCEPT SELECT title FROM books
SELECT id FROM books UNION SELECT id FROM authors ORDER BY title
SELECT id FROM books ORDER BY id UNION SELECT 1
SELECT id FROM books LIMIT 1 UNION SELECT 1
VALUES (1), (1, 2)
VALUES (1), ('x')
SELECT * FROM (SELECT 1) t(a, b)
WITH t AS (SELECT 1) SELECT * FROM u
WITH t(a, b) AS (SELECT 1) SELECT * FROM t
WITH t AS (SELECT 1) SELECT id FROM t
WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT * FROM t
WITH RECURSIVE t(n) AS (SELECT n FROM t) SELECT * FROM t
WITH t AS (SELECT * FROM u), u AS (SELECT 1) SELECT * FROM t
SELECT 'x'::int
SELECT 'x'::bigint
SELECT '1.5'::int
SELECT ''::int
SELECT 99999999999::int
SELECT 40000::smallint
SELECT '1e400'::float8
SELECT 'x'::float8
SELECT 'x'::numeric
SELECT 'x'::date
SELECT '2020-02-30'::date
SELECT 'x'::timestamp
SELECT '25:00'::time
SELECT 'x'::interval
SELECT 'x'::uuid
SELECT 'x'::boolean
SELECT '{'::jsonb
SELECT ''::jsonb
SELECT 'x'::int[]
SELECT '{1,x}'::int[]
SELECT '[1,x]'::vector
SELECT '[]'::vector
SELECT 1::date
SELECT 1::boolean::int, true::bigint
SELECT true::float8
SELECT 1.5::boolean
SELECT 2::bigint::boolean
SELECT '2020-01-01'::date::int
SELECT 1::uuid
SELECT 1::interval
SELECT ARRAY[1]::int
SELECT 1::int[]
SELECT 1::nothing
SELECT CAST(1 AS nothing)
SELECT int 'x'
SELECT date 'x'
SELECT interval 'x'
SELECT ARRAY[1, 'x']
SELECT ARRAY[1, title] FROM books
SELECT ARRAY[1, true]
SELECT lower(1)
SELECT lower(open) FROM books
SELECT length(1)
SELECT length(id) FROM books
SELECT upper(published) FROM books
SELECT substring(1, 2)
SELECT substr('abc', 1, -1)
SELECT left(1, 2)
SELECT left('abc', 'x')
SELECT repeat(1, 2)
SELECT replace(1, 2, 3)
SELECT replace('a', 'b')
SELECT trim(1)
SELECT position(1 in 'x')
SELECT split_part('a', 'b', 0)
SELECT split_part('a', 'b')
SELECT chr(0)
SELECT chr(-1)
SELECT chr(99999999)
SELECT ascii(1)
SELECT abs(title) FROM books
SELECT abs(open) FROM books
SELECT round(title) FROM books
SELECT sqrt(-1)
SELECT sqrt('x')
SELECT sqrt(title) FROM books
SELECT ln(0)
SELECT ln(-1)
SELECT log(0)
SELECT power('x', 1)
SELECT power(-1, 0.5)
SELECT exp(1000)
SELECT acos(2)
SELECT 1 / 0
SELECT 1 % 0
SELECT 1.0 / 0
SELECT 1::float8 / 0
SELECT mod(1, 0)
SELECT div(1, 0)
SELECT 1/0 IS NULL
SELECT 9223372036854775807 + 1
SELECT 2147483647 + 1
SELECT -2147483648::int
SELECT 32767::smallint + 1::smallint
SELECT 9223372036854775808::bigint
SELECT factorial(-1)
SELECT width_bucket(1, 2, 2, 3)
SELECT width_bucket(1, 0, 1, 0)
SELECT to_char(1)
SELECT to_date('x', 'YYYY')
SELECT to_timestamp('x', 'YYYY')
SELECT to_timestamp('x')
SELECT date_trunc('x', now())
SELECT date_trunc('day', 1)
SELECT date_part('x', now())
SELECT extract(year FROM 1)
SELECT age(1)
SELECT make_date(2020, 13, 1)
SELECT make_date(2020, 2, 30)
SELECT make_time(25, 0, 0)
SELECT make_date('x', 1, 1)
SELECT now() + 1
SELECT now() - 'x'
SELECT now() AT TIME ZONE 'x'
SELECT now() AT TIME ZONE 1
SELECT interval '1 day' * interval '1 day'
SELECT interval '1 day' / 0
SELECT date '2020-01-01' + time '25:00'
SELECT generate_series(1, 'x')
SELECT generate_series(1, 2, 0)
SELECT * FROM generate_series(1, 2, 0)
SELECT * FROM generate_series(1)
SELECT * FROM nothing(1)
SELECT nothing(1)
SELECT nothing()
SELECT array_length(1, 1)
SELECT array_length(tags) FROM books
SELECT array_append(tags, 1) FROM books
SELECT array_append(1, 1)
SELECT array_position(tags, 1) FROM books
SELECT cardinality(1)
SELECT string_to_array(1, ',')
SELECT jsonb_array_length('1')
SELECT jsonb_array_length('{}')
SELECT jsonb_object_keys('1')
SELECT jsonb_object_keys('[]')
SELECT jsonb_array_elements('{}')
SELECT jsonb_build_object('a')
SELECT jsonb_build_object(NULL, 1)
SELECT jsonb_set('1', '{a}', '2')
SELECT jsonb_set('{}', 'a', '2')
SELECT jsonb_typeof('x')
SELECT jsonb_typeof(1)
SELECT jsonb_path_query('{}', 'x')
SELECT '{}'::jsonb @? 'x'
SELECT to_jsonb()
SELECT jsonb_agg() FROM books
SELECT jsonb_object_agg(1) FROM books
SELECT jsonb_object_agg(NULL, 1) FROM books
SELECT title ~ 1 FROM books
SELECT title ~ '(' FROM books
SELECT title ~ '[' FROM books
SELECT title ~ '*' FROM books
SELECT regexp_replace('a', '(', 'b')
SELECT regexp_replace(1, 'a', 'b')
SELECT title LIKE 'a' ESCAPE 'xx' FROM books
SELECT title SIMILAR TO '(' FROM books
SELECT decode('zz', 'hex')
SELECT decode('a', 'base64')
SELECT md5(1)
SELECT format('%s')
SELECT format()
SELECT concat()
SELECT overlay('abc' placing 'x' from 0)
SELECT overlay('abc' placing 'x' from -1)
SELECT v + 1 FROM books
SELECT v + '[1,2]' FROM books
SELECT v = 1 FROM books
SELECT sum(v) + 1 FROM books
SELECT vector_dims(1)
SELECT l2_distance('[1,2]', '[1]')
SELECT 'a' 'b'
SELECT 'a' 1
SELECT 1 2
SELECT 1 AS
SELECT FROM
SELECT , 1
SELECT 1,
SELECT 1 FROM
SELECT 1 WHERE
SELECT (1
SELECT 1)
SELECT * WHERE 1 = 1
SELECT *
SELECT books.*
SELECT b.* FROM books
SELECT count(b.*) FROM books
SELECT id FROM books AS
SELECT id FROM books WHERE ORDER BY id
SELECT id FROM books GROUP BY
SELECT id FROM books ORDER BY
SELECT id id id FROM books
SELECT id FROM books books2 books3
SELECT id FROM books JOIN
SELECT id FROM books JOIN authors ON
SELECT id FROM books WHERE id = = 1
SELECT id FROM books WHERE id IN ()
SELECT id FROM books WHERE id = ANY
SELECT id FROM books WHERE id BETWEEN 1
SELECT id FROM books WHERE title LIKE
SELECT id FROM books WHERE title IS
SELECT id FROM books WHERE IS NULL
SELECT id FROM books WHERE NOT
SELECT CASE END
SELECT CASE WHEN true END
SELECT CAST(1)
SELECT CAST(1 AS)
SELECT 1::
SELECT "id FROM books
SELECT 'id FROM books
SELECT $1
SELECT extract(FROM now())
SELECT (SELECT id FROM authors WHERE authors.id = r.author_id) FROM books r GROUP BY r.open
SELECT r.open, (SELECT name FROM authors WHERE authors.id = r.author_id) FROM books r GROUP BY r.open
INSERT INTO books (id) VALUES ('x')
INSERT INTO books (id, nothing) VALUES (1, 2)
INSERT INTO books (id, id) VALUES (1, 2)
INSERT INTO books (id, title) VALUES (1)
INSERT INTO books (id) VALUES (1, 2)
INSERT INTO nothing (id) VALUES (1)
INSERT INTO books (id, price, v) VALUES (14, 12345678.5, '[1,2,3]')
INSERT INTO books (id, pages, v) VALUES (15, 99999999999, '[1,2,3]')
INSERT INTO books (id, stock, v) VALUES (16, 40000, '[1,2,3]')
INSERT INTO books (id, v) VALUES (1, '[1,2,3]')
INSERT INTO books (id, v) VALUES (NULL, '[1,2,3]')
INSERT INTO authors (id, country, v) VALUES (10, 'DEU', '[1,2]')
INSERT INTO books (id, v) VALUES (max(1), '[1,2,3]')
INSERT INTO books (id, v) VALUES (20, '[1,2,3]') RETURNING nothing
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET nothing = 'x'
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = nothing
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = title
UPDATE books SET nothing = 1
UPDATE books SET title = nothing
UPDATE books SET pages = 'x'
UPDATE books SET title = max(title)
UPDATE books SET (title, pages) = ('x', 1, 2)
UPDATE books SET pages = (SELECT 1, 2)
UPDATE books SET pages = (SELECT id FROM books)
UPDATE books SET pages = 1 WHERE nothing = 1
UPDATE books SET pages = 1 WHERE count(*) = 1
UPDATE books SET pages = 1 WHERE id
UPDATE nothing SET a = 1
UPDATE books SET pages = 1 FROM nothing
UPDATE books b SET pages = 1 WHERE books.id = 1
UPDATE books SET pages = 1 RETURNING nothing
DELETE FROM nothing
DELETE FROM books WHERE nothing = 1
DELETE FROM books WHERE max(id) = 1
DELETE FROM books WHERE id
DELETE FROM books b WHERE books.id = 1
DELETE FROM books USING nothing WHERE true
DELETE FROM books WHERE id = 1 RETURNING nothing
CREATE TABLE books (id bigint PRIMARY KEY, v vector(2))
CREATE TABLE t1 (id bigint PRIMARY KEY, id int, v vector(2))
CREATE TABLE t2 (id bigint PRIMARY KEY, x nothing, v vector(2))
CREATE TABLE t3 (id bigint PRIMARY KEY, x int PRIMARY KEY, v vector(2))
CREATE TABLE t7 (id bigint PRIMARY KEY, x int DEFAULT 'x', v vector(2))
DROP TABLE nothing
DROP VIEW nothing
DROP INDEX nothing
DROP TABLE books, nothing
ALTER TABLE nothing ADD COLUMN x int
ALTER TABLE books ADD COLUMN title text
ALTER TABLE books DROP COLUMN nothing
CREATE VIEW books AS SELECT 1
CREATE VIEW w1 AS SELECT nothing FROM books
CREATE VIEW w2 AS SELECT 1 AS a, 2 AS a
CREATE INDEX ON nothing USING hnsw (v vector_l2_ops)
CREATE INDEX ON books USING hnsw (nothing vector_l2_ops)
CREATE INDEX ON books USING nothing (v vector_l2_ops)
CREATE INDEX ON books USING hnsw (v nothing)
EXPLAIN SELECT nothing FROM books
SET nothing = 1
SHOW nothing
TRUNCATE nothing
COPY nothing TO STDOUT
SELEC 1
FOO
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT a.n FROM t a, t b) SELECT * FROM t
WITH RECURSIVE t(n) AS (SELECT 1 EXCEPT SELECT n + 1 FROM t) SELECT * FROM t
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n::text FROM t) SELECT * FROM t
SELECT meta @> 1 FROM books
SELECT meta || 1 FROM books
SELECT count(*) FROM books AS b, (SELECT b.id AS x) AS d
SELECT title = id FROM books
SELECT max(open) OVER () FROM books
SELECT rating % stock FROM books
SELECT 5 % rating FROM books
SELECT id FROM (SELECT id FROM books ORDER BY id UNION SELECT 1) AS d
SELECT 'a' 'b' FROM books
SELECT title FROM books WHERE title = 'a' 'b'
SELECT coalesce(open, pages) FROM books
SELECT CASE WHEN open THEN true ELSE 0 END FROM books
SELECT ARRAY[open, 1] FROM books
SELECT sold::boolean FROM books
SELECT open::numeric FROM books
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT max(n) FROM t) SELECT * FROM t
SELECT meta -> 1.5 FROM books
SELECT id FROM books LIMIT true
SELECT id FROM books ORDER BY -1
VALUES (1), (true)
SELECT '{1'::int[]
SELECT id FROM books JOIN authors USING (id) JOIN orders USING (v)
SELECT 1 FROM books JOIN authors ON true JOIN orders USING (id)
SELECT lag(title, 1, 0) OVER () FROM books
SELECT round(rating, 1) FROM books
SELECT round(1.5::real, 1)
SELECT 1::jsonb
SELECT v::jsonb FROM books
SELECT v[1] FROM books
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT DO UPDATE SET title = 'x'
UPDATE books SET pages = row_number() OVER ()
SELECT concat('a', $1)
SELECT meta -> true FROM books
SELECT meta ->> 1.5 FROM books
SELECT meta -> open FROM books
SELECT meta -> sold FROM books
SELECT meta - 1.5 FROM books
SELECT meta - true FROM books
SELECT meta #- 'a' FROM books
SELECT meta @> title FROM books
SELECT meta ? id FROM books
SELECT meta ?| title FROM books
SELECT meta ?& ARRAY[1] FROM books
SELECT tags -> 0 FROM books
SELECT title -> 0 FROM books
SELECT id -> 0 FROM books
SELECT title ->> 'a' FROM books
SELECT id FROM books LIMIT false
SELECT id FROM books LIMIT id
SELECT id FROM books LIMIT 'x'
SELECT id FROM books LIMIT current_date
SELECT id FROM books LIMIT ARRAY[1]
SELECT id FROM books OFFSET true
SELECT id FROM books OFFSET 'x'
SELECT id FROM books OFFSET count(*)
SELECT id FROM books LIMIT row_number() OVER ()
SELECT id FROM books ORDER BY v <-> '[1,0,0]' LIMIT true
SELECT id FROM books ORDER BY v <-> '[1,0,0]' LIMIT 'x'
SELECT id FROM books ORDER BY v <-> '[1,0,0]' LIMIT id
SELECT id FROM books ORDER BY v <-> '[1,0,0]' LIMIT -1
SELECT id FROM books ORDER BY v <-> '[1,0,0]' OFFSET -1
SELECT id FROM books ORDER BY v <-> '[1,0,0]', 5 LIMIT 1
SELECT id FROM books ORDER BY v <-> title LIMIT 1
SELECT id FROM books ORDER BY v <-> id LIMIT 1
SELECT id FROM books ORDER BY nothing <-> '[1,0,0]' LIMIT 1
SELECT id FROM books ORDER BY 'x'
SELECT id FROM books ORDER BY 1.5
SELECT id FROM books ORDER BY true
SELECT id FROM books ORDER BY 3
SELECT id FROM books ORDER BY '1'
SELECT id FROM books GROUP BY 'x'
SELECT id FROM books GROUP BY true
SELECT 1 FROM books GROUP BY 1.5
SELECT DISTINCT id FROM books ORDER BY -1
SELECT DISTINCT ON (0) id FROM books
VALUES (1), ('a'::text)
VALUES (true), (1)
VALUES (1), (current_date)
VALUES ('x'::text), (1)
VALUES (1, 'a'), (true, 'b')
SELECT * FROM (VALUES (1), (true)) t
SELECT * FROM (VALUES (1), ('x')) t
SELECT * FROM (VALUES (1), (1, 2)) t
SELECT * FROM (VALUES (ARRAY[1]), (1)) t
INSERT INTO books (id, v) VALUES (21, '[1,2,3]'), (22)
INSERT INTO books (id, title, v) VALUES (21, 'a', '[1,2,3]'), (22, 'b')
INSERT INTO books (id, open, v) VALUES (21, 1, '[1,2,3]')
INSERT INTO books (id, open, v) VALUES (21, 'maybe', '[1,2,3]')
INSERT INTO books (id, pages, v) VALUES (21, true, '[1,2,3]')
INSERT INTO books (id, pages, v) VALUES (21, '1.5', '[1,2,3]')
INSERT INTO books (id, published, v) VALUES (21, 1, '[1,2,3]')
INSERT INTO books (id, published, v) VALUES (21, true, '[1,2,3]')
INSERT INTO books (id, tags, v) VALUES (21, 'x', '[1,2,3]')
INSERT INTO books (id, tags, v) VALUES (21, 1, '[1,2,3]')
INSERT INTO books (id, tags, v) VALUES (21, '{a', '[1,2,3]')
INSERT INTO books (id, meta, v) VALUES (21, 1, '[1,2,3]')
INSERT INTO books (id, meta, v) VALUES (21, '{', '[1,2,3]')
INSERT INTO books (id, meta, v) VALUES (21, ARRAY[1], '[1,2,3]')
INSERT INTO books (id, rating, v) VALUES (21, true, '[1,2,3]')
INSERT INTO books (id, rating, v) VALUES (21, 'x', '[1,2,3]')
INSERT INTO books (id, price, v) VALUES (21, 'x', '[1,2,3]')
INSERT INTO books (id, price, v) VALUES (21, true, '[1,2,3]')
INSERT INTO books (id, v) VALUES (21, 1)
INSERT INTO books (id, v) VALUES (21, 'x')
INSERT INTO books (id, v) VALUES (21, '{1,2,3}')
INSERT INTO books (id, v) VALUES (21, true)
INSERT INTO books (id, v) VALUES (true, '[1,2,3]')
INSERT INTO books (id, v) VALUES (current_date, '[1,2,3]')
INSERT INTO books (id, v) VALUES (id, '[1,2,3]')
INSERT INTO books (id, v) VALUES (nothing, '[1,2,3]')
INSERT INTO books (id, v) VALUES (row_number() OVER (), '[1,2,3]')
INSERT INTO books (id, v) VALUES ((SELECT id FROM books), '[1,2,3]')
INSERT INTO books (id, v) VALUES ((SELECT 1, 2), '[1,2,3]')
INSERT INTO books (id, v) VALUES (1/0, '[1,2,3]')
INSERT INTO books (id, v) SELECT id FROM books
INSERT INTO books (id, v) SELECT id, v, 1 FROM books
INSERT INTO books (id, v) SELECT id, title FROM books
INSERT INTO books (id, v) SELECT title, v FROM books
INSERT INTO books (id, v) SELECT open, v FROM books
INSERT INTO books (id, v) SELECT id, v FROM books
INSERT INTO books (id, title, v) SELECT id + 100, v, v FROM nothing
INSERT INTO books (id, v) SELECT nothing, v FROM books
INSERT INTO books VALUES (1)
INSERT INTO books () VALUES ()
INSERT INTO books (id, v) VALUES ()
INSERT INTO books (id, v)
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = max(books.title)
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = row_number() OVER ()
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET pages = 'x'
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET pages = true
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = 'a', title = 'b'
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = excluded.nothing
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = 'x' WHERE 1
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = 'x' WHERE nothing
INSERT INTO books (id, v) VALUES (1, '[1,2,3]') ON CONFLICT (id) DO UPDATE SET title = 'x' WHERE count(*) > 1
INSERT INTO books (id, v) VALUES (21, '[1,2,3]') RETURNING count(*)
INSERT INTO books (id, v) VALUES (21, '[1,2,3]') RETURNING row_number() OVER ()
INSERT INTO books (id, v) VALUES (21, '[1,2,3]') RETURNING title + 1
INSERT INTO books (id, v) VALUES (21, '[1,2,3]') RETURNING excluded.id
UPDATE books SET title = 'a', title = 'b'
UPDATE books SET pages = true
UPDATE books SET open = 1
UPDATE books SET pages = title
UPDATE books SET pages = published
UPDATE books SET published = pages
UPDATE books SET meta = title
UPDATE books SET tags = title
UPDATE books SET meta = 1
UPDATE books SET v = 1
UPDATE books SET v = 'x'
UPDATE books SET v = title
UPDATE books SET rating = open
UPDATE books SET rating = 'x'
UPDATE books SET pages = 99999999999
UPDATE books SET stock = 40000
UPDATE books SET price = 12345678.5
UPDATE books SET pages = 1 / 0
UPDATE books SET (title, pages) = (SELECT 'x')
UPDATE books SET (title, title) = ('x', 'y')
UPDATE books SET pages = row_number() OVER () WHERE id = 1
UPDATE books SET pages = count(*) OVER ()
UPDATE books SET pages = 1 WHERE row_number() OVER () = 1
UPDATE books SET pages = 1 WHERE 'x'
UPDATE books SET pages = 1 WHERE title
UPDATE books SET pages = 1 WHERE title = 1
UPDATE books SET pages = 1 WHERE id = (SELECT id FROM books)
UPDATE books SET pages = 1 WHERE id IN (SELECT id, title FROM books)
UPDATE books SET pages = 1 RETURNING count(*)
UPDATE books SET pages = 1 RETURNING row_number() OVER ()
UPDATE books SET pages = a.id FROM authors
UPDATE books SET pages = id FROM authors
UPDATE books SET pages = 1 LIMIT 1
UPDATE books SET pages = 1 ORDER BY id
UPDATE books SET
UPDATE books
DELETE FROM books WHERE 'x'
DELETE FROM books WHERE title = 1
DELETE FROM books WHERE row_number() OVER () = 1
DELETE FROM books WHERE id = (SELECT id FROM books)
DELETE FROM books WHERE id IN (SELECT id, title FROM books)
DELETE FROM books WHERE id = 1 RETURNING count(*)
DELETE FROM books USING authors WHERE id = 1
DELETE FROM books USING authors WHERE authors.nothing = 1
DELETE FROM books LIMIT 1
DELETE FROM books ORDER BY id
DELETE FROM books WHERE 1/0 = 1
SELECT ceil(title) FROM books
SELECT floor(open) FROM books
SELECT trunc(rating, 2) FROM books
SELECT round(1.5, 'x')
SELECT round(1.5, 1.5)
SELECT round(1.5, true)
SELECT sign(title) FROM books
SELECT power(title, 2) FROM books
SELECT power(open, 2) FROM books
SELECT log(rating, 2) FROM books
SELECT log(2, rating) FROM books
SELECT div(rating, 2) FROM books
SELECT gcd(1.5::float8, 2)
SELECT lcm(rating, 2) FROM books
SELECT gcd(id, title) FROM books
SELECT factorial(1.5)
SELECT factorial(title) FROM books
SELECT degrees(title) FROM books
SELECT sin(open) FROM books
SELECT to_hex(1.5)
SELECT width_bucket(title, 1, 2, 3) FROM books
SELECT width_bucket(1, 2, 3, 'x')
SELECT chr('x')
SELECT chr(1.5)
SELECT chr(id) FROM books
SELECT ascii(id) FROM books
SELECT initcap(id) FROM books
SELECT reverse(id) FROM books
SELECT reverse(tags) FROM books
SELECT repeat(title, 'x') FROM books
SELECT repeat(title, 1.5) FROM books
SELECT repeat(title, id) FROM books
SELECT left(title, id) FROM books
SELECT left(title, 1.5) FROM books
SELECT right(title, rating) FROM books
SELECT lpad(id, 5) FROM books
SELECT lpad(title, 'x') FROM books
SELECT lpad(title, 5, 1) FROM books
SELECT rpad(title, 5, id) FROM books
SELECT btrim(title, 1) FROM books
SELECT ltrim(id) FROM books
SELECT trim(both 1 from title) FROM books
SELECT split_part(title, 'a', 'b') FROM books
SELECT split_part(title, 'a', id) FROM books
SELECT split_part(id, 'a', 1) FROM books
SELECT strpos(title, 1) FROM books
SELECT strpos(id, 'a') FROM books
SELECT position(1 in title) FROM books
SELECT substring(id, 1) FROM books
SELECT substring(title from true) FROM books
SELECT substr(title, id) FROM books
SELECT substr(id, 1) FROM books
SELECT overlay(title placing 1 from 1) FROM books
SELECT replace(title, 'a', 1) FROM books
SELECT translate(title, 'a', 1) FROM books
SELECT translate(id, 'a', 'b') FROM books
SELECT starts_with(id, 'a') FROM books
SELECT starts_with(title, 1) FROM books
SELECT concat_ws(1, 'a')
SELECT quote_ident(1)
SELECT md5(title, 1) FROM books
SELECT md5(tags) FROM books
SELECT encode(title, 'hex') FROM books
SELECT decode(1, 'hex')
SELECT octet_length(id) FROM books
SELECT char_length(id) FROM books
SELECT bit_length(open) FROM books
SELECT length(tags) FROM books
SELECT length(meta) FROM books
SELECT length(published) FROM books
SELECT upper(tags) FROM books
SELECT lower(meta) FROM books
SELECT regexp_replace(id, 'a', 'b') FROM books
SELECT regexp_like(1, 'a')
SELECT string_to_array(title, 1) FROM books
SELECT string_to_array(id, ',') FROM books
SELECT array_to_string(title, ',') FROM books
SELECT array_to_string(tags, 1) FROM books
SELECT array_length(tags, 'x') FROM books
SELECT array_length(tags, 1.5) FROM books
SELECT array_length(title, 1) FROM books
SELECT array_length(meta, 1) FROM books
SELECT array_upper(title, 1) FROM books
SELECT cardinality(title) FROM books
SELECT cardinality(meta) FROM books
SELECT array_append(tags, true) FROM books
SELECT array_prepend(1, tags) FROM books
SELECT array_cat(tags, ARRAY[1]) FROM books
SELECT array_cat(tags, title) FROM books
SELECT array_remove(tags, 1) FROM books
SELECT array_replace(tags, 'a', 1) FROM books
SELECT array_position(title, 'a') FROM books
SELECT array_positions(tags, 1) FROM books
SELECT unnest(title) FROM books
SELECT unnest(1)
SELECT generate_series(1, true)
SELECT generate_series(current_date, current_date, 1)
SELECT generate_subscripts(title, 1) FROM books
SELECT trim_array(tags, 'x') FROM books
SELECT array_fill(1, 2)
SELECT array_agg(id, title) FROM books
SELECT tags || ARRAY[1] FROM books
SELECT tags || true FROM books
SELECT tags @> 'a'::text FROM books
SELECT tags @> title FROM books
SELECT tags <@ meta FROM books
SELECT tags && title FROM books
SELECT tags = ARRAY[1] FROM books
SELECT tags = title FROM books
SELECT tags = 1 FROM books
SELECT tags > 1 FROM books
SELECT tags[1] + 1 FROM books
SELECT tags[true] FROM books
SELECT tags[1:'x'] FROM books
SELECT published[1] FROM books
SELECT open[1] FROM books
SELECT meta = title FROM books
SELECT meta = 1 FROM books
SELECT meta = true FROM books
SELECT meta AND true FROM books
SELECT meta LIKE 'a' FROM books
SELECT meta ~ 'a' FROM books
SELECT meta->'n' + 1 FROM books
SELECT meta->>'n' + 1 FROM books
SELECT meta->>'n' = 1 FROM books
SELECT (meta->>'n') * 2 FROM books
SELECT sum(meta->'n') FROM books
SELECT sum(meta->>'n') FROM books
SELECT avg(meta->'n') FROM books
SELECT avg(open) FROM books
SELECT avg(tags) FROM books
SELECT sum(tags) FROM books
SELECT stddev(title) FROM books
SELECT variance(open) FROM books
SELECT corr(title, id) FROM books
SELECT bool_and(title) FROM books
SELECT bool_or(meta) FROM books
SELECT bit_and(open) FROM books
SELECT bit_or(price) FROM books
SELECT bit_xor(meta) FROM books
SELECT min(open) FROM books
SELECT min(meta) FROM books
SELECT max(v) FROM books
SELECT min(v) FROM books
SELECT string_agg(title, id) FROM books
SELECT string_agg(open, ',') FROM books
SELECT string_agg(tags, ',') FROM books
SELECT string_agg(title, ',', 1) FROM books
SELECT jsonb_object_agg(id) FROM books
SELECT count(id, title) FROM books
SELECT avg(*) FROM books
SELECT avg() FROM books
SELECT avg(id, 1) FROM books
SELECT array_agg(*) FROM books
SELECT string_agg(*) FROM books
SELECT percentile_cont('x') WITHIN GROUP (ORDER BY id) FROM books
SELECT percentile_cont(-1) WITHIN GROUP (ORDER BY id) FROM books
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY open) FROM books
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY published) FROM books
SELECT percentile_cont(true) WITHIN GROUP (ORDER BY id) FROM books
SELECT percentile_disc(title) WITHIN GROUP (ORDER BY id) FROM books
SELECT lag(title, 1, 1) OVER () FROM books
SELECT lag(id, 1, title) OVER () FROM books
SELECT lag(id, true) OVER () FROM books
SELECT lag(id, 1.5) OVER () FROM books
SELECT lead(title, title) OVER () FROM books
SELECT lag() OVER () FROM books
SELECT lag(id, 1, 1, 1) OVER () FROM books
SELECT first_value() OVER () FROM books
SELECT nth_value(id) OVER () FROM books
SELECT nth_value(id, 'x') OVER () FROM books
SELECT nth_value(id, true) OVER () FROM books
SELECT ntile() OVER () FROM books
SELECT ntile(1.5) OVER () FROM books
SELECT ntile(title) OVER () FROM books
SELECT lower(title) OVER () FROM books
SELECT coalesce(title) OVER () FROM books
SELECT sum(id) OVER (ORDER BY nothing) FROM books
SELECT sum(id) OVER (PARTITION BY nothing) FROM books
SELECT sum(title) OVER () FROM books
SELECT sum(id) OVER (ROWS 'x' PRECEDING) FROM books
SELECT sum(id) OVER (ROWS BETWEEN CURRENT ROW AND 1 PRECEDING) FROM books
SELECT sum(id) OVER (ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW) FROM books
SELECT sum(id) OVER (RANGE 1 PRECEDING) FROM books
SELECT sum(id) OVER (ORDER BY id, title RANGE 1 PRECEDING) FROM books
SELECT sum(sum(id)) FROM books
SELECT max(count(*)) FROM books
SELECT sum(row_number() OVER ()) FROM books
SELECT sum(id) FILTER (WHERE count(*) > 1) FROM books
SELECT lower(title) FILTER (WHERE true) FROM books
SELECT row_number() FILTER (WHERE true) OVER () FROM books
SELECT count(*) FILTER (WHERE 1) FROM books
SELECT count(*) FILTER (WHERE title) FROM books
SELECT id FROM books JOIN authors ON count(*) > 1
SELECT id FROM books GROUP BY row_number() OVER ()
SELECT title FROM books GROUP BY title HAVING row_number() OVER () = 1
SELECT count(*) FROM books WHERE sum(id) > 1
SELECT id FROM books WHERE generate_series(1, 2) = 1
SELECT sum(generate_series(1, 2))
SELECT CASE WHEN true THEN generate_series(1, 2) END
SELECT coalesce(generate_series(1, 2), 1)
SELECT id FROM books LIMIT generate_series(1, 2)
SELECT count(generate_series(1, 2)) FROM books
SELECT id FROM books WHERE title + 1 > 2
SELECT id FROM books WHERE lower(id) = 'x'
SELECT id FROM books WHERE id || title
SELECT id FROM books WHERE meta -> 'n' = 1
SELECT id FROM books WHERE tags @> 'x'::text
SELECT id FROM books WHERE tags = 'x'
SELECT id FROM books WHERE id = ANY ('x')
SELECT id FROM books WHERE id IN (SELECT v FROM books)
SELECT id FROM books WHERE EXISTS (SELECT title + 1 FROM authors a, books b)
SELECT id FROM books WHERE published > 5
SELECT id FROM books WHERE published BETWEEN 1 AND 2
SELECT id FROM books WHERE price = true
SELECT id FROM books WHERE v
SELECT id FROM books WHERE v = true
SELECT id FROM books WHERE v > 1
SELECT id FROM books WHERE tags
SELECT id FROM books WHERE meta
SELECT id FROM books WHERE published
SELECT id FROM books HAVING true
SELECT max(id) FROM books HAVING 'x'
SELECT b.id FROM books b JOIN authors a ON b.id
SELECT b.id FROM books b JOIN authors a ON b.v = a.name
SELECT b.id FROM books b JOIN books b ON true
SELECT b.id FROM books b, authors b
SELECT books.id FROM books, books
SELECT b.id FROM books b CROSS JOIN authors b
SELECT id FROM books b JOIN authors a ON true
SELECT v FROM books b JOIN authors a ON true
SELECT x.id FROM (SELECT 1 AS id) x, (SELECT 2 AS id) x
SELECT id FROM (SELECT 1 AS id, 2 AS id) x
SELECT x.id FROM (SELECT 1 AS id, 2 AS id) x
SELECT * FROM (SELECT 1 AS id) x WHERE y.id = 1
SELECT a FROM (SELECT 1) x(b)
WITH x AS (SELECT 1), x AS (SELECT 2) SELECT * FROM x
WITH x(a) AS (SELECT 1) SELECT b FROM x
WITH x AS (SELECT nothing FROM books) SELECT * FROM x
WITH x AS (SELECT title + 1 FROM books) SELECT * FROM x
SELECT 1 UNION SELECT 'x'::text
SELECT 1 UNION SELECT true
SELECT 1 UNION SELECT current_date
SELECT ARRAY[1] UNION SELECT 1
SELECT ARRAY[1] UNION SELECT ARRAY['a']
SELECT '{}'::jsonb UNION SELECT 1
SELECT 1, 2 UNION SELECT 1
SELECT 1 INTERSECT SELECT 'x'::text
SELECT 1 EXCEPT SELECT true
SELECT id FROM books UNION SELECT title FROM books ORDER BY 1
SELECT id FROM books UNION SELECT id FROM books LIMIT 'x'
SELECT id AS a FROM books UNION SELECT id AS b FROM books ORDER BY b
SELECT open::date FROM books
SELECT open::timestamp FROM books
SELECT open::jsonb FROM books
SELECT open::int[] FROM books
SELECT open::smallint FROM books
SELECT open::real FROM books
SELECT open::interval FROM books
SELECT id::boolean FROM books
SELECT id::date FROM books
SELECT id::timestamp FROM books
SELECT id::interval FROM books
SELECT id::uuid FROM books
SELECT id::jsonb FROM books
SELECT id::json FROM books
SELECT id::int[] FROM books
SELECT id::bytea FROM books
SELECT id::time FROM books
SELECT rating::boolean FROM books
SELECT rating::date FROM books
SELECT rating::jsonb FROM books
SELECT price::boolean FROM books
SELECT price::timestamp FROM books
SELECT published::int FROM books
SELECT published::bigint FROM books
SELECT published::boolean FROM books
SELECT published::interval FROM books
SELECT published::jsonb FROM books
SELECT published::uuid FROM books
SELECT published::float8 FROM books
SELECT born::int FROM authors
SELECT born::time FROM authors
SELECT born::numeric FROM authors
SELECT born::interval FROM authors
SELECT tags::int FROM books
SELECT tags::jsonb FROM books
SELECT tags::boolean FROM books
SELECT tags::date FROM books
SELECT meta::date FROM books
SELECT meta::timestamp FROM books
SELECT meta::uuid FROM books
SELECT meta::int[] FROM books
SELECT meta::text[] FROM books
SELECT meta::interval FROM books
SELECT v::int FROM books
SELECT v::boolean FROM books
SELECT v::date FROM books
SELECT title::vector FROM books
SELECT interval '1 day'::int
SELECT interval '1 day'::date
SELECT interval '1 day'::timestamp
SELECT current_date::boolean
SELECT current_time::int
SELECT current_time::date
SELECT now()::int
SELECT now()::interval
SELECT gen_random_uuid()::int
SELECT gen_random_uuid()::bytea
SELECT gen_random_uuid()::jsonb
SELECT decode('61', 'hex')::int
SELECT decode('61', 'hex')::jsonb
SELECT to_json(1)::int
SELECT to_json(1)::boolean
SELECT CAST(title AS int[]) FROM books
SELECT CAST(true AS uuid)
SELECT CAST(1.5 AS interval)
SELECT CAST(ARRAY[1,2] AS date[])
SELECT CAST(ARRAY[true] AS bigint[])
SELECT ARRAY[1]::jsonb
SELECT 'x'::vector
SELECT '1,2'::int[]
SELECT '{1,2}}'::int[]
SELECT '{a,b'::text[]
SELECT '{1,,2}'::int[]
SELECT '{"a}'::text[]
SELECT 'yess'::boolean
SELECT '2'::boolean
SELECT '1.0'::int
SELECT '1 2'::int
SELECT '0x'::int
SELECT '99999999999'::int
SELECT '40000'::smallint
SELECT 1 + '1.5'
SELECT 1 + ''
SELECT id + 'a' FROM books
SELECT open = '' FROM books
SELECT repeat('a', '1.5')
SELECT left('abc', '')
SELECT lower(VARIADIC ARRAY['a'])
SELECT abs()
SELECT abs(1, 2)
SELECT round()
SELECT lower('a', 'b')
SELECT upper()
SELECT length('a', 'b', 'c')
SELECT substring('a')
SELECT now(1)
SELECT random(1)
SELECT pi(1)
SELECT left('a')
SELECT lpad('a')
SELECT split_part('a', 'b', 1, 2)
SELECT date_trunc('day')
SELECT date_part('day')
SELECT make_date(1, 2)
SELECT to_char(1, 2)
SELECT to_date(1, 'YYYY')
SELECT age(1, 2)
SELECT date_trunc('day', true)
SELECT date_bin('1 day', 1, now())
SELECT now() + true
SELECT now() * 2
SELECT now() / 2
SELECT -now()
SELECT current_date + current_date
SELECT current_date + true
SELECT current_date - true
SELECT current_date * 2
SELECT interval '1 day' * true
SELECT 1 / interval '1 day'
SELECT interval '1 day' > 1
SELECT now() > 1
SELECT now() = true
SELECT current_date = 1
SELECT now() BETWEEN 1 AND 2
SELECT true + true
SELECT true > 1
SELECT NOT 1
SELECT NOT now()
SELECT 1 AND true
SELECT true OR 1
SELECT 1 IS TRUE
SELECT 'a'::text IS TRUE
SELECT ~ true
SELECT ~ 'a'::text
SELECT - 'a'::text
SELECT - true
SELECT 1 ^ true
SELECT 'a'::text ^ 2
SELECT |/ true
SELECT 2 ! 
SELECT 1 << true
SELECT 1 << 1.5
SELECT true & true
SELECT 'a'::text ~ true
SELECT 'a'::text LIKE true
SELECT 1 ILIKE '1'
SELECT now() LIKE '2%'
SELECT 1 SIMILAR TO '1'
SELECT 1 ~ '1'
SELECT true ~ 't'
SELECT ARRAY[1] || 'a'::text
SELECT ARRAY[1] || ARRAY['a'::text]
SELECT ARRAY[1] + 1
SELECT ARRAY[1] > 1
SELECT ARRAY[1] && 1
SELECT ARRAY[1] @> 1
SELECT ARRAY[1] = ARRAY['a'::text]
SELECT ARRAY[1, 'a'::text]
SELECT ARRAY[1, now()]
SELECT ARRAY[true, 1]
SELECT CASE WHEN true THEN 1 ELSE true END
SELECT CASE WHEN true THEN 1 ELSE now() END
SELECT CASE WHEN true THEN ARRAY[1] ELSE 1 END
SELECT CASE 1 WHEN true THEN 1 END
SELECT CASE 1 WHEN now() THEN 1 END
SELECT coalesce(1, true)
SELECT coalesce(1, now())
SELECT coalesce(now(), true)
SELECT coalesce(ARRAY[1], 1)
SELECT greatest(1, true)
SELECT least(now(), 1)
SELECT nullif(1, true)
SELECT nullif(now(), 1)
SELECT nullif(ARRAY[1], 1)
SELECT '{}'::jsonb + 1
SELECT '{}'::jsonb - true
SELECT '{}'::jsonb - 1.5
SELECT '{}'::jsonb || 1
SELECT '{}'::jsonb ? 1
SELECT '{}'::jsonb @> 1
SELECT '{}'::jsonb -> true
SELECT '{}'::jsonb -> 1.5
SELECT '{}'::jsonb ->> now()
SELECT '{}'::jsonb > 1
SELECT '{}'::jsonb = true
SELECT '{}'::json || '{}'::json
SELECT '{}'::json @> '{}'::json
SELECT '{}'::json ? 'a'
SELECT '{}'::json - 'a'
SELECT jsonb_set('{}'::jsonb, 'a'::text, '1')
SELECT jsonb_set(1, '{a}', '1')
SELECT jsonb_array_length(1)
SELECT jsonb_array_length('a'::text)
SELECT jsonb_typeof('a'::text)
SELECT jsonb_object_keys(1)
SELECT jsonb_array_elements(1)
SELECT jsonb_array_elements(ARRAY[1])
SELECT jsonb_pretty(1)
SELECT jsonb_strip_nulls('a'::text)
SELECT row_to_json(1)
SELECT array_to_json(1)
SELECT json_array_length('{}'::jsonb)
SELECT v * 2 FROM books
SELECT v + title FROM books
SELECT v <-> title FROM books
SELECT v || 1 FROM books
SELECT vector_dims(title) FROM books
SELECT vector_norm(1)
SELECT sum(v) FROM books HAVING sum(v) > 1
SELECT -v FROM books
SELECT length(v) FROM books
SELECT lower(v) FROM books
SELECT abs(v) FROM books
SELECT v IN (1, 2) FROM books
INSERT INTO books (id, pages, v) SELECT 30, 'x', '[1,2,3]'
INSERT INTO books (id, open, v) SELECT 30, 'o', '[1,2,3]'
INSERT INTO books (id, stock, v) SELECT 30, '70000', '[1,2,3]'
INSERT INTO books (id, tags, v) SELECT 30, '{a', '[1,2,3]'
INSERT INTO books (id, meta, v) SELECT 30, '{', '[1,2,3]'
INSERT INTO books (id, v) SELECT 30, '[1'
INSERT INTO books (id, pages, v) SELECT DISTINCT 30, '7', '[1,2,3]'::vector
INSERT INTO books (id, pages, v) SELECT 30, '7', '[1,2,3]'::vector UNION ALL SELECT 31, '8', '[1,2,3]'
INSERT INTO books (id, v) SELECT 30, '[1,2,3]' UNION ALL SELECT 31, '[1,2,3]'
INSERT INTO books (id, pages, v) SELECT 30, coalesce('7', NULL), '[1,2,3]'
INSERT INTO books (id, pages, v) VALUES (30, 'x', '[1,2,3]'), (31, 1 + 2, '[1,2,3]')
