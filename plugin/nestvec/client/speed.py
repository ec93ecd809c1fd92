"""How fast a service embeds: measured by a request, where the service does not know yet."""

from __future__ import annotations

import uuid
from typing import Final
from urllib.parse import urlencode

import httpx

from nestvec.client.http import http_client
from nestvec.client.service_client import EncoderInfo, fetch_info

_TEXTS: Final = 8
"""Long texts in the request: a batch of any engine, embedded in about a second by one slow core."""

_SECONDS: Final = 30.0


def measured_info(service: str, name: str, info: EncoderInfo, key: str | None = None) -> EncoderInfo:
    """What the service says about an encoder after it embedded a few texts of full length.

    ``info`` itself if the speed is known already, if the encoder reads no texts, or if the request fails:
    whether the service works is found out elsewhere.
    """
    if info.recommended_chunk is not None or "text" not in info.towers or info.kind == "reranker":
        return info
    path = "/embed_sparse" if info.kind == "sparse" else "/embed"
    # Texts that were embedded before would be remembered, and say nothing about the speed.
    texts = [f"{uuid.uuid4().hex} " + "word " * info.max_tokens for _ in range(_TEXTS)]
    body = {"inputs": texts, "truncate": True}
    try:
        with http_client(service, key, _SECONDS) as client:
            client.post(f"{path}?{urlencode({'encoder': name})}", json=body).raise_for_status()
    except httpx.HTTPError:
        return info
    return fetch_info(service, key).encoders.get(name, info)
