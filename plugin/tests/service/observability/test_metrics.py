from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from nestvec.service.api.error_codes import ERROR_CODES
from nestvec.service.embedder import Embedder
from nestvec.service.observability.metrics import FAILURE_CAUSES, Metrics
from nestvec.service.observability.observer import BatchRun, RequestRecord
from nestvec.service.server import bind, serve_in_thread
from nestvec_schemas.errors import EngineError

TEI = {
    "te_request_count": ("method", "encoder"),
    "te_request_success": ("method", "encoder"),
    "te_request_duration_count": ("method", "encoder"),
    "te_request_queue_duration_count": ("encoder",),
    "te_request_inference_duration_count": ("encoder",),
    "te_batch_next_size_count": ("encoder",),
    "te_batch_next_tokens_count": ("encoder",),
    "te_queue_size": ("encoder",),
    "te_embed_count": ("encoder",),
    "te_embed_success": ("encoder",),
}


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples under the names that are in the text: the parser adds ``_total`` to every counter."""
    return {
        (
            sample.name if f"# TYPE {family.name} counter" not in text else family.name,
            tuple(sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_service_counts_under_teis_names(embedder: Embedder) -> None:
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        post = f"{service}/embed"
        assert httpx.post(post, json={"inputs": "w1 w2"}).status_code == 200
        assert httpx.post(f"{post}?dim=4", json={"inputs": ["w1 w2", "w3"]}).status_code == 200
        assert httpx.post(post, json={"inputs": " ".join(["w5"] * 20)}).status_code == 200
        assert httpx.post(post, json={"inputs": []}).status_code == 400
        embedder.engine.failure = EngineError("out", next_step="Wait.")  # type: ignore[attr-defined]
        assert httpx.post(post, json={"inputs": "w9"}).status_code == 424
        assert httpx.get(f"{service}/never/{'x' * 50}").status_code == 404
        answer = httpx.get(f"{service}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = read(answer.text)
    for name, labels in TEI.items():
        assert any(one == name and {key for key, _ in given} == set(labels) for one, given in found), name
    tiny = ("encoder", "tiny")
    assert found["te_request_count", (tiny, ("method", "single"))] == 3
    assert found["te_request_success", (tiny, ("method", "single"))] == 2
    assert found["te_request_success", (tiny, ("method", "batch"))] == 1
    assert found["te_request_failure", (("err", "validation"),)] == 1
    assert found["te_request_failure", (("err", "inference"),)] == 1
    assert found["te_embed_count", (tiny,)] == 5
    assert found["te_embed_success", (tiny,)] == 3
    assert found["nestvec_texts_total", (tiny, ("source", "fresh"))] == 4
    assert found["nestvec_texts_total", (tiny, ("source", "remembered"))] == 1
    assert found["nestvec_truncated_texts_total", (tiny,)] == 1
    assert found["nestvec_batches_failed_total", (tiny,)] == 1
    assert found["nestvec_http_requests_total", (("path", "other"), ("status", "404"))] == 1
    assert found["te_queue_size", (tiny,)] == 0
    assert "never" not in answer.text
    assert "_created" not in answer.text


def test_two_services_count_apart() -> None:
    one, other = Metrics(["/embed"]), Metrics(["/embed"])
    one.texts_requested("tiny", fresh=1, shared=2, remembered=3)
    assert read(one.render()[0].decode())["te_embed_count", (("encoder", "tiny"),)] == 6
    assert not any(name == "te_embed_count" for name, _ in read(other.render()[0].decode()))


def test_padding_and_failures_of_batches() -> None:
    metrics = Metrics(["/embed"])
    metrics.batch_finished(
        BatchRun("tiny", texts=2, tokens=10, padded=16, queue_seconds=0.1, inference_seconds=0.2)
    )
    metrics.batch_finished(
        BatchRun("tiny", texts=2, tokens=3, padded=4, queue_seconds=0.1, inference_seconds=0.2, failed=True)
    )
    found = read(metrics.render()[0].decode())
    assert found["nestvec_padding_tokens_total", (("encoder", "tiny"),)] == 7
    assert found["te_embed_success", (("encoder", "tiny"),)] == 2
    assert found["te_request_queue_duration_sum", (("encoder", "tiny"),)] == pytest.approx(0.2)


def test_a_client_that_goes_away_is_a_dropped_request() -> None:
    metrics = Metrics(["/embed"])
    metrics.request_ended(RequestRecord("POST", "/embed"))
    assert read(metrics.render()[0].decode())["te_request_failure", (("err", "dropped"),)] == 1


def test_every_status_of_an_error_has_a_cause() -> None:
    statuses = {one for _, row in ERROR_CODES for one in (row.tei.status, row.openai.status, row.cohere)}
    assert statuses <= set(FAILURE_CAUSES)


def test_a_request_in_flight_is_shared(served: Any) -> None:
    async def ask(client: httpx.AsyncClient, dim: int) -> int:
        asked = {"inputs": "w700 w701", "dimensions": dim}
        return (await client.post(f"{served.address}/embed", json=asked)).status_code

    async def both() -> list[int]:
        async with httpx.AsyncClient() as client:
            return list(await asyncio.gather(*(ask(client, dim) for dim in (4, 8, 16))))

    served.engine.seconds = 0.2
    try:
        assert asyncio.run(both()) == [200, 200, 200]
    finally:
        served.engine.seconds = 0.0
    found = read(httpx.get(f"{served.address}/metrics").text)
    assert found["nestvec_texts_total", (("encoder", "tiny"), ("source", "shared"))] >= 1


def used_metrics() -> Metrics:
    metrics = Metrics(["/embed"])
    metrics.request_ended(RequestRecord("POST", "/embed", "/embed", "tiny", 1, status=200))
    metrics.request_ended(RequestRecord("POST", "/embed", "/embed", "tiny", 1, status=422))
    metrics.texts_requested("tiny", fresh=1, shared=0, remembered=0)
    metrics.queue_changed("tiny", 3)
    metrics.connection_refused("client")
    metrics.batch_finished(
        BatchRun("tiny", texts=2, tokens=10, padded=16, queue_seconds=0.1, inference_seconds=0.2)
    )
    return metrics


def test_every_metric_has_its_type() -> None:
    content, media_type = used_metrics().render()
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    text = content.decode()
    types = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert set(types.values()) == {"counter", "gauge", "histogram"}
    for name in ("te_request_count", "te_request_success", "te_request_failure", "te_embed_count"):
        assert f"# TYPE {name} counter\n{name}" in text, "as metrics-exporter-prometheus writes TEI's"
    assert types["nestvec_texts"] == types["nestvec_connections_refused"] == "counter"
    assert types["te_queue_size"] == types["nestvec_connections"] == "gauge"
    assert types["te_request_duration"] == "histogram"


def test_openmetrics_for_a_client_that_accepts_it() -> None:
    accepted = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"
    content, media_type = used_metrics().render(accepted)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(content.decode())}  # type: ignore[no-untyped-call]
    assert families["nestvec_texts"].type == "counter"
    assert families["te_embed_count"].type == "unknown"
    assert [sample.value for sample in families["te_embed_count"].samples] == [1.0]


def test_a_scrape_may_ask_for_openmetrics(service: str) -> None:
    accept = {"accept": "application/openmetrics-text"}
    response = httpx.get(f"{service}/metrics", headers=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
