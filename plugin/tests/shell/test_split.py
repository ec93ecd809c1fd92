"""Where a script is split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.shell.split import is_complete, script_pieces, split_script


@pytest.mark.parametrize(
    ("text", "cut", "rest"),
    [
        ("SELECT 1; SELECT 2", ("SELECT 1;",), "SELECT 2"),
        ("SELECT ';' ; x", ("SELECT ';' ;",), "x"),
        ("SELECT 'it''s;' , \"a;\"\"b\" ; y", ("SELECT 'it''s;' , \"a;\"\"b\" ;",), "y"),
        ("SELECT '', '''' ;x", ("SELECT '', '''' ;",), "x"),
        ("-- ; \n SELECT 1;", ("-- ; \n SELECT 1;",), ""),
        ("/* ; /* ; */ ; */ SELECT 1; -- end;", ("/* ; /* ; */ ; */ SELECT 1;",), ""),
        (r"SELECT E'a\';b';z", (r"SELECT E'a\';b';",), "z"),
        (r"SELECT name'a\';b;z", (r"SELECT name'a\';", "b;"), "z"),
        ("SELECT $$;$$, $a$;$$;$a$;", ("SELECT $$;$$, $a$;$$;$a$;",), ""),
        ("SELECT $1, $2;", ("SELECT $1, $2;",), ""),
        ("SELECT 'open; ", (), "SELECT 'open;"),
        ("/* open ;", (), "/* open ;"),
        ("\\d papers\nSELECT 1;\n  \\q", ("\\d papers", "SELECT 1;", "\\q"), ""),
        ("SELECT 1 \\d;", ("SELECT 1 \\d;",), ""),
        ("SELECT 1 \\gx\nSELECT 2\\g", ("\\gx SELECT 1", "\\g SELECT 2"), ""),
        ("\\g a.txt\n\\g\n\\gset my_;", ("\\g \x1fa.txt", "\\g", "\\gset \x1fmy_"), ""),
        ("SELECT 1 \\watch 2 c=3\n", ("SELECT 1", "\\watch 2 c=3"), ""),
        ("SELECT '\\gx', 1;", ("SELECT '\\gx', 1;",), ""),
        (" ;; ; -- nothing", (), ""),
        ("", (), ""),
    ],
)
def test_split(text: str, cut: tuple[str, ...], rest: str) -> None:
    found = split_script(text)
    assert (found.pieces, found.rest) == (cut, rest)
    assert is_complete(text) == (not rest)
    assert script_pieces(text) == (cut if not rest else (*cut, rest))


def test_lines_of_pieces() -> None:
    text = "-- first\nSELECT 1;\n\n\\d\n  SELECT\n2; SELECT 3"
    assert split_script(text).lines == (1, 4, 5, 6)
    assert split_script("\nSELECT 1 \\watch 1\nSELECT 2;").lines == (2, 2, 3, 3)


@given(st.text(alphabet="a '\"-/*$;\\\nE", max_size=40))
def test_pieces_keep_the_text(text: str) -> None:
    cut = script_pieces(text)
    assert all(piece.strip() for piece in cut)
    at = 0
    for piece in cut:
        at = text.index(piece.lstrip("\\") if piece.startswith("\\") else piece, at)


@given(st.lists(st.from_regex(r"SELECT [a-z]{1,5} '([a-z;]|''){0,5}'", fullmatch=True), max_size=5))
def test_joined_statements_are_split_again(statements: list[str]) -> None:
    assert script_pieces("; ".join(statements)) == tuple(
        f"{one};" if at + 1 < len(statements) else one for at, one in enumerate(statements)
    )
