"""What of a file's content says that it is the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.ingest import content
from nestvec.ingest.content import ends_in_cell


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    text=st.text('"\\a\n', max_size=24),
    escape=st.sampled_from([None, "\\"]),
    chunk=st.integers(1, 5),
)
def test_a_cell_is_open_wherever_the_file_is_cut_into_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, escape: str | None, chunk: int
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    monkeypatch.setattr(content, "_CHUNK_BYTES", chunk)
    is_open, escaped = False, False
    for character in text:
        if escaped:
            escaped = False
        elif character == escape:
            escaped = True
        elif character == '"':
            is_open = not is_open
    assert ends_in_cell(path, len(text), '"', escape) == is_open


def test_only_the_first_bytes_count(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('1,"a\nb"\n')
    assert ends_in_cell(path, 5, '"')
    assert not ends_in_cell(path, 8, '"')
