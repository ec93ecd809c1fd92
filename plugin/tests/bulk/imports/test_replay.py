"""Vectors for Milvus Lite, by its own provider: from memory, and by requests."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from milvus_lite.embedding.openai_provider import OpenAIProvider
from plugin.tests.bulk.conftest import make_table, vector_of

from nestvec.bulk.imports.replay import ComputedVectors, giving_directly, replaying
from nestvec.milvus.providers import NO_KEY

TEXTS = ["heat", "wing", "heat"]


def vacant_address() -> str:
    with socket.socket() as vacant:
        vacant.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{vacant.getsockname()[1]}"


@pytest.fixture
def service() -> str:
    return vacant_address()


@pytest.fixture
def vectors() -> ComputedVectors:
    vectors = ComputedVectors(make_table())
    rows = [{"text": text} for text in TEXTS]
    vectors.provide(rows, {"text_8": np.stack([vector_of(text, 8) for text in TEXTS])})
    return vectors


def provider(service: str) -> OpenAIProvider:
    return OpenAIProvider(model_name="tiny", api_key=NO_KEY, dimensions=8, base_url=f"{service}/v1")


def test_vectors_from_memory_are_those_of_requests(service: str, vectors: ComputedVectors) -> None:
    with giving_directly(service, vectors):
        # Nothing listens at the address.
        direct = provider(service).embed_documents(TEXTS)
    with replaying(service, vectors) as is_answered:
        assert is_answered
        requested = provider(service).embed_documents(TEXTS)
    expected = np.stack([vector_of(text, 8) for text in TEXTS])
    np.testing.assert_array_equal(np.asarray(direct, np.float32), expected)
    np.testing.assert_array_equal(np.asarray(requested, np.float32), expected)
    # Milvus Lite takes numbers of Python alone.
    assert {type(number) for row in direct for number in row} == {float}


def test_what_is_not_in_memory_is_requested(service: str, vectors: ComputedVectors) -> None:
    with giving_directly(service, vectors):
        with pytest.raises(RuntimeError, match="connection"):
            provider(service).embed_documents(["another text"])
        with pytest.raises(RuntimeError, match="connection"):
            provider(vacant_address()).embed_documents(TEXTS)
        with replaying(service, vectors), pytest.raises(RuntimeError, match="no vector for this request"):
            provider(service).embed_documents(["another text"])
    with pytest.raises(RuntimeError, match="connection"):
        provider(service).embed_documents(TEXTS)
