from __future__ import annotations

import asyncio

import numpy as np

from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.service.preprocess.inputs import collate_ids


def test_a_text_has_the_same_vector_in_any_batch() -> None:
    engine = FakeEngine({"tiny": 16})
    rows = [np.arange(n + 1, dtype=np.int64) for n in range(3)]
    vectors = asyncio.run(engine.run("tiny", collate_ids(rows)))
    assert np.array_equal(vectors, np.stack([fake_vector(row, 16) for row in rows]))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert engine.batches == [("tiny", 3, 3)]


def test_every_exit_has_a_vector_of_its_own() -> None:
    engine, row = FakeEngine({"tiny": 16}), np.arange(3, dtype=np.int64)
    deepest, second, again = (asyncio.run(engine.run("tiny", collate_ids([row], exit))) for exit in (0, 2, 2))
    assert np.array_equal(second, again)
    assert np.array_equal(second[0], fake_vector(row, 16, 2))
    assert not np.array_equal(deepest, second)
    assert engine.exits == [0, 2, 2]
