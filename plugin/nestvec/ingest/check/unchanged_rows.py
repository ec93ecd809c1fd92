"""Rows that are stored as they were read, which most are: recognised in less time than they are converted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nestvec.ingest.convert import NUMBER_BYTES, TEXT_TYPES
from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import Column
from nestvec_schemas.spec.validation import INTEGER_RANGES, MAX_FLOAT32

_RANGES: Final[dict[str, tuple[type, float, float]]] = {
    "BOOL": (bool, False, True),
    **{name: (int, low, high) for name, (low, high) in INTEGER_RANGES.items()},
    "FLOAT": (float, -MAX_FLOAT32, MAX_FLOAT32),
    "DOUBLE": (float, -sys.float_info.max, sys.float_info.max),
}
"""Python's type of the values of Milvus's types, and the least and the largest."""

_MAX_SHAPES: Final = 64
"""Sets of names that are remembered: rows of JSON may lack any column."""


@dataclass(frozen=True)
class _Shape:
    """What rows of the same names have in common."""

    numbers: tuple[tuple[str, type, float, float], ...]
    """Columns of numbers, with the type and the range of their values."""

    texts: tuple[tuple[str, int], ...]
    """Columns of texts, with the bytes that they may have."""

    size: int
    """Bytes of a row in a request, without its texts."""


class UnchangedRows:
    """Recognises rows that ``convert_row`` would return as they are."""

    def __init__(self, schema: RowSchema) -> None:
        self._schema = schema
        self._expected = {column.name: column for column in schema.expected}
        self._shapes: dict[tuple[object, ...], _Shape | None] = {}

    def size(self, row: Mapping[str, object]) -> int:
        """The size of such a row in a request, as ``request_bytes`` has it; 0 for one that may have to be
        converted or rejected."""
        names = tuple(row)
        try:
            shape = self._shapes[names]
        except KeyError:
            shape = self._remember(names)
        if shape is None:
            return 0
        size = shape.size
        for name, kind, low, high in shape.numbers:
            number = row[name]
            # A bool is an int, and a number that is not finite is in no range.
            if type(number) is not kind or not low <= number <= high:  # type: ignore[operator]
                return 0
        for name, max_bytes in shape.texts:
            text = row[name]
            if type(text) is not str or not text:
                return 0
            try:
                count = len(text) if text.isascii() else len(text.encode())
            except UnicodeEncodeError:
                return 0
            if count > max_bytes:
                return 0
            size += count
        return size

    def _remember(self, names: tuple[object, ...]) -> _Shape | None:
        shape = self._shape(names)
        if len(self._shapes) < _MAX_SHAPES:
            self._shapes[names] = shape
        return shape

    def _shape(self, names: tuple[object, ...]) -> _Shape | None:
        """The shape of rows of these names; None if they may have to be converted."""
        mapping, expected = self._schema.mapping, self._expected
        if mapping is not None and (mapping.renamed or mapping.selected is not None):
            return None
        if self._schema.table.hidden or not self._schema.defaults.keys() <= set(names):
            return None
        if self._schema.table.composed or not expected.keys() >= set(names):
            return None
        if not all(_may_be_absent(column) for name, column in expected.items() if name not in names):
            return None
        numbers, texts, size = [], [], 0
        for name in map(str, names):
            column = expected[name]
            size += len(name)
            if column.type_params.sql_type:
                return None
            if column.type in TEXT_TYPES:
                texts.append((name, sys.maxsize if column.max_length is None else column.max_length))
            elif column.type in _RANGES:
                numbers.append((name, *_RANGES[column.type]))
                size += NUMBER_BYTES
            else:
                return None
        return _Shape(tuple(numbers), tuple(texts), size)


def _may_be_absent(column: Column) -> bool:
    """Whether a row without the column is stored without it: the default of a text is written out."""
    return (column.nullable or column.has_default) and not isinstance(column.default, str)
