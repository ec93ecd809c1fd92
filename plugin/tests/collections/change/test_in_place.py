"""A service that moves: its new address reaches the Functions where the server alters them."""

from __future__ import annotations

from typing import Any

import pytest

from nestvec.client.service_client import EncoderInfo, ServiceInfo
from nestvec.collections.change import in_place
from nestvec.collections.change.definition import change_to_spec
from nestvec.collections.change.in_place import movable_columns, move_columns, without_columns
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceRefused
from nestvec_schemas.spec.yaml_file import parse_spec

FINGERPRINT = "0123456789abcdef"


def endpoint(dim: int) -> str:
    return f"http://old:1?encoder=tiny&dim={dim}&fingerprint={FINGERPRINT}&deadline=9.5"


class Server:
    """A server with one collection, which alters Functions."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.altered: dict[str, Any] = {}

    def get_server_version(self) -> str:
        return self.version

    def describe_collection(self, name: str) -> dict[str, Any]:
        functions = [
            {
                "name": f"f{dim}",
                "input_field_names": ["body"],
                "output_field_names": [f"body_{dim}"],
                "params": {"provider": "tei", "endpoint": endpoint(dim), "search_prompt": "q: "},
            }
            for dim in (8, 16)
        ]
        return {"functions": functions}

    def alter_collection_function(self, collection: str, name: str, function: Any) -> None:
        self.altered[name] = function.params


def column(dim: int) -> EmbeddingColumn:
    config = EmbeddingConfig("tiny", dim, fingerprint=FINGERPRINT)
    return EmbeddingColumn("body", f"body_{dim}", Endpoint("tei", "http://old:1", config), pinned=FINGERPRINT)


TABLE = Table(
    "papers",
    (
        Column("id", "INT64", primary=True),
        Column("body", "VARCHAR", TypeParams(max_length=100)),
        Column("body_8", "FLOAT_VECTOR", TypeParams(dim=8)),
        Column("body_16", "FLOAT_VECTOR", TypeParams(dim=16)),
    ),
    embeddings=(column(8), column(16)),
    generated={"body_8": "body", "body_16": "body"},
)

SPEC = """
collection: papers
service: http://new:2
fields:
  id:   {type: INT64, primary: true}
  body: {type: VARCHAR, max_length: 100}
embeddings:
  - {field: body, encoder: tiny, dims: [DIMS]}
"""


def spec(dims: str = "8, 16") -> Any:
    return parse_spec(SPEC.replace("DIMS", dims), path="spec")


@pytest.mark.parametrize(
    ("version", "moves"), [("v2.6.7", False), ("v2.6.8", True), ("v2.6.18", True), ("v3.0.0", False)]
)
def test_columns_move_where_the_server_alters_an_endpoint(version: str, moves: bool) -> None:
    server: Any = Server(version)
    services = movable_columns(server, TABLE, spec())
    assert services == (dict.fromkeys(("body_8", "body_16"), "http://new:2") if moves else {})


def test_what_is_embedded_anew_does_not_move() -> None:
    server: Any = Server("v2.6.11")
    assert movable_columns(server, TABLE, spec(), replaced={"body_8"}) == {"body_16": "http://new:2"}
    services = movable_columns(server, TABLE, spec("8, 32"))
    assert services == {"body_8": "http://new:2"}
    rest = without_columns(change_to_spec(TABLE, spec("8, 32")), services)
    assert rest is not None
    assert ([entry.name for entry in rest.add], rest.drop) == (["body_32"], ("body_16",))
    assert without_columns(change_to_spec(TABLE, spec()), ("body_8", "body_16")) is None


def info(fingerprint: str) -> ServiceInfo:
    encoder = EncoderInfo(dim=16, dims=(16, 8), max_tokens=8, prompts={}, fingerprint=fingerprint)
    return ServiceInfo.model_construct(encoders={"tiny": encoder})


def test_the_address_alone_is_altered(monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = Server("v2.6.11")
    monkeypatch.setattr(in_place, "fetch_info", lambda service, key: info(FINGERPRINT))
    move_columns(server, TABLE, movable_columns(server, TABLE, spec()))
    assert {name: params["endpoint"] for name, params in server.altered.items()} == {
        f"f{dim}": endpoint(dim).replace("old:1", "new:2") for dim in (8, 16)
    }
    assert {params["search_prompt"] for params in server.altered.values()} == {"q: "}


def test_another_encoder_at_the_new_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = Server("v2.6.11")
    monkeypatch.setattr(in_place, "fetch_info", lambda service, key: info("f" * 16))
    with pytest.raises(ServiceRefused, match="another encoder 'tiny'") as refused:
        move_columns(server, TABLE, {"body_16": "http://new:2"})
    assert FINGERPRINT in str(refused.value)
    assert server.altered == {}
