"""Tables and rows made by SQL on the real Milvus Lite, with the real encoder behind EMBED."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration_tests.fixtures.services import vacant_address
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.milvus.steps import drive
from nestvec.sql import Session, SessionSettings, StatementResult, execute
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.statements.dml.insert import insert_many
from nestvec_schemas.errors import SqlError, SqlKeyExists, SqlNotSupported, SqlTypeMismatch, SqlUnknownName

pytestmark = pytest.mark.usefixtures("no_late_writers")

PAPERS = """
    CREATE TABLE papers (
        id BIGINT PRIMARY KEY,
        title VARCHAR(512),
        abstract VARCHAR(8192) NOT NULL,
        year INT,
        tags TEXT[],
        meta JSONB,
        abstract_64 VECTOR(64) GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED,
        whole VECTOR(384) GENERATED ALWAYS AS (EMBED(abstract, 'minilm', exit => 6)) STORED,
        abstract_bm25 SPARSEVEC GENERATED ALWAYS AS (BM25(abstract)) STORED,
        v VECTOR(3)
    )"""
ROWS = """
    INSERT INTO papers (id, title, abstract, year, tags, meta, v) VALUES
        (1, 'CSV', 'Read rows from a CSV file', 2001, ARRAY['io', 'text'], '{"pages": 3}', '[1, 0, 0]'),
        (2, NULL, 'Compute the square root of a number', NULL, NULL, NULL, '[0, 1, 0]'),
        (3, 'Net', 'Open a network socket', 2003, '["net"]', :meta, :v)"""
EMBED_64 = "EMBED(abstract, 'minilm')"
GIVEN = {"meta": {"pages": [1, 2]}, "v": (0.0, 0.5, 0.5)}


@pytest.fixture(scope="module")
def session(exiting: Path) -> Iterator[Session]:
    """A session whose EMBED is answered by the encoder that stops after layer 3 or 6."""
    opened = Session(SessionSettings(service=vacant_address(), models=exiting))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path_factory.mktemp("ddl") / "a.db")) as opened:
        yield opened


@pytest.fixture
def run(client: MilvusClient, session: Session) -> Any:
    """Runs a statement; the database has no tables before and after."""

    def run(statement: str, given: Any = None) -> StatementResult:
        return execute(client, statement, given, session=session)

    yield run
    for name in client.list_collections():
        client.drop_collection(name)
        session.forget(name)


@pytest.fixture
def papers(run: Any) -> Any:
    run(PAPERS)
    run(ROWS, GIVEN)
    return run


def test_a_table_is_made_and_described(run: Any) -> None:
    assert run(PAPERS).tag == "CREATE TABLE"
    assert run("SHOW TABLES").rows == (("papers",),)
    found = run("DESCRIBE papers")
    assert found.columns == ("name", "type", "key", "nullable", "default", "generated", "index", "metric")
    whole = "EMBED(abstract, 'minilm')"
    assert found.rows == (
        ("id", "BIGINT", "primary", False, None, None, None, None),
        ("title", "VARCHAR(512)", None, True, None, None, None, None),
        ("abstract", "VARCHAR(8192)", None, False, None, None, None, None),
        ("year", "INT", None, True, None, None, None, None),
        ("tags", "TEXT[]", None, True, None, None, None, None),
        ("meta", "JSONB", None, True, None, None, None, None),
        ("abstract_64", "VECTOR(64)", None, False, None, EMBED_64, "AUTOINDEX", "COSINE"),
        ("whole", "VECTOR(384)", None, False, None, whole, "AUTOINDEX", "COSINE"),
        ("abstract_bm25", "SPARSEVEC", None, False, None, "BM25(abstract)", "SPARSE_INVERTED_INDEX", "BM25"),
        ("v", "VECTOR(3)", None, True, None, None, "FLAT", "COSINE"),
    )  # fmt: skip
    with pytest.raises(SqlTypeMismatch, match="already exists: papers"):
        run(PAPERS)
    assert run(PAPERS.replace("TABLE papers", "TABLE IF NOT EXISTS papers")).tag == "CREATE TABLE"


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("v VECTOR(64) GENERATED ALWAYS AS (EMBED(t, ‸'minlm')) STORED", "no encoder.*Did you mean 'minilm'"),
        (
            "v VECTOR(‸65) GENERATED ALWAYS AS (EMBED(t, 'minilm')) STORED",
            "does not offer.*65.*Available: 384",
        ),
        (
            "v VECTOR(64) GENERATED ALWAYS AS (EMBED(t, 'minilm', exit => ‸4)) STORED",
            "no exit.*4.*Available: 3, 6",
        ),
    ],
)
def test_what_an_encoder_does_not_offer_is_marked(run: Any, marked: str, said: str) -> None:
    statement = f"CREATE TABLE bad (id BIGINT PRIMARY KEY, t TEXT, {marked})"
    with pytest.raises(SqlError, match=said) as caught:
        run(statement.replace("‸", ""))
    assert caught.value.position == statement.index("‸")
    assert run("SHOW TABLES").rows == ()


def test_rows_are_embedded_and_split_into_words(papers: Any) -> None:
    near = papers("SELECT id FROM papers ORDER BY abstract_64 <=> 'how do I parse a csv' LIMIT 1")
    assert near.rows == ((1,),)
    assert papers("SELECT id FROM papers ORDER BY whole <=> 'open a connection' LIMIT 1").rows == ((3,),)
    assert papers("SELECT id FROM papers ORDER BY v <=> '[0, 1, 0]' LIMIT 1").rows == ((2,),)
    found = papers("SELECT id, title, year, tags, meta, v FROM papers WHERE id >= 2")
    assert sorted(found.rows) == [
        (2, None, None, None, None, [0.0, 1.0, 0.0]),
        (3, "Net", 2003, ["net"], {"pages": [1, 2]}, [0.0, 0.5, 0.5]),
    ]


def test_a_changed_text_is_embedded_anew_and_an_unchanged_one_stays(
    papers: Any, client: MilvusClient
) -> None:
    def vectors() -> dict[int, list[float]]:
        rows = client.query("papers", filter="id > 0", output_fields=["id", "abstract_64"])
        return {row["id"]: row["abstract_64"] for row in rows}

    before = vectors()
    assert papers("UPDATE papers SET year = 1999, title = 'Root' WHERE id = 2").tag == "UPDATE 1"
    assert vectors() == before
    changed = papers(
        "UPDATE papers SET abstract = 'Bake bread at home' WHERE id = 2 RETURNING id, title, year, abstract"
    )
    assert changed.rows == ((2, "Root", 1999, "Bake bread at home"),)
    after = vectors()
    assert after[1] == before[1]
    assert after[2] != before[2]
    near = papers("SELECT id FROM papers ORDER BY whole <=> 'a recipe for a loaf' LIMIT 1")
    assert near.rows == ((2,),)
    found = client.search("papers", data=["bread"], anns_field="abstract_bm25", limit=3, output_fields=["id"])
    assert [hit["id"] for hit in found[0]] == [2]


def test_inserting_an_id_that_is_there(papers: Any) -> None:
    values = "VALUES (9, 'Sort a list', '[1, 1, 1]'), (2, 'Start a thread', '[1, 1, 1]')"
    insert = f"INSERT INTO papers (id, abstract, v) {values}"
    with pytest.raises(SqlKeyExists, match="id already exists: 2") as caught:
        papers(insert)
    assert caught.value.position == insert.index("2, 'Start")
    assert papers("SELECT id FROM papers WHERE id = 9").rows == ()
    assert papers(f"{insert} ON CONFLICT DO NOTHING").tag == "INSERT 0 1"
    kept = papers("SELECT abstract FROM papers WHERE id = 2").rows
    assert kept == (("Compute the square root of a number",),)
    upsert = (
        f"{insert} ON CONFLICT (id) DO UPDATE SET abstract = EXCLUDED.abstract, year = 7 RETURNING id, year"
    )
    answer = papers(upsert)
    assert (answer.tag, sorted(answer.rows)) == ("INSERT 0 2", [(2, 7), (9, 7)])
    stored = papers("SELECT abstract, v FROM papers WHERE id = 2").rows
    assert stored == (("Start a thread", [0.0, 1.0, 0.0]),)
    near = papers("SELECT id FROM papers ORDER BY abstract_64 <=> 'threads' LIMIT 1")
    assert near.rows == ((2,),)


def test_a_bad_row_keeps_every_other_out(papers: Any) -> None:
    with pytest.raises(SqlTypeMismatch, match="year is not a whole number"):
        papers("INSERT INTO papers (id, abstract, year, v) VALUES (7, 'a', 1, :v), (8, 'b', 'x', :v)", GIVEN)
    assert papers("SELECT id FROM papers WHERE id > 3").rows == ()


def test_many_sets_of_parameters_are_one_insert(papers: Any, client: MilvusClient, session: Session) -> None:
    parsed = parse("INSERT INTO papers (id, abstract, v) VALUES ($1, $2, $3)")
    many = [bind_params((n, f"text number {n}", [n, 1, 0])) for n in range(100, 400)]
    assert drive(client, insert_many(session, parsed, many)).tag == "INSERT 0 300"
    assert drive(client, insert_many(session, parsed, [])).tag == "INSERT 0 0"
    assert client.query("papers", filter="id >= 100", output_fields=["count(*)"])[0]["count(*)"] == 300


def test_delete_counts_what_was_there(papers: Any) -> None:
    assert papers("DELETE FROM papers WHERE id IN (1, 77)").tag == "DELETE 1"
    gone = papers("DELETE FROM papers WHERE year > 2000 RETURNING id, title")
    assert (gone.tag, gone.rows) == ("DELETE 1", ((3, "Net"),))
    assert papers("DELETE FROM papers").tag == "DELETE 1"
    assert papers("SELECT id FROM papers").rows == ()


def test_indexes_are_replaced_and_the_others_stay(papers: Any) -> None:
    made = "CREATE INDEX ON papers USING hnsw (abstract_64 vector_l2_ops) WITH (m = 8, ef_construction = 40)"
    assert papers(made).tag == "CREATE INDEX"
    papers("CREATE INDEX ON papers USING btree (year)")
    shown = {row[1]: row[2:4] for row in papers("SHOW INDEXES FROM papers").rows}
    assert shown == {
        "abstract_64": ("HNSW", "L2"),
        "whole": ("AUTOINDEX", "COSINE"),
        "abstract_bm25": ("SPARSE_INVERTED_INDEX", "BM25"),
        "v": ("FLAT", "COSINE"),
        "year": ("INVERTED", None),
    }
    near = papers("SELECT id FROM papers ORDER BY abstract_64 <-> 'how do I parse a csv' LIMIT 1")
    assert near.rows == ((1,),)
    with pytest.raises(SqlNotSupported, match="a second index on column abstract_64, which has papers_abs"):
        papers("CREATE INDEX other ON papers USING hnsw (abstract_64 vector_ip_ops)")
    papers("DROP INDEX papers_year_idx ON papers")
    papers("DROP INDEX papers_abstract_64_idx")
    shown = {row[1]: row[2:4] for row in papers("SHOW INDEXES FROM papers").rows}
    assert shown["abstract_64"] == ("AUTOINDEX", "L2")
    assert "year" not in shown
    with pytest.raises(SqlUnknownName, match=r"no index of this name: whole.*Available: none"):
        papers("DROP INDEX whole")
    assert papers("SELECT id FROM papers WHERE id = 1").rows == ((1,),)


def test_alter_truncate_and_drop(papers: Any) -> None:
    assert (
        papers("ALTER TABLE papers ADD COLUMN pages INT DEFAULT 3, ADD COLUMN w VECTOR(2)").tag
        == "ALTER TABLE"
    )
    near = papers("SELECT id, pages, w FROM papers ORDER BY abstract_64 <=> 'how do I parse a csv' LIMIT 1")
    assert near.rows == ((1, 3, None),)
    assert papers("ALTER TABLE papers RENAME TO articles").tag == "ALTER TABLE"
    assert papers("SELECT id FROM articles WHERE id = 1").rows == ((1,),)
    assert papers("TRUNCATE articles").tag == "TRUNCATE TABLE"
    assert papers("SELECT id FROM articles").rows == ()
    with pytest.raises(SqlUnknownName, match="no collection of this name: papers"):
        papers("DROP TABLE articles, papers")
    assert papers("DROP TABLE IF EXISTS papers, articles").tag == "DROP TABLE"
    assert papers("SHOW TABLES").rows == ()


def test_embedded_columns_are_added_to_rows_and_dropped(papers: Any) -> None:
    before = papers("SELECT id FROM papers ORDER BY id").rows
    column = "abstract_32 VECTOR(32) GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED"
    assert papers(f"ALTER TABLE papers ADD COLUMN {column}").tag == "ALTER TABLE"
    assert papers("SELECT id FROM papers ORDER BY id").rows == before
    near = papers("SELECT id FROM papers ORDER BY abstract_32 <=> 'how do I parse a csv' LIMIT 1")
    assert near.rows == ((1,),)
    with pytest.raises(SqlTypeMismatch, match="already has a column of this name: abstract_32"):
        papers(f"ALTER TABLE papers ADD COLUMN {column}")
    with pytest.raises(SqlTypeMismatch, match="does not embed a field that may be null: title"):
        papers(f"ALTER TABLE papers ADD COLUMN {column}".replace("abstract", "title"))
    assert papers("ALTER TABLE papers DROP COLUMN abstract_32").tag == "ALTER TABLE"
    assert papers("SELECT id FROM papers ORDER BY id").rows == before
    with pytest.raises(SqlUnknownName, match="abstract_32"):
        papers("SELECT abstract_32 FROM papers")


def test_an_alias_is_no_table_to_drop(papers: Any, client: MilvusClient) -> None:
    client.create_alias("papers", "reading")
    assert papers("UPDATE reading SET year = 5 WHERE id = 1").tag == "UPDATE 1"
    with pytest.raises(SqlNotSupported, match="an alias of a collection"):
        papers("DROP TABLE reading")
    with pytest.raises(SqlNotSupported, match="an alias of a collection"):
        papers("ALTER TABLE reading RENAME TO others")
    client.drop_alias("reading")


def test_a_table_whose_embeddings_were_changed_keeps_its_name(papers: Any, client: MilvusClient) -> None:
    rows = papers("SELECT id FROM papers ORDER BY id").rows
    column = "abstract_32 VECTOR(32) GENERATED ALWAYS AS (EMBED(abstract, 'minilm')) STORED"
    for name, renamed in (("papers", "articles"), ("articles", "papers")):
        papers(f"ALTER TABLE {name} ADD COLUMN {column}")
        assert client.list_collections() == [f"{name}__1"]
        papers(f"ALTER TABLE {name} RENAME TO {renamed}")
        assert client.list_collections() == [renamed]
        with pytest.raises(SqlUnknownName, match=f"no collection of this name: {name}"):
            papers(f"SELECT id FROM {name}")
        assert papers(f"SELECT id FROM {renamed} ORDER BY id").rows == rows
        papers(f"ALTER TABLE {renamed} DROP COLUMN abstract_32")
        papers(f"ALTER TABLE {renamed} RENAME TO {renamed}_again")
        papers(f"ALTER TABLE {renamed}_again RENAME TO {renamed}")
    papers(f"ALTER TABLE papers ADD COLUMN {column}")
    assert papers("TRUNCATE papers").tag == "TRUNCATE TABLE"
    assert papers("SELECT id FROM papers").rows == ()
    assert papers("DROP TABLE papers, papers").tag == "DROP TABLE"
    assert client.list_collections() == []
    assert not client.has_collection("papers")


def test_copy_reads_a_file_and_names_what_it_rejects(papers: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    rows: list[dict[str, Any]] = [
        {"id": 10, "abstract": "Draw a chart", "v": [1, 2, 3]},
        {"id": 11, "abstract": "Send a letter", "v": [1, 2]},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    answer = papers("COPY papers FROM :file WITH (FORMAT jsonl)", {"file": str(path)})
    assert answer.tag == f"COPY 1 (1 rejected, in {path}.rejected.jsonl)"
    assert papers("SELECT id FROM papers ORDER BY abstract_64 <=> 'plots' LIMIT 1").rows == ((10,),)


def test_keys_that_milvus_makes_partition_keys_and_dynamic_fields(run: Any) -> None:
    run(
        "CREATE TABLE notes (id BIGSERIAL PRIMARY KEY, owner VARCHAR(20), "
        "stars SMALLINT DEFAULT 3, v VECTOR(2)) PARTITION BY HASH (owner) WITH (dynamic = true)"
    )
    made = run(
        "INSERT INTO notes (owner, v, colour) "
        "VALUES ('a', '[1, 2]', 'red'), ('b', '[2, 1]', NULL) RETURNING *"
    )
    assert [row[1:] for row in made.rows] == [
        ("a", 3, [1.0, 2.0], {"colour": "red"}),
        ("b", 3, [2.0, 1.0], {}),
    ]
    assert len({row[0] for row in made.rows}) == 2
    assert run("UPDATE notes SET owner = 'c', stars = DEFAULT WHERE owner = 'a'").tag == "UPDATE 1"
    assert sorted(run("SELECT owner FROM notes").rows) == [("b",), ("c",)]
    assert run("DELETE FROM notes WHERE owner = 'c'").tag == "DELETE 1"
    assert run("SELECT owner FROM notes").rows == (("b",),)


def test_rows_stay_in_their_partitions(run: Any, client: MilvusClient, session: Session) -> None:
    run("CREATE TABLE parts (id BIGINT PRIMARY KEY, a INT, v VECTOR(2))")
    for name in ("north", "south"):
        client.create_partition("parts", name)
    for at, name in enumerate(("north", "south", "")):
        run(f"SET nestvec.partitions = '{name}'")
        run(f"INSERT INTO parts VALUES ({at}, 1, '[1, 2]'), ({at + 10}, 1, '[1, 2]')")
    assert run("UPDATE parts SET a = a + id").tag == "UPDATE 6"
    upsert = "INSERT INTO parts VALUES (1, 8, '[3, 4]') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v"
    assert run(upsert).tag == "INSERT 0 1"
    run("SET nestvec.partitions = 'south'")
    assert sorted(run("SELECT id, a, v FROM parts").rows) == [(1, 2, [3.0, 4.0]), (11, 12, [1.0, 2.0])]
    assert run("UPDATE parts SET a = 0").tag == "UPDATE 2"
    assert run("DELETE FROM parts WHERE id < 5").tag == "DELETE 1"
    with pytest.raises(SqlNotSupported, match=r"into selected partitions.*RESET nestvec\.partitions"):
        run("COPY parts FROM 'parts.jsonl'")
    run("RESET nestvec.partitions")
    assert sorted(run("SELECT id, a FROM parts").rows) == [(0, 1), (2, 3), (10, 11), (11, 0), (12, 13)]


IDS = st.integers(0, 5)
NUMBERS = st.one_of(st.none(), st.integers(-3, 3))
TEXTS = st.sampled_from(["a", "b", "it's", 'q"q', "back\\slash", "é𝄞"])


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


@st.composite
def conditions(draw: st.DrawFn) -> str:
    """A WHERE, or none."""
    number = draw(st.integers(-3, 5))
    return draw(
        st.sampled_from(
            [
                "",
                f" WHERE id = {number}",
                f" WHERE a > {number}",
                f" WHERE NOT (a > {number} AND id < 3)",
                " WHERE a IS NULL",
                f" WHERE id IN (1, {number}, 99) OR t = {literal(draw(TEXTS))}",
            ]
        )
    )


@st.composite
def statements(draw: st.DrawFn) -> str:
    """An INSERT, UPDATE or DELETE that SQLite and nestvec read alike."""
    kind = draw(st.sampled_from(["insert", "insert", "insert", "update", "update", "delete"]))
    if kind == "delete":
        return f"DELETE FROM things{draw(conditions())}"
    if kind == "update":
        changes = draw(
            st.lists(
                st.sampled_from(
                    [
                        f"a = {literal(draw(NUMBERS))}",
                        "a = a + 1",
                        "a = id * 2 - a",
                        f"t = {literal(draw(TEXTS))}",
                        "t = substr(t, 1, 1) || 'x'",
                    ]
                ),
                min_size=1,
                max_size=2,
                unique_by=lambda one: one[0],
            )
        )
        return f"UPDATE things SET {', '.join(changes)}{draw(conditions())}"
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    rows = (f"({one}, {literal(draw(NUMBERS))}, {literal(draw(TEXTS))}, '[1, 2]')" for one in ids)
    conflict = draw(
        st.sampled_from(
            [
                "",
                " ON CONFLICT DO NOTHING",
                " ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a",
                " ON CONFLICT (id) DO UPDATE SET t = EXCLUDED.t, a = 7",
            ]
        )
    )
    return f"INSERT INTO things (id, a, t, v) VALUES {', '.join(rows)}{conflict}"


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MilvusClient, Session]]:
    session = Session()
    with open_milvus(str(tmp_path_factory.mktemp("things") / "a.db")) as client:
        table = "CREATE TABLE things (id BIGINT PRIMARY KEY, a INT, t VARCHAR(50) NOT NULL, v VECTOR(2))"
        execute(client, table, session=session)
        yield client, session


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(statements(), min_size=1, max_size=12))
def test_rows_become_what_they_become_in_sqlite(
    things: tuple[MilvusClient, Session], written: list[str]
) -> None:
    client, session = things
    execute(client, "DELETE FROM things", session=session)
    other = sqlite3.connect(":memory:")
    other.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, a INT, t TEXT NOT NULL, v TEXT)")
    for statement in written:
        try:
            expected = other.execute(statement).rowcount
        except sqlite3.IntegrityError:
            expected = -1
        try:
            count = execute(client, statement, session=session).count
        except SqlKeyExists:
            count = -1
        assert count == expected, statement
        found = execute(client, "SELECT id, a, t FROM things", session=session).rows
        assert sorted(found) == other.execute("SELECT id, a, t FROM things ORDER BY id").fetchall(), statement
