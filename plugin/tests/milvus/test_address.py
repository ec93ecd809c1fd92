"""Addresses of Milvus as people write them: accepted, or explained without a password."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import nestvec
import nestvec.dbapi
from nestvec.milvus.address import ConnectSettings, parse_address
from nestvec_schemas.errors import StoreUnreachable


@pytest.mark.parametrize(
    ("text", "uri", "token", "database"),
    [
        ("localhost:19530", "http://localhost:19530", "", ""),
        ("127.0.0.1", "http://127.0.0.1:19530", "", ""),
        (" http://milvus:19530/ ", "http://milvus:19530", "", ""),
        ("milvus://host:19530/papers", "http://host:19530", "", "papers"),
        ("milvus", "http://milvus:19530", "", ""),
        ("tcp://10.0.0.1:1", "http://10.0.0.1:1", "", ""),
        ("grpc://host", "http://host:19530", "", ""),
        ("grpcs://host:9", "https://host:9", "", ""),
        ("HTTPS://Host:19530", "https://host:19530", "", ""),
        ("https://host", "https://host:443", "", ""),
        ("root:Mil%40vus@host:19530", "http://host:19530", "root:Mil@vus", ""),
        (r"root:Mil\vus@host:19530", "http://host:19530", r"root:Mil\vus", ""),
        ("http://root:Milvus@host/papers/", "http://host:19530", "root:Milvus", "papers"),
        ("::1", "http://[::1]:19530", "", ""),
        ("[::1]:7", "http://[::1]:7", "", ""),
        ('"http://host:1"', "http://host:1", "", ""),
        ("https://t@in01-ab.aws-us-west-2.vectordb.zillizcloud.com:19535",
         "https://in01-ab.aws-us-west-2.vectordb.zillizcloud.com:19535", "t", ""),
        ("t@in03-ab.serverless.gcp-us-west1.cloud.zilliz.com",
         "https://in03-ab.serverless.gcp-us-west1.cloud.zilliz.com:443", "t", ""),
        ("papers.db", "papers.db", "", ""),
        ("./data/papers.db/", "data/papers.db", "", ""),
        ("/data/papers.db", "/data/papers.db", "", ""),
        ("file:///data/a%20b.db", "/data/a b.db", "", ""),
        ("file:papers.db", "papers.db", "", ""),
        ("~/papers.db", str(Path.home() / "papers.db"), "", ""),
        ("unix:/tmp/milvus.sock", "unix:/tmp/milvus.sock", "", ""),
    ],
)  # fmt: skip
def test_what_is_accepted(text: str, uri: str, token: str, database: str) -> None:
    address = parse_address(text)
    assert (address.uri, address.token, address.database) == (uri, token, database)
    assert address.is_lite == uri.endswith(".db")
    assert address.secure == uri.startswith("https:")


def test_a_token_and_a_database_of_their_own_take_precedence() -> None:
    address = parse_address("http://a:b@host/c", token="d", database="e")
    assert (address.token, address.database) == ("d", "e")
    assert "b" not in repr(address).replace("database", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the address of Milvus is empty"),
        ("sqlite:///a.db", "another database: sqlite"),
        ("postgresql://u:s3cret@h/d", "another database: postgresql"),
        ("ftp://h", "unknown scheme: ftp"),
        ("http://", "has no host"),
        ("http://h:port", "is not a URL"),
        ("http://u:s3cret@h:99999", "is not a URL"),
        ("http://u:s3cret/a@h:1", "is not a URL: …@h:1.* write %2F for /, %23 for #"),
        ("u:s3cret#a@h:1", "is not a URL: …@h:1.* or give it with --token"),
        ("127.0.0.1:19530:1", r"is not a URL: 127\.0\.0\.1:19530:1\. Write"),
        ("http://u:s3cret@[h", "is not a URL"),
        ("h:0", "port 0"),
        ("h:9091", "Milvus's metrics.*usually at port 19530"),
        ("http://h:1/a/b", "more than one name of a database: a/b"),
        ("http://u:s3cret@h:1?token=s3cret", "more than host, port and database: h"),
        ("https://in01-ab.vectordb.zillizcloud.com", "Zilliz Cloud requires a token.*--token"),
        ("./papers", r"does not end in \.db.*papers\.db"),
        ("/nowhere/papers.sqlite", r"does not end in \.db"),
    ],
)
def test_what_is_refused_says_why_and_no_password(text: str, message: str) -> None:
    with pytest.raises(StoreUnreachable, match=message) as caught:
        parse_address(text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_token_may_be_the_line_of_a_file(end: str) -> None:
    assert parse_address("http://host", token=f"root: Mil vus {end}").token == "root: Mil vus "


def test_a_folder_names_its_databases(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match=r"is a folder.*milvus\.db"):
        parse_address(str(tmp_path))
    (tmp_path / "papers.db").mkdir()
    with pytest.raises(StoreUnreachable, match=r"Name a database in it: .*/papers\.db\. It has papers\.db"):
        parse_address(str(tmp_path))


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 1e12])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(StoreUnreachable, match=r"no time to wait.*at most 86,400"):
        ConnectSettings(timeout=seconds)
    with pytest.raises(nestvec.dbapi.InterfaceError, match=r"above 0, at most 86,400"):
        nestvec.connect("http://127.0.0.1:1", timeout=seconds)


def test_an_address_may_be_long() -> None:
    assert parse_address("a" * 5_000).host == "a" * 5_000


def test_a_place_is_as_in_a_url() -> None:
    assert parse_address("::1").place == "[::1]:19530"
    assert parse_address("https://host").place == "host:443"


@example("~0.db")
@example("~0/")
@given(st.text(max_size=40) | st.text(":/@[]?#.%db1a ", max_size=20))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        address = parse_address(text)
    except StoreUnreachable:
        return
    assert address.is_lite or address.host or address.uri.startswith("unix:")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ConnectSettings(ca_file=Path("/nowhere.pem")), "file of --ca-file does not exist: /nowhere.pem"),
        (ConnectSettings(client_key=Path(__file__)), "come together"),
        (ConnectSettings(client_cert=Path(__file__), client_key=Path(__file__)), "only with --ca-file"),
        (ConnectSettings(ca_file=Path(__file__)), "has no certificate in PEM"),
    ],
)
def test_files_that_cannot_be_used_are_named(settings: ConnectSettings, message: str) -> None:
    with pytest.raises(StoreUnreachable, match=message):
        settings.tls_context()
