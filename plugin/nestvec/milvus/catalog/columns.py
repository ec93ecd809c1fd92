"""The columns of a collection, as Milvus describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pymilvus import DataType

from nestvec.milvus.catalog.column_properties import ROW_ID_FIELD, hidden_fields
from nestvec.milvus.null_vectors.names import null_flag
from nestvec.sqltypes.kinds import VECTORS_WITH_OWN_VALUES, type_property


@dataclass(frozen=True)
class TypeParams:
    """The parameters of a column's type."""

    max_length: int | None = None
    """Bytes of a VARCHAR, or of the VARCHARs in an ARRAY."""

    dim: int | None = None
    """Length of a vector; None for a sparse one."""
    element_type: str | None = None
    """Of an ARRAY."""
    max_capacity: int | None = None
    """Elements of an ARRAY."""

    analyzed: bool = False
    """Whether text match works on it."""

    sql_type: str = ""
    """The SQL type that this type stores by a mapping, ``date`` or ``numeric(10,2)``; empty for Milvus's."""

    null_flag: str = ""
    """The hidden field that says where a vector is NULL; empty if the column is NOT NULL, or Milvus stores
    its NULLs."""


_NO_PARAMS: Final = TypeParams()


@dataclass(frozen=True)
class Column:
    """One field of a collection."""

    name: str

    type: str
    """Milvus's name for its type: ``INT64``, ``VARCHAR``, ``FLOAT_VECTOR``, …"""

    type_params: TypeParams = _NO_PARAMS
    primary: bool = False
    auto_id: bool = False
    nullable: bool = False
    has_default: bool = False
    partition_key: bool = False
    description: str = ""
    default: bool | int | float | str | None = None
    """What Milvus stores if a row has no value; None for NULL."""

    @property
    def max_length(self) -> int | None:
        """Bytes of a VARCHAR, or of the VARCHARs in an ARRAY."""
        return self.type_params.max_length

    @property
    def dim(self) -> int | None:
        """Length of a vector; None for a sparse one."""
        return self.type_params.dim

    @property
    def is_vector(self) -> bool:
        return self.type.endswith("_VECTOR")


DYNAMIC_COLUMN: Final = Column("$meta", "JSON", nullable=True)
"""Where Milvus keeps the fields of a row that are not columns, in a collection that allows them."""

ROW_ID: Final = Column(ROW_ID_FIELD, "INT64", primary=True, auto_id=True)
"""The key of a table without a primary key."""


def described_columns(described: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a collection as Milvus describes it, without the hidden ones."""
    fields = {field["name"]: field for field in described["fields"]}
    hidden = hidden_fields(fields)
    columns = (read_column(fields[name], properties) for name in fields if name not in hidden)
    return tuple(
        replace(column, nullable=True, type_params=replace(column.type_params, null_flag=flag))
        if column.is_vector and (flag := null_flag(column.name)) in hidden
        else column
        for column in columns
    )


def read_column(described: Mapping[str, Any], properties: Mapping[str, Any]) -> Column:
    """One field of a collection, whose ``properties`` say what Milvus cannot."""
    params = described.get("params", {})
    element = described.get("element_type")
    return Column(
        name=described["name"],
        type=DataType(described["type"]).name,
        primary=bool(described.get("is_primary")),
        auto_id=bool(described.get("auto_id")),
        nullable=bool(described.get("nullable")),
        has_default=described.get("default_value") is not None,
        partition_key=bool(described.get("is_partition_key")),
        description=str(described.get("description") or ""),
        default=_default_value(described.get("default_value")),
        type_params=TypeParams(
            max_length=int(params["max_length"]) if "max_length" in params else None,
            dim=int(params["dim"]) if "dim" in params else None,
            element_type=DataType(element).name if element else None,
            max_capacity=int(params["max_capacity"]) if "max_capacity" in params else None,
            analyzed=str(params.get("enable_match", "")).lower() == "true",
            sql_type=str(properties.get(type_property(described["name"]), "")) or _sql_type(described),
        ),
    )


def _sql_type(described: Mapping[str, Any]) -> str:
    """The SQL type of vectors whose values in Python differ from those in Milvus, whoever created them."""
    name = _VALUE_TYPES.get(DataType(described["type"]))
    return f"{name}({described['params']['dim']})" if name is not None else ""


_VALUE_TYPES: Final = {DataType[stored]: kind for kind, stored in VECTORS_WITH_OWN_VALUES.items()}


def _default_value(value: Any) -> bool | int | float | str | None:
    """The default value in Milvus's message, where its key is the name of its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = value.WhichOneof("data") if hasattr(value, "WhichOneof") else None
    value_of_kind = getattr(value, kind) if kind else None
    return value_of_kind if isinstance(value_of_kind, (bool, int, float, str)) else None
