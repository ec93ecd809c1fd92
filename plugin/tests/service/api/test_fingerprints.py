"""An endpoint with the fingerprint of another encoder is refused: two spaces do not mix in one field."""

from __future__ import annotations

import httpx
import pytest

from nestvec.client.service_client import fetch_info

BODIES: dict[str, dict[str, object]] = {
    "/embed": {"inputs": ["heat"]},
    "/v1/embeddings": {"input": ["heat"]},
    "/v2/embed": {"texts": ["heat"], "input_type": "search_document"},
    "/tokenize": {"inputs": ["heat"]},
    "/pooling": {"input": ["heat"]},
    "/score": {"text_1": "heat", "text_2": ["flow"]},
    "/similarity": {"inputs": {"source_sentence": "heat", "sentences": ["flow"]}},
    "/pipeline/feature-extraction": {"inputs": ["heat"]},
}


@pytest.mark.parametrize("path", BODIES)
def test_a_request_for_the_encoder_of_before(service: str, path: str) -> None:
    body = BODIES[path]
    fingerprint = fetch_info(service).encoders["tiny"].fingerprint
    url = f"{service}{path}?encoder=tiny"
    assert httpx.post(url, json=body).status_code == 200
    assert httpx.post(f"{url}&fingerprint={fingerprint}", json=body).status_code == 200
    refused = httpx.post(f"{url}&fingerprint=0123456789abcdef", json=body)
    assert refused.status_code == 404
    assert "tiny is another encoder than the one that the field was created with" in refused.text
    assert f"fingerprint {fingerprint}, not 0123456789abcdef" in refused.text
