from __future__ import annotations

import inspect
import re

import pytest

from nestvec_schemas import errors
from nestvec_schemas.errors import NestvecError, SqlError, SqlSyntaxError, nearest

LINE = re.compile(r"^(?P<bars>[│ ]*)[├└]── (?P<name>\w+)")


def drawn() -> dict[str, str]:
    """Each class in the module's tree, and the one it is drawn under."""
    above, found = ["NestvecError"], {}
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            depth = len(match["bars"]) // 4 + 1
            above[depth:] = [match["name"]]
            found[match["name"]] = above[depth - 1]
    return found


def defined() -> dict[str, str]:
    classes = (one for _, one in inspect.getmembers(errors, inspect.isclass))
    return {
        one.__name__: one.__bases__[0].__name__
        for one in classes
        if issubclass(one, NestvecError) and one is not NestvecError
    }


def test_the_tree_at_the_head_is_the_tree_in_the_file() -> None:
    assert len(drawn()) > 25
    assert drawn() == defined()


@pytest.mark.parametrize("name", defined())
def test_each_error_says_cause_value_and_next_step(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("the thing is broken", value="a thing", next_step="Mend it.")
    assert str(error) == "the thing is broken: a thing. Mend it."
    assert (error.cause, error.value, error.next_step) == ("the thing is broken", "a thing", "Mend it.")
    assert error.exit_code == 1
    assert kind.__doc__


@pytest.mark.parametrize("part", ["cause", "next_step"])
def test_a_client_cannot_lengthen_a_message(part: str) -> None:
    sentences = {"cause": "odd", "next_step": "Change it."} | {part: "x" * 1_000_000}
    assert len(str(NestvecError(sentences["cause"], next_step=sentences["next_step"]))) < 2100


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("http://host/embed?key=abc&dim=4", "http://host/embed?key=…&dim=4"),
        ("http://host?dim=4&api_key=abc", "http://host?dim=4&api_key=…"),
        ("http://host?X-Amz-Signature=abc", "http://host?X-Amz-Signature=…"),
        ("http://host?access_token=abc'", "http://host?access_token=…'"),
        ("http://host?max_tokens=4", "http://host?max_tokens=4"),
        ("https://user:p:w@host/a", "https://user:…@host/a"),
        ("https://:pw@host", "https://:…@host"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("http://[::1]:80/?a=b:c@d", "http://[::1]:80/?a=b:c@d"),
    ],
)
def test_a_secret_in_an_address_is_hidden(address: str, printed: str) -> None:
    error = NestvecError(f"nothing answers at {address}", value=address, next_step=f"Open {address} again.")
    assert str(error) == f"nothing answers at {printed}: {printed}. Open {printed} again."


def test_a_lone_surrogate_can_be_printed() -> None:
    error = NestvecError("odd \ud800", value="\udc00", next_step="Change \ud800.")
    assert str(error) == "odd \\ud800: \\udc00. Change \\ud800."


def test_an_error_without_a_value() -> None:
    assert str(NestvecError("nothing was given", next_step="Give it.")) == "nothing was given. Give it."


@pytest.mark.parametrize(
    ("value", "shown"),
    [(7, "7"), (None, "None"), ((1, 2), "(1, 2)"), ("x" * 500, "x" * 200 + "… (500 characters)")],
)
def test_a_value_is_shown_and_kept_short(value: object, shown: str) -> None:
    assert str(NestvecError("odd", value=value, next_step="Change it.")) == f"odd: {shown}. Change it."


def test_a_value_that_is_not_unicode_can_be_printed() -> None:
    error = NestvecError("odd", value="a\udcffb", next_step="Change it.")
    assert str(error).encode() == b"odd: a\\udcffb. Change it."


def test_the_nearest_name() -> None:
    assert nearest("minlm", ["minilm", "bge"]) == " Did you mean 'minilm'?"
    assert nearest("zzz", ["minilm", "bge"]) == ""
    assert nearest("minilm", []) == ""


def test_a_sql_error_points_at_its_culprit() -> None:
    statement = "SELECT id\nFROM papers WHEER id = 1\nLIMIT 5"
    error = SqlSyntaxError(
        "unexpected word",
        value="WHEER",
        next_step="Remove it.",
        statement=statement,
        position=statement.index("WHEER"),
    )
    message, line, caret = str(error).splitlines()
    assert message == "unexpected word: WHEER. Remove it."
    assert line == "  FROM papers WHEER id = 1"
    assert line[caret.index("^") :].startswith("WHEER")


def test_a_long_line_is_cut_around_the_culprit() -> None:
    statement = "SELECT " + "a, " * 200 + "culprit, " + "b, " * 200
    position = statement.index("culprit")
    shown = SqlError("odd", next_step="Change it.", statement=statement, position=position)
    _, line, caret = str(shown).splitlines()
    assert len(line) <= 102
    assert line[caret.index("^") :].startswith("culprit")


@pytest.mark.parametrize("position", [0, 3, 8, 9])
def test_every_position_of_a_statement_can_be_pointed_at(position: int) -> None:
    shown = str(SqlError("odd", next_step="Change it.", statement="SELECT\nid", position=position))
    line, caret = shown.splitlines()[1:]
    assert caret.index("^") <= len(line)


def test_a_sql_error_without_a_position_is_one_line() -> None:
    assert str(SqlError("odd", next_step="Change it.", statement="SELECT")) == "odd. Change it."


def test_an_error_is_reworded() -> None:
    error = NestvecError("the thing is broken", value="a thing", next_step="Mend it.")
    again = error.reworded(cause="row 3: the thing is broken")
    assert str(again) == "row 3: the thing is broken: a thing. Mend it."
    assert str(again.reworded(next_step="Buy it.")) == "row 3: the thing is broken: a thing. Buy it."
    assert str(error) == "the thing is broken: a thing. Mend it."
    bare = NestvecError("nothing was given", next_step="Give it.").reworded(cause="there is nothing")
    assert str(bare) == "there is nothing. Give it."


def test_a_reworded_error_is_of_the_same_class_and_points_to_the_same_place() -> None:
    error = SqlSyntaxError("a word is missing", next_step="Write it.", statement="SELECT", position=6)
    again = error.reworded(next_step="Add it.")
    assert type(again) is SqlSyntaxError
    assert (again.statement, again.position) == ("SELECT", 6)
    assert str(again) == "a word is missing. Add it.\n  SELECT\n        ^"
