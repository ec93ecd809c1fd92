SELECT id, a, t FROM rows WHERE {where}
SELECT id FROM rows WHERE {where} ORDER BY v <-> '[1, 2]' LIMIT 5
SELECT id, v <-> :q AS d FROM rows WHERE {where} AND v <-> :q < 3 ORDER BY d LIMIT 5 OFFSET 2
SELECT *, 1 - (v <=> '[1,2]') AS s FROM rows ORDER BY v <=> '[1,2]' LIMIT 3
SELECT a, count(*), sum(b), avg(p), min(t) FROM rows WHERE {where} GROUP BY a HAVING count(*) > 1 ORDER BY 2 DESC
SELECT DISTINCT a, f FROM rows WHERE {where} ORDER BY a NULLS FIRST
SELECT DISTINCT ON (a) a, id FROM rows ORDER BY a, id DESC
SELECT id, CASE WHEN {where} THEN a ELSE 0 END, coalesce(t, u) || 'x' FROM rows ORDER BY id DESC
SELECT id, row_number() OVER (PARTITION BY f ORDER BY id) FROM rows WHERE {where}
WITH w AS (SELECT id, a FROM rows WHERE {where}) SELECT w.id, r.t FROM w JOIN rows r ON r.id = w.id
SELECT id FROM rows WHERE {where} UNION SELECT a FROM rows EXCEPT SELECT 1
SELECT id FROM rows x WHERE EXISTS (SELECT 1 FROM rows y WHERE y.a = x.a AND {where})
SELECT id FROM rows WHERE a IN (SELECT max(s) FROM rows WHERE {where} GROUP BY f)
SELECT id, meta->>'s', meta->'deep'->>'x', (meta->>'n')::int FROM rows WHERE {where}
SELECT id, upper(t), substring(u from 2 for 3), split_part(u, 'a', 1), length(t) FROM rows WHERE {where}
SELECT unnest(tags), id FROM rows WHERE {where}
SELECT q.id FROM (VALUES (1, 'a'), (2, NULL)) AS q(id, x) WHERE x IS NOT NULL
SELECT l2_distance(v, '[1,2]'), vector_dims(v), inner_product(v, v) FROM rows WHERE {where}
SELECT x.id, y.id FROM rows x LEFT JOIN rows y ON x.a = y.s AND x.f
SELECT id FROM rows WHERE u @@ 'a b' AND {where}
SELECT avg(v), sum(a) FILTER (WHERE f) FROM rows WHERE {where}
SELECT id, 0.7 * (1 - (v <=> '[1,2]')) + 0.3 * a AS score FROM rows ORDER BY score DESC NULLS LAST LIMIT 5
INSERT INTO rows (id, a, u, g, v) VALUES (1, 2, 'x', TRUE, '[1,2]'), (2, NULL, :t, FALSE, :q) RETURNING id
INSERT INTO rows SELECT * FROM rows WHERE {where}
INSERT INTO rows (id, u, g, v) VALUES (1, 'x', TRUE, '[1,2]') ON CONFLICT (id) DO UPDATE SET u = EXCLUDED.u
UPDATE rows SET a = a + 1, t = NULL WHERE {where} RETURNING id, a
DELETE FROM rows WHERE {where}
CREATE TABLE x (id BIGINT PRIMARY KEY, t VARCHAR(20) DEFAULT 'a', v VECTOR(3) NOT NULL, j JSONB, n NUMERIC(5, 2))
CREATE INDEX i ON rows USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 64)
ALTER TABLE rows ADD COLUMN z INT
DROP TABLE IF EXISTS x CASCADE
COPY rows (id, u) FROM 'rows.csv' WITH (FORMAT csv, HEADER TRUE)
EXPLAIN (ANALYZE, VERBOSE) SELECT id FROM rows WHERE {where} ORDER BY v <-> '[1,2]' LIMIT 5
SET nestvec.recall = 0.95
SHOW nestvec.recall
ANALYZE rows
CREATE VIEW w AS SELECT id FROM rows WHERE {where}
CREATE TABLE y AS SELECT id, v FROM rows WHERE {where}
TRUNCATE rows
DESCRIBE rows
SELECT id::regclass / (60 + rank() OVER (ORDER BY v <-> '[1,2]'))::float8 AS y FROM rows ORDER BY v <-> '[1,2]', id LIMIT 5
CREATE TABLE y AS SELECT subvector(v, 1, 1), v FROM rows
CREATE TABLE y AS SELECT subvector(v, 1, 99999), v FROM rows
