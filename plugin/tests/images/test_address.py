from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nestvec.images import ImageAddress, is_address, parse_address
from nestvec.images.address import address_problem, redacted_url

ADDRESSES = {
    "data:image/png;base64,AAAA": "data",
    "data:image/svg+xml,%3Csvg": "data",
    "data:image/png;name=a.png;base64,AA": "data",
    "data:application/octet-stream;base64,AA": "data",
    "data:;base64,AA": "data",
    "DATA:IMAGE/PNG;BASE64,AA": "data",
    "file:/srv/cat.png": "file",
    "file:///srv/cat.png": "file",
    "file://elsewhere/srv/cat.png": "file",
    "http://example.org/cat.png": "http",
    "https://example.org": "https",
    "HTTPS://user:word@[::1]:8443/?a=b#c": "https",
    "s3://pictures/animals/cat.png": "s3",
}

TEXTS = [
    "",
    "cat.png",
    "/srv/cat.png",
    "a cat at https://example.org/cat.png",
    "https://example.org/a cat.png",
    "https://example.org/cat.png ",
    " https://example.org/cat.png",
    "https://example.org/cat.png\n",
    "https://example.org/cat\u00a0.png",
    "https://example.org/cat\u2028.png",
    "https://example.org/\x00",
    "https://",
    "https:///cat.png",
    "https:example.org",
    "http",
    "ftp://example.org/cat.png",
    "file:cat.png",
    "file://",
    "file:///",
    "s3://pictures",
    "s3://pictures/",
    "s3:///cat.png",
    "data:",
    "data:,a",
    "data:analysis,please",
    "data:text/plain;base64,AAAA",
    "data:image/png;base64,",
    "data:image/png",
    "data:image/png;base64,AA AA",
    "javascript:alert(1)",
]


@pytest.mark.parametrize(("text", "scheme"), ADDRESSES.items())
def test_an_address(text: str, scheme: str) -> None:
    assert parse_address(text) == ImageAddress(scheme, text)  # type: ignore[arg-type]
    assert is_address(text)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_none(text: str) -> None:
    assert parse_address(text) is None
    assert not is_address(text)


anything = st.text() | st.sampled_from([*ADDRESSES, *TEXTS]).flatmap(
    lambda text: st.tuples(st.just(text), st.text(max_size=6), st.integers(0, len(text))).map(
        lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
    )
)


@given(anything)
@example("https://[::1")
@example("https://[x]/\ud800")
def test_any_text_is_an_address_or_is_not(text: str) -> None:
    address = parse_address(text)
    if address is None:
        return
    assert address.text == text
    assert not any(character.isspace() for character in text)
    assert text.lower().startswith(f"{address.scheme}:")
    assert len(address.shown) < 200


@given(anything, st.sampled_from(" \t\n\r\x0b\x0c\x1c\x85\u00a0\u2003\u3000"), st.integers(0, 40))
def test_nothing_with_whitespace_is_an_address(text: str, space: str, position: int) -> None:
    assert parse_address(text[:position] + space + text[position:]) is None


def test_of_a_very_long_url_only_the_scheme_is_shown() -> None:
    found = parse_address("https://user:SECRET" + "x" * 5000 + "@example.org/a.png")
    assert found is not None
    assert found.shown == "https:… (5037 characters)"


def test_whitespace_far_behind_does_not_make_a_text_of_an_image() -> None:
    """Such a payload is refused as it is decoded; looking for whitespace in megabytes would take long."""
    assert parse_address("data:image/png;base64," + "A" * 5000 + " A") is not None
    assert parse_address("data:image/png;base64," + "A" * 4000 + " A") is None


secrets = st.text("abcdefghij", min_size=12, max_size=40).map(lambda text: f"SECRET{text}")


@given(secrets)
def test_what_is_shown_has_no_secret(secret: str) -> None:
    for text in (
        f"data:image/png;base64,{secret}",
        f"https://example.org/cat.png?X-Amz-Signature={secret}",
        f"https://example.org/cat.png#{secret}",
        f"https://user:{secret}@example.org/cat.png",
        f"https://{secret}@example.org/cat.png?a@b",
        f"s3://pictures/cat.png?{secret}",
        f"https://[{secret}?{secret}",
    ):
        address = parse_address(text)
        assert address is not None
        assert secret not in address.shown


def test_what_is_shown() -> None:
    assert (
        redacted_url("https://me:word@example.org:8443/cat.png?token=1")
        == "https://example.org:8443/cat.png?…"
    )
    assert redacted_url("file:///srv/cat.png") == "file:///srv/cat.png"
    assert redacted_url("https://example.org/" + "a" * 300) == "https://example.org/" + "a" * 100 + "…"
    address = parse_address("data:image/png;base64,AAAA")
    assert address is not None
    assert address.shown == "data:image/png;base64,… (4 characters)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("data:image/png;base64", "has no data"),
        ("data:image/png;base64,", "has no data"),
        ("data:image/png;charset=x;base64", "has no data"),
        ("data:image/png", "has no data"),
        ("data:;base64,", "has no data"),
        ("data:image/png;base64 iVBORw0KGgo=", "is not written data:image/png;base64, and the data"),
        ("data:base64,iVBORw0KGgo", "is not written data:image/png;base64, and the data"),
        ("data:image/png;base64,iVBO\nRw0K", "has white space in its data"),
        ("image/png;base64,AAAA", "does not begin with data:"),
        ("dta:image/png;base64,AAAA", "does not begin with data:"),
        ("http:/host", "is not written https://, a host and a path"),
        ("https:host", "is not written https://, a host and a path"),
        ("https:///cat.png", "is not written https://, a host and a path"),
        ("http://", "is not written https://, a host and a path"),
        ("HTTP:/HOST", "is not written https://, a host and a path"),
        (r"http:\\host\a.png", "is not written https://, a host and a path"),
        (" http://host/a.png", "has white space or quotes around it"),
        ("http://host/a.png\n", "has white space or quotes around it"),
        ('"https://host/a.png"', "has white space or quotes around it"),
        ("\ufeffhttps://host/a.png", "has white space or quotes around it"),
        ("htp://host/a.png", "has a scheme that no image is fetched by"),
        ("gs://bucket/key", "has a scheme that no image is fetched by"),
        ("file:relative", "is not written file:/// and an absolute path"),
        ("file:///", "is not written file:/// and an absolute path"),
        ("s3:/x", "is not written s3://, a bucket, / and a key"),
        ("s3://bucket", "is not written s3://, a bucket, / and a key"),
        ("http://host/my cat.png", "has white space in it"),
        ("//host/cat.png", "has no scheme"),
        ("www.example.com/cat.png", "has no scheme"),
        ("/srv/cat.png", "has no scheme"),
    ],
)
def test_what_was_meant_as_an_address(text: str, problem: str) -> None:
    assert parse_address(text) is None
    assert address_problem(text) == problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a cat",
        "cat.png",
        "http is a protocol",
        "http: the protocol",
        "http:",
        "http:是一种协议",
        "http://example.com is a site",
        "see http://example.com/cat.png",
        "https://example.com/cat.png, a photo",
        "compare http://a/b.png with http://a/c.png",
        "data: 5 rows",
        "data:5,6,7",
        "data:",
        "data:image is broken",
        "data:image/png is a media type",
        "file: see the attachment",
        "s3: the store",
        "the path /srv/cat.png",
        "TCP/IP",
        "and/or",
        "ratio 3:4",
        "12:30",
        "re: your mail",
        "mailto:me@example.com",
        "image/png",
        "https://example.org/cat.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_texts_and_addresses_have_no_problem(text: str) -> None:
    assert address_problem(text) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.from_regex(r"[A-Za-z][a-z]{0,9}[,.:;]?", fullmatch=True), min_size=2, max_size=12))
def test_no_sentence_is_an_address(words: list[str]) -> None:
    assert address_problem(" ".join(words)) is None
