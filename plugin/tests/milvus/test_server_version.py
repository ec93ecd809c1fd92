from __future__ import annotations

from typing import Any

import pytest
from pymilvus import MilvusException

from nestvec.milvus.server_version import (
    CollectionLimits,
    Release,
    collection_limits,
    parse_version,
    read_version,
)
from nestvec_schemas.errors import StoreRefused


@pytest.mark.parametrize(
    ("text", "lite", "numbers"),
    [
        ("v2.6.17", False, (2, 6, 17)),
        ("2.6.17-dev", False, (2, 6, 17)),
        ("v2.6.18+build.5", False, (2, 6, 18)),
        ("2.6-20251010-5c1c17ea", False, (2, 6, None)),
        ("2.6-20260113-192af17f-4dd5382", False, (2, 6, None)),
        ("v3.0-beta", False, (3, 0, None)),
        ("Zilliz Cloud Vector Database(Compatible with Milvus 2.6)", False, (2, 6, None)),
        ("master-20260113-192af17f-4dd5382", False, None),
        ("5c1c17ea", False, None),
        ("", False, None),
        ("milvus_lite-3.2.2", True, (3, 2, 2)),
        ("v2.3.5-lite", False, (2, 3, 5)),
    ],
)
def test_versions_as_servers_write_them(
    text: str, lite: bool, numbers: tuple[int, int, int | None] | None
) -> None:
    version = parse_version(text)
    assert (version.text, version.lite, version.numbers) == (text, lite, numbers)


@pytest.mark.parametrize(
    ("text", "release", "expected"),
    [
        ("v2.6.9", (2, 6, 9), True),
        ("v2.6.10", (2, 6, 9), True),
        ("v2.6.8", (2, 6, 9), False),
        ("v2.5.20", (2, 6, 0), False),
        ("v3.0.0", (2, 6, 9), True),
        ("2.6-20251010-5c1c17ea", (2, 6, 9), None),
        ("2.6-20251010-5c1c17ea", (2, 6, 0), True),
        ("2.6-20251010-5c1c17ea", (3, 0, 0), False),
        ("master-20260113-192af17f", (2, 6, 0), None),
        ("milvus_lite-3.2.2", (2, 6, 0), None),
    ],
)
def test_a_version_against_a_release(text: str, release: Release, expected: bool | None) -> None:
    version = parse_version(text)
    assert version.at_least(release) is expected
    assert version.before(release) is (expected is False)


@pytest.mark.parametrize(
    ("text", "vector_fields", "fields"),
    [
        ("v2.6.17", 4, 64),
        ("v2.6.17-dev", 4, 64),
        ("v2.5.4", 4, 64),
        ("v2.6.18", 10, 64),
        ("3.0.0", 10, 256),
        ("3.0-20260601-abcdef12", 10, 256),
        ("2.6-20251010-5c1c17ea", None, 64),
        ("master-20260113-192af17f", None, None),
        ("milvus_lite-3.2.2", None, None),
    ],
)
def test_limits_follow_the_version(text: str, vector_fields: int | None, fields: int | None) -> None:
    assert collection_limits(parse_version(text)) == CollectionLimits(vector_fields, fields)


def test_a_server_that_does_not_answer() -> None:
    class Gone:
        def get_server_version(self) -> str:
            raise MilvusException(message="the server is gone")

    gone: Any = Gone()
    with pytest.raises(StoreRefused, match="while reading the server's version: the server is gone"):
        read_version(gone)
