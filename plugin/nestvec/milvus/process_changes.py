"""How long a collection is taken for what it was read as, and which changes of this process end that."""

from __future__ import annotations

from threading import Lock
from typing import Final

TABLE_SECONDS: Final = 10.0
"""How long a collection is taken for what it was: then it is read again, since others may change it."""


class SchemaChanges:
    """Counts the statements of this process that create, alter or drop something, whatever the database."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = Lock()

    def add(self) -> int:
        """Count one more; the number of all before it."""
        with self._lock:
            before, self.count = self.count, self.count + 1
        return before


PROCESS_CHANGES: Final = SchemaChanges()
"""Of all the sessions of this process."""
