"""What functions raise for arguments that have no value: the statement's mark is added above them."""

from __future__ import annotations


class EvaluationError(Exception):
    """Becomes SqlTypeMismatch, with the position of the function; never leaves ``evaluate``."""

    def __init__(self, cause: str, value: object, next_step: str) -> None:
        super().__init__(cause)
        self.cause, self.value, self.next_step = cause, value, next_step
