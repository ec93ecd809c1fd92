from __future__ import annotations

import pytest

from nestvec.service.bodies.memory import UNCOUNTED_BYTES, BodyMemory
from nestvec_schemas.errors import Overloaded

MIB = 1 << 20


def test_a_client_holds_at_most_half_and_another_finds_room() -> None:
    memory = BodyMemory(64 * MIB)
    with memory.body("greedy") as greedy, memory.body("other") as other, memory.body("polite") as polite:
        for _ in range(32):
            greedy.arrived(MIB)
        assert memory.total <= 32 * MIB
        with pytest.raises(Overloaded, match="held for this client"):
            greedy.arrived(MIB)
        for _ in range(16):
            other.arrived(MIB)
        with pytest.raises(Overloaded):
            other.arrived(MIB)
        polite.arrived(4 * MIB)
    assert memory.total == 0


def test_several_bodies_of_a_client_count_together_and_end_separately() -> None:
    memory = BodyMemory(64 * MIB)
    with memory.body("a") as first:
        first.arrived(20 * MIB)
        with memory.body("a") as second, pytest.raises(Overloaded):
            second.arrived(20 * MIB)
        with memory.body("a") as third:
            third.arrived(10 * MIB)
        assert memory.total == 20 * MIB - UNCOUNTED_BYTES
    assert memory.total == 0


def test_small_bodies_are_never_refused() -> None:
    memory = BodyMemory(MIB)
    with memory.body("greedy") as greedy:
        greedy.arrived(MIB // 2)
        for n in range(100):
            with memory.body("greedy") as body:
                body.expect(UNCOUNTED_BYTES)
                body.arrived(UNCOUNTED_BYTES // 2 + n)
        assert memory.total == MIB // 2 - UNCOUNTED_BYTES


def test_a_declared_size_is_refused_before_it_arrives_and_holds_nothing() -> None:
    memory = BodyMemory(MIB)
    with memory.body("a") as body:
        body.expect(MIB // 2)
        assert memory.total == 0
        with pytest.raises(Overloaded) as caught:
            body.expect(MIB)
    assert "of all bodies in progress it holds at most 1048576 bytes" in str(caught.value)
