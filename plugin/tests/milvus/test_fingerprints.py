from __future__ import annotations

from pathlib import Path

from pymilvus import DataType, MilvusClient

from nestvec.milvus.fingerprints import (
    RecordedFingerprint,
    fingerprint_properties,
    fingerprint_property,
    read_fingerprint,
    write_fingerprints,
)

RECORD = RecordedFingerprint(
    fingerprint="0123456789abcdef", precision="int8", date="2026-05-01T12:00:00Z", encoder="minilm"
)


def test_a_record_is_read_back_after_milvus_lite_was_reopened(tmp_path: Path) -> None:
    path = str(tmp_path / "papers.db")
    client = MilvusClient(path)
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("body_4", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("body_2", DataType.FLOAT_VECTOR, dim=4)
    client.create_collection("papers", schema=schema, properties=fingerprint_properties({"body_4": RECORD}))
    other = RECORD.model_copy(update={"fingerprint": "f" * 16, "date": None})
    write_fingerprints(client, "papers", {"body_2": other})
    client.close()
    reopened = MilvusClient(path)
    properties = reopened.describe_collection("papers")["properties"]
    assert read_fingerprint(properties, "body_4") == RECORD
    assert read_fingerprint(properties, "body_2") == other
    assert read_fingerprint(properties, "id") is None
    reopened.close()


def test_a_damaged_record_permits_no_encoder() -> None:
    damaged = read_fingerprint({fingerprint_property("body_4"): "{"}, "body_4")
    assert damaged is not None
    assert damaged.fingerprint == "illegible"


def test_what_a_later_version_records_besides_is_ignored() -> None:
    text = RECORD.model_dump_json()[:-1] + ', "signed_by": "x"}'
    assert read_fingerprint({fingerprint_property("v"): text}, "v") == RECORD
