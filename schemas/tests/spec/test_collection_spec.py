"""The collection spec: what it reads, and where it says that something is wrong."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import NestvecError, SpecError
from nestvec_schemas.spec.collection_spec import CollectionSpec, column_name
from nestvec_schemas.spec.vector_validation import limit_problems
from nestvec_schemas.spec.yaml_file import MAX_SPEC_BYTES, parse_spec

GOOD = """
collection: papers
description: what we read
service: http://127.0.0.1:8080
fields:
  id:       {type: INT64, primary: true}
  abstract: {type: VARCHAR, max_length: 8192}
  year:     {type: INT32, nullable: true, default: 2000}
  tenant:   {type: VARCHAR, max_length: 64, partition_key: true}
  tags:     {type: ARRAY, element_type: VARCHAR, max_length: 9, max_capacity: 4}
embeddings:
  - {field: abstract, encoder: minilm, dims: [64, 384]}
  - {field: abstract, encoder: minilm, dims: [128], index: HNSW, metric: IP, params: {M: 16}}
"""
ONE = "dims: [64, 384]"
ABSTRACT = "  abstract: {type: VARCHAR, max_length: 8192}"
FIRST = "field: abstract, encoder: minilm, dims: [64"
TENANT = "64, partition_key"
YEAR = "nullable: true, default: 2000"


def test_a_whole_spec_is_read() -> None:
    spec = parse_spec(GOOD, path="papers.yaml")
    assert list(spec.fields) == ["id", "abstract", "year", "tenant", "tags"]
    assert spec.fields["year"].default == 2000
    assert [one.column(config) for one in spec.embeddings for config in one.configs] == [
        "abstract_64",
        "abstract_384",
        "abstract_128",
    ]
    assert (spec.embeddings[0].index, spec.embeddings[0].metric) == ("AUTOINDEX", "COSINE")
    assert spec.embeddings[1].params == {"M": 16}
    assert spec.services == ("http://127.0.0.1:8080",)


def test_an_embedding_may_have_a_service_of_its_own() -> None:
    spec = parse_spec(GOOD.replace(ONE, f"{ONE}, service: https://gpu:1"), path="x")
    assert spec.services == ("https://gpu:1", "http://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (ONE, "dim: [64, 384]", r"embeddings\[0\]\.dim is not a key.*Did you mean 'dims'\?"),
        (ONE, "dims: 64", r"embeddings\[0\]\.dims is invalid: 64\. Write a list"),
        (ONE, "dims: []", r"embeddings\[0\]\.dims is invalid.*at least one"),
        (ONE, 'dims: ["64"]', r"embeddings\[0\]\.dims\[0\] is invalid: 64\. Write a whole number"),
        (ONE, "dims: [0]", r"embeddings\[0\]\.dims\[0\] is invalid: 0"),
        (ONE, "dims: [40000]", r"embeddings\[0\]\.dims\[0\] is invalid: 40000"),
        (ONE, "dims: [true]", r"embeddings\[0\]\.dims\[0\] is invalid: True"),
        (ONE, "dims: [64, 64]", "the same vector field twice: abstract_64"),
        (ONE, f"{ONE}, provider: voyageai", "provider is only for form: int8: voyageai"),
        (ONE, f"{ONE}, form: int8, provider: openai", r"provider .*openai"),
        (ABSTRACT, f"{ABSTRACT}\n  t: {{type: ARRAY, element_type: TEXT, max_capacity: 4}}", "Use VARCHAR"),
        (ONE, f"{ONE}, index: HNWS", "index is not one of the allowed values.*Did you mean 'HNSW'"),
        (ONE, f"{ONE}, metric: cosine", "metric is not one of the allowed values.*Did you mean 'COSINE'"),
        (ONE, f"{ONE}, exit: 0", r"embeddings\[0\]\.exit is invalid: 0"),
        (ONE, f"{ONE}, exit: '3'", r"embeddings\[0\]\.exit is invalid: 3\. Write a whole number"),
        (ONE, f"{ONE}, form: INT8", r"form is not one of the.*float, int8, binary.*Did you mean 'int8'"),
        (ONE, f"{ONE}, form: int8, metric: IP", r"metric is not allowed with form: int8: IP.*write COSINE"),
        (ONE, f"{ONE}, form: int8, index: DISKANN", "index is not allowed with form: int8: DISKANN"),
        (ONE, f"{ONE}, form: binary, metric: COSINE", "metric is not allowed with form: binary.*HAMMING"),
        (ONE, f"{ONE}, form: binary, index: FLAT", "not allowed with form: binary.*BIN_FLAT or BIN_IVF"),
        (ONE, "dims: [64, 100], form: binary", r"embeddings\[0\]\.dims do not fill whole bytes.*100.*of 8"),
        (ONE, f"{ONE}, metric: HAMMING", r"embeddings\[0\] has an option for binary vectors only: HAMMING"),
        (ONE, f"{ONE}, index: BIN_FLAT", r"for binary vectors only: BIN_FLAT\. Write form: binary"),
        (ONE, f"{ONE}, params: {{M: [1]}}", r"params\.M is invalid: a list"),
        (ONE, f"{ONE}, service: ftp://x", r"embeddings\[0\]\.service is not the address"),
        ("encoder: minilm, dims: [64", "encoder: a b, dims: [64", "encoder is invalid: a b. Use at most 64"),
        (FIRST, "field: abstrct, encoder: m, dims: [64", "Did you mean 'abstract'"),
        (FIRST, "field: year, encoder: m, dims: [64", "nullable INT32"),
        ("  - {field: abstract", "  - abstract\n  - {field: abstract", r"\[0\] is invalid: abstract"),
        ("service: http://127.0.0.1:8080", "", "service is not the address of a service: none"),
        ("http://127.0.0.1:8080", "'http://[::1'", "service is not the address"),
        ("collection: papers", "colection: papers", "colection is not a key.*Did you mean 'collection'"),
        ("collection: papers", "", "collection is missing. Add collection:"),
        ("collection: papers", "collection: my papers", "not a name that Milvus accepts: my papers"),
        ("collection: papers", "collection: 7", "collection is invalid: 7. Write text"),
        ("type: INT64, primary", "type: INT46, primary", "fields.id.type is not one.*Did you mean 'INT64'"),
        ("{type: INT64, primary: true}", "INT64", "fields.id is invalid: INT64. Write a mapping"),
        ("{type: INT64, primary: true}", "{primary: true}", "fields.id.type is missing"),
        ("primary: true", "primry: true", "fields.id.primry is not a key.*Did you mean 'primary'"),
        ("primary: true", "primary: false", "exactly one primary key: none"),
        ("primary: true", "primary: true, nullable: true", "fields.id.nullable cannot be true"),
        ("primary: true", "primary: true, default: 1", "fields.id cannot have a default: a primary key"),
        ("INT64, primary", "INT32, primary", "fields.id cannot be the primary key: INT32"),
        (YEAR, "primary: true", "exactly one primary key: id, year"),
        (YEAR, "auto_id: true", "fields.year.auto_id is for the primary key only"),
        (YEAR, "partition_key: true", "more than one partition key: year, tenant"),
        (TENANT, f"64, nullable: true, {TENANT[4:]}", "the partition key: nullable VARCHAR"),
        (YEAR, "default: 3000000000", "fields.year.default does not fit INT32: 3000000000"),
        (YEAR, "default: 'x'", "fields.year.default does not fit INT32: x"),
        (YEAR, "default: [1]", "fields.year.default is invalid: a list"),
        (YEAR, "default: .nan", "fields.year.default is invalid: nan"),
        (YEAR, "default: 2020-01-01", "fields.year.default is invalid: a date"),
        (YEAR, "max_length: 5", "fields.year.max_length does not apply to this type of field: INT32"),
        ("9, max_capacity: 4", "9", "fields.tags needs max_capacity"),
        ("ARRAY, element_type: VARCHAR, max_length: 9", "ARRAY, element_type: JSON", "cannot be in an ARRAY"),
        (ABSTRACT, "  abstract: {type: VARCHAR}", "fields.abstract needs max_length: VARCHAR"),
        (ABSTRACT, "  abstract: {type: VARCHAR, max_length: 65536}", "max_length is invalid: 65536"),
        (ABSTRACT, "  abstract: {type: VARCHAR, max_length: 0}", "fields.abstract.max_length is invalid: 0"),
        (ABSTRACT, f"{ABSTRACT}\n  abstract_64: {{type: BOOL}}", "the name of a scalar field: abstract_64"),
        (ABSTRACT, f"{ABSTRACT}\n  a-b: {{type: BOOL}}", "a name that Milvus does not accept: a-b"),
        (ABSTRACT, f"{ABSTRACT}\n  Timestamp: {{type: BOOL}}", "a name that Milvus reserves"),
        (ABSTRACT, f"{ABSTRACT}\n  no: {{type: BOOL}}", "a key that is not text: False. Put the key"),
        (ABSTRACT, f"{ABSTRACT}\n  id: {{type: BOOL}}", "at line 8, column 3: the key 'id' is duplicated"),
        (ABSTRACT, "  abstract: {type: VARCHAR", r"at line \d+, column \d+"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_where_it_stands(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError, match=said) as caught:
        parse_spec(GOOD.replace(old, new, 1), path="papers.yaml")
    assert str(caught.value).startswith("papers.yaml")


@pytest.mark.parametrize(
    ("keys", "columns", "index", "metric"),
    [
        ("exit: 3", ["abstract_64_exit3", "abstract_384_exit3"], "AUTOINDEX", "COSINE"),
        ("form: int8", ["abstract_64_int8", "abstract_384_int8"], "AUTOINDEX", "COSINE"),
        ("form: int8, index: HNSW", ["abstract_64_int8", "abstract_384_int8"], "HNSW", "COSINE"),
        (
            "exit: 3, form: binary",
            ["abstract_64_exit3_binary", "abstract_384_exit3_binary"],
            "BIN_FLAT",
            "HAMMING",
        ),
    ],
)
def test_exits_and_forms_are_named_in_the_column(
    keys: str, columns: list[str], index: str, metric: str
) -> None:
    spec = parse_spec(GOOD.replace(ONE, f"{ONE}, {keys}"), path="x")
    one = spec.embeddings[0]
    assert [one.column(config) for config in one.configs] == columns
    assert (one.index, one.metric) == (index, metric)


def test_prompts_are_read_and_named_in_the_column() -> None:
    spec = parse_spec(GOOD.replace(ONE, f"{ONE}, prompt: retrieval.query, query_prompt: STS"), path="x")
    (config, *_) = spec.embeddings[0].configs
    assert (config.prompt, config.query_prompt) == ("retrieval.query", "STS")
    assert spec.embeddings[0].column(config).endswith("_retrieval_query_query_STS")
    assert column_name("a", EmbeddingConfig("m", 64, prompt="")) == "a_64_plain"
    sparse = EmbeddingConfig("m", form="sparse", prompt="Clustering", top=8)
    assert column_name("a", sparse) == "a_sparse_Clustering_top8"
    with pytest.raises(SpecError, match=r"embeddings\[0\]\.prompt is invalid"):
        parse_spec(GOOD.replace(ONE, f"{ONE}, prompt: 3"), path="x")


def test_an_expert_is_named_in_the_column() -> None:
    assert column_name("abstract", EmbeddingConfig("minilm", 64, expert="bio-med")) == "abstract_64_bio_med"
    config = EmbeddingConfig("minilm", 64, 3, "biomed", "int8")
    assert column_name("abstract", config) == "abstract_64_biomed_exit3_int8"
    with pytest.raises(
        SpecError, match=r"embeddings\[0\]\.expert is invalid: 3d.*at most 32 letters.*starting with a letter"
    ):
        parse_spec(GOOD.replace(ONE, f"{ONE}, expert: 3d"), path="x")


OTHERS = """
lexical:
  - {field: abstract, k1: 1.5, b: 0.5}
  - {field: tenant, name: words}
vectors:
  - {name: photo, dim: 512, metric: L2, index: HNSW, params: {M: 16}}
"""


def test_words_and_vectors_of_ones_own() -> None:
    named = GOOD.replace("dims: [128]", "dims: [128], name: short")
    spec = parse_spec(f"{named}{OTHERS}max_vector_fields: 6\n", path="x")
    assert spec.embeddings[1].column(128) == "short"
    assert [(one.column, one.k1, one.b) for one in spec.lexical] == [
        ("abstract_bm25", 1.5, 0.5),
        ("words", None, None),
    ]
    photo = spec.vectors[0]
    assert (photo.name, photo.dim, photo.index, photo.metric) == ("photo", 512, "HNSW", "L2")


def test_a_spec_may_do_without_an_encoder() -> None:
    bare = GOOD[: GOOD.index("embeddings:")].replace("service: http://127.0.0.1:8080\n", "")
    assert parse_spec(bare + OTHERS, path="x").services == ()
    with pytest.raises(SpecError, match=r"the spec has no vector field.*none"):
        parse_spec(bare, path="x")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "field: abstract, k1",
            "field: abstrct, k1",
            r"lexical\[0\]\.field is not one of.*Did you mean 'abstract'",
        ),
        ("field: abstract, k1", "field: year, k1", r"lexical\[0\]\.field cannot be split into words.*INT32"),
        ("k1: 1.5", "k1: 9", r"lexical\[0\]\.k1 is invalid: 9"),
        ("name: words", "nme: words", r"lexical\[1\]\.nme is not a key.*Did you mean 'name'"),
        ("name: words", "name: year", r"lexical\[1\] give a vector field the name of a scalar field: year"),
        ("name: photo", "name: abstract_64", "the same vector field twice: abstract_64"),
        ("name: photo", "name: a-b", "a name that Milvus does not accept: a-b"),
        ("dim: 512", "dim: 1", r"vectors\[0\]\.dim is invalid: 1"),
        ("metric: L2", "metric: HAMMING", r"vectors\[0\] has an option for binary vectors only: HAMMING"),
    ],
)
def test_what_is_wrong_with_words_and_vectors(old: str, new: str, said: str) -> None:
    assert old in OTHERS
    whole = GOOD.replace("[64, 384]", "[64]") + OTHERS.replace(old, new)
    with pytest.raises(SpecError, match=said):
        parse_spec(whole, path="x")


def test_a_name_is_for_one_dim() -> None:
    with pytest.raises(SpecError, match=r"embeddings\[0\]\.name is for one vector field"):
        parse_spec(GOOD.replace(ONE, f"{ONE}, name: short"), path="x")


def test_how_many_fields_there_may_be_is_for_the_server_to_say() -> None:
    spec = parse_spec(GOOD.replace(ONE, "dims: [2, 3, 4, 5]"), path="x")
    (too_many,) = limit_problems(spec, vector_fields=4, fields=64)
    assert (too_many.where, too_many.value) == ("embeddings", "5 vector fields")
    assert not list(limit_problems(spec, vector_fields=10, fields=64))
    assert not list(limit_problems(spec, vector_fields=None, fields=None))
    (too_many,) = limit_problems(spec, vector_fields=None, fields=9)
    assert (too_many.cause, too_many.value) == (
        "are more than 9 with the vector fields, Milvus's limit",
        10,
    )
    with pytest.raises(SpecError, match=r"more than 4 vector fields.*5 vector fields.*maxVectorFieldNum"):
        parse_spec(GOOD.replace(ONE, "dims: [2, 3, 4, 5]") + "max_vector_fields: 4\n", path="x")
    configured = spec.model_copy(update={"max_vector_fields": 5})
    assert not list(limit_problems(configured, vector_fields=4, fields=64))


def test_a_text_field_is_embedded_and_composed() -> None:
    text = GOOD.replace("{type: VARCHAR, max_length: 8192}", "{type: TEXT, compose: '{year} {tags}'}")
    field = parse_spec(text, path="x").fields["abstract"]
    assert (field.type, field.max_length) == ("TEXT", None)
    with pytest.raises(SpecError, match="not a VARCHAR or TEXT that is never null: nullable TEXT"):
        parse_spec(text.replace("TEXT,", "TEXT, nullable: true,"), path="x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "a: &x [1]\nb: *x",
        "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "[" * 20_000,
        "{[1]: 2}",
        "!!int _",
        "!!bool x",
        "a: 2020-99-99",
        "a: " + "1" * 5_000,
        "!!python/object/apply:os.system [ls]",
        "a: \0",
        "a: \ud800",
        "#" * (MAX_SPEC_BYTES + 1),
    ],
)
def test_yaml_that_is_no_spec(text: str) -> None:
    with pytest.raises(SpecError, match=r"^x\.yaml"):
        parse_spec(text, path="x.yaml")


YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*CollectionSpec.model_fields, "type", "dims", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(st.text(max_size=60) | YAML.map(yaml.safe_dump))
def test_nothing_but_spec_errors_comes_out(text: str) -> None:
    try:
        parse_spec(text, path="x")
    except NestvecError as error:
        assert isinstance(error, SpecError)


@given(st.lists(st.integers(2, 32_768), min_size=1, max_size=4, unique=True))
def test_every_dim_is_a_field(dims: list[int]) -> None:
    spec = parse_spec(GOOD.replace("[64, 384]", str(dims)).rsplit("\n  - ", 1)[0], path="x")
    assert [spec.embeddings[0].column(config) for config in spec.embeddings[0].configs] == [
        f"abstract_{n}" for n in dims
    ]


COMPOSED = GOOD.replace(ABSTRACT, ABSTRACT.replace("8192", "8192, compose: {}"))


@pytest.mark.parametrize("template", ['"{year}: {tags.0}"', "flatten", "'{{{tenant}}}'"])
def test_a_field_may_be_composed(template: str) -> None:
    spec = parse_spec(COMPOSED.replace("{}", template), path="x")
    assert spec.fields["abstract"].compose == template.strip("\"'")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            '"{yaer}"',
            r"fields\.abstract\.compose names an unknown field: yaer.*Did you mean 'year'",
        ),
        ('"{abstract}"', "depends on itself, through the fields that it names"),
        ('"{year.month}"', "names a part of year, which has none: INT32. Write {year}"),
        ('"{year"', r"is not a template: a { is not closed"),
        ("plain", "is not a template: the template names no field"),
        ("{year}", r"fields\.abstract\.compose is invalid: a dict"),
        ("3", r"fields\.abstract\.compose is invalid: 3"),
        (f'"{"x" * 5000}"', r"fields\.abstract\.compose is invalid"),
    ],
)
def test_a_wrong_template_is_told(template: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse_spec(COMPOSED.replace("{}", template), path="x")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (YEAR, f'{YEAR}, compose: "{{tenant}}"', r"fields\.year\.compose is only for a VARCHAR.*: INT32"),
        ("primary: true", "primary: true, auto_id: true", "names a key that Milvus generates later: id"),
        (TENANT, '64, compose: "{abstract}", partition_key', "depends on itself"),
    ],
)
def test_what_a_template_may_not_be_on_or_of(old: str, new: str, said: str) -> None:
    text = COMPOSED.replace("{}", '"{id} {tenant}"').replace(old, new)
    with pytest.raises(SpecError, match=said):
        parse_spec(text, path="x")


def test_a_dynamic_collection_may_compose_of_what_it_does_not_declare() -> None:
    assert parse_spec(COMPOSED.replace("{}", '"{brand}"') + "dynamic: true", path="x").dynamic


SPARSE = GOOD.partition("embeddings:")[0] + "embeddings:\n  - {field: abstract, encoder: splade, form: sparse"


def test_a_sparse_field_may_keep_the_largest_weights_alone() -> None:
    text = f"{SPARSE}, top: 64}}\n  - {{field: abstract, encoder: splade, form: sparse}}"
    one, other = parse_spec(text, path="x").embeddings
    assert (one.top, one.column(one.configs[0]), other.column(other.configs[0])) == (
        64,
        "abstract_sparse_top64",
        "abstract_sparse",
    )
    with pytest.raises(SpecError, match=r"embeddings\[0\] has top, which is only for form: sparse: 64"):
        parse_spec(GOOD.replace(ONE, f"{ONE}, top: 64"), path="x")


def test_a_sparse_field_has_no_dims() -> None:
    (one,) = parse_spec(SPARSE + "}\n", path="x").embeddings
    assert (one.dims, one.column(one.configs[0])) == ((), "abstract_sparse")
    assert one.configs == (EmbeddingConfig("splade", form="sparse"),)
    assert (one.index, one.metric) == ("SPARSE_INVERTED_INDEX", "IP")
    (one,) = parse_spec(SPARSE + ", name: lex, index: AUTOINDEX}\n", path="x").embeddings
    assert (one.column(one.configs[0]), one.index) == ("lex", "AUTOINDEX")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ", dims: [64]}",
            r"embeddings\[0\].dims are not allowed with form: sparse: they are the vocabulary: 64",
        ),
        (", exit: 3}", r"embeddings\[0\].exit is not allowed with form: sparse: 3"),
        (", top: 0}", r"embeddings\[0\].top is invalid: 0"),
        (", metric: COSINE}", r"metric is not allowed with form: sparse: COSINE. Omit it, or write IP"),
        (", index: HNSW}", r"index is not allowed with form: sparse: HNSW"),
        ("}\n  - {field: abstract, encoder: splade, form: sparse}", "the same vector field twice"),
        (
            "}\n  - {field: abstract, encoder: m}",
            r"embeddings\[1\].dims are missing: none. Write at least one",
        ),
        (
            "}\n  - {field: abstract, encoder: m, dims: [8], index: SPARSE_INVERTED_INDEX}",
            "is for sparse vectors only: SPARSE_INVERTED_INDEX. Write form: sparse",
        ),
        (
            "}\nvectors:\n  - {name: own, dim: 8, index: SPARSE_INVERTED_INDEX}",
            r"vectors\[0\] has an option for sparse vectors only",
        ),
    ],
)
def test_what_is_wrong_with_a_sparse_field(more: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse_spec(SPARSE + more + "\n", path="x")


def test_a_nullable_vector_takes_two_fields() -> None:
    spec = parse_spec(
        """
        collection: items
        fields: {id: {type: INT64, primary: true}}
        vectors: [{name: v, dim: 3, nullable: true}, {name: w, dim: 3}]
        """,
        path="x",
    )
    assert [vector.nullable for vector in spec.vectors] == [True, False]
    assert not list(limit_problems(spec, vector_fields=4, fields=4))
    assert [problem.value for problem in limit_problems(spec, vector_fields=4, fields=3)] == [4]
