"""Templates: what they read, what is left out of a text, and where they are wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.compose import compose_text, composition_order, read_template, value_text

ROW = {
    "title": "Blue shirt",
    "brand": "Acme",
    "color": "blue",
    "price": 9.5,
    "sold": True,
    "tags": ["cotton", None, "new"],
    "meta": {"color": "navy", "the fit": "slim", "size": {"w": 3, "h": None}, "parts": [{"of": "linen"}]},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{title}. {brand}: {color}", "Blue shirt. Acme: blue"),
        ("{title}", "Blue shirt"),
        ("{meta.color} {meta.size.w}", "navy 3"),
        ('{meta."the fit"}, {meta.parts.0.of}', "slim, linen"),
        ("{{{title}}} {{x}}", "{Blue shirt} {x}"),
        ("{price} {sold} ({tags})", "9.5 true (cotton, new)"),
        ("{meta.size}", "w: 3"),
        ("Buy {title}!\nBy {brand} | {color}.", "Buy Blue shirt!\nBy Acme | blue."),
        ("v1.5 {title}", "v1.5 Blue shirt"),
    ],
)
def test_a_text_is_composed(template: str, text: str) -> None:
    assert compose_text(read_template(template), ROW) == text


@pytest.mark.parametrize("absent", [None, "", "  ", math.nan, [], {}, [None], {"a": None}])
def test_a_clause_without_a_value_is_left_out_with_its_separator(absent: object) -> None:
    template = read_template("{title}. {brand}: {color}, {price} EUR")
    assert compose_text(template, ROW | {"brand": absent}) == "Blue shirt, 9.5 EUR"
    assert compose_text(template, ROW | {"title": absent}) == "Acme: blue, 9.5 EUR"
    assert compose_text(template, ROW | {"price": absent, "color": absent}) == "Blue shirt"
    assert compose_text(template, {"title": absent}) == ""


def test_words_alone_are_no_text() -> None:
    template = read_template("Product. {title}")
    assert compose_text(template, ROW) == "Product. Blue shirt"
    assert compose_text(template, {}) == ""


@pytest.mark.parametrize(
    "path", ["meta.nothing", "meta.parts.7", "meta.parts.x", "title.x", "meta.color.0", "no"]
)
def test_a_way_that_leads_nowhere_is_absent(path: str) -> None:
    assert compose_text(read_template(f"{{title}}. {{{path}}}"), ROW) == "Blue shirt"


def test_flatten_writes_every_attribute() -> None:
    assert compose_text(read_template("flatten"), ROW) == (
        "title: Blue shirt brand: Acme color: blue price: 9.5 sold: true tags: cotton, new "
        "color: navy the fit: slim size w: 3 parts: of: linen"
    )
    assert compose_text(read_template("flatten"), {"a": None, "b": {}}) == ""


@pytest.mark.parametrize(
    ("template", "said", "at"),
    [
        ("{title", "is not closed", 0),
        ("a } b", "has no matching {", 2),
        ("{}", "name is missing", 1),
        ("{a.}", "name is missing", 3),
        ("{a..b}", "name is missing", 3),
        ("{a b}", "does not end here", 2),
        ("{ a}", "name is missing", 1),
        ("plain", "names no field", 0),
        ("", "names no field", 0),
        ("{{title}}", "names no field", 0),
    ],
)
def test_what_is_wrong_is_pointed_at(template: str, said: str, at: int) -> None:
    with pytest.raises(SpecError, match=said) as raised:
        read_template(template)
    assert str(raised.value).endswith(f"\n  {template}\n  {' ' * at}^")


def test_fields_are_named_once_and_in_order() -> None:
    assert read_template("{b}. {a.x}: {b}").fields == ("b", "a")


def test_templates_are_in_the_order_that_they_need() -> None:
    made = {"a": read_template("{b} {c}"), "b": read_template("{c} {x}"), "c": read_template("{y}")}
    assert composition_order(made) == ("c", "b", "a")
    assert composition_order(made | {"c": read_template("{a}")}) == ()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("abc"), values))
def test_any_row_composes_and_none_says_none(row: dict[str, object]) -> None:
    text = compose_text(read_template("{a}. {b}: {c}"), row)
    a, b, c = (value_text(row.get(name)) for name in "abc")
    second = f"{b}: {c}" if b is not None and c is not None else None
    assert text == ". ".join(one for one in (a, second) if one is not None).strip()
    compose_text(read_template("flatten"), row)


@given(st.text(alphabet='ab{}." ,\n:', max_size=16))
def test_any_template_is_read_or_refused(text: str) -> None:
    try:
        template = read_template(text)
    except SpecError as error:
        assert "^" in str(error)
    else:
        assert template.fields
        made = compose_text(template, dict.fromkeys(template.fields, "v"))
        assert "v" in made or any(one.path for one in template.placeholders)


@given(st.text(alphabet="ab .,{}\n", max_size=12))
def test_doubled_braces_are_braces(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert compose_text(read_template(escaped + "{v}"), {"v": "x"}) == (text + "x").strip()
