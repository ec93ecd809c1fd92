"""The base of every error that nestvec raises on purpose; the tree of them is in ``errors``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self

from nestvec_schemas.message_text import printable, shown

ABSENT: Final = object()
"""The value of an error that has none."""


class NestvecError(Exception):
    """The base class: states the cause, the value and the next step."""

    exit_code = 1

    cause: str
    """One clause that says what is wrong."""

    value: object
    """The value that is wrong; None if the error has none."""

    next_step: str
    """What to do about it, as sentences."""

    has_written: bool = False
    """Whether a statement had changed rows before, which stay changed: Milvus has no transactions."""

    has_replaceable_rows: bool = False
    """Whether rows were written that a repetition of the statement only replaces, because they have keys."""

    def __init__(self, cause: str, *, next_step: str, value: object = ABSENT) -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step
        self.value = None if value is ABSENT else value
        self._has_value = value is not ABSENT

    def __str__(self) -> str:
        value = f": {shown(self.value)}" if self._has_value else ""
        return f"{printable(self.cause)}{value}. {printable(self.next_step)}"

    def __reduce__(self) -> tuple[Callable[..., NestvecError], tuple[Any, ...]]:
        """Pickles with every attribute: a call of ``__init__`` with ``args`` alone would lack some."""
        state = dict(self.__dict__)
        if not isinstance(self.value, _PICKLED):
            state["value"] = str(self.value)
        return _restored, (type(self), self.args, state)

    def reworded(self, *, cause: str | None = None, next_step: str | None = None) -> Self:
        """The same error with another cause or next step; everything else about it stays."""
        error = type(self).__new__(type(self))
        error.__dict__.update(self.__dict__)
        error.cause = self.cause if cause is None else cause
        error.next_step = self.next_step if next_step is None else next_step
        error.args = (error.cause,)
        return error

    def after_writing(self, rows: int, verb: str = "written") -> Self:
        """The same error of a statement that has changed this many rows, which it says."""
        rows_stay = f"1 row was {verb}, and stays" if rows == 1 else f"{rows:,} rows were {verb}, and stay"
        error = self.reworded(next_step=f"{rows_stay}{'' if verb == 'written' else ' so'}. {self.next_step}")
        error.has_written = True
        return error


_PICKLED: Final = (str, int, float, bool, bytes, list, tuple, dict, type(None))
"""Types of values that stay what they are; another one becomes its text."""


def _restored(kind: type[NestvecError], args: tuple[Any, ...], state: dict[str, Any]) -> NestvecError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
