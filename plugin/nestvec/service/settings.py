"""How a service behaves. The defaults suit most deployments."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from nestvec.engines.factory import EngineOptions
from nestvec.images.policy import ImagePolicy
from nestvec.milvus.tries import try_seconds
from nestvec.service.preprocess.truncation import Overlong
from nestvec_schemas.on_error import OnError

MAX_INTERACTIVE_INPUTS: Final = 4
"""A request of at most this many inputs is a query or two: it is embedded before bulk work."""


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections clients may open, how long they may take, and how long stopping may."""

    body_seconds: float = 30.0
    """For a request's body to arrive."""
    keep_alive_seconds: int = 30
    """For a request's headers to arrive."""
    header_bytes: int = 64 << 10
    """Request line and headers together."""
    connections: int = 4096
    """Open connections; fewer where the process may open fewer files."""
    client_connections: int = 1024
    """Open connections of one client address. Milvus opens one for each chunk that it embeds at a time."""
    pipelined_requests: int = 32
    """Requests that a client may send on a connection before it reads the first response."""
    unread_bytes: int = 64 << 20
    """Bytes of responses that clients have not read, over all connections. Beyond it, the connections that
    have waited the longest are closed. While a client leaves more than a quarter, its requests wait."""
    read_rate: int = 16 << 10
    """Bytes a second at which a client must read its response."""
    shutdown_seconds: int = 30
    """How long requests in flight may take to finish once the service has been signalled to stop."""


@dataclass(frozen=True)
class BodyLimits:
    """How much the bodies of requests hold; no client that embeds texts meets the defaults."""

    text_characters: int = 1 << 20
    """Characters of one text. One that carries an image is limited by ``body_bytes`` alone."""
    characters: int = 1 << 24
    """Characters of one request's texts, but for those that carry images."""
    text_ids: int = 1 << 16
    """Token ids of one text."""
    ids: int = 1 << 22
    """Token ids of one request."""
    memory_bytes: int = 256 << 20
    """Bytes of all bodies that the service holds; a client may hold as many as remain free."""


@dataclass(frozen=True)
class LoadLimits:
    """How much work the service accepts. Beyond it, requests are refused at once (429) or in time (504)."""

    requests: int = 2048
    """Requests in flight."""
    queue_tokens: int = 1 << 21
    """Tokens that wait for the engine, for each encoder."""
    client_share: float = 0.5
    """The part of what the others leave, of these and of requests, that a client may hold."""
    deadline_seconds: float = 25.0
    """For one request, from its first byte to its response: a little less than the 30 s that Milvus waits."""
    max_deadline_seconds: float = 55.0
    """The same for requests that state a longer ``deadline``, and on OpenAI's paths, unless they state one: a
    little less than the 60 s that Milvus Lite waits."""
    milvus_deadline_seconds: float = try_seconds()
    """The same for requests of a Milvus server that state none: three such tries, with the waits between
    them, fit into the 30 s that Milvus allows a chunk, and so its user reads the service's error."""
    keep_queued_seconds: float = 10.0
    """How long inputs stay in the queue after the deadline of their request: Milvus sends it again after one
    or two seconds."""
    inputs: int = 2048
    """Inputs in one request. Milvus Lite sends up to 2,048; Milvus's ``tei`` provider up to 1,024."""
    body_bytes: int = 32 << 20
    """The body of one request."""
    bodies: BodyLimits = field(default_factory=BodyLimits)


@dataclass(frozen=True)
class BatchLimits:
    """The largest batch for the engine."""

    tokens: int = 4096
    """Padding included."""
    texts: int = 64


@dataclass(frozen=True)
class CacheLimits:
    """How many embeddings are cached: a text comes for each nested field, and again after a deadline."""

    max_bytes: int = 64 << 20
    seconds: float = 600.0


@dataclass(frozen=True)
class AccessSettings:
    """Who may use the service, and in which way."""

    api_keys: Path | None = None
    """A file of API keys; None lets everyone in."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read responses in a browser, as browsers send them; ``*`` is every origin."""
    accept_token_ids: bool = False
    """Whether OpenAI's and vLLM's paths take token ids, which must be those of the encoder's tokenizer."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which clients may call the service, besides those of loopback and IP addresses:
    ``example.org``, ``*.example.org`` for the names below it, ``*`` for all."""
    admin_keys: Path | None = None
    """A file of the keys that ``/admin`` takes; None for no such paths."""
    ui: bool = False
    """Whether the service has the playground, a page at ``/ui``."""


@dataclass(frozen=True)
class ServiceSettings:
    """The settings of one service."""

    overlong: Overlong = "truncate"
    """What happens to texts longer than the encoder takes, unless the request says."""
    on_error: OnError = "reject"
    """What happens to images that cannot be fetched, unless the request says."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    load: LoadLimits = field(default_factory=LoadLimits)
    batches: BatchLimits = field(default_factory=BatchLimits)
    cache: CacheLimits = field(default_factory=CacheLimits)
    access: AccessSettings = field(default_factory=AccessSettings)
    images: ImagePolicy = field(default_factory=ImagePolicy)
    otlp_endpoint: str | None = None
    """The OTLP/HTTP collector that traces are sent to, None for none."""

    def public(self) -> dict[str, Any]:
        """The settings as ``/info`` shows them, without any path, address or key of this machine."""
        return {
            "max_inputs": self.load.inputs,
            "max_body": self.load.body_bytes,
            "batch_tokens": self.batches.tokens,
            "batch_texts": self.batches.texts,
            "overlong": self.overlong,
            "remember_bytes": self.cache.max_bytes,
            "remember_seconds": self.cache.seconds,
            "engine": {
                "name": self.engine.name,
                "threads": self.engine.threads,
                "device": self.engine.device,
                "precision": self.engine.precision,
                **asdict(self.engine.memory),
            },
            "limits": asdict(self.connections),
            "load": {
                "requests": self.load.requests,
                "queue_tokens": self.load.queue_tokens,
                "client_share": self.load.client_share,
                "deadline_seconds": self.load.deadline_seconds,
                "max_deadline_seconds": self.load.max_deadline_seconds,
                "milvus_deadline_seconds": self.load.milvus_deadline_seconds,
            },
            "guard": {
                "api_keys": self.access.api_keys is not None,
                "admin_keys": self.access.admin_keys is not None,
                "tls": self.access.tls_cert is not None,
                "cors": bool(self.access.cors_origins),
                "token_ids": self.access.accept_token_ids,
            },
            "images": {"schemes": sorted(self.images.schemes), "max_bytes": self.images.limits.max_bytes},
            "on_error": self.on_error,
            "otlp": self.otlp_endpoint is not None,
        }
