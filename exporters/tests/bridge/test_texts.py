"""What a bridge is fitted on: each text once, and real queries where there are any."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.bridge.texts import bridge_texts
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.samples.sample import Sample

SAMPLE = Sample("papers", tuple(f"Wing {number} lifts a body. It stalls late." for number in range(9)))


def test_repeated_and_blank_texts_count_once_or_not_at_all() -> None:
    repeated = Sample("papers", (*SAMPLE.texts, " ", *SAMPLE.texts))
    assert bridge_texts(repeated, None, seed=0, minimum=9).documents == SAMPLE.texts
    with pytest.raises(SampleUnusable, match=r"9 distinct texts, of 19"):
        bridge_texts(repeated, None, seed=0, minimum=10)


def test_real_queries_are_of_no_document() -> None:
    texts = bridge_texts(SAMPLE, Sample("log", ("lift", "stall", "lift")), seed=0, minimum=1)
    real = np.flatnonzero(texts.rows == -1)
    assert [texts.queries[place] for place in real] == ["lift", "stall"]


def test_a_log_without_queries_is_refused() -> None:
    """Sentences would stand for its queries without a word of it."""
    with pytest.raises(SampleUnusable, match="the log log has no queries"):
        bridge_texts(SAMPLE, Sample("log", ("", " ")), seed=0, minimum=1)
