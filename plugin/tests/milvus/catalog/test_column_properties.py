"""Templates in the collection's properties, and the texts of rows."""

from __future__ import annotations

from dataclasses import replace

from nestvec.ingest.compose_row import compose_columns
from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.catalog.column_properties import TEMPLATE_PROPERTY_PREFIX


def table(*templates: tuple[str, str], dynamic: bool = False) -> Table:
    return Table(
        "t",
        (
            Column("id", "VARCHAR", primary=True),
            *(Column(name, "VARCHAR") for name, _ in templates),
            Column("title", "VARCHAR", nullable=True),
            Column("year", "INT32", nullable=True, has_default=True, default=2000),
            Column("price", "FLOAT", nullable=True),
            Column("own", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
        ),
        dynamic=dynamic,
        properties={f"{TEMPLATE_PROPERTY_PREFIX}{name}": text for name, text in templates},
    )


def test_other_properties_and_what_cannot_be_read_are_no_templates() -> None:
    found = table(("text", "{title"), ("short", "{title}"))
    more = {
        f"{TEMPLATE_PROPERTY_PREFIX}gone": "{title}",
        f"{TEMPLATE_PROPERTY_PREFIX}year": "{title}",
        "nestvec.recall.short": "1",
    }
    assert list(replace(found, properties={**found.properties, **more}).composed) == ["short"]


def test_a_table_has_its_composed_columns_in_the_order_that_they_need() -> None:
    found = table(("text", "{short}. {year}"), ("short", "{title}"), ("lost", "{lost}"))
    assert list(found.composed) == ["short", "text"]
    assert compose_columns(found, found.composed, {"title": "A"}) == {"short": "A", "text": "A. 2000"}
    assert compose_columns(found, ["text"], {"short": "mine", "year": 7}) == {"text": "mine. 7"}


def test_flatten_has_neither_key_nor_vector_nor_composed_text() -> None:
    found = table(("text", "flatten"), ("short", "{title}"), dynamic=True)
    row = {
        "id": "x",
        "title": "A",
        "price": 0.1,
        "own": [1.0, 2.0],
        "short": "b",
        "brand": "Acme",
        "$meta": {},
    }
    assert compose_columns(found, ["text"], row)["text"] == "title: A year: 2000 price: 0.1 brand: Acme"


def test_a_float_reads_the_same_before_and_after_it_is_stored() -> None:
    found = table(("text", "{price}"))
    assert compose_columns(found, ["text"], {"price": 0.10000000149011612}) == {"text": "0.1"}
