"""ALTER TABLE that copies the rows: a second table is filled beside the first, and the name leads there."""

from __future__ import annotations

from collections.abc import Iterable

from pymilvus import MilvusClient

from nestvec.collections.change.definition import Change
from nestvec.collections.change.interrupted import discard, interrupted
from nestvec.collections.change.plan import ChangePlan, FieldPlan
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.collections.change.switch import is_switched
from nestvec.ingest.options import DeliveryOptions
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.new_columns import row_values
from nestvec_schemas.errors import IngestError, JournalMismatch


def change_table(session: Session, table: Table, change: Change, services: Iterable[str]) -> Steps[None]:
    """Carry out a change, or continue it where it was interrupted. Raises SpecError, StoreError,
    ServiceError, IngestError for a row that is refused: the table is as it was then."""
    name = _statement_name(session, table)
    yield from session.ensure_served(dict.fromkeys(services))

    def run(client: MilvusClient) -> None:
        unfinished = interrupted(client, name)
        current = change if unfinished is None else change.as_begun(unfinished.change)
        plan, _ = plan_or_continue(client, name, current)
        try:
            run_change(client, plan, current, _options(session, current))
        except JournalMismatch:
            raise
        except IngestError:
            # Another statement may follow, after which this one would not be repeated.
            discard(client, name)
            raise

    yield BlockingCall(run)
    session.forget(name, table.name)


def complete_change(session: Session, name: str) -> Steps[None]:
    """Complete a change of a table that was interrupted once its name led to the second table, or to none:
    to the statements that follow, it has been made.

    Raises StoreInUse while another command changes the table; StoreError, ServiceError, IngestError.
    """

    def switched(client: MilvusClient) -> Change | None:
        unfinished = interrupted(client, name)
        done = unfinished is not None and is_switched(client, unfinished.names)
        return unfinished.change if unfinished is not None and done else None

    change: Change | None = yield BlockingCall(switched)
    if change is None:
        return
    yield from session.ensure_served(dict.fromkeys(field.service for field in change.fields.values()))

    def run(client: MilvusClient) -> None:
        unfinished = interrupted(client, name)
        if unfinished is not None:
            plan = ChangePlan(unfinished.names, FieldPlan(), rows=0, seconds=None, bytes=0)
            run_change(client, plan, change, _options(session, change))

    yield BlockingCall(run)
    session.forget(name)


def _options(session: Session, change: Change) -> ChangeOptions:
    delivery = DeliveryOptions(session.settings.retry_seconds, waiting=session.waiting)
    return ChangeOptions(delivery=delivery, row_values=row_values(change.columns))


def _statement_name(session: Session, table: Table) -> str:
    """The name by which the statement names a table."""
    return next((key for key, value in session.tables.items() if value is table), table.name)
