from __future__ import annotations

from pathlib import Path

import orjson

from nestvec.engines.factory import EngineOptions
from nestvec.service.settings import AccessSettings, ServiceSettings


def test_what_may_be_told_of_the_settings() -> None:
    guard = AccessSettings(
        Path("/etc/keys"), Path("/etc/cert"), Path("/etc/key"), admin_keys=Path("/etc/admin")
    )
    engine = EngineOptions("triton", triton_url="triton.inside:8001")
    told = ServiceSettings(
        access=guard, engine=engine, otlp_endpoint="http://user:word@collector:4318"
    ).public()
    assert told["guard"]["api_keys"] is told["guard"]["tls"] is True
    assert all(isinstance(setting, bool) for setting in told["guard"].values())
    assert told["otlp"] is True
    assert told["engine"]["name"] == "triton"
    assert (told["engine"]["device"], told["engine"]["idle_seconds"]) == ("auto", None)
    assert told["limits"]["shutdown_seconds"] == 30
    written = orjson.dumps(told)
    assert not [word for word in (b"/etc", b"inside", b"collector") if word in written]
