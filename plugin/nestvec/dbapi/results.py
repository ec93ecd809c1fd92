"""What a cursor holds of its last statement: alike for one who waits and for one who awaits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.dbapi.errors import InterfaceError, interface_error
from nestvec.sql.answer import Row, StatementResult
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.extras import need

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    import pyarrow

ColumnDescription = tuple[str, str, None, None, None, None, None]


class CursorBase:
    """PEP 249's attributes of a cursor, and its rows; ``arraysize`` is how many ``fetchmany`` gives."""

    arraysize = 1

    def __init__(self) -> None:
        self._result: StatementResult | None = None
        self._position = 0
        self._closed = False

    @property
    def description(self) -> tuple[ColumnDescription, ...] | None:
        """A row a column, its name and type code first; None where the statement has no rows to give."""
        answer = self._result
        if answer is None or not answer.columns:
            return None
        return tuple(
            (name, type_, None, None, None, None, None)
            for name, type_ in zip(answer.columns, answer.types, strict=True)
        )

    @property
    def rowcount(self) -> int:
        """How many rows were found or changed; -1 where nobody knows."""
        return self._result.count if self._result is not None else -1

    @property
    def rownumber(self) -> int | None:
        """The place of the next row, from 0; None without rows."""
        return self._position if self.description is not None else None

    @property
    def lastrowid(self) -> None:
        """None: a row of Milvus is known by its primary key alone."""
        return None

    @property
    def statusmessage(self) -> str:
        """What was done, as PostgreSQL says it: ``DELETE 3``. An empty text before the first statement."""
        return self._result.tag if self._result is not None else ""

    def arrow(self) -> pyarrow.Table:
        """The rows that are left, as an Arrow table.

        A vector is a ``fixed_size_list<float32>``, an ARRAY a ``list``, JSON its text.
        """

        from nestvec.dbapi.arrow import arrow_table  # noqa: PLC0415

        rows, answer = self._fetch_rest(), self._result_with_rows()
        return arrow_table(answer.columns, answer.types, rows)

    def df(self) -> pandas.DataFrame:
        """The rows that are left, as a pandas frame. Raises InterfaceError where pandas is not installed."""
        try:
            need("a pandas frame", ["pandas"], "pandas")
        except NestvecError as error:
            raise InterfaceError(error) from error
        return self.arrow().to_pandas()

    def setinputsizes(self, sizes: object) -> None:
        """Nothing: values are as large as they are."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing: values are given whole."""

    def _set_result(self, answer: StatementResult | None) -> None:
        self._result, self._position = answer, 0

    def _close(self) -> None:
        self._closed = True
        self._set_result(None)

    def _check_open(self) -> None:
        if self._closed:
            raise interface_error("the cursor is closed", "Open another: connection.cursor().")

    def _result_with_rows(self) -> StatementResult:
        self._check_open()
        answer = self._result
        if answer is None or not answer.columns:
            raise interface_error(
                "there are no rows to fetch", "Execute a statement that has some, a SELECT for instance."
            )
        return answer

    def _fetch_row(self) -> Row | None:
        rows = self._fetch_rows(1)
        return rows[0] if rows else None

    def _fetch_rows(self, size: int | None) -> list[Row]:
        answer = self._result_with_rows()
        start = self._position
        self._position = min(start + max(self.arraysize if size is None else size, 0), len(answer.rows))
        return list(answer.rows[start : self._position])

    def _fetch_rest(self) -> list[Row]:
        return self._fetch_rows(len(self._result_with_rows().rows))
