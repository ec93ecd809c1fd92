"""ADD COLUMN and DROP COLUMN on a server: in the collection itself where it can, by a copy where not."""

from __future__ import annotations

from typing import Any

import pytest
from pymilvus import DataType

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.server_version import ServerVersion
from nestvec.milvus.steps import Call
from nestvec.sql import Session
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.statements.ddl import alter_columns
from nestvec_schemas.errors import NestvecError, StoreRefused, StoreUnreachable

TABLE = Table(
    "items",
    columns=(
        Column("id", "INT64", primary=True),
        Column("day", "INT32", TypeParams(sql_type="date"), nullable=True),
        Column("v", "FLOAT_VECTOR", TypeParams(dim=2)),
    ),
    properties={"nestvec.type.day": "date", "nestvec.default.day": "current_date"},
)
SERVER = ServerVersion("v2.6.4", numbers=(2, 6, 4))
UNIMPLEMENTED = StoreUnreachable("Milvus rejected it", value="StatusCode.UNIMPLEMENTED", next_step="x")
OLD_PYMILVUS = StoreRefused(
    "the installed pymilvus does not have the call drop_collection_field", value="pymilvus 2.6.10",
    next_step="x",
)  # fmt: skip
DENIED = StoreRefused("Milvus refused it", value="permission denied", next_step="x")


@pytest.fixture(autouse=True)
def no_copy(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    changes: list[Any] = []

    def change_table(session: Session, table: Table, change: Any, services: Any) -> Any:
        changes.append(change)
        yield from ()

    monkeypatch.setattr(alter_columns, "change_table", change_table)
    return changes


def calls(actions: str, error: NestvecError | None = None) -> list[tuple[Any, ...]]:
    """What is called for actions, where the first call fails with an error."""
    parsed = parse(f"ALTER TABLE items {actions}")
    steps = alter_columns.alter_columns(
        Session(), parsed.source, TABLE, parsed.tree.args["actions"], bind_params(None)
    )
    done, answer = list[tuple[Any, ...]](), None
    try:
        while True:
            request = steps.throw(error) if done and error is not None else steps.send(answer)
            error, answer = (None, None) if done else (error, SERVER)
            if isinstance(request, Call):
                done.append((request.method, *request.args, dict(request.kwargs)))
    except StopIteration:
        return done


def test_a_server_adds_a_scalar_itself(no_copy: list[Any]) -> None:
    assert calls("ADD COLUMN n int DEFAULT 5") == [
        ("add_collection_field", "items", "n", DataType.INT32, {"nullable": True, "default_value": 5})
    ]
    assert calls("ADD COLUMN price numeric(10,2)")[1] == (
        "alter_collection_properties", "items", {"nestvec.type.price": "numeric(10,2)"}, {},
    )  # fmt: skip
    assert no_copy == []


def test_a_server_drops_a_scalar_itself_with_what_is_recorded_of_it(no_copy: list[Any]) -> None:
    assert calls("DROP COLUMN day") == [
        ("drop_collection_field", "items", "day", {}),
        ("drop_collection_properties", "items", ["nestvec.type.day"], {}),
        ("drop_collection_properties", "items", ["nestvec.default.day"], {}),
    ]
    assert no_copy == []


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ("ADD COLUMN w vector(3)", None),
        ("ADD COLUMN n int, ADD COLUMN m int", None),
        ("ADD COLUMN n int, DROP COLUMN day", None),
        ("ADD COLUMN n int", UNIMPLEMENTED),
        ("DROP COLUMN day", UNIMPLEMENTED),
        ("DROP COLUMN day", OLD_PYMILVUS),
    ],
)
def test_the_rows_are_copied_where_it_cannot(
    no_copy: list[Any], actions: str, error: NestvecError | None
) -> None:
    assert len(calls(actions, error)) == (error is not None)
    (change,) = no_copy
    assert {column.name for column in change.columns} == {
        word for word in ("w", "n", "m") if f"ADD COLUMN {word} " in actions
    }
    assert change.drop == (("day",) if "DROP" in actions else ())


def test_what_a_server_denies_is_no_reason_for_a_copy(no_copy: list[Any]) -> None:
    with pytest.raises(StoreRefused, match="permission denied"):
        calls("ADD COLUMN n int", DENIED)
    assert no_copy == []
