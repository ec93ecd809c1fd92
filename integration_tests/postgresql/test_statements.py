"""Single statements, with the names of their columns, by nestvec and by PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer

import nestvec
from nestvec import dbapi
from nestvec.pgwire.errors import to_pg_error
from nestvec_schemas.errors import NestvecError

TABLE = "CREATE TABLE t (id BIGINT PRIMARY KEY, n INT, x DOUBLE PRECISION, s TEXT, v VECTOR(2))"
ROWS = (
    "INSERT INTO t VALUES (1, 10, 1.5, 'ab', '[1,2]'), (2, 20, 1e308, 'cd', '[2,1]'), "
    "(3, NULL, -2.5, NULL, '[0,1]')"
)

SAME = r"""
SELECT 1+1, 2+2
SELECT n+1, n+2 FROM t ORDER BY v <=> '[1,1]', id LIMIT 3
SELECT upper(s), upper(s) || 'x', upper(s) FROM t ORDER BY v <-> '[1,1]', id LIMIT 3
SELECT n+1, n+2 FROM t WHERE s ~ 'a' ORDER BY v <=> '[1,1]', id LIMIT 3
SELECT a.n, b.n FROM t a JOIN t b ON a.id = b.id ORDER BY 1
SELECT count(*), count(n), max(n), max(x) FROM t
SELECT * FROM (SELECT n+1, n+2 FROM t ORDER BY id) q
SELECT * FROM (SELECT 1 AS a, 2 AS a) q
SELECT * FROM (SELECT a.id, a.n, b.id, b.n FROM t a JOIN t b ON a.id + 1 = b.id) q ORDER BY 1
SELECT count(*) FROM (SELECT * FROM t a JOIN t b ON a.id + 1 = b.id) q
SELECT 1, 2 UNION SELECT 3, 4 ORDER BY 1
SELECT x * 2, x * 3 FROM t WHERE id = 1
UPDATE t SET (n, s) = (SELECT 7, 'q') WHERE id = 1 RETURNING id, n, s
UPDATE t SET (n, s) = ROW(8, 'r') WHERE id = 1 RETURNING id, n, s
UPDATE t SET (n, s) = (SELECT max(n), min(s) FROM t b WHERE b.id > t.id) WHERE id = 1 RETURNING id, n, s
UPDATE t SET (n, s) = (SELECT n, s FROM t b ORDER BY 1 DESC NULLS LAST LIMIT 1) WHERE id = 1 RETURNING n, s
UPDATE t SET (n, s) = (SELECT max(b.n), 'c' FROM t b WHERE b.id > 99) WHERE id = 1 RETURNING id, n, s
UPDATE t SET (n, s) = (SELECT count(*), t.s || '!' FROM t b WHERE b.id > t.id) WHERE id = 1 RETURNING n, s
UPDATE t SET (n, s) = (SELECT 7, string_agg(b.s, '' ORDER BY b.id) FROM t b) WHERE id = 1 RETURNING n, s
UPDATE t SET (n) = (SELECT 3) WHERE id = 1 RETURNING id, n
UPDATE t SET (n, s) = (SELECT 7, 'q' WHERE false) WHERE id = 1 RETURNING id, n, s
UPDATE t SET (n, s) = (10, 'ab') WHERE id = 1 RETURNING id, n, s
SELECT ('[1,2]'::vector + '[1,1]'::vector)::text, '[1,2]'::vector::text
SELECT ('[1,2]'::vector * '[3,4]'::vector)::text
SELECT 'inf'::float8 * 10 = 'inf'::float8, 'inf'::float8 + 1 > 0, x * 1 FROM t WHERE id = 1
SELECT 123456789012345678901234567890
SELECT 9223372036854775808 + 1
SELECT id FROM t WHERE id < 99999999999999999999 ORDER BY id
SELECT '{"a":1,"b":2}'::jsonb || '{"b":3}', '[1]'::jsonb || '[2]', '[1]'::jsonb || '{"a":1}'
SELECT '{"a":1,"b":2}'::jsonb - 'a', '["a","b"]'::jsonb - 'a', '[1,2,3]'::jsonb - 1, '[1,2,3]'::jsonb - -1
SELECT '{"a":1,"b":2}'::jsonb - ARRAY['a','b'], NULL::jsonb || '{}'
SELECT '{"a":{"b":1,"c":[1,2]}}'::jsonb #- '{a,b}', '{"a":{"c":[1,2]}}'::jsonb #- '{a,c,0}'
SELECT jsonb_set('{"a":{"b":1}}', '{a,b}', '5'), jsonb_set('{"a":1}', '{n}', '"x"')
SELECT jsonb_set('{"a":1}', '{n}', '1', false), jsonb_set('[1,2]', '{5}', '9')
SELECT jsonb_set('{"a":1}', '{x,y}', '1')
SELECT jsonb_set('[1,2]', ARRAY[' +1'], '9'), '[1,2]'::jsonb #- '{01}'
SELECT ('{"n": 1.10}'::jsonb || '{"m": 123456789012345678901234567890}') ->> 'm'
SELECT ('{"n": 1.10, "o": 1}'::jsonb - 'o')::text
SELECT n AS a, t.n AS a FROM t ORDER BY a
SELECT q.*, n FROM (SELECT n, s FROM t) q ORDER BY n
SELECT upper(s), upper(s) FROM t ORDER BY upper
SELECT a.n, b.n FROM t a JOIN t b ON a.id = b.id ORDER BY a.n
SELECT jsonb_set('[1,2]', '{-1}', '9'), jsonb_set('[1,2]', '{-5}', '9')
SELECT (SELECT 1), (SELECT max(n) AS m FROM t), (SELECT count(*) FROM t)
SELECT '1'::int::text, ('[1]'::vector)::text, id::int::text, upper(s)::varchar::text FROM t ORDER BY id
SELECT id FROM t ORDER BY id LIMIT 2.5
SELECT id FROM t ORDER BY id LIMIT 1.4 OFFSET 0.5
SELECT id FROM t ORDER BY v <-> '[1,1]', id LIMIT 2.5
SELECT id FROM t ORDER BY id LIMIT '2'
SELECT id FROM t ORDER BY id LIMIT 1e0
SELECT upper(s) FROM t ORDER BY id LIMIT 1.5
UPDATE t SET (n, s) = (VALUES (5, 'w')) WHERE id = 1 RETURNING n, s
SELECT id, s, count(*) FROM t GROUP BY id ORDER BY id
SELECT a.n, a.s, sum(b.n) AS total FROM t a JOIN t b ON b.id >= a.id GROUP BY a.id HAVING a.n > 1 ORDER BY 2
SELECT a.s, count(b.id) FROM t b LEFT JOIN t a ON a.id = b.id + 1 GROUP BY a.id ORDER BY a.id
SELECT s, v <#> '[1,1]' AS d FROM t GROUP BY 1, id ORDER BY t.n DESC
SELECT s, (SELECT max(b.id) FROM t b WHERE b.n > t.n) AS next FROM t GROUP BY id ORDER BY id
SELECT n, v <#> '[1,1]' AS d, count(*) FROM t GROUP BY CUBE (n, v) ORDER BY 1, 2, 3
SELECT n, v <#> '[1,1]' AS d FROM t GROUP BY GROUPING SETS ((n), (v)) ORDER BY 1, 2
SELECT min(v <#> '[1,1]') AS d, n IS NULL AS m FROM t GROUP BY ROLLUP (n IS NULL) ORDER BY 2 NULLS LAST
SELECT v <#> '[1,1]' AS d FROM t ORDER BY d FETCH FIRST 1 ROW WITH TIES
SELECT id FROM t ORDER BY v <#> '[1,1]', id FETCH FIRST ROW ONLY
SELECT n IS NULL AS m FROM t ORDER BY 1 FETCH FIRST ROW WITH TIES
SELECT n IS NULL AS m FROM t ORDER BY n IS NULL DESC OFFSET 1 ROW FETCH NEXT 1 ROWS WITH TIES
SELECT length(s) AS id, count(*) FROM t GROUP BY length(s) ORDER BY id FETCH FIRST 1 ROW WITH TIES
SELECT count(*) FROM (SELECT v FROM t ORDER BY v <#> '[1,1]' FETCH FIRST 1 ROW WITH TIES) q
SELECT id FROM t ORDER BY id OFFSET 1 ROW FETCH NEXT (1 + 1) ROWS ONLY
SELECT * FROM unnest(ARRAY[1,2,3], ARRAY['a','b']) AS u(n, s)
SELECT * FROM unnest('{1,2}'::int[], NULL::text[], ARRAY[1.5]) WITH ORDINALITY AS u(a, b, c, i)
SELECT * FROM unnest(ARRAY[1,2], ARRAY['a'])
SELECT t.id, u.a, u.b FROM t, unnest(ARRAY[t.n, 1], ARRAY[t.s]) AS u(a, b) ORDER BY 1, 2
SELECT t.id, e FROM t LEFT JOIN LATERAL unnest(string_to_array(t.s, 'b')) e ON true ORDER BY 1, 2
SELECT array_agg(e ORDER BY e) FROM t LEFT JOIN LATERAL unnest(ARRAY[s]) e ON e <> 'cd'
SELECT t.id, e, i FROM t CROSS JOIN LATERAL unnest(ARRAY[s, 'z']) WITH ORDINALITY AS u(e, i) ORDER BY 1, 3
SELECT t.id, g FROM t LEFT JOIN LATERAL generate_series(1, t.id) g ON g > 1 ORDER BY 1, 2
SELECT id FROM t WHERE NOT EXISTS (SELECT FROM t b WHERE b.id > t.id)
SELECT regexp_match('foobar', '(o+)(b)') || ARRAY['x'], array_append(regexp_match('ab', 'b'), 'c')
SELECT * FROM json_each('{"b": 1.50, "a": "x", "b": {"z":  1}}')
SELECT key, value FROM json_each_text('{"a": 1.50, "b": "x\u00e9\"", "c": null, "d": [1, {}]}') ORDER BY key
SELECT k FROM json_object_keys('{"b": 1, "a": {}, "b": ""}') AS k
SELECT json_object_keys('{ }'), 1
SELECT t.id, e.value FROM t LEFT JOIN LATERAL json_each_text(json_build_object('s', t.s)) e ON true ORDER BY 1
SELECT * FROM regexp_split_to_table('a b  c', '\s+') WITH ORDINALITY AS w(word, place)
SELECT t.id, w FROM t, regexp_split_to_table(t.s, 'b') AS w ORDER BY 1, 2
SELECT a, s FROM t AS x (a, b) WHERE b > 10 ORDER BY a
SELECT x.a, o.s FROM (t AS x (a, b) JOIN t o ON x.a = o.id) LEFT JOIN t p ON p.id = x.a + 1 ORDER BY 1
SELECT a, y.b, z.c FROM t AS y (a, b) JOIN t AS z (a, c) USING (a) ORDER BY 1
SELECT k, b, count(*) FROM t AS x (k, b) GROUP BY k ORDER BY 1
SELECT id, a.s, count(*) FROM t a JOIN t b USING (id) GROUP BY id ORDER BY 1
SELECT id, a.s, count(b.n) FROM t a LEFT JOIN t b USING (id) GROUP BY a.id ORDER BY 1
SELECT id, (SELECT sum(b.n + t.n) FROM t b WHERE b.id <= t.id) AS m FROM t GROUP BY id ORDER BY 1
SELECT id, (SELECT max(b.id) FILTER (WHERE b.n = t.n) FROM t b) AS m FROM t GROUP BY id ORDER BY 1
WITH t AS (SELECT 1 AS id, 'q' AS s) SELECT public.t.s || 'x' AS y FROM public.t ORDER BY public.t.id
SELECT n + 1 AS id FROM t ORDER BY id + 0 DESC
SELECT n AS a, count(*) FROM t GROUP BY a HAVING count(*) > 0 ORDER BY (a)
SELECT (INTERVAL '1-2')::text, ('-3-4'::interval)::text, (INTERVAL '0-5 -3 4:05')::text
SELECT n / 0 + NULL::int AS a, 2 / 1 + NULL::int AS b FROM t WHERE id = 1
SELECT (CASE WHEN id = 1 THEN E'\u00e9' ELSE 'b' END)::bytea || '\x00' AS b FROM t ORDER BY id
SELECT x.*, y.k FROM t AS x (a, b, c, d) JOIN t AS y (k) ON y.k = x.a + 1 WHERE x.b = 10 AND false
SELECT x.k, x.w <#> '[1,1]' AS d FROM t AS x (k, b, c, d, w) ORDER BY x.w <#> '[1,1]' DESC, k LIMIT 2
SELECT jsonb_object_agg(id, s) FILTER (WHERE s <> ''), jsonb_object_agg(id, n) FILTER (WHERE id > 9) FROM t
SELECT id, jsonb_object_agg(id, s) OVER (PARTITION BY n IS NULL) AS o FROM t ORDER BY id
SELECT jsonb_object_agg(n IS NULL, id ORDER BY id DESC), jsonb_object_agg(n IS NULL, s ORDER BY id) FROM t
SELECT 'a'::bytea, 'a'::char(2), ARRAY[1]::bigint[], '{a}'::text[], '{t}'::bool[]
SELECT count(*) + NULL, NULL::int - max(n) AS m, nullif(NULL::int, count(*)) AS k FROM t
SELECT coalesce(sum(n) * NULL::int, 7) FROM t
SELECT jsonb_object_agg(7, i ORDER BY i) -> '7' AS j FROM generate_series(1, 3) i
SELECT jsonb_object_agg('a', i) ->> 'a' AS j FROM generate_series(1, 3) i
SELECT jsonb_object_agg('a', i) FILTER (WHERE i < 3) -> 'a' AS j FROM generate_series(1, 3) i
SELECT i, jsonb_object_agg('a', i * 1.0) OVER (ORDER BY i) -> 'a' AS j FROM generate_series(1, 3) i ORDER BY i
SELECT id, sum(id) OVER (), count(*) FILTER (WHERE n > 10) OVER () AS c FROM t GROUP BY id ORDER BY id
SELECT n FROM t ORDER BY n OFFSET 1 ROW FETCH FIRST 0 ROWS WITH TIES
WITH x AS (SELECT '1.0'::jsonb AS j) SELECT j FROM x EXCEPT SELECT '2'::jsonb FROM x
""".strip().splitlines()

FAILING = """
SELECT x * 10 FROM t WHERE id = 2
SELECT x + 1.7e308 FROM t WHERE id = 2
SELECT -x * (n + 1) FROM t WHERE id = 2
SELECT x / 1e-10 FROM t WHERE id = 2
SELECT 1e308::float8 * 10
UPDATE t SET (n, s) = (SELECT 7) WHERE id = 1
SELECT '5'::jsonb - 'a'
SELECT jsonb_set('[1]', '{a}', '1')
SELECT jsonb_set('[1,2]', '{0_1}', '9')
SELECT '[1,2]'::jsonb #- ARRAY['1 ']
SELECT '[1,2]'::jsonb #- '{99999999999}'
SELECT n AS a, s AS a FROM t ORDER BY a
SELECT *, s AS n FROM t ORDER BY n
SELECT a.n, b.n FROM t a JOIN t b ON a.id = b.id ORDER BY n
SELECT n+1, n+2 FROM t ORDER BY "?column?"
SELECT upper(s), upper(s || 'x') FROM t ORDER BY upper
SELECT 1 AS a, 1 AS a UNION SELECT 3, 4 ORDER BY a
SELECT n AS a, s AS a FROM t ORDER BY v <-> '[1,1]', a LIMIT 2
SELECT id FROM t LIMIT -1
SELECT id FROM t LIMIT 'x'
SELECT s FROM t GROUP BY n
SELECT s, count(*) FROM t GROUP BY ROLLUP (id)
SELECT b.s FROM t a JOIN t b ON a.id = b.id GROUP BY a.id
SELECT b.s FROM t a JOIN t b USING (id) GROUP BY id
SELECT a.s FROM t a FULL JOIN t b USING (id) GROUP BY id
SELECT id FROM t UNION SELECT s FROM t
SELECT s FROM t INTERSECT SELECT n FROM t
SELECT n FROM t UNION ALL SELECT n > 1 FROM t
SELECT '1'::jsonb UNION ALL SELECT s FROM t
SELECT n + 1 AS m FROM t ORDER BY m + 1
SELECT n + 1 AS m FROM t GROUP BY n HAVING m > 1
SELECT DISTINCT ON (m + 1) n AS m FROM t
SELECT id FROM t ORDER BY to_json(id)
SELECT to_hex('a')
SELECT to_hex(s) FROM t
SELECT public.t.s FROM t AS a JOIN t AS b ON a.id = b.id AND public.a.n = 1
SELECT 1 / 0 + NULL::int
SELECT NULL::int - 5 % 0
SELECT s FROM (SELECT * FROM t) q GROUP BY id
SELECT v <#> '[1,1]' AS d FROM t GROUP BY ROLLUP (n)
SELECT id FROM t FETCH FIRST 1 ROW WITH TIES
SELECT id FROM t ORDER BY id FETCH FIRST -1 ROWS WITH TIES
SELECT id FROM t WHERE s ~ '('
SELECT a FROM t AS x (a, b, c, d, e, f)
SELECT x.id FROM t AS x (a)
SELECT regexp_substr('abc', 'b', 0)
SELECT regexp_instr('abc', 'b', 1, 1, 2)
SELECT regexp_count('abc', 'b', 1, 'g')
SELECT * FROM json_each('[1]')
SELECT json_object_keys('3')
CREATE VIEW w AS SELECT 1+1, 2+2
""".strip().splitlines()

STATES = """
SELECT nosuch(s) FROM t
SELECT lower(s, 2) FROM t
SELECT generate_series(1)
SELECT nosuch FROM t
SELECT q.id FROM t
SELECT * FROM nosuch
SELECT s, count(*) FROM t
SELECT id FROM t HAVING id > 1
SELECT abs('a'::text)
SELECT s + 1 FROM t
SELECT sum(s) FROM t
SELECT id FROM t WHERE s
SELECT max(id) FROM t WHERE max(id) > 1
SELECT a.id FROM t a, t b WHERE id = 1
SELECT (SELECT id FROM t)
SELECT 1 / 0
SELECT 'x'::int
SELECT ARRAY[1, 'a']
SELECT '{"a":}'::jsonb
SELECT 99999999999::int
SELECT '2026-13-01'::date
SELECT 'x' ~ '['
SELECT 1::nosuch
SELECT id FROM t ORDER BY 99
SELECT DISTINCT s FROM t ORDER BY id
SELECT id FROM t UNION SELECT s FROM t
SELECT n + 1 AS m FROM t ORDER BY m + 1
CREATE TABLE t (id BIGINT PRIMARY KEY, v VECTOR(2))
INSERT INTO t (id, v) VALUES (1, '[1,1]')
SELECT sqrt(-1)
SELECT sqrt(-1::numeric)
SELECT ln(0)
SELECT log(-1)
SELECT log(2, 0)
SELECT power(0, -1)
SELECT 0 ^ -1
SELECT (-8) ^ 0.5
SELECT 1 LIMIT -1
SELECT 1 OFFSET -1
SELECT id FROM t LIMIT -1
SELECT id FROM t OFFSET -1
SELECT x FROM generate_series(1, 3) AS g(x) LIMIT -2
SELECT width_bucket(1, 2, 2, 5)
SELECT width_bucket(1, 0, 2, 0)
SELECT ntile(0) OVER () FROM t
SELECT lag(1)
SELECT format('%I', NULL)
SELECT trim_array(ARRAY[1, 2, 3], 4)
SELECT substring('abc', 2, -1)
SELECT overlay('abc' PLACING 'x' FROM 0)
SELECT chr(0)
SELECT chr(1114112)
SELECT factorial(-1)
SELECT percentile_cont(1.5) WITHIN GROUP (ORDER BY id) FROM t
SELECT acos(2)
SELECT atanh(2)
SELECT make_date(2024, 13, 1)
SELECT make_time(25, 0, 0)
SELECT now() AT TIME ZONE 'nowhere'
SELECT to_timestamp('abc', 'YYYY')
SELECT 'abc'::date
SELECT 'abc'::interval
SELECT 'abc'::timestamptz
SELECT '1e400'::float8
SELECT '1e-400'::float8
SELECT '1e39'::real
SELECT x::float8 FROM (VALUES ('1e400')) AS v(x)
SELECT id FROM t WHERE 1
SELECT CASE WHEN 1 THEN 2 END
SELECT 1, 2 UNION SELECT 1
SELECT id FROM t WHERE row_number() OVER () = 1
SELECT ARRAY[1, 2] || 'a'
SELECT 'a' LIKE 'b' ESCAPE 'ab'
SELECT abs(-9223372036854775808)
SELECT (-9223372036854775808) / -1
""".strip().splitlines()


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path = str(tmp_path_factory.mktemp("statements") / "t.db")
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        oracle.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for statement in (TABLE, ROWS):
            connection.execute(statement)
            oracle.execute(statement)
        yield Twins(connection, oracle)
        oracle.execute("DROP TABLE t")


def answer(connection: Any, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names of the columns, and the rows with numbers of one type."""
    cursor = connection.execute(statement)
    rows = [tuple(int(v) if isinstance(v, Decimal) else v for v in row) for row in cursor.fetchall()]
    return [column[0] for column in cursor.description], rows


@pytest.mark.parametrize("statement", SAME)
def test_the_answer_is_postgresqls(twins: Twins, statement: str) -> None:
    assert answer(twins.nestvec, statement) == answer(twins.postgresql, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT u FROM unnest(ARRAY[1, 2], ARRAY['a', 'b']) AS u",
        "SELECT ''::varbit",
        "SELECT a.id FROM t a JOIN (t b JOIN t c ON b.id = c.id) ON a.id = b.id",
        "SELECT j.s FROM (t a JOIN (SELECT 1 AS k) b ON a.id = b.k) AS j",
        "WITH t AS (SELECT 1 AS id) SELECT (SELECT count(*) FROM t WHERE t.id = public.t.id) FROM public.t",
    ],
)
def test_what_postgresql_alone_answers_is_refused_by_name(twins: Twins, statement: str) -> None:
    assert twins.postgresql.execute(statement.encode()).fetchall()
    with pytest.raises(dbapi.NotSupportedError):
        twins.nestvec.execute(statement)


@pytest.mark.parametrize(
    ("values", "constants"), [([1, None], "(1, NULL)"), ([None], "(NULL)"), (None, "(NULL)"), ([1], "(1)")]
)
def test_a_list_of_a_parameter_may_have_nulls(twins: Twins, values: object, constants: str) -> None:
    statement = "SELECT id, id IN {0} AS a, id + 0 NOT IN {0} AS b FROM t WHERE s IS NOT NULL ORDER BY id"
    expected = answer(twins.postgresql, statement.format(constants))
    cursor = twins.nestvec.execute(statement.format(":p"), {"p": values})
    assert ([column[0] for column in cursor.description], cursor.fetchall()) == expected


@pytest.mark.parametrize("statement", FAILING)
def test_both_refuse(twins: Twins, statement: str) -> None:
    with pytest.raises(psycopg.Error):
        twins.postgresql.execute(statement)
    with pytest.raises(dbapi.Error):
        twins.nestvec.execute(statement)


@pytest.mark.parametrize("statement", STATES)
def test_errors_have_the_sqlstates_of_postgresql(twins: Twins, statement: str) -> None:
    with pytest.raises(psycopg.Error) as expected:
        twins.postgresql.execute(statement)
    with pytest.raises(dbapi.Error) as raised:
        twins.nestvec.execute(statement)
    cause = raised.value.__cause__
    assert isinstance(cause, NestvecError)
    assert to_pg_error(cause).sqlstate == expected.value.sqlstate
