"""Claims of tables, on a store of rows in memory and a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps, call, drive
from nestvec.sql.session import Session
from nestvec.sql.statements.dml import exclusive
from nestvec_schemas.errors import StoreRefused

TABLE = Table("counters", ())


class ClaimStore:
    """The collection of claims; ``work`` is a request of the statement, which takes some time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.keys: set[str] = set()

    def monotonic(self) -> float:
        return self.now

    def has_collection(self, name: str) -> bool:
        return True

    def insert(self, name: str, rows: list[dict[str, Any]]) -> None:
        self.keys |= {str(row["id"]) for row in rows}

    def query(self, name: str, **options: Any) -> list[dict[str, Any]]:
        return [{"id": key} for key in self.keys]

    def delete(self, name: str, ids: list[str]) -> None:
        self.keys -= set(ids)

    def work(self, seconds: float) -> None:
        self.now += seconds


def session() -> Session:
    def ensure_loaded(name: str) -> Steps[None]:
        yield from ()

    return cast(Session, SimpleNamespace(writes=SimpleNamespace(shared=True), ensure_loaded=ensure_loaded))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ClaimStore:
    made = ClaimStore()
    monkeypatch.setattr("time.monotonic", made.monotonic)
    return made


def run(store: ClaimStore, steps: Steps[str]) -> str:
    return drive(cast(Any, store), exclusively(steps))


def exclusively(steps: Steps[str]) -> Steps[str]:
    return exclusive.exclusively(session(), TABLE, steps)


def test_a_long_update_replaces_its_claim(store: ClaimStore) -> None:
    seen: list[set[str]] = []

    def steps() -> Steps[str]:
        for _ in range(8):
            seen.append(set(store.keys))
            yield call("working", "work", exclusive.CLAIM_SECONDS / 3)
        return "done"

    assert run(store, steps()) == "done"
    assert all(len(keys) == 1 for keys in seen)
    assert len(set.union(*seen)) > 1
    assert store.keys == set()


@pytest.mark.parametrize(
    "error", [StoreRefused("a row is refused", next_step="Correct it."), RecursionError("too deep")]
)
def test_a_failed_update_withdraws_its_claim(store: ClaimStore, error: Exception) -> None:
    def steps() -> Steps[str]:
        yield call("reading", "work", 0.0)
        raise error

    with pytest.raises(type(error)):
        run(store, steps())
    assert store.keys == set()


def test_an_update_whose_claim_was_removed_writes_no_more(store: ClaimStore) -> None:
    written: list[int] = []

    def steps() -> Steps[str]:
        yield call("reading", "work", 2 * exclusive.CLAIM_SECONDS)
        # Another statement takes the claim to be left over.
        store.keys = {"another"}
        yield call("writing", "work", 0.0)
        written.append(1)
        return "done"

    with pytest.raises(StoreRefused, match="another one may have run"):
        run(store, steps())
    assert written == []
    assert store.keys == {"another"}


def test_a_last_request_that_outlasts_its_claim_is_an_error(store: ClaimStore) -> None:
    def steps() -> Steps[str]:
        yield call("writing", "work", 2 * exclusive.CLAIM_SECONDS)
        store.keys = {"another"}
        return "done"

    with pytest.raises(StoreRefused, match="another one may have run"):
        run(store, steps())


def test_a_statement_that_is_cancelled_while_it_waits_leaves_the_table_free(store: ClaimStore) -> None:
    def steps() -> Steps[str]:
        yield call("working", "work", 0.0)
        return "done"

    holder = exclusively(steps())
    holder.send(None)
    waiting = exclusively(steps())
    request = waiting.send(None)
    waiting.close()
    holder.close()
    # A thread that a cancelled coroutine waited for runs to its end.
    assert isinstance(request, BlockingCall)
    request.run(cast(Any, store))
    assert run(store, steps()) == "done"
