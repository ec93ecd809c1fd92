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
