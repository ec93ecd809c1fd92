from __future__ import annotations

import pytest

from nestvec.collections.limits import check_limits
from nestvec.milvus.server_version import parse_version
from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = """
collection: papers
service: http://127.0.0.1:8080
fields:
  id: {{type: INT64, primary: true}}
  abstract: {{type: VARCHAR, max_length: 8192}}
{others}
embeddings:
  - {{field: abstract, encoder: tiny, dims: [{dims}]}}
"""


def text(dims: int, others: int = 0) -> str:
    names = "\n".join(f"  f{number}: {{type: BOOL}}" for number in range(others))
    return SPEC.format(dims=", ".join(map(str, range(2, 2 + dims))), others=names)


@pytest.mark.parametrize(
    ("version", "dims", "others", "message"),
    [
        ("v2.6.17", 5, 0, r"more than 4 vector fields, Milvus's limit \(v2\.6\.17\): 5 vector fields"),
        ("v2.6.18", 11, 0, r"more than 10 vector fields.*11 vector fields"),
        ("v2.6.18", 1, 62, r"fields are more than 64 with the vector fields.*65"),
        ("3.0.0", 1, 254, r"fields are more than 256 with the vector fields.*257"),
        ("2.6-20251010-5c1c17ea", 1, 62, r"fields are more than 64"),
    ],
)
def test_a_server_of_a_known_version(version: str, dims: int, others: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_limits(parse_spec(text(dims, others), path="x"), parse_version(version))


@pytest.mark.parametrize(
    ("version", "dims", "others"),
    [
        ("v2.6.17", 4, 0),
        ("v2.6.18", 10, 0),
        ("v2.6.18", 1, 61),
        ("3.0.0", 10, 244),
        ("2.6-20251010-5c1c17ea", 12, 0),
        ("master-20260113-192af17f", 12, 300),
        ("milvus_lite-3.2.2", 12, 300),
    ],
)
def test_what_a_server_takes_or_may_take(version: str, dims: int, others: int) -> None:
    check_limits(parse_spec(text(dims, others), path="x"), parse_version(version))


def test_a_server_that_is_configured_otherwise() -> None:
    spec = parse_spec(text(8) + "max_vector_fields: 8\n", path="x")
    check_limits(spec, parse_version("v2.6.3"))
