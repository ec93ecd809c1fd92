"""How a service behaves; the defaults are meant to be left alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from nestvec.engines.factory import EngineOptions
from nestvec.images.policy import ImagePolicy

Overlong = Literal["error", "truncate", "mean"]
"""What becomes of a text longer than the encoder takes, where the request does not say: it is refused,
cut, or embedded in chunks whose token-weighted mean is its vector."""


OnError = Literal["error", "zero"]
"""What becomes of a request when a picture in it cannot be had: all of it is refused, or that one's vector is
zero, which is near to nothing."""


@dataclass(frozen=True)
class ConnectionLimits:
    """How long a client, and the end of the service, may take.

    ``body_seconds``: for a body to arrive. ``keep_alive_seconds``: for a request's headers to arrive, and
    for an answer to be fetched. ``header_bytes``: request line and headers together.
    ``shutdown_seconds``: what was taken is finished for so long, then dropped.
    """

    body_seconds: float = 30.0
    keep_alive_seconds: int = 30
    header_bytes: int = 64 << 10
    shutdown_seconds: int = 30


@dataclass(frozen=True)
class LoadLimits:
    """How much the service takes on; past it, requests are refused at once (429) or in time (504).

    ``requests``: being answered at once. ``queue_tokens``: waiting for the engine, of one encoder.
    ``deadline_seconds``: for one request's vectors, a little less than the 30 s that Milvus waits.
    """

    requests: int = 2048
    queue_tokens: int = 1 << 20
    deadline_seconds: float = 25.0


@dataclass(frozen=True)
class AccessSettings:
    """Who may ask: a file of API keys (None: everybody), and the TLS certificate with its key."""

    api_keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


@dataclass(frozen=True)
class ServiceSettings:
    """Limits and sizes of one service.

    ``max_inputs``: texts a request (Milvus Lite sends up to 2,048, Milvus's ``tei`` 1,024 as registered).
    ``max_body``: bytes a request. ``batch_tokens`` and ``batch_texts``: the largest engine batch, padding
    included. ``remember_bytes`` and ``remember_seconds``: how many vectors are kept for the same text
    asked again at another dim. ``images``: where pictures may come from; ``on_error``: what becomes of a
    request when one of them cannot be had. ``otlp``: where traces go (an OTLP/HTTP URL), None for nowhere.
    """

    max_inputs: int = 2048
    max_body: int = 32 << 20
    batch_tokens: int = 4096
    batch_texts: int = 64
    overlong: Overlong = "truncate"
    remember_bytes: int = 64 << 20
    remember_seconds: float = 60.0
    engine: EngineOptions = field(default_factory=EngineOptions)
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    load: LoadLimits = field(default_factory=LoadLimits)
    guard: AccessSettings = field(default_factory=AccessSettings)
    images: ImagePolicy = field(default_factory=ImagePolicy)
    on_error: OnError = "error"
    otlp: str | None = None

    def public(self) -> dict[str, Any]:
        """All of it as ``/info`` may tell it: no path, address or key of this machine."""
        public = asdict(self)
        public["engine"].pop("triton_url")
        public["guard"] = {
            "api_keys": self.guard.api_keys is not None,
            "tls": self.guard.tls_cert is not None,
        }
        public["images"] = {"schemes": sorted(self.images.schemes), "max_bytes": self.images.max_bytes}
        public["otlp"] = self.otlp is not None
        return public
