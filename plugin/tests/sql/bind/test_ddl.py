"""CREATE TABLE and CREATE INDEX as they are bound, and what of them is refused and where."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.catalog import Column, LexicalColumn, Table, TypeParams
from nestvec.milvus.indexes import Index
from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.sql.bind.ddl.index import IndexDefinition, bind_index
from nestvec.sql.bind.ddl.table import TableDefinition, bind_definition
from nestvec.sql.bind.params import Params, bind_params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import parse
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import (
    SqlDataError,
    SqlError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
)
from nestvec_schemas.spec.collection_spec import FieldSpec

SERVICE = "http://127.0.0.1:8080"


def defined(statement: str, values: Any = None) -> TableDefinition:
    parsed = parse(statement)
    assert isinstance(parsed.tree, exp.Create)
    definition = bind_definition(parsed.source, parsed.tree, bind_params(values), SERVICE)
    check_consumed(parsed.source, parsed.tree)
    return definition


@pytest.mark.parametrize("call", ["EMBED(t, 'm', expert => 'bio', exit => 3)", "EMBED(t, 'm@bio@3')"])
def test_an_expert_is_named_by_an_option_or_with_the_encoder(call: str) -> None:
    vector = f"v VECTOR(64) GENERATED ALWAYS AS ({call}) STORED"
    table = f"CREATE TABLE p (id BIGINT PRIMARY KEY, t TEXT NOT NULL, {vector})"
    (embedding,) = defined(table).spec.embeddings
    assert (embedding.encoder, embedding.expert, embedding.exit) == ("m", "bio", 3)


@pytest.mark.parametrize(
    "call",
    [
        "EMBED(t, 'm', prompt => 'Retrieval-query', query_prompt => 's2p')",
        "EMBED(t, 'm?prompt=Retrieval-query&query_prompt=s2p')",
    ],
)
def test_prompts_are_named_by_options_or_with_the_encoder(call: str) -> None:
    vector = f"v VECTOR(64) GENERATED ALWAYS AS ({call}) STORED"
    table = f"CREATE TABLE p (id BIGINT PRIMARY KEY, t TEXT NOT NULL, {vector})"
    (embedding,) = defined(table).spec.embeddings
    assert (embedding.encoder, embedding.prompt, embedding.query_prompt) == ("m", "Retrieval-query", "s2p")


def test_the_largest_weights_of_a_sparse_column_alone() -> None:
    vector = "lex SPARSEVEC GENERATED ALWAYS AS (EMBED(t, 'splade', top => 64)) STORED"
    table = f"CREATE TABLE p (id BIGINT PRIMARY KEY, t TEXT NOT NULL, {vector})"
    (embedding,) = defined(table).spec.embeddings
    assert (embedding.form, embedding.top, embedding.name) == ("sparse", 64, "lex")


def test_a_whole_table() -> None:
    spec = defined(
        """CREATE TABLE Papers (
            id BIGINT PRIMARY KEY,
            "Title" VARCHAR(512),
            abstract TEXT NOT NULL,
            year INT DEFAULT 2000,
            owner VARCHAR(20),
            tags TEXT[], codes VARCHAR(20)[], sizes INT[],
            meta JSONB, ok BOOLEAN, small SMALLINT, r REAL, d DOUBLE PRECISION,
            short VECTOR(64) GENERATED ALWAYS AS (EMBED(abstract, :encoder)) STORED,
            whole VECTOR(384) GENERATED ALWAYS AS (
                EMBED(abstract, 'minilm', exit => 6, service => 'https://gpu:1')) STORED,
            words SPARSEVEC GENERATED ALWAYS AS (BM25(abstract, k1 => 1.5, b => 0.5)) STORED,
            v VECTOR(3)
        ) PARTITION BY HASH (owner) WITH (dynamic = true, max_vector_fields = 5, chunk = 64)""",
        {"encoder": "minilm"},
    ).spec
    assert (spec.collection, spec.dynamic, spec.service) == ("papers", True, SERVICE)
    assert (spec.max_vector_fields, spec.chunk) == (5, 64)
    assert spec.fields == {
        "id": FieldSpec(type="INT64", primary=True),
        "Title": FieldSpec(type="VARCHAR", max_length=512, nullable=True),
        "abstract": FieldSpec(type="VARCHAR", max_length=65_535),
        "year": FieldSpec(type="INT32", default=2000),
        "owner": FieldSpec(type="VARCHAR", max_length=20, partition_key=True),
        "tags": FieldSpec(
            type="ARRAY", element_type="VARCHAR", max_length=65_535, max_capacity=4096, nullable=True
        ),
        "codes": FieldSpec(
            type="ARRAY", element_type="VARCHAR", max_length=20, max_capacity=4096, nullable=True
        ),
        "sizes": FieldSpec(type="ARRAY", element_type="INT32", max_capacity=4096, nullable=True),
        "meta": FieldSpec(type="JSON", nullable=True),
        "ok": FieldSpec(type="BOOL", nullable=True),
        "small": FieldSpec(type="INT16", nullable=True),
        "r": FieldSpec(type="FLOAT", nullable=True),
        "d": FieldSpec(type="DOUBLE", nullable=True),
    }
    assert [(part.name, part.field, part.encoder, part.dims, part.exit) for part in spec.embeddings] == [
        ("short", "abstract", "minilm", (64,), None),
        ("whole", "abstract", "minilm", (384,), 6),
    ]
    assert spec.services == (SERVICE, "https://gpu:1")
    assert [(part.column, part.field, part.k1, part.b) for part in spec.lexical] == [
        ("words", "abstract", 1.5, 0.5)
    ]
    assert [(part.name, part.dim) for part in spec.vectors] == [("v", 3)]


@pytest.mark.parametrize(
    "key",
    [
        "id BIGSERIAL PRIMARY KEY",
        "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "id BIGINT GENERATED BY DEFAULT AS IDENTITY, PRIMARY KEY (id)",
        "id BIGSERIAL, CONSTRAINT one PRIMARY KEY (id)",
    ],
)
def test_ids_that_milvus_makes(key: str) -> None:
    spec = defined(f"CREATE TABLE t ({key}, v VECTOR(3))").spec
    assert spec.fields["id"] == FieldSpec(type="INT64", primary=True, auto_id=True)


T = "CREATE TABLE t (id BIGINT PRIMARY KEY, t TEXT, "
G = f"{T}v VECTOR(64) GENERATED ALWAYS AS ("
REFUSED = [
    (SqlTypeMismatch, "key in Milvus is an integer", "CREATE TABLE t (id ‸REAL PRIMARY KEY, v VECTOR(3))"),
    (SqlTypeMismatch, "the precision or the scale of NUMERIC", f"{T}n ‸NUMERIC(3, 4), v VECTOR(3))"),
    (SqlNotSupported, "the type INTERVAL", f"{T}n ‸INTERVAL, v VECTOR(3))"),
    (SqlTypeMismatch, "the number of bits is out of range", f"{T}v ‸BIT(1))"),
    (SqlTypeMismatch, "cannot be the partition key", f"{T}‸n BOOLEAN, v VECTOR(3)) PARTITION BY HASH (n)"),
    (SqlSyntaxError, "more than one primary key", f"{T}‸u BIGINT PRIMARY KEY, v VECTOR(3))"),
    (SqlNotSupported, "a PRIMARY KEY on several", "CREATE TABLE t (id BIGINT, u INT, PRIMARY KEY (id, ‸u))"),
    (SqlUnknownName, "Did you mean 'id'", "CREATE TABLE t (id BIGINT, PRIMARY KEY (‸idd))"),
    (SqlTypeMismatch, "cannot be NULL", "CREATE TABLE t (‸id BIGINT NULL PRIMARY KEY, v VECTOR(3))"),
    (SqlSyntaxError, "column t is defined twice", f"{T}‸T INT, v VECTOR(3))"),
    (SqlUnknownName, "no such type: vektor.*Did you mean 'VECTOR'", f"{T}v ‸vektor(3))"),
    (SqlNotSupported, "an array of arrays", f"{T}n ‸INT[][], v VECTOR(3))"),
    (SqlNotSupported, "an array of arrays, vectors", f"{T}n ‸VECTOR(3)[], v VECTOR(3))"),
    (SqlNotSupported, "an array with a size", f"{T}n ‸INT[3], v VECTOR(3))"),
    (SqlTypeMismatch, "the VARCHAR length is out of range: 70000", f"{T}n ‸VARCHAR(70000), v VECTOR(3))"),
    (SqlSyntaxError, "VECTOR needs a dim", f"{T}v ‸VECTOR)"),
    (SqlTypeMismatch, "the vector dim is out of range: 1", f"{T}v ‸VECTOR(1))"),
    (SqlTypeMismatch, "this name is nestvec's own",
     "CREATE TABLE t (id BIGINT PRIMARY KEY, ‸nestvec_no_vector INT)"),
    (SqlTypeMismatch, "a name that Milvus reserves", f"{T}‸rowid INT, v VECTOR(3))"),
    (SqlTypeMismatch, "a name that Milvus does not accept", f'{T}‸"a b" INT, v VECTOR(3))'),
    (SqlTypeMismatch, "more than 4 vector fields",
     f"CREATE TABLE ‸t (id BIGINT PRIMARY KEY, {', '.join(f'v{n} VECTOR(3)' for n in range(5))}) "
     "WITH (max_vector_fields = 4)"),
    (SqlDataError, "n is outside INT16: 99999", f"{T}n SMALLINT DEFAULT ‸99999, v VECTOR(3))"),
    (SqlDataError, "n is not a whole number: x", f"{T}n INT DEFAULT ‸'x', v VECTOR(3))"),
    (SqlNotSupported, "a column in DEFAULT", f"{T}n INT DEFAULT 1 + ‸id, v VECTOR(3))"),
    (SqlNotSupported, "a subquery in DEFAULT", f"{T}n INT DEFAULT (SELECT ‸1), v VECTOR(3))"),
    (SqlNotSupported, "a parameter in DEFAULT", f"{T}n JSONB DEFAULT ‸:n, v VECTOR(3))"),
    (SqlNotSupported, r"nextval\(\) in DEFAULT.*BIGSERIAL", f"{T}n INT DEFAULT ‸nextval('s'), v VECTOR(3))"),
    (SqlNotSupported, "a function of several rows", f"{T}n INT DEFAULT ‸unnest(ARRAY[1]), v VECTOR(3))"),
    (SqlSyntaxError, "aggregate functions are not allowed", f"{T}n INT DEFAULT ‸max(1), v VECTOR(3))"),
    (SqlSyntaxError, "has a default, and is generated",
     "CREATE TABLE t (‸id BIGSERIAL PRIMARY KEY DEFAULT 3, v VECTOR(3))"),
    (SqlNotSupported, "CHECK on a column", f"{T}n INT CHECK (‸n > 3), v VECTOR(3))"),
    (SqlNotSupported, "UNIQUE on a column", f"{T}n ‸INT UNIQUE, v VECTOR(3))"),
    (SqlNotSupported, "REFERENCES on a column", f"{T}n INT REFERENCES ‸x (id), v VECTOR(3))"),
    (SqlNotSupported, "UNIQUE as a table constraint", f"{T}v VECTOR(3), UNIQUE (‸t))"),
    (SqlNotSupported, "ids in a column other than the primary key", f"{T}n ‸BIGSERIAL, v VECTOR(3))"),
    (SqlNotSupported, "IDENTITY options",
     "CREATE TABLE t (id ‸BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 5) PRIMARY KEY, v VECTOR(3))"),
    (SqlUnknownName, "computed by EMBED or BM25: EMBDE.*'EMBED'",
     f"{G}‸EMBDE(t, 'm')) STORED)"),
    (SqlUnknownName, "no such column: x", f"{G}EMBED(‸x, 'm')) STORED)"),
    (SqlSyntaxError, "EMBED takes a column", f"{G}EMBED(‸'t', 'm')) STORED)"),
    (SqlSyntaxError, "EMBED takes a column and", f"{G}‸EMBED(t)) STORED)"),
    (SqlTypeMismatch, "an encoder name is a string", f"{G}EMBED(t, ‸3)) STORED)"),
    (SqlTypeMismatch, "an expert name consists", f"{G}EMBED(t, 'm', expert => ‸3)) STORED)"),
    (SqlTypeMismatch, "top is an integer, the number of weights", f"{G}EMBED(t, 'm', top => ‸'64')) STORED)"),
    (
        SqlTypeMismatch,
        "column v has top, which is only for form: sparse",
        f"{T}‸v VECTOR(64) GENERATED ALWAYS AS (EMBED(t, 'm', top => 8)) STORED)",
    ),
    (SqlTypeMismatch, "of letters, digits", f"{G}EMBED(t, 'm', expert => ‸'3d')) STORED)"),
    (SqlTypeMismatch, "a prompt is named by a string", f"{G}EMBED(t, 'm', prompt => ‸3)) STORED)"),
    (SqlTypeMismatch, "is not a prompt", f"{G}EMBED(t, ‸'m?task=x')) STORED)"),
    (SqlTypeMismatch, "type of the column says", f"{G}EMBED(t, ‸'m?dim=8')) STORED)"),
    (SqlTypeMismatch, "name is not a number", f"{G}EMBED(t, ‸'m?dim=x')) STORED)"),
    (SqlTypeMismatch, "neither an expert nor a layer", f"{G}EMBED(t, ‸'m@3@x')) STORED)"),
    (SqlUnknownName, "no such argument: exits.*'exit'",
     f"{G}EMBED(t, 'm', ‸exits => 3)) STORED)"),
    (SqlTypeMismatch, "an exit is an integer",
     f"{G}EMBED(t, 'm', exit => ‸'x')) STORED)"),
    (SqlTypeMismatch, "EMBED reads VARCHAR or TEXT, and column id is neither",
     f"{G}EMBED(‸id, 'm')) STORED)"),
    (SqlTypeMismatch, "cannot be NULL in Milvus: u",
     f"{T}‸u TEXT NULL, v VECTOR(64) GENERATED ALWAYS AS (EMBED(u, 'm')) STORED)"),
    (SqlTypeMismatch, "EMBED fills a VECTOR", f"{T}v ‸TEXT GENERATED ALWAYS AS (EMBED(t, 'm')) STORED)"),
    (SqlTypeMismatch, "BM25 fills a SPARSEVEC", f"{T}v ‸VECTOR(3) GENERATED ALWAYS AS (BM25(t)) STORED)"),
    (SqlNotSupported, "this kind of partitioning", f"{T}v VECTOR(3)) PARTITION BY ‸RANGE (id)"),
    (SqlUnknownName, "no such column: x", f"{T}v VECTOR(3)) PARTITION BY HASH (‸x)"),
    (SqlUnknownName, "no such option: dynamc", f"{T}v VECTOR(3)) WITH (dynamc = true)"),
    (SqlTypeMismatch, "invalid value for dynamic",
     "CREATE TABLE ‸t (id BIGINT PRIMARY KEY, v VECTOR(3)) WITH (dynamic = 3)"),
    (SqlSyntaxError, "syntax error at 'here'", f"{T}v VECTOR(3)) ‸here"),
    (SqlSyntaxError, "ends unexpectedly", f"{T}v VECTOR(3)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "message", "marked"), REFUSED, ids=[ascii(case[2])[-60:] for case in REFUSED]
)
def test_a_table_that_cannot_be_is_marked(kind: type[SqlError], message: str, marked: str) -> None:
    with pytest.raises(SqlError, match=message) as caught:
        defined(marked.replace("‸", ""))
    assert type(caught.value) is kind
    if "‸" in marked:
        assert caught.value.position == marked.index("‸")


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        (Column("a", "INT64", auto_id=True), "BIGSERIAL"),
        (Column("a", "VARCHAR", type_params=TypeParams(max_length=65_535)), "TEXT"),
        (Column("a", "VARCHAR", type_params=TypeParams(max_length=9)), "VARCHAR(9)"),
        (Column("a", "ARRAY", type_params=TypeParams(element_type="INT32", max_capacity=3)), "INT[]"),
        (Column("a", "FLOAT_VECTOR", type_params=TypeParams(dim=7)), "VECTOR(7)"),
        (Column("a", "BINARY_VECTOR", type_params=TypeParams(dim=8)), "BIT(8)"),
        (Column("a", "SPARSE_FLOAT_VECTOR"), "SPARSEVEC"),
        (Column("a", "DOUBLE"), "DOUBLE PRECISION"),
    ],
)
def test_types_are_written_as_they_are_read(column: Column, type_: str) -> None:
    assert type_sql(column) == type_


@pytest.fixture(scope="module")
def indexed() -> Table:
    return Table(
        "papers",
        (
            Column("id", "INT64", primary=True),
            Column("year", "INT32", nullable=True),
            Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=3)),
            Column("words", "SPARSE_FLOAT_VECTOR"),
        ),
        lexical=(LexicalColumn("text", "words"),),
        metrics={"v": "IP", "words": "BM25"},
    )


def declared(statement: str, table: Table) -> IndexDefinition:
    parsed = parse(statement)
    definition = bind_index(parsed.source, parsed.tree, table, Params())
    check_consumed(parsed.source, parsed.tree)
    return definition


@pytest.mark.parametrize(
    ("statement", "name", "index"),
    [
        ("CREATE INDEX ON papers (v)", "papers_v_idx", Index("AUTOINDEX", "IP")),
        (
            "CREATE INDEX fast ON papers USING hnsw (v vector_cosine_ops) WITH (m = 4, ef_construction = 9)",
            "fast",
            Index("HNSW", "COSINE", {"M": 4, "efConstruction": 9}),
        ),
        (
            "CREATE INDEX ON papers USING ivfflat (v vector_l2_ops) WITH (lists = 9)",
            "papers_v_idx",
            Index("IVF_FLAT", "L2", {"nlist": 9}),
        ),
        (
            "CREATE INDEX ON papers USING diskann (v vector_ip_ops)",
            "papers_v_idx",
            Index("DISKANN", "IP"),
        ),
        ("CREATE INDEX y ON papers USING btree (year)", "y", Index("INVERTED", "")),
    ],
)
def test_indexes_by_pgvectors_words(statement: str, name: str, index: Index, indexed: Table) -> None:
    definition = declared(statement, indexed)
    assert (definition.name, definition.index) == (name, index)


@pytest.mark.parametrize(
    ("message", "marked"),
    [
        ("no such index method: hnws.*'hnsw'", "CREATE INDEX ON papers USING hnws (v)"),
        ("HNSW does not index INT: year", "CREATE INDEX ON papers USING hnsw (year)"),
        ("INVERTED does not index VECTOR", "CREATE INDEX ON papers USING btree (v)"),
        ("an index by vector_l1_ops", "CREATE INDEX ON papers USING hnsw (v ‸vector_l1_ops)"),
        ("no such operator class", "CREATE INDEX ON papers USING hnsw (v ‸vector_l3_ops)"),
        ("no such operator class", "CREATE INDEX ON papers USING hnsw (v ‸halfvec_l2_ops)"),
        ("an index on an expression", "CREATE INDEX ON papers USING hnsw ((‸v::halfvec(3)) halfvec_l2_ops)"),
        (
            "HNSW has no such parameter: lists",
            "CREATE INDEX ON papers USING hnsw (v) WITH (lists = 3)",
        ),
        ("no such column: w", "CREATE INDEX ON papers USING hnsw (‸w)"),
        ("an index on several columns", "CREATE INDEX ON papers (year, ‸id)"),
        ("an index with a sort order", "CREATE INDEX ON papers (‸year DESC)"),
        ("another index on a SPARSEVEC column", "CREATE INDEX ON papers USING hnsw (words)"),
        ("a partial index", "CREATE INDEX ON papers (year) WHERE ‸year > 3"),
    ],
)
def test_indexes_that_are_refused(message: str, marked: str, indexed: Table) -> None:
    with pytest.raises(SqlError, match=message) as caught:
        declared(marked.replace("‸", ""), indexed)
    if "‸" in marked:
        assert caught.value.position == marked.index("‸")


@pytest.mark.parametrize(
    ("message", "statement"),
    [
        ("CREATE SCHEMA", "CREATE SCHEMA s"),
        ("CREATE OR REPLACE TABLE", "CREATE OR REPLACE TABLE x (id BIGINT)"),
        ("lists no columns|a table", "CREATE TABLE x"),
        ("DROP SCHEMA", "DROP SCHEMA x"),
        ("RESTART IDENTITY", "TRUNCATE x RESTART IDENTITY"),
        ("several changes", "ALTER TABLE x ADD COLUMN a INT, ALTER b SET DEFAULT 1"),
        ("this form of ALTER TABLE", "ALTER TABLE x RENAME COLUMN a TO b"),
        ("IF EXISTS in ALTER TABLE", "ALTER TABLE IF EXISTS x RENAME TO y"),
        ("a schema-qualified table", "DROP TABLE other.x"),
        ("DESCRIBE of anything but a table", "DESCRIBE SELECT 1"),
        ("ENCODING in COPY TO", "COPY (SELECT 1) TO 'f.csv' WITH (ENCODING 'utf8')"),
        (r"CSV in COPY TO.* WITH \(FORMAT csv, HEADER\)", "COPY (SELECT 1) TO 'f.csv' CSV HEADER"),
        ("MODES of a transaction", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
    ],
)
def test_statements_that_are_refused_before_milvus_is_asked(message: str, statement: str) -> None:
    with pytest.raises(SqlError, match=message):
        drive(cast(MilvusClient, None), execute_steps(Session(), statement))


def test_transactions_change_nothing() -> None:
    for statement in ("BEGIN", "COMMIT"):
        assert drive(cast(MilvusClient, None), execute_steps(Session(), statement)).tag == statement


def test_types_that_milvus_does_not_have_are_stored_by_a_mapping() -> None:
    spec = defined(
        """CREATE TABLE t (
            id INT PRIMARY KEY, born DATE, at TIMESTAMP, seen TIMESTAMPTZ, clock TIME, key UUID, raw BYTEA,
            price NUMERIC(10, 2), big NUMERIC(30, 4), free NUMERIC, days DATE[],
            half HALFVEC(3), brain bfloat16_vector(3), code BIT(3), lex SPARSEVEC(5), v VECTOR(3)
        )"""
    ).spec
    assert {name: (field.type, field.sql_type) for name, field in spec.fields.items()} == {
        "id": ("INT64", "int4"),
        "born": ("INT64", "date"),
        "at": ("INT64", "timestamp"),
        "seen": ("INT64", "timestamptz"),
        "clock": ("INT64", "time"),
        "key": ("VARCHAR", "uuid"),
        "raw": ("VARCHAR", "bytea"),
        "price": ("INT64", "numeric(10,2)"),
        "big": ("VARCHAR", "numeric(30,4)"),
        "free": ("VARCHAR", "numeric"),
        "days": ("ARRAY", "date[]"),
    }
    assert [(part.name, part.type, part.dim, part.sql_type, part.index) for part in spec.vectors] == [
        ("half", "FLOAT16_VECTOR", 3, "halfvec(3)", "FLAT"),
        ("brain", "BFLOAT16_VECTOR", 3, "bfloat16_vector(3)", "FLAT"),
        ("code", "BINARY_VECTOR", 8, "bit(3)", "BIN_FLAT"),
        ("lex", "SPARSE_FLOAT_VECTOR", None, "sparsevec(5)", "SPARSE_INVERTED_INDEX"),
        ("v", "FLOAT_VECTOR", 3, "", "FLAT"),
    ]


@pytest.mark.parametrize("key", ["INT", "SMALLINT", "UUID", "DATE", "NUMERIC(9, 0)", "SERIAL"])
def test_keys_of_every_type_that_milvus_can_store_as_one(key: str) -> None:
    (field, *_) = defined(f"CREATE TABLE t (id {key} PRIMARY KEY, v VECTOR(3))").spec.fields.values()
    assert field.type in ("INT64", "VARCHAR")
    assert field.auto_id == (key == "SERIAL")


def test_bm25_takes_a_language_or_analyzers() -> None:
    table = "CREATE TABLE p (id BIGINT PRIMARY KEY, lang TEXT, t TEXT NOT NULL, w SPARSEVEC"
    (words,) = defined(f"{table} GENERATED ALWAYS AS (BM25(t, language => 'english')) STORED)").spec.lexical
    assert words.analyzer == {"type": "english"}
    analyzers = """'{"en": {"type": "english"}, "default": {"tokenizer": "icu"}}'"""
    (words,) = defined(
        f"{table} GENERATED ALWAYS AS (BM25(t, analyzers => {analyzers}, by => 'lang')) STORED)"
    ).spec.lexical
    assert words.analyzers == {
        "analyzers": {"en": {"type": "english"}, "default": {"tokenizer": "icu"}},
        "by_field": "lang",
    }
