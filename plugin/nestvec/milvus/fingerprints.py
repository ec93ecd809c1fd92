"""Which encoder made the vectors of a field: recorded in a property of its collection, on every Milvus.

The property is ``nestvec.fingerprint.COLUMN``. The params of a field's Function have the fingerprint too, so
that Milvus's own requests are refused by another encoder; the property has the date besides, and remains the
place for what Milvus does not let anyone change in a Function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pymilvus import MilvusClient

from nestvec.client.service_client import EncoderInfo
from nestvec.milvus.steps import Steps, call, drive
from nestvec_schemas.fingerprint import fingerprints_of
from nestvec_schemas.manifest import Manifest

FINGERPRINT_PROPERTY_PREFIX: Final = "nestvec.fingerprint."
"""Prefix of the name of a collection's property that holds the fingerprint of a column's encoder."""

UPGRADE_PROPERTY_PREFIX: Final = "nestvec.upgrade."
"""Prefix of the name of a collection's property that says which encoder is to replace a column's."""

_ILLEGIBLE: Final = "illegible"
"""No encoder's fingerprint: a record that was damaged permits none."""


class RecordedFingerprint(BaseModel):
    """The encoder that made a field's vectors."""

    # A later version may record more.
    model_config = ConfigDict(extra="ignore", frozen=True)

    fingerprint: str
    """Fingerprint of the encoder (``nestvec_schemas.fingerprint``)."""

    precision: str | None = None
    """Precision of the encoder's weights; other precisions of the same weights have the same fingerprint."""

    date: str | None = None
    """When it was recorded, in UTC: ``2026-05-01T12:00:00Z``; None if only the Function's params have it."""

    encoder: str | None = None
    """Name of the encoder at that time."""


class RecordedUpgrade(BaseModel):
    """The encoder that is to replace the one of a field, whose vectors are still of the one of before."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    old: str
    """Name of the encoder that made the vectors."""

    encoder: str
    """Name of the one that is to make them."""

    dim: int | None = None
    """Of its vectors; None for sparse ones."""

    bridge: str | None = None
    """Name under which the bridge between both is served, which embeds queries meanwhile; None without."""

    target: str | None = None
    """The collection in which the vectors are made anew."""

    started: str = ""
    """When it began, in UTC."""

    host: str = ""
    """The machine on which it began."""

    params: dict[str, str | int] | None = None
    """The params of the field's Function before it was altered to call the bridge; None if it was not."""


@dataclass(frozen=True)
class PresentEncoder:
    """An encoder that a service, or a model repository, has under a name."""

    fingerprint: str
    variant: str | None = None
    """Fingerprint of its files, which older registrations recorded; None if it is not known."""

    precision: str | None = None
    exported: str | None = None
    """When it was exported, in UTC; None if it is not known."""

    @classmethod
    def of_info(cls, info: EncoderInfo) -> PresentEncoder | None:
        """The encoder of a service; None of a service that does not say."""
        if info.fingerprint is None:
            return None
        return cls(info.fingerprint, info.variant, info.precision, info.exported)

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> PresentEncoder:
        """An exported encoder."""
        fingerprints, record = fingerprints_of(manifest), manifest.fingerprint
        exported = None if record is None else record.date
        return cls(fingerprints.space, fingerprints.variant, manifest.precision, exported)

    def makes(self, recorded: RecordedFingerprint) -> bool:
        """Whether its vectors are of the space that is recorded."""
        return recorded.fingerprint in (self.fingerprint, self.variant)

    def record(self, encoder: str, date: str | None = None) -> RecordedFingerprint:
        """What is recorded of it for a field, as of now or ``date``."""
        return RecordedFingerprint(
            fingerprint=self.fingerprint, precision=self.precision, date=date or utc_now(), encoder=encoder
        )

    def __str__(self) -> str:
        exported = None if self.exported is None else f"exported {self.exported}"
        return _with_details(self.fingerprint, self.precision, exported)


def describe_record(recorded: RecordedFingerprint) -> str:
    """A record as errors have it: the fingerprint, its precision, and when it was recorded."""
    date = None if recorded.date is None else f"recorded {recorded.date}"
    return _with_details(recorded.fingerprint, recorded.precision, date)


def _with_details(fingerprint: str, *details: str | None) -> str:
    present = ", ".join(detail for detail in details if detail)
    return f"{fingerprint} ({present})" if present else fingerprint


def precision_note(recorded: RecordedFingerprint, present: PresentEncoder) -> str | None:
    """What is said where the weights have another precision than recorded; None where they have not."""
    if None in (recorded.precision, present.precision) or recorded.precision == present.precision:
        return None
    return (
        f"its vectors were made by {recorded.precision} weights, and are now by {present.precision} weights "
        "of the same encoder: they are compatible, not equal"
    )


def utc_now() -> str:
    """The time, as it is recorded."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fingerprint_property(column: str) -> str:
    """The property of a collection that holds the fingerprint of a column's encoder."""
    return f"{FINGERPRINT_PROPERTY_PREFIX}{column}"


def fingerprint_properties(records: Mapping[str, RecordedFingerprint]) -> dict[str, str]:
    """The properties of a collection for the records of its columns, as ``create_collection`` takes them."""
    return {
        fingerprint_property(column): record.model_dump_json(exclude_none=True)
        for column, record in records.items()
    }


def read_fingerprint(properties: Mapping[str, object], column: str) -> RecordedFingerprint | None:
    """What a collection's properties record for a column, of a damaged record a fingerprint that no encoder
    has; None if they record nothing."""
    text = properties.get(fingerprint_property(column))
    if text is None:
        return None
    try:
        return RecordedFingerprint.model_validate_json(str(text))
    except ValidationError:
        return RecordedFingerprint(fingerprint=_ILLEGIBLE)


def write_fingerprints(
    client: MilvusClient, collection: str, records: Mapping[str, RecordedFingerprint]
) -> None:
    """Record the encoders of columns of a collection that exists. Raises StoreError."""
    drive(client, write_fingerprint_steps(collection, records))


def write_fingerprint_steps(collection: str, records: Mapping[str, RecordedFingerprint]) -> Steps[None]:
    """``write_fingerprints`` as steps."""
    if records:
        doing = f"recording the encoders of {collection}"
        properties = fingerprint_properties(records)
        yield call(doing, "alter_collection_properties", collection, properties)


def forget_fingerprint_steps(collection: str, column: str) -> Steps[None]:
    """Remove the record of a column that is dropped, as steps."""
    doing = f"forgetting the encoder of {collection}.{column}"
    yield call(doing, "drop_collection_properties", collection, [fingerprint_property(column)])


def upgrade_property(column: str) -> str:
    """The property of a collection that holds the upgrade of a column's encoder."""
    return f"{UPGRADE_PROPERTY_PREFIX}{column}"


def read_upgrade(properties: Mapping[str, object], column: str) -> RecordedUpgrade | None:
    """The upgrade of a column's encoder that has begun; None if none has, or its record is damaged."""
    text = properties.get(upgrade_property(column))
    try:
        return None if text is None else RecordedUpgrade.model_validate_json(str(text))
    except ValidationError:
        return None
