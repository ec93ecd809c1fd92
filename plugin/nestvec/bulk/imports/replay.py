"""Milvus Lite is given the vectors that were computed before: in this process, or by a service."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from nestvec.client.http import is_loopback
from nestvec.milvus.catalog import Table
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.model_name import parse_model_name
from nestvec_schemas.vectors import Vectors

_MAX_BODY_BYTES: Final = 64 << 20


class ComputedVectors:
    """The vectors of the rows that are being written, by how they are embedded and by their texts."""

    def __init__(self, table: Table) -> None:
        self._columns = {column.column: column for column in table.embeddings}
        self._rows: dict[EmbeddingConfig, dict[str, Any]] = {}

    def provide(self, rows: list[dict[str, Any]], vectors: Mapping[str, Vectors]) -> None:
        """Answer with the vectors of these rows, and of no others."""
        by_config: dict[EmbeddingConfig, dict[str, Any]] = {}
        for name, values in vectors.items():
            column = self._columns[name]
            texts = (str(row[column.source]) for row in rows)
            by_config.setdefault(column.config, {}).update(zip(texts, values, strict=True))
        self._rows = by_config

    def find(self, model: str, dim: int | None, texts: list[str]) -> list[Any]:
        """The vectors of texts, by a request's model and dimensions. Raises KeyError, ValueError."""
        by_text = self._rows[replace(parse_model_name(model), dim=dim)]
        return [by_text[text] for text in texts]

    def answer(self, body: bytes) -> tuple[int, bytes]:
        """The status and the body of a response to OpenAI's request."""
        try:
            request = orjson.loads(body)
            texts = request["input"]
            rows = self.find(
                request["model"], request.get("dimensions"), [texts] if isinstance(texts, str) else texts
            )
        except (KeyError, TypeError, ValueError) as error:
            message = f"nestvec bulk has no vector for this request: {type(error).__name__}"
            return 400, orjson.dumps({"error": {"message": message, "type": "invalid_request_error"}})
        data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        answer = {"object": "list", "model": request["model"], "data": data, "usage": usage}
        return 200, orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


_direct: list[tuple[str, ComputedVectors]] = []
"""The services whose vectors a Milvus Lite in this process takes from memory."""


@contextmanager
def giving_directly(service: str, vectors: ComputedVectors) -> Iterator[None]:
    """Have a Milvus Lite in this process take its vectors from memory: requests, whose numbers are JSON, are
    a third of the time of its inserts.

    It sends a request for what is not there, and where Milvus Lite is another one than 3.2.
    """
    _call_directly()
    entry = (service.rstrip("/") + "/", vectors)
    _direct.append(entry)
    try:
        yield
    finally:
        _direct.remove(entry)


def _call_directly() -> None:
    # Imported late: a server needs no Milvus Lite.
    try:
        from milvus_lite.embedding.openai_provider import OpenAIProvider  # noqa: PLC0415
    except ImportError:
        return
    request = OpenAIProvider.embed_documents
    if getattr(request, "calls_directly", False):
        return

    def embed_documents(provider: Any, texts: list[str]) -> list[list[float]]:
        address = getattr(provider, "_base_url", "")
        for service, vectors in _direct:
            if address.startswith(service):
                with suppress(AttributeError, KeyError, TypeError, ValueError):
                    rows = vectors.find(provider._model, provider._user_dimensions, texts)
                    return [row.tolist() for row in rows]
        embedded: list[list[float]] = request(provider, texts)
        return embedded

    embed_documents.calls_directly = True  # type: ignore[attr-defined]
    OpenAIProvider.embed_documents = embed_documents


@contextmanager
def replaying(service: str, vectors: ComputedVectors) -> Iterator[bool]:
    """Answer at a service's address until the block ends; False if something else listens there.

    A service that runs there embeds the texts again, to the same vectors.
    """
    parts = urlsplit(service)
    if parts.scheme != "http" or not is_loopback(service):
        yield False
        return
    try:
        server = _Server((parts.hostname or "127.0.0.1", parts.port or 80), vectors)
    except OSError:
        yield False
        return
    thread = threading.Thread(target=server.serve_forever, name="nestvec-replay", daemon=True)
    thread.start()
    try:
        yield True
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], vectors: ComputedVectors) -> None:
        self.vectors = vectors
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Answer ``/v1/embeddings``."""
        try:
            length = int(self.headers.get("content-length", "0"))
        except ValueError:
            length = -1
        if self.path != "/v1/embeddings" or not 0 <= length <= _MAX_BODY_BYTES:
            self.close_connection = True
            self._send(400, b'{"error": {"message": "nestvec bulk answers Milvus Lite alone"}}')
            return
        self._send(*self.server.vectors.answer(self.rfile.read(length)))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""
