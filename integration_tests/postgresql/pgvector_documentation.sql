-- Getting started
CREATE EXTENSION IF NOT EXISTS vector
CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3))
INSERT INTO items (embedding) VALUES ('[2,4,6]'), ('[1,3,5]')
SELECT embedding FROM items ORDER BY embedding <-> '[2,3,4]' LIMIT 5
DROP TABLE items

-- Writing
CREATE TABLE items (id bigint PRIMARY KEY, embedding vector(3))
INSERT INTO items (id, embedding) VALUES (1, '[2,4,6]'), (2, '[1,3,5]')
INSERT INTO items (id, embedding) VALUES (1, '[9,9,9]'), (3, '[0,1,0]') ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding
UPDATE items SET embedding = '[7,8,9]' WHERE id = 2
DELETE FROM items WHERE id = 3
SELECT id, embedding FROM items
SELECT * FROM items

-- Querying
CREATE TABLE items (id bigint PRIMARY KEY, category_id int, embedding vector(3))
INSERT INTO items (id, category_id, embedding) VALUES (1, 10, '[2,4,6]'), (2, 10, '[1,3,5]'), (3, 20, '[-1,0,2]'), (4, NULL, '[5,5,5]'), (5, 20, '[0.5,0.25,8]'), (6, 10, '[3,1,1]')
SELECT * FROM items ORDER BY embedding <-> '[2,3,4]' LIMIT 5
SELECT id FROM items ORDER BY embedding <=> '[2,3,4]' LIMIT 3
SELECT id FROM items ORDER BY embedding <#> '[2,3,4]' LIMIT 3
SELECT id FROM items ORDER BY embedding <+> '[2,3,4]' LIMIT 3
SELECT * FROM items WHERE id != 1 ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1) LIMIT 5
SELECT * FROM items WHERE embedding <-> '[2,3,4]' < 5
SELECT id FROM items WHERE embedding <=> '[2,3,4]' < 0.1 ORDER BY id
SELECT id, embedding <-> '[2,3,4]' AS distance FROM items
SELECT id, (embedding <#> '[2,3,4]') * -1 AS inner_product FROM items
SELECT id, 1 - (embedding <=> '[2,3,4]') AS cosine_similarity FROM items
SELECT AVG(embedding) FROM items
SELECT SUM(embedding) FROM items
SELECT category_id, AVG(embedding) FROM items GROUP BY category_id
SELECT category_id, count(*) FROM items GROUP BY category_id ORDER BY category_id
SELECT * FROM items WHERE category_id = 10 ORDER BY embedding <-> '[2,3,4]' LIMIT 5
SELECT id FROM items ORDER BY 1 - (embedding <=> '[2,3,4]') DESC LIMIT 3
SELECT id FROM items ORDER BY embedding <-> '[2,3,4]' DESC LIMIT 2
SELECT vector_dims(embedding), round(vector_norm(embedding)::numeric, 3) FROM items ORDER BY id
SELECT l2_distance(embedding, '[1,1,1]'), inner_product(embedding, '[1,1,1]'), cosine_distance(embedding, '[1,1,1]'), l1_distance(embedding, '[1,1,1]') FROM items ORDER BY id
SELECT embedding + '[1,1,1]', embedding - '[1,1,1]', embedding * '[2,2,2]' FROM items ORDER BY id
SELECT '[1,2,3]'::vector <-> '[1,2,5]'
SELECT ARRAY[1,2,3]::vector <=> '[3,2,1]'::vector
SELECT id FROM items WHERE embedding = '[2,4,6]'
SELECT id FROM items WHERE embedding < '[1,4,0]' ORDER BY id
SELECT id FROM items WHERE embedding IS NOT NULL ORDER BY embedding <-> '[0,0,0]' LIMIT 1
SELECT id, embedding::text FROM items ORDER BY id
SELECT id, embedding::real[] FROM items ORDER BY id

-- Vectors that are NULL
CREATE TABLE items (id bigint PRIMARY KEY, k int, embedding vector(3), other vector(3))
INSERT INTO items (id, k, embedding) VALUES (1, 1, '[2,4,6]'), (2, 1, NULL), (3, 2, '[-1,0,2]')
INSERT INTO items (id, k, other) VALUES (4, 2, '[1,2,3]')
SELECT * FROM items
SELECT id, embedding <-> '[2,3,4]' AS distance FROM items ORDER BY embedding <-> '[2,3,4]', id LIMIT 3
SELECT id FROM items ORDER BY embedding <=> '[2,3,4]', id
SELECT id FROM items ORDER BY embedding <=> '[2,3,4]' DESC, id LIMIT 3
SELECT id FROM items ORDER BY embedding <-> '[2,3,4]' NULLS FIRST, id LIMIT 3
SELECT id FROM items WHERE embedding <-> '[2,3,4]' < 5
SELECT id FROM items WHERE NOT embedding <-> '[2,3,4]' < 5
SELECT id FROM items WHERE embedding IS NULL AND k = 1
SELECT id FROM items WHERE embedding IS NOT NULL OR other IS NULL ORDER BY id
SELECT k, count(embedding), count(*), avg(embedding), count(DISTINCT other) FROM items GROUP BY k ORDER BY k
SELECT id, coalesce(embedding, other, '[0,0,0]') FROM items ORDER BY id
SELECT a.id, b.id FROM items AS a JOIN items AS b ON a.embedding = b.embedding ORDER BY a.id
SELECT id, (SELECT b.embedding FROM items AS b WHERE b.id = items.id - 1) FROM items ORDER BY id
SELECT embedding, count(*) FROM items GROUP BY embedding ORDER BY embedding
SELECT DISTINCT embedding FROM items ORDER BY embedding NULLS FIRST
UPDATE items SET embedding = NULL, other = embedding WHERE id = 1
UPDATE items SET embedding = '[1,1,1]' WHERE embedding IS NULL AND k = 2 RETURNING id, embedding
SELECT id, embedding, other FROM items ORDER BY id
INSERT INTO items (id, embedding) VALUES (1, '[5,5,5]'), (3, NULL) ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding
SELECT id, embedding FROM items ORDER BY id
INSERT INTO items (id, embedding) SELECT id + 10, embedding FROM items
DELETE FROM items WHERE embedding IS NULL RETURNING id, embedding

-- Newer functions and types
CREATE TABLE items (id bigint PRIMARY KEY, embedding vector(5))
INSERT INTO items (id, embedding) VALUES (1, '[2,4,6,1,0]'), (2, '[1,-3,5,2,2]'), (3, '[-1,0,2,0,1]')
SELECT id, l2_normalize(embedding) FROM items ORDER BY id
SELECT id, subvector(embedding, 1, 3) FROM items ORDER BY id
SELECT id, binary_quantize(embedding) FROM items ORDER BY id
SELECT id FROM items ORDER BY subvector(embedding, 1, 3)::vector(3) <=> subvector('[1,2,3,4,5]'::vector, 1, 3) LIMIT 2
SELECT id FROM (SELECT * FROM items ORDER BY subvector(embedding, 1, 3)::vector(3) <=> subvector('[1,2,3,4,5]'::vector, 1, 3) LIMIT 3) AS shortlist ORDER BY embedding <=> '[1,2,3,4,5]' LIMIT 2
SELECT id FROM items ORDER BY binary_quantize(embedding)::bit(5) <~> binary_quantize('[1,-2,3,1,1]'::vector) LIMIT 1
SELECT id FROM (SELECT * FROM items ORDER BY binary_quantize(embedding)::bit(5) <~> binary_quantize('[1,-2,3,1,1]'::vector) LIMIT 3) AS shortlist ORDER BY embedding <=> '[1,-2,3,1,1]' LIMIT 2
SELECT id FROM items ORDER BY embedding::halfvec(5) <-> '[1,2,3,4,5]' LIMIT 2
SELECT l2_norm(embedding::halfvec) FROM items ORDER BY id
CREATE TABLE halves (id bigint PRIMARY KEY, embedding halfvec(3))
INSERT INTO halves VALUES (1, '[1,2,3]'), (2, '[4,5,6]')
SELECT id, embedding FROM halves ORDER BY embedding <-> '[3,1,2]' LIMIT 5
CREATE TABLE bits (id bigint PRIMARY KEY, embedding bit(8))
INSERT INTO bits VALUES (1, '00000000'), (2, '11111111'), (3, '10100000')
SELECT id FROM bits ORDER BY embedding <~> '10110000' LIMIT 5
SELECT id, embedding <~> '10110000' FROM bits ORDER BY id
CREATE TABLE sparse (id bigint PRIMARY KEY, embedding sparsevec(5))
INSERT INTO sparse VALUES (1, '{1:1,3:2,5:3}/5'), (2, '{1:4,3:5,5:6}/5')
SELECT id FROM sparse ORDER BY embedding <#> '{1:3,3:1,5:2}/5' LIMIT 5
SELECT id, embedding FROM sparse ORDER BY id

-- Indexes and settings
CREATE TABLE items (id bigint PRIMARY KEY, category_id int, embedding vector(3))
INSERT INTO items VALUES (1, 10, '[2,4,6]'), (2, 10, '[1,3,5]'), (3, 20, '[-1,0,2]'), (4, 30, '[5,5,5]')
CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)
SET hnsw.ef_search = 100
SELECT id FROM items ORDER BY embedding <-> '[2,3,4]' LIMIT 3
SELECT id FROM items ORDER BY embedding <=> '[2,3,4]' LIMIT 3
SET hnsw.iterative_scan = strict_order
SELECT id FROM items WHERE category_id = 10 ORDER BY embedding <-> '[2,3,4]' LIMIT 3
SET hnsw.iterative_scan = relaxed_order
SET hnsw.max_scan_tuples = 20000
SET hnsw.scan_mem_multiplier = 2
SET ivfflat.probes = 10
SET ivfflat.max_probes = 100
SET maintenance_work_mem = '64MB'
SET max_parallel_maintenance_workers = 2
BEGIN
SET LOCAL hnsw.ef_search = 200
SELECT id FROM items ORDER BY embedding <-> '[2,3,4]' LIMIT 1
COMMIT
CREATE INDEX ON items (category_id)
WITH nearest AS MATERIALIZED (SELECT id, embedding <-> '[1,2,3]' AS distance FROM items WHERE category_id = 10 ORDER BY distance LIMIT 5) SELECT * FROM nearest ORDER BY distance + 0
WITH nearest AS MATERIALIZED (SELECT id, embedding <-> '[1,2,3]' AS distance FROM items ORDER BY distance LIMIT 5) SELECT * FROM nearest WHERE distance < 5 ORDER BY distance
VACUUM items
VACUUM (ANALYZE) items
REINDEX INDEX CONCURRENTLY items_category_id_idx
REINDEX TABLE items
SELECT extname FROM pg_extension WHERE extname = 'vector'

-- Every kind of index
CREATE TABLE items (id bigint PRIMARY KEY, a vector(3), b vector(3), c vector(3), d vector(3), e vector(3))
INSERT INTO items VALUES (1, '[2,4,6]', '[2,4,6]', '[2,4,6]', '[2,4,6]', '[2,4,6]'), (2, '[1,3,5]', '[1,3,5]', '[1,3,5]', '[1,3,5]', '[1,3,5]')
CREATE INDEX ON items USING hnsw (a vector_l2_ops)
CREATE INDEX ON items USING hnsw (b vector_ip_ops)
CREATE INDEX ON items USING hnsw (c vector_cosine_ops)
CREATE INDEX ON items USING ivfflat (d vector_l2_ops) WITH (lists = 10)
CREATE INDEX named ON items USING hnsw (e vector_cosine_ops)
SELECT id FROM items ORDER BY a <-> '[1,1,1]' LIMIT 1
SELECT id FROM items ORDER BY b <#> '[1,1,1]' LIMIT 1
SELECT id FROM items ORDER BY c <=> '[1,1,1]' LIMIT 1
SELECT id FROM items ORDER BY d <-> '[1,1,1]' LIMIT 1
DROP INDEX named

-- Hybrid search by reciprocal ranks
CREATE TABLE documents (id bigint PRIMARY KEY, content text, likes int, embedding vector(3))
INSERT INTO documents VALUES (1, 'a growling bear', 5, '[1,2,3]'), (2, 'a purring cat', 3, '[4,5,6]'), (3, 'a barking dog', 9, '[-1,2,0]')
WITH semantic AS (SELECT id, RANK() OVER (ORDER BY embedding <=> '[1,1,1]') AS rank FROM documents ORDER BY embedding <=> '[1,1,1]' LIMIT 20), popular AS (SELECT id, RANK() OVER (ORDER BY likes DESC) AS rank FROM documents ORDER BY likes DESC LIMIT 20) SELECT COALESCE(semantic.id, popular.id) AS id, COALESCE(1.0 / (60 + semantic.rank), 0.0) + COALESCE(1.0 / (60 + popular.rank), 0.0) AS score FROM semantic FULL OUTER JOIN popular ON semantic.id = popular.id ORDER BY score DESC, id LIMIT 5
SELECT id, content FROM documents WHERE content ILIKE '%CAT%' OR likes > 8 ORDER BY embedding <-> '[0,0,0]' LIMIT 5
SELECT d.id, e.id, d.embedding <-> e.embedding AS distance FROM documents AS d JOIN documents AS e ON d.id < e.id ORDER BY distance, 1, 2

-- Arrays as vectors
CREATE TABLE items (id bigint PRIMARY KEY, embedding double precision[])
INSERT INTO items (id, embedding) VALUES (1, '{1,2,3}'), (2, '{4,5,6}')
SELECT id FROM items ORDER BY embedding::vector(3) <-> '[3,1,2]' LIMIT 5

-- Columns that are added and dropped
CREATE TABLE items (id bigint PRIMARY KEY, name text)
INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b')
ALTER TABLE items ADD COLUMN embedding vector(3)
SELECT * FROM items
INSERT INTO items (id, embedding) VALUES (3, '[1,2,3]'), (4, '[4,5,6]')
SELECT * FROM items ORDER BY embedding <-> '[3,1,2]', id LIMIT 5
UPDATE items SET embedding = '[1,2,3]' WHERE id = 1
SELECT id FROM items ORDER BY embedding <-> '[3,1,2]', id LIMIT 5
SELECT id FROM items WHERE embedding IS NULL
ALTER TABLE items ADD COLUMN pages int NOT NULL DEFAULT 7, ADD COLUMN price numeric(10,2) DEFAULT 1.005, DROP COLUMN name
SELECT * FROM items
ALTER TABLE items ADD COLUMN pages int
ALTER TABLE items ADD COLUMN IF NOT EXISTS pages int
ALTER TABLE items ADD COLUMN stars int NOT NULL
ALTER TABLE items ADD COLUMN a int, ADD COLUMN stars int NOT NULL
ALTER TABLE items DROP COLUMN name
ALTER TABLE items DROP COLUMN IF EXISTS name
ALTER TABLE items ADD COLUMN a int, ADD COLUMN a int
ALTER TABLE items ADD COLUMN b int, DROP COLUMN b
ALTER TABLE items ADD COLUMN day date DEFAULT 'x'
ALTER TABLE items ADD COLUMN other vector(2) DEFAULT '[1,2,3]'
SELECT * FROM items
ALTER TABLE items ADD COLUMN pages text DEFAULT 'x', DROP COLUMN pages
SELECT * FROM items
ALTER TABLE items ADD COLUMN tags text[] DEFAULT '{a,b}', ADD COLUMN day date DEFAULT '2024-02-29', ADD COLUMN made boolean DEFAULT false, ADD COLUMN share float8 DEFAULT 2 ^ 0.5, ADD COLUMN other vector(2) NOT NULL DEFAULT '[1,2]'
SELECT * FROM items
INSERT INTO items (id) VALUES (5)
SELECT * FROM items WHERE id = 5
SELECT id FROM items ORDER BY other <-> '[0,0]', id DESC
ALTER TABLE items ADD COLUMN at timestamptz NOT NULL DEFAULT now(), ADD COLUMN key uuid NOT NULL DEFAULT gen_random_uuid()
SELECT count(DISTINCT at), count(DISTINCT key), count(*) FROM items
ALTER TABLE items DROP embedding, DROP other, DROP at, DROP key
SELECT * FROM items
DELETE FROM items
ALTER TABLE items ADD COLUMN stars int NOT NULL
INSERT INTO items (id) VALUES (1)
INSERT INTO items (id, stars) VALUES (1, 5)
SELECT * FROM items
