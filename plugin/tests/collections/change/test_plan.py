"""The plan of a change: what becomes of each field, how long it takes, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nestvec.collections.change.definition import Change, change_to_spec, new_embedding, read_change
from nestvec.collections.change.new_columns import NewColumn
from nestvec.collections.change.plan import Measured, Names, change_names, plan_change
from nestvec.milvus.catalog import Column, EmbeddingColumn, LexicalColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SpecError, StoreRefused
from nestvec_schemas.spec.collection_spec import FieldSpec, VectorSpec
from nestvec_schemas.spec.yaml_file import parse_spec

SERVICE = "http://s:8080"
NAMES = Names("papers", "papers", "papers__1", "papers__0")


def embedding(name: str, dim: int) -> EmbeddingColumn:
    return EmbeddingColumn("text", name, Endpoint("openai", SERVICE, EmbeddingConfig("minilm", dim=dim)))


TABLE = Table(
    "papers",
    columns=(
        Column("id", "INT64", primary=True),
        Column("text", "VARCHAR"),
        Column("year", "INT32"),
        Column("tenant", "VARCHAR", partition_key=True),
        Column("own", "FLOAT_VECTOR", type_params=TypeParams(dim=8)),
        Column("text_64", "FLOAT_VECTOR", type_params=TypeParams(dim=64)),
        Column("words", "SPARSE_FLOAT_VECTOR"),
    ),
    embeddings=(embedding("text_64", 64),),
    lexical=(LexicalColumn("text", "words"),),
    generated={"text_64": "text", "words": "text"},
)


INT = FieldSpec(type="INT32", nullable=True)


def added(*dims: int, **values: str) -> Change:
    keys = {"field": "text", "encoder": "minilm", "dims": dims, "service": SERVICE}
    return Change((new_embedding({**keys, **values}),))


def test_each_field_has_its_part() -> None:
    change = replace(added(32), drop=("year",))
    plan = plan_change(TABLE, change, NAMES, Measured(1_000, row_bytes=100, text_seconds=0.01))
    assert plan.fields.added == ("text_32",)
    assert plan.fields.copied == ("id", "text", "tenant", "own")
    assert plan.fields.computed == ("text_64", "words")
    assert plan.fields.dropped == ("year",)
    # 32 and 64 dims come from one pass through the encoder.
    assert plan.seconds == pytest.approx(10)
    assert plan.bytes == 1_000 * (100 + 4 * 8 + 4 * 64 + 1_024 + 4 * 32)


def test_columns_are_added_and_replace_those_of_their_names() -> None:
    vector = NewColumn("v", VectorSpec(name="v", dim=16))
    change = Change(drop=("year", "own"), columns=(NewColumn("year", INT), vector))
    plan = plan_change(TABLE, change, NAMES, Measured(1_000, row_bytes=100))
    assert plan.fields.added == ("year", "v")
    assert plan.fields.copied == ("id", "text", "tenant")
    assert plan.fields.dropped == ("year", "own")
    assert plan.bytes == 1_000 * (100 + 4 * 64 + 1_024 + 4 * 16)


def test_the_field_that_stands_for_a_vector_is_dropped_for_one() -> None:
    columns = (Column("id", "INT64", primary=True), Column("text", "VARCHAR"))
    plain = Table("papers", columns, indexes={"nestvec_no_vector": "FLAT"})
    vector = NewColumn("v", VectorSpec(name="v", dim=16))
    change = Change(drop=("nestvec_no_vector",), columns=(vector,))
    fields = plan_change(plain, change, NAMES, Measured(0)).fields
    assert (fields.added, fields.copied, fields.dropped) == (("v",), ("id", "text"), ())


def test_a_source_that_is_missing_is_named_with_those_that_there_are() -> None:
    with pytest.raises(SpecError, match="the collection has no field of this name to embed") as error:
        plan_change(TABLE, added(32, field="texts"), NAMES, Measured(0))
    assert "texts. Available: text, tenant. Did you mean 'text'?" in str(error.value)


def test_fields_of_two_encoders_need_two_passes() -> None:
    plan = plan_change(TABLE, added(32, encoder="other"), NAMES, Measured(1_000, text_seconds=0.01))
    assert plan.seconds == pytest.approx(20)


def test_the_plan_says_what_becomes_of_the_name() -> None:
    plan = plan_change(TABLE, added(32), NAMES, Measured(1_000), keep_old=True)
    assert plan.lines()[-2:] == [
        "papers becomes an alias of papers__1; requests in the moment of the switch fail, this once.",
        "The previous collection is kept as papers__0.",
    ]
    assert plan.as_json()["becomes_alias"] is True
    assert plan.as_json()["seconds"] is None


@pytest.mark.parametrize(
    ("source", "existing", "beside", "retired"),
    [
        ("papers", ("papers",), "papers__1", "papers__0"),
        ("papers", ("papers", "papers__4", "papers__x"), "papers__6", "papers__5"),
        ("papers__1", ("papers", "papers__1"), "papers__2", "papers__1"),
    ],
)
def test_names_that_exist_are_not_used(
    source: str, existing: tuple[str, ...], beside: str, retired: str
) -> None:
    assert change_names("papers", source, existing) == Names("papers", source, beside, retired)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (added(64), "the collection already has a field of this name: text_64"),
        (Change(drop=("id",)), "a key cannot be dropped: id"),
        (Change(drop=("tenant",)), "a key cannot be dropped: tenant"),
        (Change(drop=("text",)), "text_64, words is computed from this field: text"),
        (Change(drop=("yaer",)), "papers has no field of this name to drop: yaer"),
        (Change(drop=("own", "text_64", "words")), "a collection needs a vector field"),
        (Change(columns=(NewColumn("year", INT),)), "already has a field of this name: year"),
        (
            Change(drop=("own", "text_64", "words"), columns=(NewColumn("n", INT),)),
            "a collection needs a vector field",
        ),
        (replace(added(32), drop=("text", "text_64", "words")), "from a field that is dropped: text"),
    ],
)
def test_what_cannot_be_done_is_refused(change: Change, cause: str) -> None:
    with pytest.raises(SpecError, match=cause):
        plan_change(TABLE, change, NAMES, Measured(1))


def test_a_disk_without_space_is_an_error_before_anything_is_written() -> None:
    with pytest.raises(StoreRefused, match=r"no space for a second papers: .* needed, 10 bytes free"):
        plan_change(TABLE, added(32), NAMES, Measured(1_000, free_bytes=10))


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"dims": ()}, "no dims were chosen: minilm"),
        ({"dims": (64,), "form": "sparse"}, "a sparse encoder has no dims: minilm"),
        ({"dims": (1,)}, "greater than or equal to 2"),
    ],
)
def test_an_embedding_that_no_spec_has_is_refused(values: dict[str, object], cause: str) -> None:
    with pytest.raises(SpecError, match=cause):
        new_embedding({"field": "text", "encoder": "minilm", "service": SERVICE, **values})


SPEC = """
collection: papers
service: http://s:8080
fields:
  id:     {type: INT64, primary: true}
  text:   {type: VARCHAR, max_length: 100}
  year:   {type: INT32}
  tenant: {type: VARCHAR, max_length: 100, partition_key: true}
embeddings:
  - {field: text, encoder: ENCODER, dims: [DIMS]}
lexical:
  - {field: text, name: words}
vectors:
  - {name: own, dim: 8}
"""


def spec_change(encoder: str, dims: str, text: str = SPEC) -> Change:
    return change_to_spec(TABLE, parse_spec(text.replace("ENCODER", encoder).replace("DIMS", dims), path="x"))


def test_a_spec_says_what_is_added_changed_and_dropped() -> None:
    assert set(spec_change("minilm", "64, 32").fields) == {"text_32"}
    assert spec_change("minilm", "64, 32").drop == ()
    changed = spec_change("other", "64")
    assert (set(changed.fields), changed.drop) == ({"text_64"}, ("text_64",))
    assert spec_change("minilm", "32").drop == ("text_64",)
    assert read_change(changed.identity()) == changed


def test_a_field_whose_encoder_was_replaced_is_embedded_anew() -> None:
    spec = parse_spec(SPEC.replace("ENCODER", "minilm").replace("DIMS", "64"), path="x")
    change = change_to_spec(TABLE, spec, {"text_64"})
    assert (set(change.fields), change.drop) == ({"text_64"}, ("text_64",))


def test_a_spec_that_differs_in_other_fields_or_in_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="the collection is as the spec declares it"):
        spec_change("minilm", "64")
    with pytest.raises(SpecError, match=r"the spec has no field of this name: .*: year"):
        spec_change("minilm", "32", SPEC.replace("  year:   {type: INT32}\n", ""))
