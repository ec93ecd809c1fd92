from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pymilvus import CollectionSchema, DataType, MilvusClient

import nestvec
from nestvec.client.service_client import fetch_info
from nestvec.engines.fake import FakeEngine
from nestvec.milvus.fingerprints import read_fingerprint
from nestvec.milvus.pymilvus_features import TEXT, data_type
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, listening_url, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import (
    DimNotOffered,
    EncoderNotFound,
    ExitNotOffered,
    ExpertNotOffered,
    PromptNotOffered,
    ServiceError,
    ServiceUnreachable,
    SpecError,
    StoreRefused,
    StoreUnknown,
)


@pytest.fixture
def schema() -> CollectionSchema:
    made = MilvusClient.create_schema()
    made.add_field("id", DataType.INT64, is_primary=True)
    made.add_field("abstract", DataType.VARCHAR, max_length=8192)
    made.add_field("note", DataType.VARCHAR, max_length=64, nullable=True)
    return made


CONFIG = ("exit", "expert", "form", "top", "prompt", "query_prompt")


def add(schema: CollectionSchema, source: str, encoder: str, **arguments: Any) -> None:
    """add_embedding, with the attributes of its config and its options in one list."""
    config = {name: arguments.pop(name) for name in CONFIG if name in arguments}
    options = {
        field.name: arguments.pop(field.name)
        for field in fields(nestvec.EmbeddingOptions)
        if field.name in arguments
    }
    nestvec.add_embedding(
        schema,
        source,
        encoder=nestvec.EmbeddingConfig(encoder, **config) if config else encoder,
        options=nestvec.EmbeddingOptions(**options),
        **arguments,
    )


class Server:
    """Says of itself what a real server says."""

    def __init__(self, version: str) -> None:
        self._version = version

    def get_server_version(self) -> str:
        return self._version


def fingerprint(service: str, encoder: str = "tiny") -> str:
    """The parameter of an endpoint with what the service says about an encoder."""
    return f"fingerprint={fetch_info(service).encoders[encoder].fingerprint}"


def params(schema: CollectionSchema) -> list[dict[str, Any]]:
    return [function.params for function in schema.functions]


def test_fields_and_functions_for_milvus_as_the_contract_says(schema: CollectionSchema, service: str) -> None:
    client: Any = Server("v2.6.4")
    add(schema, "abstract", encoder="tiny", dims=[4, 16], service=f"{service}/", client=client, chunk=100)
    made = {field.name: field for field in schema.fields}
    assert made["abstract_4"].params["dim"] == 4
    assert made["abstract_16"].dtype == DataType.FLOAT_VECTOR
    assert params(schema) == [
        {
            "provider": "tei",
            "endpoint": f"{service}?encoder=tiny&dim={dim}&{fingerprint(service)}&deadline=8.4",
            "max_client_batch_size": 100,
            "search_prompt": "w1 ",
        }
        for dim in (4, 16)
    ]
    schema.verify()


def test_functions_for_milvus_lite(schema: CollectionSchema, service: str) -> None:
    client: Any = Server("milvus_lite-3.2.2")
    add(schema, "abstract", encoder="tiny", dims=[8], service=service, client=client, chunk=100)
    assert params(schema) == [
        {
            "provider": "openai",
            "base_url": f"{service}/v1",
            "model_name": f"tiny?{fingerprint(service)}",
            "dimensions": 8,
            "api_key": "unused",
            "max_client_batch_size": 100,
        }
    ]


def test_the_deepest_exit_is_none_to_milvus(schema: CollectionSchema, service: str) -> None:
    add(schema, "abstract", encoder="tiny", dims=[4], service=service, provider="tei", exit=4)
    assert schema.fields[-1].name == "abstract_4_exit4"
    endpoint = f"{service}?encoder=tiny&dim=4&{fingerprint(service)}&deadline=8.4"
    assert schema.functions[-1].params["endpoint"] == endpoint


def test_an_exit_is_named_in_the_field_and_told_to_milvus(schema: CollectionSchema, service: str) -> None:
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "exit": 2}
    add(schema, "abstract", dims=[4], provider="tei", **given)
    add(schema, "abstract", dims=[8], provider="openai", **given)
    assert [field.name for field in schema.fields[3:]] == ["abstract_4_exit2", "abstract_8_exit2"]
    tei, openai = params(schema)
    assert tei["endpoint"].startswith(f"{service}?encoder=tiny&dim=4&exit=2&")
    assert openai["model_name"] == f"tiny@2?{fingerprint(service)}"
    schema.verify()


def test_an_expert_must_be_there(schema: CollectionSchema, service: str) -> None:
    with pytest.raises(ExpertNotOffered, match=r"tiny has no expert of this name: bio\. Available: none"):
        add(schema, "abstract", encoder="tiny", dims=[4], service=service, provider="tei", expert="bio")
    assert len(schema.fields) == 3


def test_int8_fields_are_filled_through_cohere(
    schema: CollectionSchema, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = Server("v2.6.4")
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "client": client, "form": "int8"}
    add(schema, "abstract", dims=[8], exit=2, **given)
    (field,) = schema.fields[3:]
    assert (field.name, field.dtype) == ("abstract_8_exit2_int8", DataType.INT8_VECTOR)
    assert (
        field.description
        == f"nestvec: {service}?encoder=tiny&dim=8&exit=2&{fingerprint(service)}&source=abstract"
    )
    assert params(schema) == [
        {"provider": "cohere", "model_name": f"tiny@2?dim=8&{fingerprint(service)}", "dim": 8}
    ]
    assert f"function.textEmbedding.providers.cohere.url must be {service}/v2/embed" in caplog.text
    key = nestvec.ServiceKey("s3cret", credential="nestvec")
    add(schema, "abstract", dims=[16], key=key, **given)
    assert params(schema)[1]["credential"] == "nestvec"
    with pytest.raises(SpecError, match="the entry's name is missing"):
        add(schema, "abstract", dims=[4], key=nestvec.ServiceKey("s3cret"), **given)
    schema.verify()


def slow_info(service: str, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Let the service say that it embeds ``chunk`` texts in the time of a request."""
    real = fetch_info(service)
    encoders = {
        name: info.model_copy(update={"recommended_chunk": chunk}) for name, info in real.encoders.items()
    }
    slow = real.model_copy(update={"encoders": encoders})
    monkeypatch.setattr("nestvec.milvus.registration.fetch_info", lambda *arguments: slow)


@pytest.mark.parametrize(("chunk", "warned"), [(48, True), (96, False)])
def test_a_slow_encoder_and_the_fixed_chunk_of_cohere(
    schema: CollectionSchema,
    service: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    chunk: int,
    warned: bool,
) -> None:
    slow_info(service, monkeypatch, chunk)
    client: Any = Server("v2.6.11")
    add(schema, "abstract", encoder="tiny", dims=[8], service=service, client=client, form="int8")
    assert ("tiny embeds 48 texts of full length" in caplog.text) is warned


def test_the_chunk_is_shared_by_the_passes_of_a_collection(
    schema: CollectionSchema, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_info(service, monkeypatch, 400)
    client: Any = Server("v2.6.11")
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "client": client}
    add(schema, "abstract", dims=[4, 8], **given)
    add(schema, "abstract", dims=[16], **given)
    add(schema, "abstract", dims=[4], exit=2, **given)
    add(schema, "abstract", dims=[8], exit=2, prompt="query", query_prompt="query", **given)
    assert [one["max_client_batch_size"] for one in params(schema)] == [400, 400, 400, 200, 133]


def test_the_chunk_is_shared_by_the_sources_of_a_collection(
    schema: CollectionSchema, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_info(service, monkeypatch, 400)
    schema.add_field("title", DataType.VARCHAR, max_length=1000)
    client: Any = Server("v2.6.11")
    deepest = fetch_info(service).encoder("tiny", service).layers[0]
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "client": client}
    add(schema, "abstract", dims=[4], **given)
    add(schema, "abstract", dims=[8], exit=deepest, **given)
    add(schema, "title", dims=[4], **given)
    assert [one["max_client_batch_size"] for one in params(schema)] == [400, 400, 200]


@pytest.mark.skipif(TEXT is None, reason="pymilvus 2.6 has no TEXT fields")
def test_a_text_field_is_a_source_where_milvus_has_them(schema: CollectionSchema, service: str) -> None:
    schema.add_field("body", data_type("TEXT"))
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "dims": [4]}
    lite: Any = Server("milvus_lite-3.2.2")
    with pytest.raises(StoreRefused, match=r"Lite has no TEXT fields: body\. Make it VARCHAR"):
        add(schema, "body", client=lite, **given)
    server: Any = Server("v2.6.11")
    add(schema, "body", client=server, **given)
    assert schema.functions[0].input_field_names == ["body"]


def test_another_provider_of_int8(
    schema: CollectionSchema, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "provider": "voyageai"}
    old: Any = Server("v2.6.9")
    with pytest.raises(StoreRefused, match=r"voyageai provider of Milvus before 2\.6\.10"):
        add(schema, "abstract", client=old, form="int8", dims=[8], **given)
    new: Any = Server("v2.6.10")
    add(schema, "abstract", client=new, form="int8", dims=[8], **given)
    add(schema, "abstract", client=new, dims=[8], **given)
    assert [one["provider"] for one in params(schema)] == ["voyageai", "tei"]
    assert f"voyageai.url must be {service}/v1/embeddings?output_dtype=int8" in caplog.text


def test_binary_fields_say_who_fills_them(schema: CollectionSchema, service: str) -> None:
    add(schema, "abstract", encoder="tiny", dims=[16], service=service, provider="tei", form="binary")
    (field,) = schema.fields[3:]
    assert (field.name, field.dtype) == ("abstract_16_binary", DataType.BINARY_VECTOR)
    assert (
        field.description == f"nestvec: {service}?encoder=tiny&dim=16&{fingerprint(service)}&source=abstract"
    )
    assert not schema.functions
    (index,) = nestvec.index_params(schema)
    assert index.to_dict()["index_type"] == "BIN_FLAT"
    assert index.to_dict()["metric_type"] == "HAMMING"
    schema.verify()


@pytest.mark.parametrize(("form", "type_"), [("int8", "INT8_VECTOR"), ("binary", "BINARY_VECTOR")])
def test_milvus_lite_has_float_vectors_alone(
    schema: CollectionSchema, service: str, form: Any, type_: str
) -> None:
    client: Any = Server("milvus_lite-3.2.2")
    with pytest.raises(
        StoreRefused, match=f"Lite has no {type_} fields.*or use a Milvus server, version 2.6 or later"
    ):
        add(schema, "abstract", encoder="tiny", dims=[8], service=service, client=client, form=form)
    assert len(schema.fields) == 3


def test_prompts_that_milvus_lite_cannot_send_are_warned_of(
    schema: CollectionSchema, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    add(schema, "abstract", encoder="tiny", dims=[8], service=service, provider="openai")
    assert "the prompts of tiny are not used" in caplog.text


def test_named_prompts_are_in_the_fields_name_and_sent_by_milvus(
    schema: CollectionSchema, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"encoder": "tiny", "service": service, "dims": [4]}
    add(schema, "abstract", provider="tei", prompt="document", query_prompt="document", **given)
    add(schema, "abstract", provider="tei", prompt="query", **given)
    add(schema, "abstract", provider="openai", prompt="query", dims=[8], encoder="tiny", service=service)
    assert [field.name for field in schema.fields[-3:]] == [
        "abstract_4_document_query_document",
        "abstract_4_query",
        "abstract_8_query",
    ]
    plain, both, lite = params(schema)
    assert not {"ingestion_prompt", "search_prompt"} & set(plain)
    assert (both["ingestion_prompt"], both["search_prompt"]) == ("w1 ", "w1 ")
    query = f"encoder=tiny&dim=4&prompt=&{fingerprint(service)}&document_prompt=query&deadline=8.4"
    assert both["endpoint"] == f"{service}?{query}"
    assert lite["model_name"] == f"tiny?prompt=query&{fingerprint(service)}"
    assert "are not used" not in caplog.text


def test_prompts_that_milvus_lite_cannot_tell_apart_are_refused(
    schema: CollectionSchema, service: str
) -> None:
    with pytest.raises(StoreRefused, match=r"their prompts differ: query and document"):
        add(
            schema,
            "abstract",
            encoder="tiny",
            dims=[8],
            service=service,
            provider="openai",
            prompt="query",
            query_prompt="document",
        )
    with pytest.raises(PromptNotOffered, match=r"no prompt of this name: sts\. Available: query, document"):
        add(schema, "abstract", encoder="tiny", dims=[8], service=service, provider="openai", prompt="sts")
    assert len(schema.fields) == 3


def test_without_a_connection_the_kind_of_milvus_is_not_guessed(
    schema: CollectionSchema, service: str
) -> None:
    with pytest.raises(StoreUnknown, match=r"it is unknown whether.*no connection is open.*Pass client="):
        add(schema, "abstract", encoder="tiny", dims=[8], service=service)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dims": [8, 5]}, DimNotOffered, r"many dims: 5\. Available: 16, 8, 4"),
        ({"dims": [0]}, DimNotOffered, r"many dims: 0\."),
        ({"dims": ["8"]}, DimNotOffered, r"many dims: 8\."),
        ({"dims": [8, 8]}, SpecError, r"already has a field of this name: abstract_8"),
        ({"exit": 3}, ExitNotOffered, r"tiny has no exit after this layer: 3\. Available: 2, 4\. Export"),
        ({"exit": "2"}, ExitNotOffered, r"after this layer: 2\."),
        ({"exit": True}, ExitNotOffered, r"after this layer: True\."),
        ({"form": "int4"}, SpecError, r"no such vector form: int4\. Choose float, int8, binary"),
        ({"form": "binary", "dims": [8, 4]}, DimNotOffered, r"whole bytes: 4\. Choose a multiple of 8"),
        ({"encoder": "tinny"}, EncoderNotFound, r"tinny\. Available: tiny\. Did you mean 'tiny'\?"),
        ({"source": "abstrct"}, SpecError, r"abstrct\. Add it first.*Did you mean 'abstract'\?"),
        ({"source": "id"}, SpecError, r"VARCHAR and TEXT fields only, and id is neither: INT64"),
        ({"source": "note"}, SpecError, r"may be null: note"),
        ({"service": "127.0.0.1:8080"}, ServiceError, r"not an http or https URL.*http://HOST:PORT"),
        ({"service": "http://h:1/embed"}, ServiceError, r"more than scheme, host and port"),
    ],
)
def test_what_is_refused_leaves_the_schema_alone(
    schema: CollectionSchema, service: str, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"source": "abstract", "encoder": "tiny", "dims": [8], "service": service, **change}
    with pytest.raises(error, match=message):
        add(schema, given.pop("source"), provider="tei", **given)
    assert len(schema.fields) == 3
    assert not schema.functions


def test_a_service_that_does_not_answer(schema: CollectionSchema) -> None:
    with bind("127.0.0.1", 0) as listener:
        gone = listening_url(listener)
    with pytest.raises(ServiceUnreachable, match=r"no service answers at .*Start it: nestvec serve"):
        add(schema, "abstract", encoder="tiny", dims=[8], service=gone, provider="tei")


def test_a_service_with_keys(schema: CollectionSchema, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = nestvec.ServiceKey("s3cret", credential="nestvec")
    assert "s3cret" not in repr(key)
    given: dict[str, Any] = {"encoder": "tiny", "service": service}
    add(schema, "abstract", dims=[4], provider="openai", key=key, **given)
    add(schema, "abstract", dims=[8], provider="tei", key=key, **given)
    monkeypatch.setenv("NESTVEC_API_KEY", "other")
    with pytest.raises(SpecError, match=r"the entry's name is missing\. Put the key under credential"):
        add(schema, "abstract", dims=[16], provider="tei", **given)
    add(schema, "abstract", dims=[16], provider="openai", **given)
    lite, tei, last = params(schema)
    assert (lite["api_key"], tei["credential"], last["api_key"]) == ("s3cret", "nestvec", "other")
    assert "s3cret" not in str(tei)


def test_an_index_for_every_embedding_field(schema: CollectionSchema, service: str) -> None:
    add(schema, "abstract", encoder="tiny", dims=[4, 8], service=service, provider="tei")
    chosen = nestvec.index_params(schema, {"abstract_8": nestvec.Index("HNSW", "IP", {"M": 16})})
    assert [one.to_dict() for one in chosen] == [
        {"field_name": "abstract_4", "index_type": "AUTOINDEX", "index_name": "abstract_4"}
        | {"metric_type": "COSINE"},
        {"field_name": "abstract_8", "index_type": "HNSW", "index_name": "abstract_8"}
        | {"metric_type": "IP", "M": 16},
    ]
    with pytest.raises(SpecError, match=r"no embedding field of this name.*Did you mean 'abstract_8'"):
        nestvec.index_params(schema, {"abstract_88": nestvec.Index()})


@pytest.fixture
def words(write_encoder: Callable[..., Path]) -> Iterator[str]:
    """A service that holds an encoder of each kind: ``tiny`` is dense, ``words`` sparse."""
    models = write_encoder().parent
    kinds = {"words": "sparse", "cross": "reranker", "late": "multivector"}
    for name, kind in kinds.items():
        write_encoder(name, kind=kind, dims=(16,), layers=(4,))
    engine = FakeEngine(dict.fromkeys(("tiny", *kinds), 16))
    embedder = Embedder(open_encoders(models), engine, ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


@pytest.mark.parametrize("version", ["milvus_lite-3.2.2", "v2.6.4"])
def test_a_sparse_field_says_who_fills_it_wherever_it_is_kept(
    schema: CollectionSchema, words: str, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = Server(version)
    given: dict[str, Any] = {"encoder": "words", "service": words, "client": client, "form": "sparse"}
    add(schema, "abstract", **given)
    add(schema, "abstract", name="lex", dims=[16], **given)
    found = [(one.name, one.dtype, one.description) for one in schema.fields[3:]]
    note = f"nestvec: {words}?encoder=words&dim=16&{fingerprint(words, 'words')}&source=abstract"
    sparse = DataType.SPARSE_FLOAT_VECTOR
    assert found == [("abstract_sparse", sparse, note), ("lex", sparse, note)]
    assert not schema.functions
    notes = nestvec.field_notes(schema)
    recorded = [read_fingerprint(notes, name) for name in ("abstract_sparse", "lex")]
    assert [record and f"fingerprint={record.fingerprint}" for record in recorded] == [
        fingerprint(words, "words")
    ] * 2
    assert {name: text for name, text in notes.items() if not name.startswith("nestvec.fingerprint.")} == {
        "nestvec.embed.abstract_sparse": note,
        "nestvec.embed.lex": note,
    }
    index = nestvec.index_params(schema)[0].to_dict()
    assert (index["index_type"], index["metric_type"]) == ("SPARSE_INVERTED_INDEX", "IP")
    assert "Milvus does not fill sparse vectors: write the rows with nestvec ingest" in caplog.text
    schema.verify()


@pytest.mark.parametrize(
    ("encoder", "form", "dims", "error", "message"),
    [
        ("words", "float", [16], SpecError, "words is a sparse encoder.*form: sparse without dims"),
        ("tiny", "sparse", [], SpecError, "tiny is a dense encoder, which has no vectors of the form sparse"),
        ("cross", "float", [16], SpecError, "cross is a reranker.*a dense encoder. .*RERANK BY"),
        (
            "late",
            "float",
            [16],
            SpecError,
            "late is a multivector.*a dense encoder. .*RERANK BY",
        ),
        (
            "late",
            "binary",
            [16],
            SpecError,
            "late is a multivector.*no vectors of the form bin",
        ),
        ("cross", "sparse", [], SpecError, "cross is a reranker.*a sparse encoder. .*RERANK BY"),
        ("tiny", "float", [], SpecError, "no dims were chosen. Available: 16, 8, 4"),
        ("words", "sparse", [8], DimNotOffered, "does not offer vectors of this many dims: 8"),
    ],
)
def test_an_encoder_has_vectors_of_its_kind(
    schema: CollectionSchema,
    words: str,
    encoder: str,
    form: Any,
    dims: list[int],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        add(schema, "abstract", encoder=encoder, dims=dims, service=words, provider="tei", form=form)
    assert len(schema.fields) == 3


def test_the_largest_weights_alone_are_named_in_the_field_and_its_note(
    schema: CollectionSchema, words: str
) -> None:
    given: dict[str, Any] = {"encoder": "words", "service": words, "provider": "tei", "form": "sparse"}
    add(schema, "abstract", top=64, **given)
    add(schema, "abstract", **given)
    assert [one.name for one in schema.fields[3:]] == ["abstract_sparse_top64", "abstract_sparse"]
    note = f"nestvec: {words}?encoder=words&dim=16&top=64&{fingerprint(words, 'words')}&source=abstract"
    assert schema.fields[3].description == note
    for top in (0, True, "64"):
        with pytest.raises(SpecError, match=rf"not a number of weights: {top}\. Write a whole number from 1"):
            add(schema, "abstract", top=top, **given)
    with pytest.raises(SpecError, match=r"the form is float: top 64\. Omit top"):
        add(schema, "abstract", encoder="tiny", dims=[8], service=words, provider="tei", top=64)
    assert len(schema.fields) == 5


def test_the_public_names() -> None:
    functions = ["aconnect", "add_embedding", "connect", "field_notes", "index_params"]
    values = ["EmbeddingConfig", "EmbeddingOptions", "Index", "ServiceKey"]
    assert nestvec.__all__ == [*values, "__version__", *functions]
    for name in nestvec.__all__:
        assert getattr(nestvec, name)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'"):
        nestvec.nothing  # noqa: B018
