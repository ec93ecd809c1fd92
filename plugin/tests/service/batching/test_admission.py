from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.batching.admission import ClientShares, QueueAdmission, RequestAdmission
from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import BodyTooLarge, Overloaded

moves = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40), st.booleans()), max_size=60)


@given(moves=moves, limit=st.integers(1, 100))
def test_a_client_holds_half_of_what_the_others_leave(moves: list[tuple[str, int, bool]], limit: int) -> None:
    shares, held = ClientShares(limit), Counter[str]()
    for client, amount, takes in moves:
        if takes:
            others = held.total() - held[client]
            fits = held[client] + amount <= min(limit - others, max(1, (limit - others) // 2))
            assert shares.take(client, amount) is fits
            held[client] += amount * fits
        elif held[client] >= amount:
            shares.give_back(client, amount)
            held[client] -= amount
        assert shares.total == held.total() <= limit
        assert all(shares.amount_of(name) == held[name] for name in "abcd")


def test_there_is_room_for_a_client_beside_one_that_takes_all_it_can() -> None:
    shares = ClientShares(1000)
    while shares.take("greedy", 1):
        pass
    assert shares.amount_of("greedy") == 500
    assert shares.take("polite", 250)


def test_places_are_given_back_also_after_an_error() -> None:
    admission = RequestAdmission(LoadLimits(requests=1))
    for _ in range(3):
        with pytest.raises(ValueError, match="inside"), admission.request("a"):
            raise ValueError("inside")
    with (
        admission.request("a"),
        pytest.raises(Overloaded, match="1 requests in flight, 0 of them this client's"),
        admission.request("b"),
    ):
        pass


def test_tokens_are_given_back() -> None:
    admission = QueueAdmission(LoadLimits(queue_tokens=20), lambda: None)
    admission.add_tokens("a", 8)
    with pytest.raises(Overloaded, match="8 tokens waiting, 8 of them this client's"):
        admission.add_tokens("a", 3)
    admission.add_tokens("b", 6)
    admission.remove_tokens("a", 8)
    admission.add_tokens("a", 7)
    assert admission.shares.total == 13


def test_what_no_client_may_send_is_refused_for_good() -> None:
    admission = QueueAdmission(LoadLimits(queue_tokens=20), lambda: None)
    admission.add_tokens("a", 10)
    with pytest.raises(BodyTooLarge, match="the 10 of a client"):
        admission.add_tokens("b", 11)


def test_when_to_come_back_follows_the_engine() -> None:
    speeds = [0.0]
    admission = QueueAdmission(LoadLimits(), lambda: speeds[-1] or None)
    assert admission.retry_after == 1
    admission.add_tokens("", 5000)
    speeds.append(1000.0)
    assert admission.retry_after == 5
    admission.add_tokens("", 500_000)
    assert admission.retry_after == 30
