"""One UPDATE at a time of a table: new values that are computed from old ones must not overwrite another's.

Milvus has no transactions and no conditional write. What it has is enough for mutual exclusion: a row that
is written is seen by every read with strong consistency that begins afterwards. A statement writes a claim
into the collection ``nestvec_locks`` and reads the claims of its table; if there are others it withdraws its
own and tries again. Of two statements that claim at the same time, at least the later one sees the other.
A claim whose owner is gone is removed after ``CLAIM_SECONDS`` of being seen; an owner that works longer
replaces it by a new one in time, and fails if it finds that it was removed. Only writes through nestvec's
UPDATE are kept apart: another client that upserts the same row is not.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Final, TypeVar

from pymilvus import DataType, MilvusClient

from nestvec.milvus.catalog import LOCKS_COLLECTION, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.session import Session
from nestvec_schemas.errors import NestvecError, StoreError, StoreRefused

T = TypeVar("T")

CLAIM_SECONDS: Final = 120.0
"""How long one claim is waited for before it is taken to be left over."""

RENEW_SECONDS: Final = 30.0
"""The age from which a claim is replaced before the next request."""

WAIT_SECONDS: Final = 600.0
"""How long a statement waits for the table."""

_MAX_PAUSE: Final = 0.5
_STRONG: Final = {"consistency_level": "Strong"}


def exclusively(session: Session, table: Table, steps: Steps[T]) -> Steps[T]:
    """Run the steps of a change while no other statement runs such steps on the table.

    Raises StoreRefused after ``WAIT_SECONDS``, and what the steps raise.
    """
    lock = _process_lock(table.name)
    yield from _acquire(lock, table.name)
    try:
        if not session.writes.shared:
            return (yield from steps)
        claim = yield from _claim(session, table.name)
        try:
            result = yield from _renewing(claim, steps)
        except Exception:
            yield from _withdraw(table.name, [claim.key])
            raise
        yield from _withdraw(table.name, [claim.key])
        return result
    finally:
        lock.release()


def _acquire(lock: Lock, collection: str) -> Steps[None]:
    """Wait for the lock of this process. A thread that waited in its place would keep it if cancelled."""
    started, pause = time.monotonic(), 0.01
    while not lock.acquire(blocking=False):
        if time.monotonic() - started > WAIT_SECONDS:
            raise _busy(collection)
        yield BlockingCall(_sleep(random.uniform(0, pause)))  # noqa: S311 - a pause
        pause = min(2 * pause, _MAX_PAUSE)


def _renewing(claim: _Claim, steps: Steps[T]) -> Steps[T]:
    """Run the steps, and replace the claim between their requests before it is taken to be left over."""
    answer: Any = None
    error: NestvecError | None = None
    while True:
        try:
            request = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            value: T = end.value
            # The last request may have taken too long, too.
            yield from _renew(claim)
            return value
        answer, error = None, None
        try:
            yield from _renew(claim)
            answer = yield request
        except NestvecError as raised:
            error = raised


def _renew(claim: _Claim) -> Steps[None]:
    """Replace a claim that is old. Raises StoreRefused if another statement removed it."""
    if time.monotonic() - claim.since <= RENEW_SECONDS:
        return
    if claim.key not in (yield from _read_claims(claim.collection)):
        raise StoreRefused(
            f"this UPDATE of {claim.collection} was interrupted for so long that another one may have run",
            next_step="Look at the rows: those written before remain. Then run the statement again.",
        )
    old_key = claim.key
    claim.since = time.monotonic()
    claim.key = yield from _insert_claim(claim.collection)
    yield from _withdraw(claim.collection, [old_key])


@dataclass
class _Claim:
    """The row by which a statement has a table for itself."""

    collection: str
    key: str
    since: float
    """When it was written, by ``time.monotonic``."""


@lru_cache(maxsize=1024)
def _process_lock(collection: str) -> Lock:
    return Lock()


def _claim(session: Session, collection: str) -> Steps[_Claim]:
    """A claim that is the only one of its table."""
    yield BlockingCall(_create_collection)
    yield from session.ensure_loaded(LOCKS_COLLECTION)
    started, first_seen, pause = time.monotonic(), dict[str, float](), 0.01
    while True:
        since = time.monotonic()
        key = yield from _insert_claim(collection)
        others = (yield from _read_claims(collection)) - {key}
        if not others:
            return _Claim(collection, key, since)
        now = time.monotonic()
        first_seen = {other: first_seen.get(other, now) for other in others}
        left_over = [other for other, since in first_seen.items() if now - since > CLAIM_SECONDS]
        yield from _withdraw(collection, [key, *left_over])
        if now - started > WAIT_SECONDS:
            raise _busy(collection)
        yield BlockingCall(_sleep(random.uniform(0, pause)))  # noqa: S311 - a pause
        pause = min(2 * pause, _MAX_PAUSE)


def _busy(collection: str) -> StoreRefused:
    return StoreRefused(
        f"another UPDATE has claimed {collection} for {WAIT_SECONDS:.0f} seconds",
        next_step="Run the statement again later.",
    )


def _insert_claim(collection: str) -> Steps[str]:
    key = uuid.uuid4().hex
    row: dict[str, Any] = {"id": key, "collection": collection, "v": [0.0, 1.0]}
    yield call(f"claiming collection {collection} for an UPDATE", "insert", LOCKS_COLLECTION, [row])
    return key


def _read_claims(collection: str) -> Steps[set[str]]:
    """The keys of the claims of a table."""
    claims = yield call(
        f"claiming collection {collection} for an UPDATE",
        "query",
        LOCKS_COLLECTION,
        filter=f'collection == "{collection}"',
        output_fields=["id"],
        **_STRONG,
    )
    return {str(claim["id"]) for claim in claims}


def _withdraw(collection: str, keys: list[str]) -> Steps[None]:
    doing = f"releasing collection {collection}"
    yield call(doing, "delete", LOCKS_COLLECTION, ids=keys)


def _sleep(seconds: float) -> Callable[[MilvusClient], None]:
    return lambda client: time.sleep(seconds)


def _create_collection(client: MilvusClient) -> None:
    """Create the collection of claims, unless it exists."""
    with milvus_errors("looking for the collection of claims"):
        if client.has_collection(LOCKS_COLLECTION):
            return
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("collection", DataType.VARCHAR, max_length=255)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    index = MilvusClient.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="L2")
    try:
        with milvus_errors("creating the collection of claims"):
            client.create_collection(LOCKS_COLLECTION, schema=schema, index_params=index, **_STRONG)
    except StoreError:
        # Another client may have created it at the same moment.
        with milvus_errors("looking for the collection of claims"):
            if not client.has_collection(LOCKS_COLLECTION):
                raise
