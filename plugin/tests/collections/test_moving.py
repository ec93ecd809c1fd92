"""A service that has another address now, on servers that alter Functions and on others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nestvec.collections.moving import columns_to_move, move_service
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.fingerprints import RecordedUpgrade
from nestvec.milvus.providers import Endpoint, read_note, read_params
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SpecError, StoreInUse, StoreRefused

OLD, NEW = "http://old:8080", "http://new:9000"
ENDPOINT = f"{OLD}?encoder=tiny&dim=8&fingerprint=0123456789abcdef&deadline=8.4"


def column(name: str, caller: Any = "tei", service: str = OLD) -> EmbeddingColumn:
    form: Any = "binary" if caller == "nestvec" else "float"
    return EmbeddingColumn("body", name, Endpoint(caller, service, EmbeddingConfig("tiny", 8, form=form)))


def table(*columns: EmbeddingColumn) -> Table:
    return Table("papers", (), columns)


class Server:
    """A server with one Function, which it alters."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.params: dict[str, Any] = {"provider": "tei", "endpoint": ENDPOINT, "ingestion_prompt": "d: "}
        self.properties: dict[str, str] = {}

    def get_server_version(self) -> str:
        return self.version

    def describe_collection(self, name: str) -> dict[str, Any]:
        function = {"name": "f", "input_field_names": ["body"], "output_field_names": ["v"]}
        return {"functions": [{**function, "params": self.params}]}

    def alter_collection_function(self, collection: str, name: str, function: Any) -> None:
        self.params = function.params

    def alter_collection_properties(self, collection: str, properties: dict[str, str]) -> None:
        self.properties |= properties


def test_the_endpoint_keeps_everything_but_the_address() -> None:
    server: Any = Server("v2.6.11")
    columns = (column("v"), column("codes", "nestvec"))
    move_service(server, table(*columns), columns, f"{NEW}/")
    assert server.params["endpoint"] == ENDPOINT.replace(OLD, NEW)
    assert server.params["ingestion_prompt"] == "d: "
    endpoint = read_params(server.params)
    assert endpoint is not None
    assert endpoint.service == NEW
    note = read_note(server.properties["nestvec.embed.codes"], "nestvec")
    assert note is not None
    assert (note[0], note[1].service) == ("body", NEW)


@pytest.mark.parametrize(
    ("version", "cause"),
    [("v2.6.7", "only Milvus 2.6 from 2.6.8"), ("v3.0.1", "3.0 does not"), ("lite", "Milvus Lite does not")],
)
def test_other_servers_say_what_to_do_and_nothing_is_changed(version: str, cause: str) -> None:
    server: Any = Server(version)
    if version == "lite":
        server.version = "milvus-lite-3.2.2"
    columns = (column("codes", "nestvec"), column("v"))
    with pytest.raises(StoreRefused, match=rf"{cause}.*papers: v\. Let the service answer at {OLD}"):
        move_service(server, table(*columns), columns, NEW)
    assert server.properties == {}
    move_service(server, table(*columns), columns[:1], NEW)
    assert set(server.properties) == {"nestvec.embed.codes"}


def test_a_field_that_is_being_upgraded_stays_where_it_is() -> None:
    """An abort would restore the address of before."""
    server: Any = Server("v2.6.11")
    before = dict(server.params)
    upgraded = replace(column("v"), upgrade=RecordedUpgrade(old="tiny", encoder="large"))
    with pytest.raises(StoreInUse, match=r"an upgrade of papers has begun.*: v\. Complete it"):
        move_service(server, table(upgraded), (upgraded,), NEW)
    assert server.params == before


def test_the_fields_of_the_service_that_has_moved() -> None:
    both = table(column("v"), column("w", service="http://other:1"), column("x", service=NEW))
    with pytest.raises(SpecError, match=r"several services: http://old:8080, http://other:1.*--from URL"):
        columns_to_move(both, NEW)
    assert [moved.column for moved in columns_to_move(both, NEW, OLD)] == ["v"]
    with pytest.raises(SpecError, match="no field of papers is of this service: http://absent:1"):
        columns_to_move(both, NEW, "http://absent:1")
    assert columns_to_move(table(column("x", service=NEW)), NEW) == ()
