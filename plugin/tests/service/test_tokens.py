from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.service.tokens import Tokeniser
from nestvec_schemas.errors import ManifestCorrupt
from nestvec_schemas.repository import TOKENIZER


@pytest.fixture
def tokeniser(models_folder: Path) -> Tokeniser:
    return Tokeniser(models_folder / "tiny" / TOKENIZER, 8)


def test_a_short_text_is_whole(tokeniser: Tokeniser) -> None:
    (tokens,) = tokeniser.encode(["w0 w1"])
    assert tokens.ids.tolist() == [2, 4, 5, 3]
    assert not tokens.truncated


@pytest.mark.parametrize(("direction", "kept"), [("right", range(6)), ("left", range(14, 20))])
def test_a_long_text_is_cut_on_the_side_that_was_asked(
    tokeniser: Tokeniser, direction: str, kept: range
) -> None:
    (tokens,) = tokeniser.encode([" ".join(f"w{n}" for n in range(20))], direction)  # type: ignore[arg-type]
    assert tokens.ids.tolist() == [2, *(4 + n for n in kept), 3]
    assert tokens.whole == 22
    assert tokens.truncated


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text(st.characters(), max_size=50))
def test_any_text_that_json_can_carry_is_encoded(tokeniser: Tokeniser, text: str) -> None:
    (tokens,) = tokeniser.encode([text])
    assert 2 <= len(tokens.ids) <= 8


def test_ids_of_the_client_are_cut_alike(tokeniser: Tokeniser) -> None:
    assert tokeniser.take(range(20)).ids.tolist() == list(range(8))
    assert tokeniser.take(range(20), "left").ids.tolist() == list(range(12, 20))


def test_a_file_that_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / TOKENIZER).write_text("{}")
    with pytest.raises(ManifestCorrupt, match=r"is not a tokenizer.*Export the encoder again"):
        Tokeniser(tmp_path / TOKENIZER, 8)
