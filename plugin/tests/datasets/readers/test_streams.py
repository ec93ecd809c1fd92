"""Compressed files, encodings and standard input, as other programs write them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.datasets.readers import ReadOptions, RowSource, open_source, streams
from nestvec.ingest.row_count import row_counter
from nestvec_schemas.errors import FileUnreadable, NestvecError

TEXT = "id,t\n" + "".join(f"{number},größe {number}\n" for number in range(20_000))
VALUES = [{"id": str(number), "t": f"größe {number}"} for number in range(20_000)]


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


def values(source: RowSource, skip: int = 0) -> list[object]:
    return [row.value for row in source.items(skip)]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_compressed_file_is_read_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    data = TEXT.encode()
    path = tmp_path / f"rows.csv{suffix}"
    path.write_bytes(COMPRESS[suffix](data))
    assert values(open_source(path)) == VALUES
    assert values(open_source(path), 19_990) == VALUES[19_990:]
    plain = tmp_path / "rows.csv"
    plain.write_bytes(COMPRESS[suffix](data))
    assert values(open_source(plain)) == VALUES


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_one_after_the_other_are_one(tmp_path: Path, suffix: str) -> None:
    half = TEXT.encode().index(b"9000,")
    parts = (TEXT.encode()[:half], TEXT.encode()[half:])
    path = tmp_path / f"rows.csv{suffix}"
    path.write_bytes(b"".join(COMPRESS[suffix](part) for part in parts))
    assert values(open_source(path)) == VALUES


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("zeros", [4, 1 << 18])
def test_padding_between_compressed_files_does_not_end_them(tmp_path: Path, suffix: str, zeros: int) -> None:
    half = TEXT.encode().index(b"9000,")
    parts = (TEXT.encode()[:half], TEXT.encode()[half:])
    path = tmp_path / f"rows.csv{suffix}"
    path.write_bytes((b"\0" * zeros).join(COMPRESS[suffix](part) for part in parts) + b"\0" * zeros)
    assert values(open_source(path)) == VALUES


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_compressed_file_that_is_cut_off_or_damaged_says_so(tmp_path: Path, suffix: str) -> None:
    data = COMPRESS[suffix](os.urandom(1 << 18).hex().encode() + TEXT.encode())
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileUnreadable, match="cannot be read"):
        values(open_source(path))
    # pyarrow writes no checksum into zstd's frames, so that nobody can notice a change of letters.
    if suffix == ".zst":
        return
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(64) + data[middle + 64 :])
    with pytest.raises(FileUnreadable, match="cannot be read"):
        values(open_source(path))


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_bomb_is_stopped(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FREE_EXPANSION_BYTES", 1 << 20)
    monkeypatch.setattr(streams, "_MAX_EXPANSION", 100)
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](b" \n" * (8 << 20)))
    with pytest.raises(FileUnreadable, match="expands to more than"):
        values(open_source(path))


@given(
    st.binary(max_size=200), st.sampled_from([b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"])
)
def test_any_bytes_after_a_magic_number_are_rows_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(magic + data)
    try:
        values(open_source(path))
    except NestvecError as error:
        assert isinstance(error, FileUnreadable)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_byte_order_mark_names_the_encoding(tmp_path: Path, encoding: str, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    text = {"csv": "id,t\n1,größe\n", "jsonl": '{"id": "1", "t": "größe"}\n'}[kind]
    path.write_bytes(text.encode(encoding))
    assert values(open_source(path)) == [{"id": "1", "t": "größe"}]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "shift_jis", "gb18030", "utf-16-le", "UTF8"])
def test_an_encoding_by_name(tmp_path: Path, encoding: str) -> None:
    text = {"shift_jis": "日本語", "gb18030": "汉语"}.get(encoding, "größe")
    body = "".join(f"{number},{text}\n" for number in range(30_000))
    (tmp_path / "rows.csv").write_bytes(("id,t\n" + body).encode(encoding))
    rows = values(open_source(tmp_path / "rows.csv", options=ReadOptions(encoding=encoding)))
    assert rows == [{"id": str(number), "t": text} for number in range(30_000)]


@pytest.mark.parametrize("name", ["cp1252", "WIN1252", "windows-1252"])
def test_encodings_have_the_names_of_python_iana_and_postgresql(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("id,t\n1,€\n".encode("cp1252"))
    source = open_source(path, options=ReadOptions(encoding=name))
    assert [row.value for row in source.items()] == [{"id": "1", "t": "€"}]
    counter = row_counter(source)
    assert counter is not None
    counter.feed(path.read_bytes())
    assert counter.rows == 2


def test_koi8_has_the_name_of_postgresql() -> None:
    assert ReadOptions(encoding="KOI8R").encoding == "koi8_r"


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (
            "id,t\n1,größe\n".encode("cp1252"),
            None,
            r"is not UTF-8: byte 0xF6 at byte 10, in line 2.*--encoding",
        ),
        ("id,t\n1,a\n".encode("utf-16-le"), None, r"as UTF-16 does.*--encoding utf-16-le"),
        ("id,t\n1,a\n".encode("utf-16-be"), None, r"as UTF-16 does.*--encoding utf-16-be"),
        (b"id,t\n1,\x81\n", "cp1252", r"is not (charmap|cp1252): byte 0x81 at byte 8: .*--encoding"),
        ("id,t\n1,größe\n".encode("latin-1"), "ascii", r"is not ascii: byte 0xF6 at byte 10"),
        (b"id\n", "utf-9", "no encoding of this name: utf-9"),
        (b"id\n", "zlib", "no encoding of this name: zlib"),
        (b"PK\x03\x04 and more", None, "a ZIP archive or an Excel workbook"),
        (b"%PDF-1.7", None, "is a PDF"),
    ],
)
def test_a_file_that_cannot_be_decoded(
    tmp_path: Path, data: bytes, encoding: str | None, message: str
) -> None:
    (tmp_path / "rows.csv").write_bytes(data)
    with pytest.raises(FileUnreadable, match=message):
        values(open_source(tmp_path / "rows.csv", options=ReadOptions(encoding=encoding)))


def test_utf8_by_name_rejects_the_rows_that_are_not(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"id\n\xf6\n2\n")
    rows = values(open_source(tmp_path / "rows.csv", options=ReadOptions(encoding="utf-8")))
    assert "byte 0xF6" in str(rows[0])
    assert rows[1] == {"id": "2"}


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, suffix: str, kind: str) -> None:
    text = {"csv": TEXT, "jsonl": "".join(f'{{"id":"{n}","t":"größe {n}"}}\n' for n in range(20_000))}[kind]
    data = COMPRESS.get(suffix, bytes)(text.encode())
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data[:3])
            file.flush()
            file.write(data[3:])

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        source = open_source(Path("-"), kind)
        assert not source.resumable
        assert values(source) == VALUES
        with pytest.raises(FileUnreadable, match="only once"):
            values(source)
    thread.join()


def test_standard_input_needs_a_format_and_parquet_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(b"PAR1"))))
    with pytest.raises(FileUnreadable, match=r"format of standard input is not known.*--format"):
        open_source(Path("-"))
    with pytest.raises(FileUnreadable, match="its index is at its end"):
        open_source(Path("-"), "parquet")


def test_a_named_pipe_is_read_as_standard_input_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_text(TEXT, encoding="utf-8"))
    thread.start()
    source = open_source(path)
    assert values(source) == VALUES
    assert not source.resumable
    thread.join()


def test_a_compressed_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(FileUnreadable, match=r"compressed Parquet file.*Decompress it"):
        open_source(tmp_path / "rows.parquet.gz")
