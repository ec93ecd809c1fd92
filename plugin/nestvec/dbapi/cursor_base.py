"""The result that a cursor holds, for both sync and async cursors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from nestvec.dbapi.errors import InterfaceError, interface_error
from nestvec.sql.result import Row, StatementResult
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.extras import require_packages

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    import pyarrow

ColumnDescription = tuple[str, str, None, None, None, None, None]


class CursorBase:
    """PEP 249's attributes of a cursor, and its rows."""

    arraysize = 1
    """Rows that ``fetchmany`` returns by default."""

    def __init__(self) -> None:
        self._result: StatementResult | None = None
        self._position = 0
        self._closed = False

    @property
    def description(self) -> tuple[ColumnDescription, ...] | None:
        """One tuple per column, its name and type code first; None for a statement that returns no rows."""
        result = self._result
        if result is None or not result.columns:
            return None
        return tuple(
            (name, type_, None, None, None, None, None)
            for name, type_ in zip(result.columns, result.types, strict=True)
        )

    @property
    def rowcount(self) -> int:
        """Rows returned or changed; -1 if unknown."""
        return self._result.count if self._result is not None else -1

    @property
    def rownumber(self) -> int | None:
        """The index of the next row, from 0; None without rows."""
        return self._position if self.description is not None else None

    @property
    def lastrowid(self) -> None:
        """None: Milvus identifies rows by their primary key only."""
        return None

    @property
    def statusmessage(self) -> str:
        """PostgreSQL's command tag, ``DELETE 3``; empty before the first statement."""
        return self._result.tag if self._result is not None else ""

    def arrow(self) -> pyarrow.Table:
        """The remaining rows as an Arrow table.

        A vector is a ``fixed_size_list<float32>``, an ARRAY a ``list``, JSON its text.
        """

        from nestvec.sql.arrow_result import arrow_table  # noqa: PLC0415

        rows, result = self._fetch_rest(), self._result_with_rows()
        return arrow_table(result.columns, result.types, rows)

    def df(self) -> pandas.DataFrame:
        """The remaining rows as a pandas DataFrame. Raises InterfaceError if pandas is not installed."""
        try:
            require_packages("a pandas DataFrame", ["pandas"], "pandas")
        except NestvecError as error:
            raise InterfaceError(error) from error
        return self.arrow().to_pandas()

    def setinputsizes(self, sizes: object) -> None:
        """Does nothing: sizes are not limited."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing: values are never truncated."""

    def _set_result(self, result: StatementResult | None) -> None:
        self._result, self._position = result, 0
        if result is not None and result.rejected:
            # Without it, rows would be missing of which only statusmessage tells.
            warnings.warn(result.tag, UserWarning, stacklevel=4)

    def _close(self) -> None:
        self._closed = True
        self._set_result(None)

    def _check_open(self) -> None:
        if self._closed:
            raise interface_error("the cursor is closed", "Open another: connection.cursor().")

    def _result_with_rows(self) -> StatementResult:
        self._check_open()
        result = self._result
        if result is None or not result.columns:
            raise interface_error(
                "there are no rows to fetch", "Execute a statement that returns rows, such as SELECT."
            )
        return result

    def _fetch_row(self) -> Row | None:
        rows = self._fetch_rows(1)
        return rows[0] if rows else None

    def _fetch_rows(self, size: int | None) -> list[Row]:
        result = self._result_with_rows()
        start = self._position
        self._position = min(start + max(self.arraysize if size is None else size, 0), len(result.rows))
        return list(result.rows[start : self._position])

    def _fetch_rest(self) -> list[Row]:
        rows = self._result_with_rows().rows
        start, self._position = self._position, len(rows)
        return list(rows[start:])
