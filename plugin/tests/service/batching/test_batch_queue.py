from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.batching.batch_queue import (
    MAX_PADDING_RATIO,
    BatchQueue,
    QueuedInput,
)
from nestvec.service.preprocess.inputs import text_input
from nestvec.service.settings import MAX_INTERACTIVE_INPUTS

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=60)


def waiting(sizes: list[int]) -> list[QueuedInput]:
    return [QueuedInput(text_input(np.arange(size, dtype=np.int64))) for size in sizes]


def drain(queue: BatchQueue) -> list[list[QueuedInput]]:
    batches = []
    while queue:
        batches.append(queue.take())
    return batches


@given(requests=st.lists(lengths, max_size=6), tokens=st.integers(1, 1000), texts=st.integers(1, 20))
def test_every_text_is_in_exactly_one_batch(requests: list[list[int]], tokens: int, texts: int) -> None:
    queue, everything = BatchQueue(tokens, texts), []
    for request in requests:
        put = waiting(request)
        everything += put
        queue.add(put, request_size=len(put))
    taken = [one for batch in drain(queue) for one in batch]
    assert sorted(map(id, taken)) == sorted(map(id, everything))


@given(sizes=lengths, tokens=st.integers(1, 1000), texts=st.integers(1, 20))
def test_a_batch_stays_in_its_budget_and_wastes_little(sizes: list[int], tokens: int, texts: int) -> None:
    queue = BatchQueue(tokens, texts)
    queue.add(waiting(sizes), request_size=len(sizes))
    for batch in drain(queue):
        longest, shortest = (pick(one.length for one in batch) for pick in (max, min))
        assert len(batch) <= texts
        assert len(batch) == 1 or len(batch) * longest <= tokens
        assert longest <= MAX_PADDING_RATIO * shortest + 4


exits = st.lists(st.tuples(st.integers(1, 40), st.sampled_from([0, 2, 3])), min_size=1, max_size=60)


@given(asked=exits, tokens=st.integers(1, 1000), texts=st.integers(1, 20), dropped=st.integers(0, 59))
def test_a_batch_has_one_exit(asked: list[tuple[int, int]], tokens: int, texts: int, dropped: int) -> None:
    queue = BatchQueue(tokens, texts)
    put = [QueuedInput(text_input(np.arange(size, dtype=np.int64)), exit) for size, exit in asked]
    queue.add(put, request_size=len(put))
    gone = put[dropped : dropped + 1]
    assert [queue.drop(one) for one in gone + gone] == [True] * len(gone) + [False] * len(gone)
    batches = drain(queue)
    assert all(len({one.exit for one in batch}) == 1 for batch in batches)
    assert sorted(id(one) for batch in batches for one in batch) == sorted(
        id(one) for one in put if one not in gone
    )


def test_the_oldest_text_says_which_exit_is_next() -> None:
    queue = BatchQueue(max_tokens=64, max_inputs=4)
    put = [QueuedInput(text_input(np.arange(5, dtype=np.int64)), exit) for exit in (3, 0, 3, 0)]
    queue.add(put, request_size=40)
    assert drain(queue) == [[put[0], put[2]], [put[1], put[3]]]


def test_a_lone_query_waits_for_one_bulk_batch_at_most() -> None:
    queue = BatchQueue(max_tokens=64, max_inputs=4)
    queue.add(waiting([16] * 40), request_size=40)
    queue.take()
    query = waiting([5])
    queue.add(query, request_size=1)
    assert queue.take() == query


def test_bulk_work_goes_on_under_a_stream_of_lone_queries() -> None:
    queue = BatchQueue(max_tokens=64, max_inputs=4)
    queue.add(waiting([16] * 4), request_size=40)
    batches = []
    for _ in range(3):
        queue.add(waiting([5]), request_size=MAX_INTERACTIVE_INPUTS)
        batches.append(queue.take())
    assert [len(batch) for batch in batches] == [1, 4, 2]


def test_the_oldest_text_is_in_the_next_batch() -> None:
    queue = BatchQueue(max_tokens=100, max_inputs=2)
    put = waiting([50, 10, 10, 10, 50])
    queue.add(put, request_size=5)
    assert put[0] in queue.take()


@given(sizes=lengths, tokens=st.integers(1, 1000), texts=st.integers(1, 20), data=st.data())
def test_what_is_dropped_is_in_no_batch(
    sizes: list[int], tokens: int, texts: int, data: st.DataObject
) -> None:
    queue, put = BatchQueue(tokens, texts), waiting(sizes)
    queue.add(put, request_size=len(put))
    gone = data.draw(st.sets(st.sampled_from(range(len(put)))))
    assert all(queue.drop(put[index]) for index in gone)
    assert not any(queue.drop(put[index]) for index in gone)
    taken = [id(one) for batch in drain(queue) for one in batch]
    assert sorted(taken) == sorted(id(one) for index, one in enumerate(put) if index not in gone)
    assert not any(queue.drop(one) for one in put)
