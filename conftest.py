"""What holds for the tests of every folder."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from httpx._transports import default
from hypothesis import settings

from nestvec.engines import factory
from nestvec.engines.factory import EngineOptions

if TYPE_CHECKING:
    import ssl

    from nestvec.engines.contract import ProbeSource
    from nestvec.engines.openvino.opening import OpenVinoOptions

# Before torch is imported. Beside other work, threads that wait for one another make the tests many times as
# slow; their models are so small that a single thread is as fast.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# As the commands set it: else gRPC may write "Other threads are currently calling into gRPC" into the log of
# a service that the next test starts.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A service leaves SIGHUP alone where it is ignored, as under nohup; those of the tests handle it anyway.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What engines compile for the tests is not kept; matplotlib's list of fonts stays where it is.
_cache = tempfile.TemporaryDirectory(prefix="nestvec-test-cache-")
_user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("MPLCONFIGDIR", str(_user_cache / "matplotlib"))
os.environ["XDG_CACHE_HOME"] = _cache.name


@pytest.fixture(scope="session", autouse=True)
def _fp32() -> Iterator[None]:
    """Vectors are compared in fp32, on whatever CPU; tests of other precisions ask for them."""
    options_of = factory._openvino_options

    def in_fp32(options: EngineOptions, probes: ProbeSource | None) -> OpenVinoOptions:
        return options_of(replace(options, precision="fp32"), probes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "_openvino_options", in_fp32)
        yield


@pytest.fixture(scope="session", autouse=True)
def _trusted_once() -> Iterator[None]:
    """The certificates that the machine trusts are read once, not for each request of a test, for 25 ms."""

    @cache
    def trusted(trust_env: bool, *_environment: str | None) -> ssl.SSLContext:
        return httpx.create_ssl_context(trust_env=trust_env)

    def create(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return httpx.create_ssl_context(verify, cert, trust_env)
        return trusted(trust_env, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", create)
        yield


# A test says what comes out, not how soon: a busy machine is no failure. httpx gives up after five seconds.
for _limit in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _limit, 240.0)
settings.register_profile("nestvec", deadline=None)
settings.load_profile("nestvec")
