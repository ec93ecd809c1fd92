"""The values of rows, as they are written again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pymilvus.client.entity_helper import convert_to_json

from nestvec.collections.change.rows import RowReader
from nestvec.ingest.write.patience import Patience
from nestvec.milvus.catalog import Column, Table


class Server:
    """Answers with a row as pymilvus does; Milvus Lite stores no JSON strings."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row

    def query(self, name: str, **options: Any) -> list[dict[str, Any]]:
        return [self.row]


@pytest.mark.parametrize("value", ["5", "s", "null", '"', "", '{"a": 1}', 5, None, {"a": "5"}, ["5"]])
def test_a_json_value_is_sent_as_it_was_stored(value: object) -> None:
    table = Table("papers", (Column("id", "INT64", primary=True), Column("note", "JSON")))
    client: Any = Server({"id": 1, "note": value})
    reader = RowReader(client, "papers", table, ("id", "note"), lite=False, patience=Patience(0))
    sent = reader.rows([1])[1]["note"]
    # pymilvus sends None as a NULL, without a conversion.
    stored = None if sent is None else orjson.loads(convert_to_json(sent))
    assert stored == value


def test_a_null_of_a_dynamic_field_counts_in_digests_of_earlier_versions_of_milvus_lite_alone() -> None:
    table = Table("papers", (Column("id", "INT64", primary=True), Column("note", "VARCHAR")), dynamic=True)
    client: Any = None

    def digests(lite: bool, row: dict[str, Any]) -> tuple[bytes, ...]:
        reader = RowReader(client, "papers", table, ("id", "note"), lite=lite, patience=Patience(0))
        return reader.digests(row, "")

    plain: dict[str, Any] = {"id": 1, "note": None}
    (present,) = digests(True, plain)
    assert digests(True, plain | {"extra": None})[0] == present
    former = digests(True, plain | {"extra": None})[1:]
    assert former == digests(False, plain | {"extra": None})
    assert former != (present,)
