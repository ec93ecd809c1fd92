"""An upgrade from its plan to its end, from wherever an earlier command left it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pymilvus import MilvusClient

from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec.collections.change.definition import Change
from nestvec.collections.change.interrupted import interrupted
from nestvec.collections.change.plan import ChangePlan
from nestvec.collections.change.run import ChangeOptions, ChangeReport, plan_or_continue, run_change
from nestvec.collections.change.switch import check_name
from nestvec.collections.pinning import can_pin
from nestvec.collections.upgrade.bridging import BridgePlan, ensure_served, plan_bridge
from nestvec.collections.upgrade.columns import UpgradeColumns, UpgradeRequest, check_kinds, choose_columns
from nestvec.collections.upgrade.record import (
    alter_recorded,
    columns_to_alter,
    forget_upgrade,
    record_target,
    record_upgrade,
)
from nestvec.milvus.catalog import read_table
from nestvec.milvus.lite import count_rows, load_lite
from nestvec.milvus.server_version import read_version
from nestvec_schemas.errors import JournalMismatch, StoreError

BridgeWish = Literal["auto", "required", "none"]
"""Whether queries use a bridge meanwhile: if there can be one that keeps enough, certainly, or not."""


@dataclass(frozen=True)
class UpgradePlan:
    """What an upgrade does."""

    request: UpgradeRequest
    columns: UpgradeColumns | None
    """None if it only is to be completed: its change has begun."""

    bridge: BridgePlan | None
    """None if it is in use, or not any more."""

    change: Change
    change_plan: ChangePlan
    continues: bool
    """Whether an earlier command has begun it."""

    alters_functions: bool = False
    """Whether Milvus's own searches use the bridge too."""

    def as_json(self) -> dict[str, Any]:
        """The plan as data."""
        return {
            "collection": self.request.collection,
            "encoder": self.request.encoder,
            "columns": [spec.name for spec in self.change.add],
            "continues": self.continues,
            "bridge": None if self.bridge is None else self.bridge.as_json(),
            "change": self.change_plan.as_json(),
        }

    def lines(self) -> list[str]:
        """The plan as sentences."""
        if self.columns is None or self.bridge is None:
            return [f"Continuing the upgrade of {self.request.collection} to {self.request.encoder}."]
        chosen = self.columns
        names = ", ".join(column.column for column in chosen.columns)
        lines = [f"{names} of {self.request.collection}: from {chosen.old} to {chosen.encoder}."]
        lines += self.bridge.lines(chosen.old)
        if self.bridge.name is not None:
            own = "Milvus's own searches, and rows that are written,"
            lines.append(
                f"   {own} use it as well."
                if self.alters_functions
                else f"   {own} use {chosen.old} until the switch: this Milvus does not alter a Function."
            )
        first, *rest = self.change_plan.lines()
        lines += [f"2. {first}", *(f"   {line}" for line in rest)]
        lines.append(f"3. {self.request.collection} leads to the new vectors; queries use {chosen.encoder}.")
        return lines


def plan_upgrade(
    client: MilvusClient,
    request: UpgradeRequest,
    models: Path,
    *,
    bridge: BridgeWish = "auto",
    keep_old: bool = False,
) -> UpgradePlan:
    """The plan of an upgrade, or what is left of one that was interrupted.

    The service must respond. Raises CollectionNotFound, SpecError, StoreInUse, JournalMismatch for another
    change that was interrupted, StoreError, ServiceError, EncoderError; NotOffered and SampleUnusable if a
    bridge is required.
    """
    check_name(client, request.collection)
    change = begun_change(client, request)
    if change is not None:
        plan, _ = plan_or_continue(client, request.collection, change, keep_old=keep_old)
        return UpgradePlan(request, None, None, change, change_plan=plan, continues=True)
    table = read_table(client, request.collection)
    chosen = choose_columns(table, request)
    info = fetch_info(chosen.service, environment_api_key())
    check_kinds(chosen, info)
    change = chosen.change(client)
    plan, _ = plan_or_continue(client, request.collection, change, keep_old=keep_old)
    recorded = [column.upgrade for column in chosen.columns if column.upgrade is not None]
    planned = None
    if not recorded:
        load_lite(client, table.name)
        planned = (
            BridgePlan(None, reason="--no-bridge")
            if bridge == "none"
            else plan_bridge(
                chosen, info, models, count_rows(client, table.name), required=bridge == "required"
            )
        )
    alters = can_pin(read_version(client))
    return UpgradePlan(
        request, chosen, planned, change, change_plan=plan, continues=bool(recorded), alters_functions=alters
    )


def begun_change(client: MilvusClient, request: UpgradeRequest) -> Change | None:
    """The change of an upgrade that was interrupted; None if none was. Raises JournalMismatch, StoreInUse."""
    recorded = interrupted(client, request.collection)
    if recorded is None:
        return None
    change = recorded.change
    encoders = {spec.encoder for spec in change.add}
    if encoders != {request.encoder} or {spec.name for spec in change.add} != set(change.drop):
        raise JournalMismatch(
            f"another change of {request.collection} was interrupted",
            value=f"to {', '.join(sorted(encoders))}"[:200] if encoders else f"drop {', '.join(change.drop)}",
            next_step="Run its command again, or end it: --restart, of an upgrade --abort.",
        )
    return change


def begin_upgrade(client: MilvusClient, plan: UpgradePlan) -> None:
    """Have queries embedded by the bridge, which is fitted by now; of an upgrade that was interrupted, also
    by the Functions that were not altered yet. Raises ServiceError, StoreError, EncoderError."""
    if plan.columns is None:
        return
    if plan.bridge is None:
        table = plan.columns.table
        for column in columns_to_alter(table):
            ensure_served(column.service, column.query_bridge or "")
        alter_recorded(client, table.name)
        record_target(client, plan.columns, plan.change_plan.names.target)
        return
    if plan.bridge.name is not None:
        ensure_served(plan.columns.service, plan.bridge.name)
    record_upgrade(client, plan.columns, plan.bridge.name, plan.change_plan.names.target)


def finish_upgrade(client: MilvusClient, plan: UpgradePlan, options: ChangeOptions) -> ChangeReport:
    """Embed anew and switch. Raises as ``run_change``; the same upgrade continues later."""
    report = run_change(client, plan.change_plan, plan.change, options)
    if report.old is not None:
        restore_kept(client, report.old)
    return report


def restore_kept(client: MilvusClient, name: str) -> None:
    """Have the collection of before, which was kept, be as it was before its upgrade, for a rollback."""
    # Where its encoder is not served any more, it keeps the bridge and the record of it: an abort after a
    # rollback ends them. The upgrade itself is complete.
    with suppress(StoreError):
        forget_upgrade(client, name)
