from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_exporters.merge import parse_expression
from nestvec_exporters.merge_expression import Coefficients
from nestvec_schemas.errors import CheckpointUnsupported

READ: dict[str, list[tuple[str, float]]] = {
    "base+0.4*A-0.2*B": [("base", 1), ("A", 0.4), ("B", -0.2)],
    " base + 0.4 * A - 0.2 * B ": [("base", 1), ("A", 0.4), ("B", -0.2)],
    "base+A": [("base", 1), ("A", 1)],
    "base - A": [("base", 1), ("A", -1)],
    "base+1e-3*A": [("base", 1), ("A", 1e-3)],
    "base+.5*A": [("base", 1), ("A", 0.5)],
    "base-2*base": [("base", 1), ("base", -2)],
    "sentence-transformers/all-MiniLM-L6-v2-0.2*org/my-model_1.5-fine": [
        ("sentence-transformers/all-MiniLM-L6-v2", 1),
        ("org/my-model_1.5-fine", -0.2),
    ],
    "./base+0.4*../a-b/c": [("./base", 1), ("../a-b/c", 0.4)],
    "'my models/c++'+0.5*\"it's\"": [("my models/c++", 1), ("it's", 0.5)],
    # A minus without a coefficient or white space before it is of the name.
    "base+0.5*A-B": [("base", 1), ("A-B", 0.5)],
    "a-2+0.5*b-2": [("a-2", 1), ("b-2", 0.5)],
}


@pytest.mark.parametrize("text", READ)
def test_checkpoints_and_coefficients_are_told_apart(text: str) -> None:
    found = parse_expression(text)
    assert [(one.name, one.coefficients.before) for one in (found.base, *found.terms)] == READ[text]
    assert all(text[one.position :].lstrip("'\"").startswith(one.name) for one in (found.base, *found.terms))


def test_a_list_is_a_coefficient_for_each_layer_and_its_mean_for_the_rest() -> None:
    term = parse_expression("base-[0.1, -0.2, 0.4]*A").terms[0].coefficients
    assert term.layers == (-0.1, 0.2, -0.4)
    assert term.before == term.after == pytest.approx(-0.1)
    assert [term.of(layer, embedding=False) for layer in (0, 2)] == [-0.1, -0.4]


def test_bars_give_what_is_before_and_after_the_layers_its_own() -> None:
    term = parse_expression("base+[0|0.1,0.2|1]*A").terms[0].coefficients
    assert term == Coefficients(0.0, (0.1, 0.2), 1.0)
    assert (term.of(None, embedding=True), term.of(None, embedding=False)) == (0.0, 1.0)


WRONG = {
    "": ("is empty", 0),
    "base": ("adds nothing", 4),
    "base+": ("needs a checkpoint here", 5),
    "+0.4*A": ("needs a checkpoint here", 0),
    "base+0.4*": ("needs a checkpoint here", 9),
    "base++A": ("needs a checkpoint here", 5),
    "base+0.4*A*B": ("needs a + or - here", 10),
    "base A": ("needs a + or - here", 5),
    "base+[0.1,x]*A": ("is not a number", 10),
    "base+[]*A": ("is not a number", 6),
    "base+[0.1,0.2*A": ("does not end in", 5),
    "base+[0.1|0.2]*A": ("bars", 6),
    "base+[0.1,0.1|0.2|1]*A": ("bars", 6),
    "base+1e999*A": ("too large", 5),
    "base+[1e999]*A": ("too large", 6),
    "base+0.4*'A": ("needs a checkpoint here", 9),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_pointed_at(text: str) -> None:
    says, at = WRONG[text]
    with pytest.raises(CheckpointUnsupported, match=says.replace("+", r"\+")) as raised:
        parse_expression(text)
    assert str(raised.value).endswith(f"\n  {text}\n  {' ' * at}^")


names = st.from_regex(r"[A-Za-z][A-Za-z0-9_./]{0,12}(-[A-Za-z][A-Za-z0-9]{0,4}){0,2}", fullmatch=True)
weights = st.floats(0, 10, allow_nan=False).map(lambda value: round(value, 4))


@given(
    names, st.lists(st.tuples(st.sampled_from("+-"), weights, names), min_size=1, max_size=4), st.booleans()
)
def test_what_is_written_is_read_back(base: str, terms: list[tuple[str, float, str]], spaced: bool) -> None:
    space = " " if spaced else ""
    text = base + "".join(f"{space}{sign}{space}{weight:.4f}*{name}" for sign, weight, name in terms)
    found = parse_expression(text)
    assert found.base.name == base
    assert [one.name for one in found.terms] == [name for _, _, name in terms]
    signed = [(-1 if sign == "-" else 1) * weight for sign, weight, _ in terms]
    assert [one.coefficients.before for one in found.terms] == signed


@given(st.text(alphabet="ab+-*/.[]|,'\" 019e", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_expression(text)
    except CheckpointUnsupported as error:
        assert "^" in str(error)
    else:
        assert found.terms and all(one.name for one in (found.base, *found.terms))
