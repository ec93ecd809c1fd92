"""What a cursor holds of its last statement: alike for one who waits and for one who awaits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.dbapi.errors import InterfaceError, misuse
from nestvec.sql.answer import Answer, Row
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.packages import need

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    import pyarrow

Described = tuple[str, str, None, None, None, None, None]


class Results:
    """PEP 249's attributes of a cursor, and its rows; ``arraysize`` is how many ``fetchmany`` gives."""

    arraysize = 1

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._at = 0
        self._closed = False

    @property
    def description(self) -> tuple[Described, ...] | None:
        """A row a column, its name and type code first; None where the statement has no rows to give."""
        answer = self._answer
        if answer is None or not answer.columns:
            return None
        return tuple(
            (name, type_, None, None, None, None, None)
            for name, type_ in zip(answer.columns, answer.types, strict=True)
        )

    @property
    def rowcount(self) -> int:
        """How many rows were found or changed; -1 where nobody knows."""
        return self._answer.count if self._answer is not None else -1

    @property
    def rownumber(self) -> int | None:
        """The place of the next row, from 0; None without rows."""
        return self._at if self.description is not None else None

    @property
    def lastrowid(self) -> None:
        """None: a row of Milvus is known by its primary key alone."""
        return None

    @property
    def statusmessage(self) -> str:
        """What was done, as PostgreSQL says it: ``DELETE 3``. An empty text before the first statement."""
        return self._answer.tag if self._answer is not None else ""

    def arrow(self) -> pyarrow.Table:
        """The rows that are left, as an Arrow table.

        A vector is a ``fixed_size_list<float32>``, an ARRAY a ``list``, JSON its text.
        """
        from nestvec.dbapi.arrow import table  # noqa: PLC0415 - pyarrow takes its time to import

        rows, answer = self._rest(), self._open()
        return table(answer.columns, answer.types, rows)

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

    def _show(self, answer: Answer | None) -> None:
        self._answer, self._at = answer, 0

    def _end(self) -> None:
        self._closed = True
        self._show(None)

    def _ready(self) -> None:
        if self._closed:
            raise misuse("the cursor is closed", "Open another: connection.cursor().")

    def _open(self) -> Answer:
        self._ready()
        answer = self._answer
        if answer is None or not answer.columns:
            raise misuse(
                "there are no rows to fetch", "Execute a statement that has some, a SELECT for instance."
            )
        return answer

    def _one(self) -> Row | None:
        rows = self._some(1)
        return rows[0] if rows else None

    def _some(self, size: int | None) -> list[Row]:
        answer = self._open()
        start = self._at
        self._at = min(start + max(self.arraysize if size is None else size, 0), len(answer.rows))
        return list(answer.rows[start : self._at])

    def _rest(self) -> list[Row]:
        return self._some(len(self._open().rows))
