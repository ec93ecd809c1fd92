from __future__ import annotations

import pytest

from nestvec.service.bodies.content_headers import ContentHeaders, check_content
from nestvec_schemas.errors import BodyTypeUnsupported


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/problem+json",
        "application/json; profile=x",
    ],
)
@pytest.mark.parametrize("encoding", [None, "identity", "Identity"])
def test_json_in_utf_8_is_read(content_type: str, encoding: str | None) -> None:
    check_content(
        {"content-type": content_type} | ({} if encoding is None else {"content-encoding": encoding})
    )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (
            {"content-type": "application/json", "content-encoding": "gzip"},
            "compressed.*content-encoding: gzip",
        ),
        ({"content-type": "application/json; charset=utf-16"}, "not in UTF-8: charset=utf-16"),
        ({"content-type": "application/json; charset=" + "x" * 10_000}, "not in UTF-8: charset=x"),
        (
            {"content-type": "text/plain"},
            "not declared as JSON: text/plain. The content type is application/json",
        ),
        ({"content-type": "application/x-www-form-urlencoded"}, "not declared as JSON"),
        ({}, "there is no content type"),
    ],
)
def test_other_content_is_refused(headers: dict[str, str], message: str) -> None:
    with pytest.raises(BodyTypeUnsupported, match=message) as caught:
        check_content(headers)
    assert len(str(caught.value)) < 500


def test_only_a_few_short_headers_are_remembered() -> None:
    content, json = ContentHeaders(), (b"content-type", b"application/json")
    content.check([json, *[(b"content-encoding", b"")] * 4000])
    content.check([(b"content-type", b"application/json; profile=" + b"x" * 300)])
    assert not content._accepted
    for number in range(1000):
        content.check([(b"content-type", b"application/json; profile=%d" % number)])
    assert len(content._accepted) == 256
    with pytest.raises(BodyTypeUnsupported):
        content.check([json, (b"content-encoding", b"gzip")])


@pytest.mark.parametrize(
    "second", [(b"content-type", b"text/plain"), (b"content-encoding", b"gzip"), (b"content-encoding", b"br")]
)
def test_headers_that_are_there_twice_must_not_differ(second: tuple[bytes, bytes]) -> None:
    first = [(b"content-type", b"application/json"), (b"content-encoding", b"identity")]
    ContentHeaders().check([*first, *first])
    for headers in ([*first, second], [second, *first]):
        with pytest.raises(BodyTypeUnsupported):
            ContentHeaders().check(headers)
