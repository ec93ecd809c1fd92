from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.batching.batch_queue import (
    MAX_PADDING_RATIO,
    BatchQueue,
    QueuedInput,
)
from nestvec.service.batching.batch_size import BatchBudget
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


clients = st.sampled_from("abcde")
adding = st.tuples(clients, st.integers(1, 12), st.integers(1, 200), st.sampled_from([0, 2]))
"""A client, and the number, length and exit of the inputs of its request."""
steps = st.lists(st.one_of(adding, st.just("take"), st.just("drop"), st.just("share")), max_size=60)


@given(steps=steps, tokens=st.integers(1, 1000), texts=st.integers(1, 20), free=st.integers(0, 500))
def test_whoever_waits_every_input_is_taken_once(
    steps: list[tuple[str, int, int, int] | str], tokens: int, texts: int, free: int
) -> None:
    queue = BatchQueue(tokens, texts)
    everything, taken, dropped = list[QueuedInput](), list[QueuedInput](), list[QueuedInput]()
    for number, step in enumerate(steps):
        waiting_now = [item for item in everything if item.lanes]
        if step == "take" and queue:
            taken += queue.take(BatchBudget(free))
        elif step == "drop" and waiting_now:
            dropped.append(waiting_now[number % len(waiting_now)])
            assert queue.drop(dropped[-1])
        elif step == "share" and waiting_now:
            item = waiting_now[number % len(waiting_now)]
            queue.share(item, request_size=1 + number % 9, client="abcde"[number % 5])
        elif isinstance(step, tuple):
            client, count, length, exit = step
            put = [QueuedInput(text_input(np.arange(length, dtype=np.int64)), exit) for _ in range(count)]
            queue.add(put, request_size=count, client=client)
            everything += put
        assert len(queue) == len(everything) - len(taken) - len(dropped)
    while queue:
        batch = queue.take(BatchBudget(free))
        assert len({item.exit for item in batch}) == 1
        assert len(batch) <= texts
        taken += batch
    assert sorted(item.number for item in taken + dropped) == sorted(item.number for item in everything)
    assert not any(item.lanes for item in everything)


floods = st.lists(st.tuples(st.integers(1, 300), st.sampled_from([1, 4, 5, 60])), min_size=1, max_size=12)
"""The length of the inputs of a request, and how many inputs it has."""


@given(flood=floods, more=floods, length=st.integers(1, 300), batches=st.integers(1, 20))
def test_a_lone_input_is_in_the_next_batch_whatever_one_other_client_sends(
    flood: list[tuple[int, int]], more: list[tuple[int, int]], length: int, batches: int
) -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=8)
    queue.add(waiting([300] * 9), request_size=9, client="flood")
    queue.take()  # what the engine does as the query comes
    for size, count in flood:
        queue.add(waiting([size] * count), request_size=count, client="flood")
    for _ in range(batches):
        if queue:
            queue.take()
    if not queue:  # then the two are equal
        queue.add(waiting([300] * 9), request_size=9, client="flood")
        queue.take()
    for size, count in more:
        queue.add(waiting([size] * count), request_size=count, client="flood")
    (query,) = waiting([length])
    queue.add([query], request_size=1, client="polite")
    batch = queue.take()
    assert query in batch
    # Others make its batch little longer: by what it has itself, and the rest of one input.
    others = [item.length for item in batch if item is not query]
    assert sum(others[:-1]) < length


@given(flood=floods, others=st.integers(1, 8), length=st.integers(1, 300))
def test_a_lone_input_waits_for_one_batch_of_each_other_client(
    flood: list[tuple[int, int]], others: int, length: int
) -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=8)
    for number in range(others):
        for size, count in flood:
            queue.add(waiting([size] * count), request_size=count, client=f"flood {number}")
    (query,) = waiting([length])
    queue.add([query], request_size=1, client="polite")
    assert any(query in queue.take() for _ in range(others + 1))


@given(bulk=st.integers(10, 200), lone=st.integers(10, 100), free=st.integers(0, 100))
def test_a_flood_gets_its_half_beside_a_stream_of_queries(bulk: int, lone: int, free: int) -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=8)
    flood = waiting([bulk] * 400)
    queue.add(flood, request_size=400, client="flood")
    served: Counter[str] = Counter()
    for _ in range(40):
        queue.add(waiting([lone] * 8), request_size=1, client="stream")
        for item in queue.take(BatchBudget(free)):
            served["flood" if item in flood else "stream"] += item.length
    assert served["flood"] >= served["stream"] - 2 * 8 * 100
    assert served["flood"] > 0


def test_both_clients_of_a_shared_input_pay_with_their_own_turns() -> None:
    queue = BatchQueue(max_tokens=16, max_inputs=1)
    first, second, shared = waiting([16, 16, 16])
    queue.add([first, second, shared], request_size=40, client="bulk")
    queue.share(shared, request_size=1, client="query")
    assert drain(queue) == [[shared], [first], [second]]
    assert not queue.drop(shared)


def test_a_query_shares_the_bulk_work_of_its_own_client() -> None:
    queue = BatchQueue(max_tokens=16, max_inputs=1)
    first, second, shared = waiting([16, 16, 16])
    queue.add([first, second, shared], request_size=40, client="a")
    queue.share(shared, request_size=1, client="a")
    assert queue.take() == [shared]


@pytest.mark.parametrize(("free", "count"), [(0, 2), (50, 6), (1000, 8)])
def test_queries_of_others_join_a_query_as_far_as_that_costs_nothing(free: int, count: int) -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=8)
    queue.add(waiting([10] * 30), request_size=1, client="flood")
    queue.take()
    query = waiting([10])
    queue.add(query, request_size=1, client="polite")
    batch = queue.take(BatchBudget(free))
    assert query[0] in batch
    assert len(batch) == count


def test_queries_of_many_clients_are_one_batch() -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=8)
    for number in range(8):
        queue.add(waiting([10]), request_size=1, client=f"client {number}")
    assert len(queue.take()) == 8


def test_a_stream_of_new_clients_is_served_and_forgotten_and_delays_nobody_for_good() -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=1)
    bulk = waiting([5] * 3000)
    queue.add(bulk, request_size=3000, client="bulk")
    served: Counter[str] = Counter()
    for number in range(1000):
        queue.add(waiting([5]), request_size=1, client=f"client {number}")
        served.update("bulk" if item in bulk else "new" for item in queue.take())
    assert 20 <= served["bulk"] <= 500
    assert served["new"] >= 500
    assert len(queue._clients) <= 300


def test_a_batch_may_be_given_less_than_the_budget() -> None:
    queue = BatchQueue(max_tokens=512, max_inputs=64)
    queue.add(waiting([10] * 60), request_size=60)
    assert [len(queue.take(BatchBudget(tokens=tokens))) for tokens in (100, 9, 1000)] == [10, 1, 49]


def test_an_encoder_is_shared_while_a_second_client_sends_queries_now_and_then() -> None:
    now = 0.0
    queue = BatchQueue(max_tokens=20, max_inputs=2, clock=lambda: now)
    queue.add(waiting([10]), request_size=1, client="polite")
    drain(queue)
    queue.add(waiting([10] * 200), request_size=200, client="bulk")
    assert queue.is_shared
    now = 11.0
    assert not queue.is_shared
    queue.add(waiting([10]), request_size=1, client="polite")
    queue.take()  # the query
    assert queue.is_shared  # what the first sent long ago still waits
    now = 22.0
    assert not queue.is_shared
    for _ in range(3):
        queue.add(waiting([10]), request_size=1, client="bulk")
    assert not queue.is_shared


def test_an_encoder_of_bulk_work_alone_is_not_shared() -> None:
    queue = BatchQueue(max_tokens=20, max_inputs=2)
    for client in "abc":
        queue.add(waiting([10] * 5), request_size=5, client=client)
    assert not queue.is_shared
    queue.add(waiting([10] * 4), request_size=4, client="a")
    assert queue.is_shared


def test_a_batch_has_no_more_padding_than_another_batch_would_cost() -> None:
    queue = BatchQueue(4096, 64)
    lengths = [10] * 8 + [12] * 4
    queue.add(waiting(lengths), request_size=len(lengths))
    assert [len(queue.take(BatchBudget(padding=8))) for _ in range(2)] == [8, 4]
    queue.add(waiting(lengths), request_size=len(lengths))
    assert len(queue.take(BatchBudget(padding=16))) == 12
    queue.add(waiting([100] * 9 + [104]), request_size=10)
    assert len(queue.take(BatchBudget(padding=0))) == 10, "a twentieth of its tokens is nothing"


def test_a_batch_grows_where_that_needs_less_padding() -> None:
    queue = BatchQueue(4096, max_inputs=4)
    queue.add(waiting([20, 20, 20, 24, 19, 18]), request_size=1)
    assert [item.length for item in queue.take()] == [20, 20, 20, 19]
    queue.add(waiting([19]), request_size=1)
    assert sorted(item.length for item in queue.take()) == [18, 19, 24]
