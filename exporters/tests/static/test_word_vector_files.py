from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nestvec_exporters.static.word_vector_files import WordVectors, read_binary, read_packed, read_text
from nestvec_schemas.errors import CheckpointUnsupported

Rows = dict[str, np.ndarray]
Write = Callable[..., Path]


def same(found: WordVectors, rows: Rows) -> None:
    assert list(found.words) == list(rows) and list(found.words.values()) == list(range(len(rows)))
    np.testing.assert_array_equal(found.vectors[:-1], np.stack(list(rows.values())))
    assert not found.vectors[-1].any()


def test_text_with_and_without_a_header(rows: Rows, text_file: Write) -> None:
    same(read_text(text_file(rows)), rows)
    same(read_text(text_file(rows, f"{len(rows)} 8\n", "words.vec")), rows)


@pytest.mark.parametrize("newlines", [True, False])
def test_word2vecs_binary_with_and_without_line_ends(newlines: bool, rows: Rows, binary_file: Write) -> None:
    same(read_binary(binary_file(rows, newlines=newlines)), rows)


words = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\x85"), min_size=1, max_size=9
)
numbers = arrays.arrays(np.float32, 3, elements=st.floats(-1e6, 1e6, width=32))


@given(rows=st.dictionaries(words, numbers, min_size=1, max_size=9))
def test_what_is_written_is_read(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("words")
    text = "".join(f"{word} {' '.join(map(repr, map(float, row)))} \n" for word, row in rows.items())
    (folder / "w.vec").write_text(f"{len(rows)} 3\n{text}", "utf-8")
    same(read_text(folder / "w.vec"), rows)
    binary = b"".join(word.encode() + b" " + row.tobytes() for word, row in rows.items())
    (folder / "w.bin").write_bytes(f"{len(rows)} 3\n".encode() + binary)
    same(read_binary(folder / "w.bin"), rows)


def test_a_word_may_hold_spaces_and_a_file_end_in_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2 3\n. . . 4 5 6\n\n")
    assert list(read_text(path).words) == ["the", ". . ."]


def test_more_rows_than_were_thought_of(
    monkeypatch: pytest.MonkeyPatch, rows: Rows, text_file: Write
) -> None:
    monkeypatch.setattr("nestvec_exporters.static.word_vector_files._INITIAL_ROWS", 1)
    same(read_text(text_file(rows)), rows)


def test_an_array_and_an_index(rows: Rows, tmp_path: Path) -> None:
    np.save(tmp_path / "emb.npy", np.stack(list(rows.values())))
    parquet.write_table(pa.table({"index": list(rows)}), tmp_path / "index.parquet")
    same(read_packed(tmp_path), rows)
    parquet.write_table(pa.table({"index": list(rows)[1:]}), tmp_path / "index.parquet")
    with pytest.raises(CheckpointUnsupported, match=r"19 words and an array of another length: \(20, 8\)"):
        read_packed(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"does not start with a word and its numbers: b''"),
        ("word\n", "does not start with a word and its numbers"),
        ("2 2\na 1 2\n", "declares 2 words but has a different number: 1"),
        ("1 2\na 1 2\nb 1 2\n", "declares 1 words but has a different number: 2"),
        ("9999999 300\na 1 2\n", "header that does not match its size: 9999999 words of 300 numbers"),
        ("0 3\n", "header that does not match its size"),
        ("a 1 2\nb 1\n", "lacks a word and 2 numbers on line 2: 1 numbers"),
        ("a 1 2\nb 1 two\n", "invalid numbers on line 2: could not convert"),
        ("a 1 2\nb 1 nan\n", "not finite on line 2: b'b'"),
        ("a 1 2\nb 1 1e999\n", "not finite on line 2: b'b'"),
        ("a 1 2\nb 3 4\na 5 6\n", "a word twice, at 1 and 3: a"),
        ("a 1 2\n\udcff 3 4\n", "a word on line 2 that is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_text_file_is_told(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointUnsupported, match=f"words.txt .*{says}"):
        read_text(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04 a zip", "does not start with word2vec's numbers"),
        (
            (793712314).to_bytes(4, "little") + b"\x0c",
            "a fastText model, whose subwords do not fit in a table",
        ),
        (b"9 9\na \0\0\0\0\n", "header that does not match its size"),
        (b"2 1\na \0\0\0\0\nb \0\0\0", "declares 2 words but has a different number: 1"),
        (b"1 1\na \0\0\0\0\nb \0\0\0\0", "continues after the 1 words"),
        (b"2 1\na \0\0\0\0\na \0\0\0\0", "a word twice, at 1 and 2: a"),
    ],
)
def test_what_is_wrong_with_a_binary_file_is_told(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "words.bin"
    path.write_bytes(data)
    with pytest.raises(CheckpointUnsupported, match=f"words.bin .*{says}"):
        read_binary(path)
