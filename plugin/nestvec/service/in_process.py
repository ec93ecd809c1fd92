"""The service inside a command's own process, for as long as the command needs it."""

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
    """Keep each of ``services`` that is on this machine running until the block ends.

    A service that answers is used as it is. One that does not is started in this process with the encoders in
    ``models`` and these ``settings``, and a line on standard error says so. Raises ServiceUnreachable for a
    service elsewhere that does not answer, EncoderNotFound, PortInUse.
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
    # Importing tokenizers and an engine is slow: only where they are needed.
    from nestvec.service.server import bind, open_embedder, serve_in_thread  # noqa: PLC0415
    from nestvec.service.settings import ServiceSettings  # noqa: PLC0415

    parts = urlsplit(service)
    if parts.scheme != "http":
        raise ServiceError(
            "a service with TLS cannot be started inside a command",
            value=service,
            next_step="Start it, or register the collection with an http:// address.",
        )
    embedder = open_embedder(models, (), settings or ServiceSettings())
    names = ", ".join(sorted(embedder.encoders))
    sys.stderr.write(f"No service at {service}: starting one for this command ({names} from {models}).\n")
    sys.stderr.flush()
    with serve_in_thread(embedder, bind(parts.hostname or "127.0.0.1", parts.port or 80)):
        yield
