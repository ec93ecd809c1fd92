"""The error of a function that has no result for its arguments; ``located`` adds its position."""

from __future__ import annotations


class EvaluationError(Exception):
    """Becomes SqlTypeMismatch, with the position of the function; never leaves ``evaluate``."""

    def __init__(self, cause: str, value: object, next_step: str) -> None:
        super().__init__(cause)
        self.cause, self.value, self.next_step = cause, value, next_step
