"""Several requests in flight, their batches returned in the order of the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.delivery import Delivery
from nestvec.ingest.write.patience import StopRequested

Keys = Callable[[RowBatch], frozenset[object]]
"""The primary keys of a batch."""


def deliver_in_order(
    batches: Iterable[RowBatch], delivery: Delivery, *, requests: int, keys: Keys
) -> Iterator[RowBatch]:
    """The parts of all ``batches``, each after it was carried out, with up to ``requests`` of them at once.

    A batch waits for one before it that has a key of its own: the last row of a key is the one stored.
    Raises what ``Delivery.deliver`` raises, after what was done before in the source was returned, and what
    ``batches`` raises, at once: requests in flight may be carried out then without being returned.
    """
    if requests <= 1:
        for batch in batches:
            yield from delivery.deliver(batch)
        return
    with ThreadPoolExecutor(requests, thread_name_prefix="nestvec-write") as pool:
        running: deque[tuple[Future[list[RowBatch]], frozenset[object]]] = deque()
        try:
            for batch in batches:
                own = keys(batch)
                while running and (len(running) >= requests or any(own & other for _, other in running)):
                    yield from running.popleft()[0].result()
                running.append((pool.submit(_deliver_all, delivery, batch), own))
                while running and running[0][0].done():
                    yield from running.popleft()[0].result()
            yield from _results(running)
        except StopRequested:
            # What was begun before is done, or ends with StopRequested too.
            yield from _results(running)
            raise
        except BaseException:
            # The pool waits for its threads: none may wait for a server any longer.
            delivery.abort()
            raise


def _results(running: deque[tuple[Future[list[RowBatch]], frozenset[object]]]) -> Iterator[RowBatch]:
    while running:
        yield from running.popleft()[0].result()


def _deliver_all(delivery: Delivery, batch: RowBatch) -> list[RowBatch]:
    return list(delivery.deliver(batch))
