"""Whether the encoders of a collection are those that its services have now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nestvec.client.service_client import ServiceInfo, fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.fingerprints import PresentEncoder, RecordedFingerprint
from nestvec_schemas.errors import ServiceError

Comparison = Literal["same", "other precision", "different", "not recorded", "no answer", "no encoder"]


@dataclass(frozen=True)
class EncoderStatus:
    """A field's encoder, as recorded and as served."""

    column: str
    recorded: RecordedFingerprint | None
    present: PresentEncoder | None
    """None if the service does not answer, or has no encoder of the name."""

    comparison: Comparison
    guarded: bool
    """Whether Milvus's own requests name the fingerprint."""


def encoder_statuses(table: Table) -> tuple[EncoderStatus, ...]:
    """The status of each field that a service fills; one that does not answer is no error."""
    infos: dict[str, ServiceInfo | None] = {}
    for service in table.services:
        try:
            infos[service] = fetch_info(service, environment_api_key())
        except ServiceError:
            infos[service] = None
    return tuple(_status(column, infos[column.service]) for column in table.embeddings)


def _status(column: EmbeddingColumn, info: ServiceInfo | None) -> EncoderStatus:
    recorded, present = column.made_by, _present(column, info)
    guarded = recorded is not None and column.is_guarded
    return EncoderStatus(column.column, recorded, present, _comparison(recorded, present, info), guarded)


def _present(column: EmbeddingColumn, info: ServiceInfo | None) -> PresentEncoder | None:
    if info is None:
        return None
    name = column.config.encoder
    # Without a name, a service uses its only encoder.
    encoder = info.encoders.get(name) if name else next(iter(info.encoders.values()), None)
    return None if encoder is None else PresentEncoder.of_info(encoder)


def _comparison(
    recorded: RecordedFingerprint | None, present: PresentEncoder | None, info: ServiceInfo | None
) -> Comparison:
    if present is None:
        return "no answer" if info is None else "no encoder"
    if recorded is None:
        return "not recorded"
    if not present.makes(recorded):
        return "different"
    is_other = None not in (recorded.precision, present.precision) and recorded.precision != present.precision
    return "other precision" if is_other else "same"
