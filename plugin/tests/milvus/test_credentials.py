from __future__ import annotations

import pytest

from nestvec.client.service_key import ServiceKey
from nestvec.milvus.credentials import credential_params
from nestvec.milvus.server_version import parse_version
from nestvec_schemas.errors import SpecError


@pytest.mark.parametrize(
    ("version", "written"),
    [
        ("v2.6.0", "nestvec"),
        ("v2.6.19", "nestvec"),
        ("2.6-20251010-5c1c17ea", "nestvec"),
        ("v3.0.0", "NestVec"),
        ("3.0-20260601-abcdef12", "NestVec"),
    ],
)
def test_a_name_is_written_as_the_server_finds_it(
    version: str, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = ServiceKey("s3cret", credential="NestVec")
    assert credential_params(key, parse_version(version)) == {"credential": written}
    assert not caplog.records


def test_an_unknown_server_may_not_find_a_name_with_capitals(caplog: pytest.LogCaptureFixture) -> None:
    unknown = parse_version("master-20260113-192af17f")
    assert credential_params(ServiceKey("s3cret", "nestvec"), unknown) == {"credential": "nestvec"}
    assert not caplog.records
    assert credential_params(ServiceKey("s3cret", "NestVec"), unknown) == {"credential": "NestVec"}
    assert "in lower case, and finds no NestVec" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_key_without_a_name_is_refused() -> None:
    assert credential_params(None, parse_version("v2.6.19")) == {}
    with pytest.raises(SpecError, match=r"the entry's name is missing\. Put the key under credential"):
        credential_params(ServiceKey("s3cret"), parse_version("v2.6.19"))
