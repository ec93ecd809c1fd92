"""A table with a column of every type, as Milvus describes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, FunctionType, MilvusException
from pymilvus.client.types import LoadState

from nestvec.datasets.readers import CellTypes
from nestvec.ingest.row_schema import RowSchema, row_schema
from nestvec.ingest.write.patience import Clock
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint, write_note
from nestvec_schemas.embedding_config import VECTOR_TYPES, EmbeddingConfig

COLUMNS = (
    Column("id", "INT64", primary=True),
    Column("text", "VARCHAR", type_params=TypeParams(max_length=10)),
    Column("note", "VARCHAR", has_default=False, type_params=TypeParams(max_length=10)),
    Column("maybe", "VARCHAR", nullable=True, type_params=TypeParams(max_length=10)),
    Column("flag", "BOOL", nullable=True),
    Column("tiny", "INT8", nullable=True),
    Column("year", "INT32", nullable=True, has_default=True),
    Column("real", "FLOAT", nullable=True),
    Column("fine", "DOUBLE", nullable=True),
    Column("json", "JSON", nullable=True),
    Column(
        "tags",
        "ARRAY",
        nullable=True,
        type_params=TypeParams(element_type="VARCHAR", max_capacity=2, max_length=3),
    ),
    Column("own", "FLOAT_VECTOR", nullable=True, type_params=TypeParams(dim=2)),
    Column("odd", "SPARSE_FLOAT_VECTOR", nullable=True),
    Column("text_4", "FLOAT_VECTOR", type_params=TypeParams(dim=4)),
)


def described() -> dict[str, Any]:
    """What describe_collection says of the table, as far as a shape is made from it."""
    array = {
        "name": "tags",
        "type": DataType.ARRAY,
        "element_type": DataType.VARCHAR,
        "params": {"max_capacity": 2, "max_length": 3},
    }
    function = {
        "type": FunctionType.TEXTEMBEDDING,
        "input_field_names": ["text"],
        "output_field_names": ["text_4"],
    }
    return {"fields": [array, {"name": "id", "type": DataType.INT64}], "functions": [function]}


def table(*, dynamic: bool = False, auto_id: bool = False) -> Table:
    """The table, with a key that the row brings or that Milvus makes."""
    key = Column("id", "INT64", primary=True, auto_id=auto_id)
    embedding = EmbeddingColumn(
        "text", "text_4", Endpoint("openai", "http://127.0.0.1:1", EmbeddingConfig("tiny", 4))
    )
    return Table("t", (key, *COLUMNS[1:]), (embedding,), dynamic=dynamic)


def make_shape(cells: CellTypes, *, dynamic: bool = False, auto_id: bool = False) -> RowSchema:
    """The table's shape for rows given as ``cells``."""
    return row_schema(table(dynamic=dynamic, auto_id=auto_id), cells)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self.clock = Clock(now=lambda: self.seconds, sleep=self.sleep, jitter=lambda: 1.0)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


class Crash(BaseException):
    """What ends a run as kill -9 does: nothing is tidied up, nothing is caught."""


class MemoryMilvus:
    """The rows of one collection, and a crash before or after the ``crash_at``-th write."""

    def __init__(self, crash_at: int = -1, landed: bool = False, version: str = "v2.6.19") -> None:
        self.version = version
        self.rows: list[dict[str, object]] = []
        self.sizes: list[int] = []
        self.crash_at, self.landed = crash_at, landed
        self.refuse = ""
        self.collection_id = 0
        self.loaded = True
        self.embedded: tuple[EmbeddingColumn, ...] = ()
        """The columns that nestvec fills."""

    def describe_collection(self, name: str) -> dict[str, Any]:
        columns = [
            {
                "name": column.column,
                "type": DataType[VECTOR_TYPES[column.config.form]],
                "params": {} if column.config.dim is None else {"dim": column.config.dim},
                "description": write_note(column.service, column.config, column.source),
            }
            for column in self.embedded
        ]
        base = {**described(), "collection_id": self.collection_id}
        return {**base, "fields": [*base["fields"], *columns]} if columns else base

    def get_load_state(self, name: str) -> dict[str, LoadState]:
        return {"state": LoadState.Loaded if self.loaded else LoadState.NotLoad}

    def load_collection(self, name: str) -> None:
        self.loaded = True

    def query(self, name: str, *, filter: str, **options: Any) -> list[dict[str, Any]]:
        if not self.loaded:
            raise MilvusException(code=101, message="collection not loaded")
        if filter:
            assert options == {"output_fields": ["id"], "consistency_level": "Strong"}
            ids = json.loads(filter.removeprefix("id in "))
            return [{"id": row["id"]} for row in self.rows if row["id"] in ids]
        assert options == {"output_fields": ["count(*)"], "consistency_level": "Strong"}
        return [{"count(*)": len(self.rows)}]

    def get_server_version(self) -> str:
        return self.version

    def insert(self, name: str, rows: list[dict[str, object]], *, retry_times: int) -> None:
        assert retry_times == 0, "pymilvus would insert the rows again"
        self._write(lambda: self.rows.extend(rows), rows)

    def upsert(self, name: str, rows: list[dict[str, object]], *, retry_times: int) -> None:
        keys = {row["id"] for row in rows}
        assert len(keys) == len(rows), "Milvus refuses a key that is twice in one request"
        kept = [row for row in self.rows if row["id"] not in keys]
        self._write(lambda: setattr(self, "rows", kept + rows), rows)

    def _write(self, land: Callable[[], None], rows: list[dict[str, object]]) -> None:
        if self.refuse:
            raise MilvusException(message=self.refuse)
        crash = len(self.sizes) == self.crash_at
        if crash and not self.landed:
            self.crash_at = -1
            raise Crash
        land()
        self.sizes.append(len(rows))
        if crash:
            self.crash_at = -1
            raise Crash


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state folder, where records of finished ingests are."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def fake_time() -> type[FakeTime]:
    return FakeTime


@pytest.fixture
def milvus() -> type[MemoryMilvus]:
    return MemoryMilvus


@pytest.fixture
def crash() -> type[BaseException]:
    return Crash


@pytest.fixture
def make_table() -> Callable[..., Table]:
    return table


@pytest.fixture
def typed() -> RowSchema:
    return make_shape(CellTypes())


@pytest.fixture
def text() -> RowSchema:
    return make_shape(CellTypes(text=True, json_text=True))
