"""Several requests at once, and their order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise

import pytest

from nestvec.datasets.readers import SourceRow
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.delivery import Delivery
from nestvec.ingest.write.in_flight import deliver_in_order
from nestvec.ingest.write.patience import Patience
from nestvec_schemas.errors import IngestError

SECONDS = 60


def batches(keys: Sequence[Sequence[int]]) -> list[RowBatch]:
    made, start = list[RowBatch](), 0
    for batch in keys:
        rows = tuple({"id": key} for key in batch)
        sources = tuple(SourceRow("row", row) for row in rows)
        positions = tuple(range(len(rows)))
        made.append(RowBatch(start, len(rows), rows=rows, source_rows=sources, positions=positions))
        start += len(rows)
    return made


def keys(batch: RowBatch) -> frozenset[object]:
    return frozenset(row["id"] for row in batch.rows)


def test_they_are_in_flight_together_and_come_back_in_order() -> None:
    together = threading.Barrier(3)

    def write(batch: RowBatch) -> RowBatch:
        # Passes only if three requests are under way at once.
        together.wait(SECONDS)
        return batch

    delivery = Delivery(write, BatchSize(10), Patience())
    parts = list(deliver_in_order(batches([[1], [2], [3], [4], [5], [6]]), delivery, requests=3, keys=keys))
    assert [part.start for part in parts] == list(range(6))
    assert all(first.start + first.read == second.start for first, second in pairwise(parts))


def test_a_batch_waits_for_one_that_has_its_key() -> None:
    under_way, lock = set[object](), threading.Lock()

    def write(batch: RowBatch) -> RowBatch:
        own = keys(batch)
        with lock:
            assert not own & under_way
            under_way.update(own)
        with lock:
            under_way.difference_update(own)
        return batch

    delivery = Delivery(write, BatchSize(10), Patience())
    source = batches([[n % 4, n % 3 + 10] for n in range(60)])
    assert len(list(deliver_in_order(source, delivery, requests=4, keys=keys))) == 60


def test_an_error_ends_the_others_waits() -> None:
    failed = threading.Event()
    patience = Patience()

    def write(batch: RowBatch) -> RowBatch:
        if batch.start == 0:
            failed.set()
            raise IngestError("it cannot be stored", next_step="Correct it.")
        failed.wait(SECONDS)
        return batch

    delivery = Delivery(write, BatchSize(10), patience)
    with pytest.raises(IngestError, match="it cannot be stored"):
        list(deliver_in_order(batches([[1], [2], [3]]), delivery, requests=2, keys=keys))
    assert patience.aborted
