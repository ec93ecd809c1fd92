"""The service, brought up inside a command for as long as it needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nestvec.client.http import is_loopback
from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec_schemas.errors import ServiceError, ServiceUnreachable

if TYPE_CHECKING:
    from nestvec.service.settings import ServiceSettings


@contextmanager
def serve_in_process(
    services: Iterable[str], models: Path, settings: ServiceSettings | None = None
) -> Iterator[None]:
    """Have each loopback service of ``services`` answer until the block ends.

    One that answers already is used as it is; one that nobody runs is started in this process from
    the encoders in ``models``, as ``settings`` say, and a line on standard error says so.
    Raises ServiceUnreachable for one elsewhere that does not answer, EncoderNotFound, PortInUse.
    """
    with ExitStack() as started:
        for service in services:
            if not _answers(service):
                started.enter_context(_start(service, models, settings))
        yield


def _answers(service: str) -> bool:
    try:
        fetch_info(service, environment_api_key())
    except ServiceUnreachable:
        if not is_loopback(service):
            raise
        return False
    return True


@contextmanager
def _start(service: str, models: Path, settings: ServiceSettings | None) -> Iterator[None]:
    # Tokenizers and an engine: only where nobody else runs them.
    from nestvec.service.server import bind, open_embedder, serve_in_thread  # noqa: PLC0415
    from nestvec.service.settings import ServiceSettings  # noqa: PLC0415

    parts = urlsplit(service)
    if parts.scheme != "http":
        raise ServiceError(
            "a service with TLS cannot be brought up inside a command",
            value=service,
            next_step="Start it, or register the collection with an http:// address.",
        )
    embedder = open_embedder(models, (), settings or ServiceSettings())
    names = ", ".join(sorted(embedder.encoders))
    sys.stderr.write(f"No service at {service}: running one here for this command ({names} from {models}).\n")
    sys.stderr.flush()
    with serve_in_thread(embedder, bind(parts.hostname or "127.0.0.1", parts.port or 80)):
        yield
