"""Fit the bridge that embeds a collection's queries while it is embedded anew."""

from __future__ import annotations

from pathlib import Path

from pymilvus import MilvusClient

from nestvec.bridge.build import BridgeRequest, build_bridge
from nestvec.collections.upgrade.columns import UpgradeColumns
from nestvec.datasets.samples import SampleOptions, sample_collection
from nestvec_exporters.progress import Listener


def fit_upgrade_bridge(
    client: MilvusClient,
    chosen: UpgradeColumns,
    models: Path,
    listener: Listener | None = None,
    *,
    steps: int | None = None,
) -> str:
    """Fit the bridge of an upgrade on the collection's texts, and return the name it is served under.

    Raises SampleUnusable, EncoderError, EngineError, StoreError.
    """
    sample = sample_collection(client, chosen.table.name, SampleOptions(chosen.source))
    request = BridgeRequest(models, chosen.old, chosen.encoder, sample, steps=steps)
    return build_bridge(request, listener).name
