from __future__ import annotations

import socket

import httpx
import pytest

from nestvec.service.embedder import Embedder
from nestvec.service.server import address, bind, serving
from nestvec_schemas.errors import PortInUse, ServiceError


def test_a_port_in_use() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"listens on this port: 127\.0\.0\.1:{port}\. Stop it"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("203.0.113.1", 0), ("127.0.0.1", 70000), ("no such host", 0)])
def test_an_address_that_is_not_ours(host: str, port: int) -> None:
    with pytest.raises(ServiceError, match=r"cannot listen at this address.*Give an address"):
        bind(host, port)


def test_the_port_is_free_again_after_the_block(embedder: Embedder) -> None:
    listener = bind("127.0.0.1", 0)
    with serving(embedder, listener) as service:
        assert service == address(listener)
        assert httpx.get(f"{service}/health").status_code == 200
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(service.rpartition(":")[2]))) != 0
