"""Random SELECTs on the real Milvus Lite, against DuckDB on the same rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import duckdb
import pytest
from pymilvus import DataType, MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, execute
from nestvec_schemas.errors import NestvecError, SqlError

INTEGERS = ("id", "a", "b")
DOUBLES = ("p", "q")
TEXTS = ("t", "u")
BOOLEANS = ("f", "g")

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Writer:
    """Writes expressions of a kind; each is a call or in brackets, so that precedence plays no part."""

    draw: Random

    def any(self, depth: int) -> str:
        """An expression of any kind."""
        return self.draw.choice((self.integer, self.double, self.text, self.boolean))(depth)

    def integer(self, depth: int) -> str:
        """A whole number, small enough that no product of a few overflows."""
        if depth == 0:
            return self.draw.choice((*INTEGERS, "NULL::int", "0", "1", "-2", "7"))
        inner = self.integer
        forms = (
            lambda: f"({inner(depth - 1)} {self.draw.choice('+-*')} {inner(depth - 1)})",
            lambda: f"({inner(depth - 1)} {self.draw.choice('/%')} nullif({inner(depth - 1)}, 0))",
            lambda: f"(- {inner(depth - 1)})",
            lambda: f"abs({inner(depth - 1)})",
            lambda: f"mod({inner(depth - 1)}, 5)",
            lambda: f"length({self.text(depth - 1)})",
            lambda: f"strpos({self.text(depth - 1)}, 'b')",
            lambda: f"position('a' in {self.text(depth - 1)})",
            lambda: f"cast({self.boolean(depth - 1)} as int)",
            lambda: f"floor({self.double(depth - 1)})::bigint",
            lambda: self.chosen(inner, depth),
        )
        return self.draw.choice(forms)()

    def double(self, depth: int) -> str:
        """A number with a fraction."""
        if depth == 0:
            return self.draw.choice((*DOUBLES, "NULL::double precision", "0.5::double precision"))
        inner = self.double
        forms = (
            lambda: f"({inner(depth - 1)} {self.draw.choice('+-*')} {self.integer(depth - 1)})",
            lambda: f"({inner(depth - 1)} / nullif({inner(depth - 1)}, 0))",
            lambda: f"(- {inner(depth - 1)})",
            lambda: f"abs({inner(depth - 1)})",
            lambda: f"floor({inner(depth - 1)})",
            lambda: f"ceil({inner(depth - 1)})",
            lambda: f"sign({inner(depth - 1)})::double precision",
            lambda: f"sqrt(abs({inner(depth - 1)}))",
            lambda: f"exp(least({inner(depth - 1)}, 3))",
            lambda: f"ln(abs({inner(depth - 1)}) + 1)",
            lambda: f"power(abs({inner(depth - 1)}), 0.5)",
            lambda: f"cast({self.integer(depth - 1)} as double precision)",
            lambda: self.chosen(inner, depth),
        )
        return self.draw.choice(forms)()

    def text(self, depth: int) -> str:
        """A text."""
        if depth == 0:
            return self.draw.choice((*TEXTS, "NULL::text", "'ab'", "''", "'it''s Bé'"))
        inner, place = self.text, self.draw.randint(1, 4)
        forms = (
            lambda: f"({inner(depth - 1)} || {inner(depth - 1)})",
            lambda: f"concat({inner(depth - 1)}, {self.integer(depth - 1)}, {inner(depth - 1)})",
            lambda: f"lower({inner(depth - 1)})",
            lambda: f"upper({inner(depth - 1)})",
            lambda: f"substring({inner(depth - 1)}, {place})",
            lambda: f"substring({inner(depth - 1)} from {place} for 2)",
            lambda: f"left({inner(depth - 1)}, {place})",
            lambda: f"right({inner(depth - 1)}, {place})",
            lambda: f"left({inner(depth - 1)}, -1)",
            lambda: f"right({inner(depth - 1)}, -1)",
            lambda: f"trim({inner(depth - 1)})",
            lambda: f"ltrim({inner(depth - 1)}, 'a')",
            lambda: f"rtrim({inner(depth - 1)}, 'sb')",
            lambda: f"replace({inner(depth - 1)}, 'b', 'xy')",
            lambda: f"split_part({inner(depth - 1)}, 'b', {self.draw.randint(1, 3)})",
            lambda: f"cast({self.integer(depth - 1)} as text)",
            lambda: f"({self.boolean(depth - 1)})::text",
            lambda: self.chosen(inner, depth),
        )
        return self.draw.choice(forms)()

    def boolean(self, depth: int) -> str:
        """A truth value; NULL is one."""
        if depth == 0:
            return self.draw.choice((*BOOLEANS, "TRUE", "FALSE", "NULL::boolean"))
        inner, sign = self.boolean, self.draw.choice(_COMPARISONS)
        forms = (
            lambda: f"({self.integer(depth - 1)} {sign} {self.integer(depth - 1)})",
            lambda: f"({self.integer(depth - 1)} {sign} {self.double(depth - 1)})",
            lambda: f"({self.text(depth - 1)} {sign} {self.text(depth - 1)})",
            lambda: f"({inner(depth - 1)} AND {inner(depth - 1)})",
            lambda: f"({inner(depth - 1)} OR {inner(depth - 1)})",
            lambda: f"(NOT {inner(depth - 1)})",
            lambda: f"({self.any(depth - 1)} IS NULL)",
            lambda: f"({self.any(depth - 1)} IS NOT NULL)",
            lambda: f"({inner(depth - 1)} IS {self.draw.choice(('TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'))})",
            lambda: f"starts_with({self.text(depth - 1)}, 'a')",
            lambda: f"({self.integer(depth - 1)} BETWEEN -1 AND {self.integer(depth - 1)})",
            lambda: f"({self.integer(depth - 1)} IN (1, {self.integer(depth - 1)}, 3))",
            lambda: f"({self.integer(depth - 1)} NOT IN (1, {self.integer(depth - 1)}, 3))",
            lambda: self.chosen(inner, depth),
        )
        return self.draw.choice(forms)()

    def chosen(self, inner: Callable[[int], str], depth: int) -> str:
        """One of several expressions of a kind: CASE, COALESCE, NULLIF, GREATEST, LEAST."""
        one, other = inner(depth - 1), inner(depth - 1)
        forms = [
            f"coalesce({one}, {other})",
            f"nullif({one}, {other})",
            f"(CASE WHEN {self.boolean(depth - 1)} THEN {one} ELSE {other} END)",
            f"(CASE {self.integer(depth - 1)} WHEN 1 THEN {one} WHEN {self.integer(0)} THEN {other} END)",
        ]
        if inner != self.boolean:
            forms += [f"greatest({one}, {other})", f"least({one}, {other}, {inner(depth - 1)})"]
        return self.draw.choice(forms)

    def direction(self) -> str:
        """What may follow a key of ORDER BY."""
        return self.draw.choice(("", " ASC", " DESC")) + self.draw.choice(("", " NULLS FIRST", " NULLS LAST"))

    def aggregate(self) -> str:
        """An aggregate whose answer does not hang on the order of the rows."""
        few = "DISTINCT " if self.draw.random() < 0.3 else ""
        forms = (
            lambda: "count(*)",
            lambda: f"count({few}{self.any(1)})",
            lambda: f"sum({few}{self.integer(1)})",
            lambda: f"sum({self.double(1)})",
            lambda: f"avg({few}{self.integer(1)})",
            lambda: f"avg({self.double(1)})",
            lambda: f"min({self.draw.choice((self.integer, self.double, self.text))(1)})",
            lambda: f"max({self.draw.choice((self.integer, self.double, self.text))(1)})",
        )
        return self.draw.choice(forms)()


INSTEAD = {
    "id": "3",
    "a": "-4",
    "b": "2",
    "p": "0.25",
    "q": "-2.5",
    "t": "'ab'",
    "u": "NULL::text",
    "f": "TRUE",
    "g": "FALSE",
}
NAMES = re.compile(rf"(?<![\w'])({'|'.join(INSTEAD)})(?![\w'])")

ROWS = 60
KINDS = {
    "id": (DataType.INT64, "BIGINT"),
    "a": (DataType.INT64, "BIGINT"),
    "b": (DataType.INT32, "INTEGER"),
    "p": (DataType.DOUBLE, "DOUBLE"),
    "q": (DataType.DOUBLE, "DOUBLE"),
    "t": (DataType.VARCHAR, "VARCHAR"),
    "u": (DataType.VARCHAR, "VARCHAR"),
    "f": (DataType.BOOL, "BOOLEAN"),
    "g": (DataType.BOOL, "BOOLEAN"),
}


def stored() -> list[dict[str, Any]]:
    draw = Random(3)
    words = ("ab", "Abc", "b", "", " a b ", "Éb", "it's", "aab")

    def maybe(value: Any) -> Any:
        return value if draw.random() > 0.25 else None

    return [
        {
            "id": number,
            "a": maybe(draw.randint(-4, 4)),
            "b": maybe(draw.randint(-9, 9)),
            "p": maybe(draw.choice((-1.25, 0.0, 0.375, 2.0))),
            "q": maybe(draw.uniform(-3, 3)),
            "t": maybe(draw.choice(words)),
            "u": draw.choice(words),
            "f": maybe(draw.random() > 0.5),
            "g": draw.random() > 0.5,
        }
        for number in range(ROWS)
    ]


Twins = tuple[MilvusClient, duckdb.DuckDBPyConnection]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """The same rows in Milvus Lite and in DuckDB, which is told to divide and to order as PostgreSQL does."""
    rows = stored()
    duck = duckdb.connect()
    duck.execute("SET integer_division = true")
    duck.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
    duck.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, (_, kind) in KINDS.items())})")
    duck.executemany(
        f"INSERT INTO t VALUES ({', '.join('?' * len(KINDS))})", [list(row.values()) for row in rows]
    )
    with open_milvus(str(tmp_path_factory.mktemp("oracle") / "t.db")) as client:
        schema = client.create_schema()
        for name, (kind, _) in KINDS.items():
            length = {"max_length": 50} if kind == DataType.VARCHAR else {}
            schema.add_field(name, kind, is_primary=name == "id", nullable=name not in "idug", **length)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="COSINE")
        client.create_collection("t", schema=schema, index_params=index)
        client.insert("t", [row | {"v": [1.0, 0.0]} for row in rows])
        yield client, duck


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, numbers but for the last digits; a boolean is no number."""
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    if one is None or other is None:
        return one is other
    return math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-9)


def check(twins: Twins, session: Session, statement: str, ordered: bool) -> None:
    client, duck = twins
    try:
        expected = duck.execute(statement).fetchall()
    except duckdb.Error:
        # A number out of range, say. PostgreSQL's answer to it is an error too, if not the same.
        with pytest.raises(NestvecError):
            execute(client, statement, session=session)
        return
    found = list(execute(client, statement, session=session).rows)
    if not ordered:
        found, expected = (sorted(rows, key=repr) for rows in (found, expected))
    assert len(found) == len(expected), statement
    for one, other in zip(found, expected, strict=True):
        assert all(map(alike, one, other)), f"{statement}\n{one}\n{other}"


@pytest.mark.parametrize("seed", range(8))
def test_expressions(twins: Twins, seed: int) -> None:
    write, session = Writer(Random(seed)), Session()
    for _ in range(40):
        made = ", ".join(f"{write.any(3)} AS x{n}" for n in range(3))
        check(twins, session, f"SELECT id, {made} FROM t ORDER BY id", ordered=True)


@pytest.mark.parametrize("seed", range(4))
def test_order(twins: Twins, seed: int) -> None:
    write, session = Writer(Random(100 + seed)), Session()
    for _ in range(40):
        keys = [write.any(1) + write.direction() for _ in range(write.draw.randint(0, 2))]
        # A constant that is no position is an error in PostgreSQL.
        keys = [key for key in keys if NAMES.search(key)]
        keys += ["x" + write.direction(), write.draw.choice(("id", "1", "id DESC"))]
        limit = write.draw.choice(("", " LIMIT 7", " LIMIT 9 OFFSET 5", " OFFSET 50"))
        where = write.draw.choice(("", " WHERE a > 0", " WHERE t IS NULL OR g"))
        statement = f"SELECT id, {write.any(2)} AS x FROM t{where} ORDER BY {', '.join(keys)}{limit}"
        check(twins, session, statement, ordered=True)


@pytest.mark.parametrize("seed", range(4))
def test_aggregates(twins: Twins, seed: int) -> None:
    write, session = Writer(Random(200 + seed)), Session()
    for _ in range(40):
        made = [f"{write.aggregate()} AS x{n}" for n in range(write.draw.randint(1, 3))]
        keys = write.draw.sample(("a", "t", "f", "b % 3", "lower(u)", "p"), write.draw.randint(0, 2))
        where = write.draw.choice(("", " WHERE a > 0", " WHERE t IS NULL OR g", " WHERE a > 100"))
        having = write.draw.choice(("", f" HAVING {write.aggregate()} IS NOT NULL", " HAVING count(*) > 2"))
        named = [f"{key} AS k{n}" for n, key in enumerate(keys)]
        group = f" GROUP BY {', '.join(keys)}" if keys else ""
        order = f" ORDER BY {', '.join(f'k{n}{write.direction()}' for n in range(len(keys)))}" if keys else ""
        check(
            twins,
            session,
            f"SELECT {', '.join((*named, *made))} FROM t{where}{group}{having}{order}",
            ordered=bool(keys),
        )


def test_distinct(twins: Twins) -> None:
    write, session = Writer(Random(300)), Session()
    for _ in range(40):
        made = ", ".join(f"{write.any(1)} AS x{n}" for n in range(write.draw.randint(1, 2)))
        check(twins, session, f"SELECT DISTINCT {made} FROM t", ordered=False)
        check(
            twins,
            session,
            f"SELECT DISTINCT a, t FROM t ORDER BY t{write.direction()}, 1 LIMIT 9",
            ordered=True,
        )


def test_subqueries_in_where(twins: Twins) -> None:
    write, session = Writer(Random(350)), Session()
    for _ in range(60):
        column = write.draw.choice(INTEGERS)
        few = write.draw.choice(
            ("", " WHERE b > 0", " WHERE t = 'ab'", " WHERE a IS NOT NULL", " WHERE id > 99")
        )
        inner = f"SELECT {write.draw.choice(INTEGERS)} FROM t{few}"
        wanted = write.draw.choice(
            (
                f"{column} IN ({inner})",
                f"{column} NOT IN ({inner})",
                f"NOT ({column} IN ({inner}) AND g)",
                f"{column} IN ({inner}) OR {column} = (SELECT max(id) - 50 FROM t)",
                f"{column} <= (SELECT min(a) + 4 FROM t) AND id IN ({inner.replace('SELECT', 'SELECT 1 +')})",
            )
        )
        check(twins, session, f"SELECT id FROM t WHERE {wanted} ORDER BY id", ordered=True)


def test_without_a_table(twins: Twins) -> None:
    write, session = Writer(Random(400)), Session()
    check(twins, session, "SELECT 1", ordered=True)
    for _ in range(60):
        made = ", ".join(f"{write.any(3)} AS x{n}" for n in range(3))
        check(twins, session, f"SELECT {NAMES.sub(lambda name: INSTEAD[name[0]], made)}", ordered=True)


EXTREMES = (
    "9223372036854775807", "-9223372036854775807", "1e308", "-1e308", "1e-320", "0.0", "'12'", "'nan'",
    "'-inf'", "' 7 '", "'x'", "'1e400'", "v", "NULL", "TRUE", "2147483648", "-1", "32768", "'yes'",
    "'1_0'", "'١'",
)  # fmt: skip


@dataclass(frozen=True)
class Careless(Writer):
    """Writes operands of any kind where one of another is wanted, and values at the edges of their types."""

    def integer(self, depth: int) -> str:
        return self.draw.choice(EXTREMES) if self.draw.random() < 0.15 else super().integer(depth)

    def double(self, depth: int) -> str:
        if depth and self.draw.random() < 0.15:
            kind = self.draw.choice(
                ("int", "bigint", "smallint", "real", "double precision", "boolean", "text")
            )
            return f"({self.any(depth - 1)})::{kind}"
        return self.draw.choice(EXTREMES) if self.draw.random() < 0.15 else super().double(depth)

    def text(self, depth: int) -> str:
        return self.integer(depth) if self.draw.random() < 0.1 else super().text(depth)

    def boolean(self, depth: int) -> str:
        return self.double(depth) if self.draw.random() < 0.1 else super().boolean(depth)


@pytest.mark.parametrize("seed", range(4))
def test_what_cannot_be_done_is_an_error_of_the_tree(twins: Twins, seed: int) -> None:
    write, session, answered = Careless(Random(500 + seed)), Session(), 0
    for n in range(150):
        statement = (
            f"SELECT {write.any(2)} AS x FROM t",
            f"SELECT id FROM t WHERE id < 9 ORDER BY {write.any(2)}, {write.any(1)}",
            f"SELECT {write.aggregate()} AS x FROM t GROUP BY {write.any(1)}",
            f"SELECT {write.any(2)} AS x FROM t ORDER BY v <=> '[1, 2]' LIMIT 5",
        )[n % 4]
        try:
            answered += bool(execute(twins[0], statement, session=session).columns)
        except SqlError as error:
            assert error.next_step
    assert answered > 10
