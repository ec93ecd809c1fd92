"""What a Milvus server sends and refuses, with the real encoder: Milvus's wire behaviour, line by line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from integration_tests.fixtures.milvus_go import GoError, GoMilvus, Transport
from integration_tests.fixtures.services import Serve
from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient

import nestvec
from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine
from nestvec.milvus.calls import MilvusCalls
from nestvec.milvus.providers import PROVIDERS
from nestvec.milvus.pymilvus_features import TEXT
from nestvec.milvus.server_version import parse_version
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import AccessSettings, LoadLimits, ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig, Prompts
from nestvec_schemas.errors import SpecError
from nestvec_schemas.vectors import Vectors, cosines, nest

TEXTS = [f"{word} number {number}" for number in range(4) for word in ("heat", "wing", "bread")]


def text_schema(source: DataType = DataType.VARCHAR) -> CollectionSchema:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", source, max_length=8192)
    return schema


def add(schema: CollectionSchema, milvus: GoMilvus, service: str, dims: list[int], **choices: Any) -> None:
    client: Any = milvus
    form = choices.pop("form", "float")
    nestvec.add_embedding(
        schema,
        "text",
        encoder=nestvec.EmbeddingConfig("minilm", form=form),
        dims=dims,
        service=service,
        client=client,
        options=nestvec.EmbeddingOptions(**choices),
    )


def rows(texts: list[str]) -> list[dict[str, Any]]:
    return [{"id": number, "text": text} for number, text in enumerate(texts)]


def as_written(milvus: GoMilvus) -> list[dict[str, Any]]:
    return [body for _, body, _ in milvus.transport.requests]


@pytest.mark.parametrize("version", ["v2.6.3", "v2.6.19", "3.0.0"])
@pytest.mark.parametrize("source", [DataType.VARCHAR, *([TEXT] if TEXT else [])])
def test_four_fields_of_one_insert(service: str, version: str, source: DataType) -> None:
    milvus, schema, dims = GoMilvus(version), text_schema(source), [64, 128, 256, 384]
    add(schema, milvus, service, dims, chunk=5)
    milvus.create_collection("papers", schema)
    assert as_written(milvus) == [{"inputs": ["check"]}] * 4
    for dim, (url, _, headers) in zip(dims, milvus.transport.requests, strict=True):
        parts = urlsplit(url)
        assert parts.path == "/embed"
        assert parse_qs(parts.query)["encoder"] == ["minilm"]
        assert parse_qs(parts.query)["dim"] == [str(dim)]
        assert "Authorization" not in headers
    milvus.transport.requests.clear()
    milvus.insert("papers", rows(TEXTS))
    sent = Counter((url, len(body["inputs"])) for url, body, _ in milvus.transport.requests)
    assert sorted(sent.values()) == [1] * 4 + [2] * 4
    assert {size for _, size in sent} == {5, 2}
    whole = milvus.vectors("papers", "text_384")
    for dim in dims:
        assert cosines(milvus.vectors("papers", f"text_{dim}"), nest(whole, dim)).min() > 0.99999
    (query,) = milvus.embed_queries("papers", "text_64", [TEXTS[0]])
    assert cosines(np.asarray([query], np.float32), milvus.vectors("papers", "text_64")[:1]).min() > 0.99999


def test_rows_of_an_insert_empty_texts_and_null_texts(service: str) -> None:
    milvus, schema = GoMilvus(), text_schema()
    add(schema, milvus, service, [64], chunk=2)
    milvus.create_collection("papers", schema)
    with pytest.raises(GoError, match=r"numRows \[11\] > function \[text_64_embedding\]'s max batch \[10\]"):
        milvus.insert("papers", rows(TEXTS[:11]))
    with pytest.raises(GoError, match=r"nq \[11\] > function"):
        milvus.embed_queries("papers", "text_64", TEXTS[:11])
    milvus.transport.requests.clear()
    with pytest.raises(GoError, match="empty string in the input data"):
        milvus.insert("papers", rows(["a", ""]))
    with pytest.raises(GoError, match="empty string in the queries"):
        milvus.embed_queries("papers", "text_64", [""])
    with pytest.raises(GoError, match="not nullable, but got null"):
        milvus.insert("papers", [{"id": 1, "text": None}])
    assert milvus.transport.requests == []
    milvus.insert("papers", rows(TEXTS[:10]))
    assert len(milvus.rows["papers"]) == 10


def test_an_error_is_read_by_the_user_after_three_tries(service: str) -> None:
    waits: list[float] = []
    milvus = GoMilvus(transport=Transport(sleep=waits.append))
    schema = text_schema()
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=64)
    params = {"provider": "tei", "endpoint": f"{service}?encoder=nothing&dim=64"}
    schema.add_function(Function("v_embedding", FunctionType.TEXTEMBEDDING, ["text"], ["v"], params=params))
    with pytest.raises(GoError, match=r"check function \[v_embedding.*404 Not Found, .*nothing.*minilm"):
        milvus.create_collection("papers", schema)
    assert milvus.transport.statuses == [404, 404, 404]
    assert 1 <= waits[0] <= 1.25
    assert 2 <= waits[1] <= 2.5


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def slow_service(clock: Clock, seconds: float, answers: list[int]) -> Iterator[str]:
    """A service that takes ``seconds`` for each answer, with these statuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            clock.pass_by(seconds)
            status = answers.pop(0)
            content = json.dumps([[1.0] * 4]) if status == 200 else '{"error":"too slow: 3 of 5 embedded"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def embed_slowly(seconds: float, answers: list[int]) -> tuple[Clock, Callable[[], object]]:
    clock = Clock()

    def call() -> object:
        with slow_service(clock, seconds, answers) as address:
            transport = Transport(clock=clock, sleep=clock.pass_by)
            return json.loads(transport.post(f"{address}/embed", {"inputs": ["a"]}, {}, 30.0))

    return clock, call


@pytest.mark.parametrize("version", ["v2.6.3", "v2.6.19", ""])
def test_an_error_at_our_deadline_is_read(version: str) -> None:
    clock, call = embed_slowly(MilvusCalls(parse_version(version)).deadline + 0.25, [504, 504, 504])
    with pytest.raises(GoError, match=r"504 Gateway Timeout.*3 of 5 embedded"):
        call()
    assert clock.now <= 30


def test_an_error_that_comes_later_is_not_read() -> None:
    _, call = embed_slowly(9.6, [504, 504, 504])
    with pytest.raises(GoError, match="context deadline exceeded") as caught:
        call()
    assert "3 of 5" not in str(caught.value)


def test_the_second_try_has_time_to_succeed() -> None:
    _, call = embed_slowly(MilvusCalls().deadline, [504, 200])
    assert call() == [[1.0] * 4]


@pytest.mark.parametrize(
    ("version", "provider"),
    [
        *((version, None) for version in ("v2.6.0", "v2.6.8", "v2.6.9", "v2.6.19", "3.0.0")),
        *((version, "voyageai") for version in ("v2.6.10", "3.0.0")),
    ],
)
def test_int8_below_full_length(service: str, version: str, provider: str | None) -> None:
    milvus = GoMilvus(version, credentials={"any": "unused"})
    cluster = PROVIDERS["voyageai" if provider else "cohere"]
    milvus.urls = {cluster.name: f"{service}{cluster.cluster_path}"}
    schema = text_schema()
    add(schema, milvus, service, [64, 384], form="int8", provider=provider)
    milvus.create_collection("papers", schema)
    milvus.insert("papers", rows(TEXTS))
    short, whole = milvus.vectors("papers", "text_64_int8"), milvus.vectors("papers", "text_384_int8")
    assert cosines(short, nest(whole, 64)).min() > 0.99


@pytest.mark.parametrize(("version", "name"), [("v2.6.19", "nestvec"), ("3.0.0", "NestVec")])
def test_a_credential_with_capitals(
    models: Path, serve: Serve, tmp_path: Path, version: str, name: str
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("correct-horse-battery-staple\n")
    service = serve(models, ServiceSettings(access=AccessSettings(keys)))
    key = nestvec.ServiceKey("correct-horse-battery-staple", credential="NestVec")
    milvus = GoMilvus(version, credentials={"NestVec": key.api_key})
    schema = text_schema()
    add(schema, milvus, service, [64], key=key)
    assert schema.functions[0].params["credential"] == name
    milvus.create_collection("papers", schema)
    milvus.insert("papers", rows(TEXTS))
    assert {headers["Authorization"] for _, _, headers in milvus.transport.requests} == {
        f"Bearer {key.api_key}"
    }
    milvus.urls = {"cohere": f"{service}/v2/embed"}
    with_int8 = text_schema()
    add(with_int8, milvus, service, [64], key=key, form="int8")
    milvus.create_collection("codes", with_int8)
    assert milvus.transport.requests[-1][2]["Authorization"] == f"bearer {key.api_key}"


def test_a_credential_that_milvus_does_not_have(service: str) -> None:
    milvus = GoMilvus()
    schema = text_schema()
    add(schema, milvus, service, [64], key=nestvec.ServiceKey("k", credential="other"))
    with pytest.raises(GoError, match=r"can not find key: other\.apikey"):
        milvus.create_collection("papers", schema)


def test_milvus_puts_the_prompts_before_the_texts(service: str) -> None:
    config = EmbeddingConfig("minilm", 64, prompts=Prompts("passage: ", "query: "))
    schema = text_schema()
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=64)
    params = PROVIDERS["tei"].write_params(service, config, MilvusCalls())
    schema.add_function(Function("v_embedding", FunctionType.TEXTEMBEDDING, ["text"], ["v"], params=params))
    milvus = GoMilvus()
    milvus.create_collection("papers", schema)
    milvus.embed_queries("papers", "v", ["heat"])
    assert as_written(milvus) == [{"inputs": ["passage: check"]}, {"inputs": ["query: heat"]}]


def test_a_nullable_source_is_refused_by_milvus_and_before(service: str) -> None:
    milvus = GoMilvus("3.0.0")
    schema = text_schema()
    schema.add_field("note", DataType.VARCHAR, max_length=99, nullable=True)
    client: Any = milvus
    with pytest.raises(SpecError, match="may be null: note"):
        nestvec.add_embedding(schema, "note", encoder="minilm", dims=[64], service=service, client=client)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=64)
    params = PROVIDERS["tei"].write_params(service, EmbeddingConfig("minilm", 64), MilvusCalls())
    schema.add_function(Function("v_embedding", FunctionType.TEXTEMBEDDING, ["note"], ["v"], params=params))
    with pytest.raises(GoError, match="cannot be nullable"):
        milvus.create_collection("papers", schema)


def test_providers_of_a_cluster_need_a_key_even_for_a_service_without(service: str) -> None:
    milvus = GoMilvus(urls={"cohere": f"{service}/v2/embed"})
    schema = text_schema()
    add(schema, milvus, service, [64], form="int8")
    with pytest.raises(GoError, match=r"Missing credentials config .* MILVUS_COHERE_API_KEY"):
        milvus.create_collection("papers", schema)


@pytest.mark.parametrize(
    ("version", "refusal"),
    [
        ("v2.6.4", "unknown method"),
        ("v2.6.11", ""),
        ("3.0.0", 'param "endpoint" cannot be altered'),
    ],
)
def test_a_service_that_moves(service: str, models: Path, serve: Serve, version: str, refusal: str) -> None:
    milvus, schema = GoMilvus(version), text_schema()
    add(schema, milvus, service, [64], chunk=100)
    milvus.create_collection("papers", schema)
    (registered,) = milvus.functions["papers"]
    moved = text_schema()
    add(moved, milvus, serve(models), [64], chunk=100)
    function = replace(
        registered, params={key: str(value) for key, value in moved.functions[0].params.items()}
    )
    if refusal:
        with pytest.raises(GoError, match=refusal):
            milvus.alter_function("papers", function)
    else:
        milvus.alter_function("papers", function)
        milvus.insert("papers", rows(TEXTS))
        assert urlsplit(milvus.transport.requests[-1][0]).netloc != urlsplit(service).netloc
    if version == "3.0.0":
        milvus.alter_function(
            "papers", replace(registered, params={**registered.params, "max_client_batch_size": "64"})
        )
        assert milvus.functions["papers"][0].max_rows == 320


class _Stuck(FakeEngine):
    """An engine that answers nothing."""

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(
    ("provider", "path"),
    [("voyageai", "/v1/embeddings?output_dtype=int8"), ("cohere", "/v2/embed"), ("tei", "")],
)
def test_a_user_of_milvus_reads_that_the_time_ended(models: Path, provider: str, path: str) -> None:
    """Also at an address that states no deadline, as a cluster has one in its milvus.yaml."""
    load = LoadLimits(milvus_deadline_seconds=0.4)
    embedder = open_embedder(models, (), ServiceSettings(load=load))
    embedder.engine = _Stuck({"minilm": 384})
    waits: list[float] = []
    transport = Transport(sleep=waits.append)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        milvus = GoMilvus("v2.6.11", {provider: service + path}, {"nestvec": "key"}, transport)
        schema = text_schema()
        form = "float" if provider == "tei" else "int8"
        add(
            schema,
            milvus,
            service,
            [64],
            form=form,
            provider=provider,
            key=nestvec.ServiceKey("key", "nestvec"),
        )
        if provider == "tei":  # as somebody may have written it
            schema.functions[0].params["endpoint"] = f"{service}?encoder=minilm&dim=64"
        with pytest.raises(GoError, match=r"504 Gateway Timeout.*did not embed 1 of the texts within 0\.4 s"):
            milvus.create_collection("papers", schema)
    assert transport.statuses == [504] * 3
    assert len(waits) == 2
