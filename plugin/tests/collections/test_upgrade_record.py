"""What is recorded of an upgrade, and what a server's Functions call meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, FunctionType, MilvusException

from nestvec.client.service_client import fetch_info
from nestvec.collections.change.definition import Change
from nestvec.collections.change.plan import ChangePlan, FieldPlan, Names
from nestvec.collections.upgrade.bridging import BridgePlan, checked_bridge, fitted_bridge, plan_bridge
from nestvec.collections.upgrade.columns import UpgradeRequest, choose_columns
from nestvec.collections.upgrade.record import forget_upgrade, record_upgrade
from nestvec.collections.upgrade.run import UpgradePlan, begin_upgrade, restore_kept
from nestvec.engines.fake import FakeEngine
from nestvec.milvus.catalog import Column, Table, read_table
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec.sql.bind.vectors.embed import request_for
from nestvec_schemas.bridges.bridge import Bridge, Bridges
from nestvec_schemas.errors import SpecError, StoreInUse

OLD = "0123456789abcdef"
"""The fingerprint of the encoder that made the vectors."""


@pytest.fixture
def service(write_encoder: Callable[..., Path]) -> Iterator[str]:
    """A service with ``tiny``, 16 dims, and its bridge ``tiny.as.old``, 8."""
    bridge = Bridge(
        fingerprint=OLD, mapped_from="1" * 16, exit=5, dim=8, dims=(8, 4), method="ridge", sample="docs",
        texts=300, compared={}, quality={8: 0.46, 4: 0.4},
    )  # fmt: skip
    bridges = Bridges(maps={"old": bridge}, unbridged_files={}, has_own_exits=True)
    models = write_encoder(bridges=bridges).parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": 16}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


class Server:
    """A Milvus with one collection, whose Function and properties can be altered."""

    def __init__(self, version: str, service: str) -> None:
        self.version, self.properties = version, dict[str, str]()
        self.alters = 0
        query = f"encoder=old&dim=8&fingerprint={OLD}&deadline=8.4"
        self.params: dict[str, Any] = {"provider": "tei", "endpoint": f"{service}?{query}"}

    def get_server_version(self) -> str:
        return self.version

    def has_collection(self, name: str) -> bool:
        return name == "papers"

    def describe_collection(self, name: str) -> dict[str, Any]:
        function = {
            "name": "f",
            "type": FunctionType.TEXTEMBEDDING,
            "input_field_names": ["body"],
            "output_field_names": ["v"],
            "params": self.params,
        }
        fields = [
            {"name": "id", "type": DataType.INT64, "is_primary": True},
            {"name": "body", "type": DataType.VARCHAR, "params": {"max_length": 100}},
            {"name": "v", "type": DataType.FLOAT_VECTOR, "params": {"dim": 8}},
        ]
        return {
            "collection_name": name,
            "fields": fields,
            "functions": [function],
            "properties": dict(self.properties),
        }

    def list_indexes(self, name: str) -> list[str]:
        return []

    def alter_collection_function(self, collection: str, name: str, function: Any) -> None:
        self.alters += 1
        self.params = dict(function.params)

    def alter_collection_properties(self, collection: str, properties: dict[str, str]) -> None:
        self.properties |= properties

    def drop_collection_properties(self, collection: str, names: list[str]) -> None:
        for name in names:
            del self.properties[name]


@pytest.mark.parametrize(("version", "alters"), [("v2.6.11", True), ("v2.6.7", False), ("v3.0.1", False)])
def test_queries_use_the_bridge_and_the_function_where_it_can_be_altered(
    service: str, version: str, alters: bool
) -> None:
    server: Any = Server(version, service)
    before = dict(server.params)
    request = UpgradeRequest("papers", "tiny")
    record_upgrade(server, choose_columns(read_table(server, "papers"), request), "tiny.as.old")
    (column,) = read_table(server, "papers").embeddings
    assert column.upgrade is not None
    assert (column.upgrade.old, column.upgrade.encoder, column.upgrade.dim) == ("old", "tiny", 8)
    assert column.config.encoder == ("tiny.as.old" if alters else "old")
    assert ("encoder=tiny.as.old" in server.params["endpoint"]) is alters
    queried = request_for(column)
    assert (queried.config.encoder, queried.config.dim) == ("tiny.as.old", 8)
    assert queried.config.fingerprint == OLD
    chosen = choose_columns(read_table(server, "papers"), request)
    assert (chosen.old, chosen.encoder, chosen.dims) == ("old", "tiny", (8,))
    with pytest.raises(StoreInUse, match=r"an upgrade of papers\.v to tiny has begun.*--encoder tiny"):
        choose_columns(read_table(server, "papers"), UpgradeRequest("papers", "other"))
    forget_upgrade(server, "papers")
    assert (server.params, server.properties) == (before, {})
    assert request_for(read_table(server, "papers").embeddings[0]).config.encoder == "old"


class Killed(BaseException):
    """The command is killed."""


def test_a_function_that_was_recorded_and_not_altered_is_altered_by_the_same_command(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Any = Server("v2.6.11", service)
    request = UpgradeRequest("papers", "tiny")

    def kill(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(server, "alter_collection_function", kill)
        with pytest.raises(Killed):
            record_upgrade(server, choose_columns(read_table(server, "papers"), request), "tiny.as.old")
    before = dict(server.params)
    names = Names("papers", "papers", "papers__1", "papers__0")
    for _ in range(2):
        chosen = choose_columns(read_table(server, "papers"), request)
        change = ChangePlan(names, FieldPlan(), rows=0, seconds=None, bytes=0)
        plan = UpgradePlan(request, chosen, None, Change(), change_plan=change, continues=True)
        begin_upgrade(server, plan)
        (column,) = read_table(server, "papers").embeddings
        assert column.config.encoder == "tiny.as.old"
        assert server.alters == 1
        # It began with another name, or none: another change may have taken that.
        assert column.upgrade is not None
        assert column.upgrade.target == "papers__1"
    forget_upgrade(server, "papers")
    assert (server.params, server.properties) == (before, {})


def test_a_collection_that_is_kept_calls_the_encoder_of_before_again(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Any = Server("v2.6.11", service)
    before = dict(server.params)
    chosen = choose_columns(read_table(server, "papers"), UpgradeRequest("papers", "tiny"))
    record_upgrade(server, chosen, "tiny.as.old")

    def refuse(*arguments: Any) -> None:
        raise MilvusException(message="the encoder is not served")

    with monkeypatch.context() as patch:
        patch.setattr(server, "alter_collection_function", refuse)
        restore_kept(server, "papers")
    (column,) = read_table(server, "papers").embeddings
    assert (column.config.encoder, column.upgrade is None) == ("tiny.as.old", False)
    restore_kept(server, "papers")
    assert (server.params, server.properties) == (before, {})


@pytest.mark.parametrize(
    ("quality", "lowest"),
    [
        (((8, 0.46), (4, 0.9)), "0.460"),
        (((8, 0.7), (4, 0.1)), None),  # the column has 8 dims
        (((6, 0.9), (4, 0.69)), "0.690"),
        ((), None),
    ],
)
def test_a_bridge_that_keeps_little_is_used_only_if_it_is_required(
    service: str, quality: tuple[tuple[int, float], ...], lowest: str | None
) -> None:
    server: Any = Server("v2.6.11", service)
    chosen = choose_columns(read_table(server, "papers"), UpgradeRequest("papers", "tiny"))
    plan = BridgePlan("tiny.as.old", exists=True, quality=quality)
    checked = checked_bridge(plan, chosen)
    if lowest is None:
        assert checked == plan
    else:
        assert checked.lines("old") == [
            f"1. No bridge: tiny.as.old keeps only {lowest} of old's nDCG@10, less than 0.7 (--bridge uses "
            "it). Queries are embedded by old until the switch."
        ]
    required = replace(plan, required=True)
    assert checked_bridge(required, chosen) == required


@pytest.mark.parametrize("required", [False, True])
def test_a_plan_reads_what_the_bridge_in_the_repository_keeps(
    service: str, tmp_path: Path, required: bool
) -> None:
    models = tmp_path / "models"
    server: Any = Server("v2.6.11", service)
    chosen = choose_columns(read_table(server, "papers"), UpgradeRequest("papers", "tiny"))
    plan = plan_bridge(chosen, fetch_info(service), models, 300, required=required)
    assert (plan.name, "0.460" in plan.lines("old")[0]) == ("tiny.as.old" if required else None, True)
    fitted = BridgePlan("tiny.as.old", texts=300, required=required)
    assert fitted_bridge(fitted, chosen, models).name == plan.name


def test_what_cannot_be_upgraded(service: str) -> None:
    server: Any = Server("v2.6.11", service)
    table = read_table(server, "papers")
    for request, cause in (
        (UpgradeRequest("papers", "old"), "are those of this encoder already: old"),
        (UpgradeRequest("papers", "tiny", "abstract"), "no field of this name.*Available: body, v"),
        (UpgradeRequest("papers", "tiny", dims=(8, 4)), "there are 1 columns to upgrade"),
    ):
        with pytest.raises(SpecError, match=cause):
            choose_columns(table, request)


def test_a_collection_without_an_embedding_has_nothing_to_upgrade() -> None:
    table = Table("papers", (Column("id", "INT64", primary=True),))
    with pytest.raises(SpecError) as caught:
        choose_columns(table, UpgradeRequest("papers", "new"))
    assert str(caught.value).startswith("this collection has no field that a service embeds: papers. Add one")
    with pytest.raises(SpecError, match="no field of this name that a service embeds: text"):
        choose_columns(table, UpgradeRequest("papers", "new", "text"))
