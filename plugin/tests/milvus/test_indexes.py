"""What Milvus describes of an index."""

from __future__ import annotations

from typing import Any

import pytest

from nestvec.milvus.indexes import build_params

DESCRIBED = {
    "index_type": "HNSW",
    "metric_type": "COSINE",
    "field_name": "v",
    "index_name": "v",
    "total_rows": 3,
    "indexed_rows": 3,
    "pending_index_rows": 0,
    "state": "Finished",
}


@pytest.mark.parametrize("sent", [{"M": "24"}, {"params": {"M": 24}}])
def test_build_parameters_are_read_wherever_a_client_sent_them(sent: dict[str, Any]) -> None:
    assert build_params(DESCRIBED) == {}
    params = build_params(DESCRIBED | sent | {"inverted_index_algo": "DAAT_MAXSCORE"})
    assert params == {"M": 24, "inverted_index_algo": "DAAT_MAXSCORE"}
