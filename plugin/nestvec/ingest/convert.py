"""Convert a row to what Milvus takes, at least as strictly as any Milvus would."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from nestvec.datasets.readers import CellTypes
from nestvec.datasets.readers.rows import JsonRow, QuotedText
from nestvec.ingest.columns import ColumnMap, ignore_step
from nestvec.ingest.compose_row import compose_columns
from nestvec.ingest.row_schema import ArrayType, RowSchema, null_reason
from nestvec.milvus.catalog import Column, TypeParams
from nestvec.sqltypes import to_stored
from nestvec.sqltypes.documents import parse_document, parse_exact
from nestvec_schemas.errors import RowRejected, nearest
from nestvec_schemas.spec.validation import INTEGER_RANGES, MAX_FLOAT32

MAX_JSON_BYTES: Final = 65_536
"""Milvus's limit for one JSON field, and for all dynamic fields of a row together."""

_INTEGER = re.compile(r"([+-]?[0-9]{1,19})(?:\.0+)?")
_BOOLEANS = {
    "true": True,
    "t": True,
    "yes": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "0": False,
}
NUMBER_BYTES: Final = 8
_ROUNDED_DOUBLE: Final = 1 << 53
"""The first double that another whole number is rounded to: the next one."""

TEXT_TYPES: Final = ("VARCHAR", "TEXT")


def convert_row(row: Mapping[str, object], schema: RowSchema) -> dict[str, object]:
    """``row`` as Milvus takes it, without nulls. Raises RowRejected, naming the column.

    A text is measured in bytes of UTF-8, as in Milvus; the source of an embedding may not be empty. A column
    that the row lacks is composed if it has a template, or takes the next value of the schema's defaults.
    """
    text = row.text if isinstance(row, JsonRow) else b""
    row = row if schema.mapping is None else schema.mapping.apply(row)
    row = _with_exact_numbers(row, text, schema) if text else row
    stored: dict[str, object] = dict(schema.table.hidden)
    absent = [name for name in schema.table.composed if row.get(name) in (None, "")]
    for column in schema.expected:
        if column.name in absent:
            continue
        value = _value_or_default(schema.value(row, column), column, schema)
        if value is not None:
            if schema.mapping is not None and isinstance(value, float):
                _check_exact(value, column)
            stored[column.name] = convert_value(value, column, schema)
    if schema.mapping is None or not schema.mapping.ignore_extra:
        stored |= _extra_values(row, stored, schema)
    return stored | _compose(stored, absent, schema) if absent else stored


def _with_exact_numbers(row: Mapping[str, object], text: bytes, schema: RowSchema) -> Mapping[str, object]:
    """The row with the digits of its text in NUMERIC columns, where it has rounded doubles."""
    names = [
        column.name
        for column in schema.expected
        if (column.type_params.sql_type or "").startswith("numeric") and type(row.get(column.name)) is float
    ]
    if not names:
        return row
    try:
        exact = json.loads(text, parse_float=Decimal)
    except RecursionError:
        raise RowRejected("the row has too many levels", next_step="Nest its values less deeply.") from None
    exact = exact if schema.mapping is None else schema.mapping.apply(exact)
    return {**row, **{name: exact[name] for name in names}}


def _extra_values(
    row: Mapping[str, object], stored: Mapping[str, object], schema: RowSchema
) -> dict[str, object]:
    """The values of dynamic fields. Raises RowRejected for a value that the collection does not take."""
    if row.keys() <= stored.keys():
        return {}
    extra = {name: value for name, value in row.items() if name not in stored and value is not None}
    for name in list(extra):
        column_of_name = schema.columns.get(name) if isinstance(name, str) else None
        if column_of_name is None and not schema.table.dynamic:
            names = [expected.name for expected in schema.expected]
            ignores = "" if schema.mapping is None else f"{ignore_step(str(name))} "
            raise RowRejected(
                f"{schema.table.name} has no such column",
                value=name,
                next_step=f"{ignores}Columns: {', '.join(names)}.{nearest(str(name), names)}",
            )
        if column_of_name is not None and (name in schema.generated or column_of_name.auto_id):
            raise RowRejected(
                "Milvus or nestvec fills this column",
                value=name,
                next_step="Remove it from the row"
                + ("." if schema.mapping is None else ", or use --ignore-extra (in COPY, IGNORE_EXTRA)."),
            )
        if column_of_name is not None or (schema.cells.text and extra[name] == ""):
            del extra[name]
    return _check_dynamic(extra)


def _compose(stored: Mapping[str, object], names: Sequence[str], schema: RowSchema) -> dict[str, object]:
    """The composed columns. Raises RowRejected if one must have a text and has none."""
    texts: dict[str, object] = {}
    for name, text in compose_columns(schema.table, names, stored).items():
        column = schema.columns[name]
        if text:
            texts[name] = convert_value(text, column, schema)
        elif name in schema.sources or not (column.nullable or column.has_default):
            of = schema.table.composed[name].fields
            raise RowRejected(
                f"column {name} composes to nothing, because the row has no values for it",
                value=schema.table.composed[name].text,
                next_step=f"Add {', '.join(of) or 'an attribute'} to the row, or {name} itself.",
            )
    return texts


def request_bytes(row: Mapping[str, object]) -> int:
    """The approximate size of a converted row in a request."""
    size = 0
    for name, value in row.items():
        size += len(name) + (len(value) if type(value) is str and value.isascii() else _value_bytes(value))
    return size


def _value_bytes(value: object) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, (dict, list)):
        return len(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    return NUMBER_BYTES


def _value_or_default(value: object, column: Column, schema: RowSchema) -> object:
    """The value or a text's default, None for null or another default. Raises RowRejected."""
    if value is not None and not (isinstance(value, str) and not value):
        return value
    empty = schema.cells.text and isinstance(value, str) and not value
    text = column.type in TEXT_TYPES and not column.primary
    stays_empty = schema.cells.null_text or isinstance(value, QuotedText)
    if empty and text and stays_empty and column.name not in schema.sources:
        return str(value)
    if empty and not text and not (column.nullable or column.has_default):
        raise _value_error(column, "is empty", "", "Write a value.")
    if value is None or (empty and (column.nullable or column.has_default)):
        if text and isinstance(column.default, str) and not column.type_params.sql_type:
            # Written out: Milvus Lite embeds a row before it fills in its defaults, and stores zeros.
            value = column.default
        elif column.nullable or column.has_default:
            return None
        else:
            mapping = schema.mapping or ColumnMap()
            names = [name for name, target in mapping.renamed.items() if target == column.name]
            mapped = f", and the row has no {names[0]}, which is mapped to it" if names else ""
            raise RowRejected(
                f"column {column.name} is missing{mapped}",
                next_step=f"Add {names[0] if names else column.name} to every row.{null_reason(column)}",
            )
    if column.name in schema.sources and isinstance(value, str) and not value:
        raise _value_error(
            column, "is empty, so there is nothing to embed", "", "Write a text, or drop the row."
        )
    return value


def convert_value(value: object, column: Column, schema: RowSchema) -> object:
    """One value, not null, as Milvus takes it in this column. Raises RowRejected."""
    if column.type_params.sql_type:
        return _to_mapped(value, column, schema)
    if column.type == "ARRAY":
        return _to_array(value, column, schema.arrays[column.name], schema.cells)
    converter = CONVERTERS.get(column.type)
    if converter is None:
        raise _value_error(
            column, f"is of type {column.type}, which cannot be ingested", value, "Insert it with pymilvus."
        )
    return converter(value, column, schema.cells)


def _to_mapped(value: object, column: Column, schema: RowSchema) -> object:
    """A value of a SQL type that is stored by a mapping."""
    if column.type == "ARRAY":
        capacity = schema.arrays[column.name].capacity
        value = _parse_json(value, column) if schema.cells.text and isinstance(value, str) else value
        if isinstance(value, list) and capacity is not None and len(value) > capacity:
            raise _value_error(column, f"has more than {capacity} elements", len(value), "Store fewer.")
    try:
        return to_stored(column, value)
    except RowRejected as error:
        raise error.reworded(cause=f"column {column.name}: {error.cause}") from error


def _value_error(column: Column, why: str, value: object, next_step: str) -> RowRejected:
    cause = f"column {column.name} {why}"
    if value == "":
        return RowRejected(cause, next_step=next_step)
    if value is None:
        return RowRejected(cause, value="null", next_step=next_step)
    # The repr of a long number or a deep list may be too long, or fail.
    plain = isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < 1 << 70)
    return RowRejected(cause, value=str(value) if plain else type(value).__name__, next_step=next_step)


def _to_bool(value: object, column: Column, cells: CellTypes) -> bool:
    boolean = _BOOLEANS.get(value.strip().lower()) if cells.text and isinstance(value, str) else value
    if not isinstance(boolean, bool):
        raise _value_error(column, "is neither true nor false", value, "Write true or false.")
    return boolean


def _to_integer(value: object, column: Column, cells: CellTypes) -> int:
    number = value
    if cells.text and isinstance(value, str):
        match = _INTEGER.fullmatch(value.strip())
        number = int(match[1]) if match else None
    elif type(value) is not int and isinstance(value, (float, Decimal)) and _is_whole(value):
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _value_error(column, "is not a whole number", value, "Write a whole number.")
    low, high = INTEGER_RANGES[column.type]
    if not low <= number <= high:
        raise _value_error(
            column, f"is outside {column.type}", value, f"Write a number from {low} to {high}."
        )
    return number


def _check_exact(value: float, column: Column) -> None:
    """Raise RowRejected for a whole number of a file that was read as a double, and may have been rounded."""
    if column.type == "INT64" and abs(value) >= _ROUNDED_DOUBLE:
        raise _value_error(
            column,
            "is a double from 2^53 on, which may have been rounded",
            value,
            "Write it as an integer, without a decimal point or an exponent; in Parquet, as INT64.",
        )


def _is_whole(value: float | Decimal) -> bool:
    # Bounded first: int() of Decimal("1e999999999") would not return.
    return math.isfinite(value) and abs(float(value)) < 2.0**64 and value == int(value)


def _to_float(value: object, column: Column, cells: CellTypes) -> float:
    number = math.nan
    if (cells.text and isinstance(value, str) and "_" not in value) or (
        isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    ):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        raise _value_error(
            column, "is not a finite number", value, "Write a number that is neither NaN nor infinite."
        )
    if column.type in ("FLOAT", "FLOAT_VECTOR") and abs(number) > MAX_FLOAT32:
        raise _value_error(column, "is too large for FLOAT", value, "Use a DOUBLE column.")
    return number


def _to_text(value: object, column: Column, cells: CellTypes) -> str:
    if not isinstance(value, str):
        raise _value_error(column, "is not text", value, "Write it as text.")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise _value_error(column, "is not valid UTF-8", value, "Write the text in UTF-8.") from error
    if not value and column.primary:
        raise _value_error(column, "is empty", "", "Write a value.")
    if column.max_length is not None and size > column.max_length:
        raise _value_error(
            column,
            f"has {size} bytes of UTF-8, more than its max_length of {column.max_length}",
            value,
            "Shorten the text, or create the collection with a larger max_length.",
        )
    return value


def _to_json(value: object, column: Column, cells: CellTypes) -> object:
    data = _parse_json(value, column) if cells.json_text and isinstance(value, str) else value
    # Milvus Lite refuses a bare number, and a bare string makes its column unreadable.
    if not isinstance(data, (dict, list)):
        raise _value_error(
            column, "is neither a JSON object nor a list", data, "Write it as an object or a list."
        )
    _check_json(data, f"column {column.name}")
    return data


def _parse_json(text: str, column: Column) -> Any:
    try:
        return parse_document(text) if column.type == "JSON" else parse_exact(text)
    except RowRejected as error:
        raise error.reworded(cause=f"column {column.name}: {error.cause}") from error
    except orjson.JSONDecodeError as error:
        raise _value_error(column, "is not JSON", text, f"Correct it: {error}.") from error


def _check_json(value: object, where: str) -> None:
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:
        raise RowRejected(
            f"{where} cannot be written as JSON",
            value=str(error),
            next_step="Use only JSON types, integers of 64 bits, at most 254 levels deep.",
        ) from error
    if size > MAX_JSON_BYTES:
        raise RowRejected(
            f"{where} has more than {MAX_JSON_BYTES} bytes of JSON", value=size, next_step="Store less in it."
        )
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise RowRejected(
                f"{where} contains a number that JSON cannot represent",
                value=item,
                next_step="Write null instead.",
            )
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)


def _to_array(value: object, column: Column, kind: ArrayType, cells: CellTypes) -> list[object]:
    elements = _parse_json(value, column) if cells.text and isinstance(value, str) else value
    if not isinstance(elements, list):
        raise _value_error(column, "is not a list", value, "Write a list of values.")
    if kind.capacity is not None and len(elements) > kind.capacity:
        raise _value_error(column, f"has more than {kind.capacity} elements", len(elements), "Store fewer.")
    element = Column(f"{column.name}[]", kind.element, type_params=TypeParams(max_length=kind.max_length))
    return [CONVERTERS[kind.element](value_in_array, element, CellTypes()) for value_in_array in elements]


def _to_vector(value: object, column: Column, cells: CellTypes) -> list[object]:
    numbers = _parse_json(value, column) if cells.text and isinstance(value, str) else value
    if not isinstance(numbers, list):
        raise _value_error(
            column, f"is not a list of {column.dim} numbers", value, "Write the vector as a list."
        )
    if len(numbers) != column.dim:
        raise RowRejected(
            f"column {column.name} has {column.dim} dims",
            value=f"{len(numbers)} numbers",
            next_step=f"Write {column.dim} numbers.",
        )
    return [_to_float(number, column, CellTypes()) for number in numbers]


def _check_dynamic(extra: Mapping[str, object]) -> dict[str, object]:
    for name in extra:
        if not isinstance(name, str) or not name or name.startswith("$"):
            raise RowRejected(
                "a dynamic field has a name that Milvus reserves", value=name, next_step="Rename it."
            )
    if extra:
        try:
            _check_json(dict(extra), "the dynamic part of the row")
        except RowRejected:
            for name, value in extra.items():
                _check_json(value, f"dynamic field {name}")
            raise
    return dict(extra)


Converter = Callable[[object, Column, CellTypes], object]

CONVERTERS: Final[dict[str, Converter]] = {
    "BOOL": _to_bool,
    **dict.fromkeys(INTEGER_RANGES, _to_integer),
    "FLOAT": _to_float,
    "DOUBLE": _to_float,
    "VARCHAR": _to_text,
    "TEXT": _to_text,
    "GEOMETRY": _to_text,
    "TIMESTAMPTZ": _to_text,
    "JSON": _to_json,
    "FLOAT_VECTOR": _to_vector,
}
