from __future__ import annotations

import pytest

from nestvec.service.batching.admission import Admission
from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import Overloaded


def test_places_are_given_back_also_after_an_error() -> None:
    admission = Admission(LoadLimits(requests=1))
    for _ in range(3):
        with pytest.raises(ValueError, match="inside"), admission.request():
            raise ValueError("inside")
    with admission.request(), pytest.raises(Overloaded, match="1 requests waiting"), admission.request():
        pass


def test_tokens_are_given_back() -> None:
    admission = Admission(LoadLimits(queue_tokens=10))
    admission.add_tokens(8)
    with pytest.raises(Overloaded, match="8 tokens waiting"):
        admission.add_tokens(3)
    admission.remove_tokens(8)
    admission.add_tokens(100)
    assert admission.tokens == 100


def test_when_to_come_back_follows_the_engine() -> None:
    admission = Admission(LoadLimits())
    assert admission.retry_after == 1
    admission.add_tokens(5000)
    admission.record_batch(1000, 1.0)
    assert admission.retry_after == 5
    admission.record_batch(100, 10.0)
    assert 5 < admission.retry_after < 30
    admission.add_tokens(500_000)
    assert admission.retry_after == 30
