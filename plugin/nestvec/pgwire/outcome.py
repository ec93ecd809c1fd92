"""What a statement leads to: columns, rows and a tag, ready to be sent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.protocol.responses import Field, data_row
from nestvec.pgwire.types.encode import encoder
from nestvec.pgwire.types.milvus import result_oid, type_oid
from nestvec.sql.result import Row, StatementResult
from nestvec.sqltypes import oids

_SAMPLED: Final = 200
"""Rows by whose values a column without a known type gets one."""


@dataclass(frozen=True)
class StatementOutcome:
    """The result of one statement."""

    tag: str
    fields: tuple[Field, ...] = ()
    """Empty for a statement that returns no rows."""
    rows: Sequence[Row] = ()
    notices: tuple[PgError, ...] = ()
    closing_tag: bool = False
    """Whether ``tag`` is to be sent as it is, and not with the number of rows that were sent."""
    deallocated: str = ""
    """The name of the protocol's prepared statement that DEALLOCATE ends; empty for none."""


def outcome_of(result: StatementResult) -> StatementOutcome:
    """The outcome of a statement on Milvus."""
    return StatementOutcome(
        result.tag, result_fields(result), result.rows, closing_tag=not _counts_rows(result.tag)
    )


def _counts_rows(tag: str) -> bool:
    return tag.split(" ")[0] == "SELECT"


def result_fields(result: StatementResult) -> tuple[Field, ...]:
    """The columns of a result; where their type is not known, by the values."""
    fields = list[Field]()
    for index, (name, type_) in enumerate(zip(result.columns, result.types, strict=True)):
        name_of_type, element = result.names.get(index), result.elements.get(index)
        if name_of_type is not None:
            oid = oids.oid_of(name_of_type)
        elif type_ == "ARRAY" and element is not None:
            oid = oids.array_of(type_oid(element))
        else:
            oid = result_oid(type_, [row[index] for row in result.rows[:_SAMPLED]])
        fields.append(field_of(name, oid))
    return tuple(fields)


def field_of(name: str, oid: int, modifier: int = -1) -> Field:
    """A column of this type."""
    return Field(name, oid, oids.size_of(oid), modifier)


def text_outcome(tag: str, name: str, values: Sequence[str]) -> StatementOutcome:
    """One column of texts."""
    fields = (field_of(name, oids.TEXT),)
    return StatementOutcome(tag, fields, tuple((value,) for value in values), closing_tag=True)


def formats_of(formats: Sequence[int], count: int) -> tuple[int, ...]:
    """A format for each of ``count`` columns or parameters. Raises PgError."""
    if len(formats) <= 1:
        return (*(formats or (0,)),) * count
    if len(formats) != count:
        raise PgError("08P01", f"{len(formats)} formats for {count} columns or parameters")
    return tuple(formats)


def row_encoder(fields: Sequence[Field], formats: Sequence[int]) -> Callable[[Row], bytes]:
    """What makes a DataRow of a row."""
    encoders = [encoder(field.oid, bool(format_)) for field, format_ in zip(fields, formats, strict=True)]

    def encode(row: Row) -> bytes:
        return data_row(
            None if value is None else encode_value(value)
            for encode_value, value in zip(encoders, row, strict=True)
        )

    return encode_checked(encode)


def encode_checked(encode: Callable[[Row], bytes]) -> Callable[[Row], bytes]:
    """The same; a value that its column cannot hold is a PgError."""

    def checked(row: Row) -> bytes:
        try:
            return encode(row)
        except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            raise PgError(
                "22P03",
                "a value of the result does not fit the type of its column",
                detail=type(error).__name__,
            ) from error

    return checked
