"""The bridge that embeds queries while a collection is embedded anew: one that exists, or one to fit."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nestvec.client.admin import request_reload
from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import EncoderInfo, ServiceInfo, embed, fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec.collections.upgrade.columns import UpgradeColumns
from nestvec.datasets.samples import DEFAULT_SAMPLE_SIZE
from nestvec_schemas.bridges.bridge import Bridge, bridge_key, bridged_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    EncoderError,
    NestvecError,
    NotOffered,
    SampleUnusable,
    ServiceError,
    ServiceRefused,
)
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import find_encoder, read_manifest

MIN_TEXTS: Final = 256
"""Rows below which no bridge is fitted: ``nestvec bridge`` refuses fewer documents."""

MIN_KEPT: Final = 0.7
"""Of the old encoder's nDCG@10: a bridge that keeps less is used only if it is required."""

_QUERIES_PER_TEXT: Final = 6
"""Short queries that are drawn from each sampled text."""

_QUERY_SHARE: Final = 0.4
"""Time to embed a query, relative to a text of the collection."""

_FIT_SECONDS: Final = 100.0
"""Of a fit, beside embedding its sample, on two CPU cores."""


@dataclass(frozen=True)
class BridgePlan:
    """How queries are embedded while the collection is embedded anew."""

    name: str | None
    """The bridge, as it is served; None without one."""

    exists: bool = False
    """Whether it was fitted before."""

    texts: int = 0
    """Texts to fit it on."""

    seconds: float | None = None
    """How long fitting it takes, estimated from the encoders' measured speeds; None if it exists."""

    quality: tuple[tuple[int, float], ...] = ()
    """Of one that exists, by dim: nDCG@10 relative to the old encoder's."""

    required: bool = False
    """Whether it is used whatever it keeps."""

    reason: str = ""
    """Why there is none."""

    def as_json(self) -> dict[str, object]:
        """The plan as data."""
        return {
            "name": self.name,
            "exists": self.exists,
            "texts": self.texts or None,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "quality": {str(dim): value for dim, value in self.quality},
            "reason": self.reason or None,
        }

    def lines(self, old: str) -> list[str]:
        """The plan as sentences."""
        if self.name is None:
            return [f"1. No bridge: {self.reason}. Queries are embedded by {old} until the switch."]
        if self.exists:
            retained = ", ".join(f"{value:.3f} at {dim} dims" for dim, value in self.quality[:3])
            of = f", which keeps {retained} of {old}'s nDCG@10" if retained else ""
            return [f"1. Queries are embedded by the bridge {self.name}{of}."]
        time_ = "" if self.seconds is None else f", in about {self.seconds / 60:.0f} min"
        return [f"1. The bridge {self.name} is fitted on {self.texts:,} texts{time_}; queries use it then."]


def plan_bridge(
    chosen: UpgradeColumns, info: ServiceInfo, models: Path, rows: int, *, required: bool
) -> BridgePlan:
    """The bridge of an upgrade.

    Raises NotOffered or SampleUnusable if there is none and it is ``required``.
    """
    name = bridged_name(chosen.encoder, chosen.old)
    try:
        _check_columns(chosen, info)
        served = info.encoders.get(name)
        recorded = chosen.columns[0].config.fingerprint
        present = _installed(models, chosen)
        space = served.fingerprint if served is not None else present and present.fingerprint
        if space is not None and recorded in (None, space):
            quality = () if present is None else tuple(present.quality.items())
            plan = BridgePlan(name, exists=True, quality=quality, required=required)
            return checked_bridge(plan, chosen)
        _check_repository(chosen, models)
        if rows < MIN_TEXTS:
            raise SampleUnusable(
                "the collection has too few texts to fit a bridge",
                value=f"{rows} rows, of {MIN_TEXTS} at least",
                next_step="Omit --bridge, or fit one on other texts: nestvec bridge.",
            )
    except NestvecError as error:
        if required or not isinstance(error, EncoderError | NotOffered | SampleUnusable):
            raise
        return BridgePlan(None, reason=error.cause)
    texts = min(rows, DEFAULT_SAMPLE_SIZE)
    return BridgePlan(name, texts=texts, seconds=_seconds(chosen, texts), required=required)


def fitted_bridge(plan: BridgePlan, chosen: UpgradeColumns, models: Path) -> BridgePlan:
    """The plan once its bridge is fitted: without it, unless it is required, if it keeps too little."""
    present = _installed(models, chosen)
    quality = () if present is None else tuple(present.quality.items())
    return checked_bridge(replace(plan, quality=quality), chosen)


def checked_bridge(plan: BridgePlan, chosen: UpgradeColumns) -> BridgePlan:
    """The plan, without its bridge if that keeps less than MIN_KEPT at the dims of a column, unless it is
    required."""
    quality = dict(plan.quality)
    dims = {column.config.dim or max(quality, default=0) for column in chosen.columns}
    # Of one that is served from elsewhere, or was fitted to images, nothing is known.
    lowest = min((quality[dim] for dim in dims & quality.keys()), default=min(quality.values(), default=1.0))
    if plan.required or lowest >= MIN_KEPT:
        return plan
    return BridgePlan(
        None,
        reason=f"{plan.name} keeps only {lowest:.3f} of {chosen.old}'s nDCG@10, less than {MIN_KEPT} "
        "(--bridge uses it)",
    )


def ensure_served(service: str, name: str) -> EncoderInfo:
    """A bridge as its service has it, after a reload if it lacks it. Raises ServiceError."""
    info = fetch_info(service, environment_api_key())
    if name not in info.encoders:
        try:
            request_reload(service)
        except ServiceError as error:
            raise _not_served(service, name, str(error)) from error
        info = fetch_info(service, environment_api_key())
    if name not in info.encoders:
        raise _not_served(service, name, ", ".join(sorted(info.encoders)))
    return info.encoders[name]


def _not_served(service: str, name: str, value: str) -> ServiceRefused:
    return ServiceRefused(
        f"the service at {service} does not serve {name} yet",
        value=value[:200],
        next_step=f"Have it read its encoders again (nestvec reload --service {service}, or restart it with "
        "the model repository that has the bridge); then the same command continues.",
    )


def _check_columns(chosen: UpgradeColumns, info: ServiceInfo) -> None:
    """Raise NotOffered for columns whose vectors no bridge makes."""
    for column in chosen.columns:
        config = column.config
        special = [
            name for name in ("exit", "expert", "prompt", "query_prompt") if getattr(config, name) is not None
        ]
        if config.form == "sparse" or special:
            raise NotOffered(
                "there are no bridges to sparse vectors"
                if config.form == "sparse"
                else f"there are no bridges to vectors with {', '.join(special)} of their own",
                value=column.column,
                next_step="Omit --bridge.",
            )
    old = info.encoders.get(chosen.old)
    if old is not None and (old.reads_images or set(old.towers) != {"text"}):
        raise NotOffered("images have no bridge", value=chosen.old, next_step="Omit --bridge.")


def _check_repository(chosen: UpgradeColumns, models: Path) -> None:
    """Raise EncoderNotFound or NotOffered if the bridge cannot be fitted from ``models``."""
    old = read_manifest(find_encoder(models, chosen.old))
    find_encoder(models, chosen.encoder)
    recorded = chosen.columns[0].made_by
    if recorded is not None and encoder_fingerprint(old) != recorded.fingerprint:
        raise NotOffered(
            f"{models} has another {chosen.old} than the one that made the vectors",
            value=f"fingerprint {encoder_fingerprint(old)}, not {recorded.fingerprint}",
            next_step="Name the repository that has it (--models), or omit --bridge.",
        )


def _installed(models: Path, chosen: UpgradeColumns) -> Bridge | None:
    """The bridge in ``models``; None if it has none."""
    try:
        bridges = read_manifest(find_encoder(models, chosen.encoder)).bridges
    except NestvecError:
        return None
    return None if bridges is None else bridges.maps.get(bridge_key(chosen.old))


def _seconds(chosen: UpgradeColumns, texts: int) -> float | None:
    """An estimate of the time of a fit, from the speed at which both encoders embed a text; None if one does
    not respond."""
    try:
        text_seconds = sum(_text_seconds(chosen.service, encoder) for encoder in (chosen.old, chosen.encoder))
    except NestvecError:
        return None
    return _FIT_SECONDS + texts * (1 + _QUERIES_PER_TEXT * _QUERY_SHARE) * text_seconds


def _text_seconds(service: str, encoder: str) -> float:
    texts = [f"a text of some words, number {number}, to measure by " * 2 for number in range(16)]
    began = time.perf_counter()
    list(embed(EmbeddingRequest(service, EmbeddingConfig(encoder)), texts, environment_api_key()))
    return (time.perf_counter() - began) / len(texts)
