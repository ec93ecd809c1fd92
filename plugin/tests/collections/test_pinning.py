"""A Function that names the fingerprint from now on, where the server alters Functions."""

from __future__ import annotations

from typing import Any

import pytest

from nestvec.collections.pinning import can_pin, pin_fingerprint
from nestvec.milvus.catalog import EmbeddingColumn
from nestvec.milvus.providers import Endpoint, read_params
from nestvec.milvus.server_version import parse_version
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.model_name import parse_model_name

FINGERPRINT = "0123456789abcdef"


class Server:
    """A server that alters Functions, with the one collection."""

    def __init__(self, version: str, params: dict[str, Any]) -> None:
        self.version, self.params = version, params
        self.altered: list[Any] = []

    def get_server_version(self) -> str:
        return self.version

    def describe_collection(self, name: str) -> dict[str, Any]:
        function = {
            "name": "f",
            "input_field_names": ["body"],
            "output_field_names": ["body_8"],
            "params": self.params,
        }
        return {"functions": [{**function, "name": "g", "output_field_names": ["x"]}, function]}

    def alter_collection_function(self, collection: str, name: str, function: Any) -> None:
        self.altered.append((collection, name, function))


def column(caller: Any = "tei", pinned: str | None = None) -> EmbeddingColumn:
    endpoint = Endpoint(caller, "http://h:1", EmbeddingConfig("tiny", 8))
    return EmbeddingColumn("body", "body_8", endpoint, pinned=pinned)


TEI = {"provider": "tei", "endpoint": "http://h:1?encoder=tiny&dim=8&deadline=9.5", "ingestion_prompt": "d: "}
COHERE = {"provider": "cohere", "model_name": "tiny@3?dim=8", "dim": "8"}


def test_the_endpoint_has_it_and_all_that_it_had() -> None:
    client: Any = Server("v2.6.11", TEI)
    assert pin_fingerprint(client, "papers", column(), FINGERPRINT)
    ((collection, name, function),) = client.altered
    assert (collection, name, function.output_field_names) == ("papers", "f", ["body_8"])
    assert function.params == {**TEI, "endpoint": f"{TEI['endpoint']}&fingerprint={FINGERPRINT}"}
    endpoint = read_params(function.params)
    assert endpoint is not None
    assert (endpoint.config.fingerprint, endpoint.config.dim) == (FINGERPRINT, 8)


def test_the_model_has_it_where_the_address_is_the_clusters() -> None:
    client: Any = Server("v2.6.8", COHERE)
    assert pin_fingerprint(client, "papers", column("cohere"), FINGERPRINT)
    ((_, _, function),) = client.altered
    config = parse_model_name(function.params["model_name"])
    assert (config.encoder, config.exit, config.dim, config.fingerprint) == ("tiny", 3, 8, FINGERPRINT)
    assert function.params["dim"] == "8"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("milvus-lite 3.2.2", False),
        ("v2.6.7", False),
        ("v2.6.8", True),
        ("v2.6.19", True),
        ("v3.0.0", False),
        ("2.6-dev", False),
    ],
)
def test_releases_that_alter_an_endpoint(version: str, expected: bool) -> None:
    assert can_pin(parse_version(version)) is expected


@pytest.mark.parametrize("version", ["v2.6.7", "v3.0.0"])
def test_others_are_not_asked(version: str) -> None:
    client: Any = Server(version, TEI)
    assert not pin_fingerprint(client, "papers", column(), FINGERPRINT)
    assert pin_fingerprint(client, "papers", column(pinned=FINGERPRINT), FINGERPRINT)
    assert pin_fingerprint(client, "papers", column("nestvec"), FINGERPRINT)
    assert not client.altered
