from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec.images import ImagePolicy
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ServiceError


def test_the_defaults_reach_nothing_private() -> None:
    policy = ImagePolicy()
    assert policy.schemes == {"data", "https"}
    assert not policy.allow_private
    assert (policy.roots, policy.buckets, policy.s3_endpoint) == ((), (), None)


@pytest.mark.parametrize(
    ("patterns", "host", "taken"),
    [
        ((), "anything.example", True),
        (("example.org",), "example.org", True),
        (("example.org",), "EXAMPLE.org.", True),
        (("Example.org",), "example.org", True),
        (("example.org",), "www.example.org", False),
        (("example.org",), "example.org.evil.example", False),
        (("*.example.org",), "www.example.org", True),
        (("*.example.org",), "a.b.example.org", True),
        (("*.example.org",), "example.org", False),
        (("*.example.org",), "evilexample.org", False),
        (("*.example.org", "example.org"), "example.org", True),
        (("127.0.0.1",), "127.0.0.1", True),
    ],
)
def test_hosts(patterns: tuple[str, ...], host: str, taken: bool) -> None:
    assert ImagePolicy(hosts=patterns).allows_host(host) is taken


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"schemes": frozenset({"ftp"})}, "schemes"),
        ({"schemes": frozenset({"file"})}, "folders"),
        ({"schemes": frozenset({"s3"})}, "buckets"),
        ({"roots": (Path("pictures"),)}, "roots"),
        ({"hosts": ("*",)}, "hosts"),
        ({"hosts": ("https://example.org",)}, "hosts"),
        ({"hosts": ("a*.example.org",)}, "hosts"),
        ({"hosts": ("",)}, "hosts"),
        ({"s3_endpoint": "store.example.org"}, "s3_endpoint"),
    ],
)
def test_a_policy_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        ImagePolicy(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": float("inf")}, "max_seconds"),
        ({"max_pixels": 10**9}, "max_pixels"),
        ({"max_redirects": -1}, "max_redirects"),
        ({"max_concurrent": 0}, "max_concurrent"),
    ],
)
def test_limits_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        ImageLimits(**fields)
