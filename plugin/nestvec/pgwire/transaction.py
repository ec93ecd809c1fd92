"""Transaction blocks, as far as Milvus can have them: statements take effect at once, and stay."""

from __future__ import annotations

from typing import Literal

from nestvec.pgwire.errors import PgError

TransactionStatus = Literal["I", "T", "E"]


class TransactionBlock:
    """Whether a connection is in a block (``T``), in a failed one (``E``), or in none (``I``)."""

    def __init__(self) -> None:
        self.status: TransactionStatus = "I"
        self.writes = 0
        """Statements of the block that wrote, and cannot be undone."""
        self.savepoints: list[str] = []
        """The names of the block's savepoints."""
        self._failure = ""
        """What the first error of the block said."""

    def begin(self) -> PgError | None:
        """Start a block; a warning if there is one."""
        if self.status == "I":
            self.status, self.writes, self._failure = "T", 0, ""
            self.savepoints.clear()
            return None
        return _warning("25001", "there is already a transaction in progress")

    def fail(self, error: PgError) -> None:
        """An error in a block refuses what follows in it."""
        if self.status == "T":
            self.status, self._failure = "E", error.message

    def check(self) -> None:
        """Refuse a statement of a failed block. Raises PgError."""
        if self.status == "E":
            raise PgError(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
                hint="Send ROLLBACK.",
            )

    def savepoint(self, word: str, name: str) -> None:
        """SAVEPOINT, RELEASE or ROLLBACK TO of a name. Raises PgError for a name without a savepoint."""
        if word == "SAVEPOINT":
            self.savepoints.append(name)
            return
        if name not in self.savepoints:
            raise PgError("3B001", f'savepoint "{name[:60]}" does not exist')
        last = len(self.savepoints) - 1 - self.savepoints[::-1].index(name)
        del self.savepoints[last + (word == "ROLLBACK") :]

    def commit(self, policy: str) -> tuple[str, PgError | None]:
        """End the block: the tag and a warning if there was none. Raises PgError as ``rollback`` does."""
        status = self.status
        if status == "E":
            return self.rollback(policy)
        self.status = "I"
        return "COMMIT", _warning("25P01", "there is no transaction in progress") if status == "I" else None

    def rollback(self, policy: str) -> tuple[str, PgError | None]:
        """End the block: the tag and a warning. Milvus cannot undo statements that wrote, which is a PgError
        by the policy ``error`` of ``nestvec.rollback``, a warning by ``warn``, and nothing by ``ignore``.

        Drivers show only the last error: that of a ROLLBACK after a failure tells the failure, too."""
        status, writes, failure = self.status, self.writes, self._failure
        self.status, self.writes, self._failure = "I", 0, ""
        if status == "I":
            return "ROLLBACK", _warning("25P01", "there is no transaction in progress")
        if writes and policy != "ignore":
            count = "1 statement" if writes == 1 else f"{writes} statements"
            error = PgError(
                "0A000",
                f"ROLLBACK cannot undo {count} of this transaction, which wrote to Milvus",
                hint="Milvus has no transactions: undo the changes with further statements. "
                "The transaction has ended.",
                detail=f"The transaction failed before: {failure}" if failure else "",
                severity="WARNING" if policy == "warn" else "ERROR",
            )
            if policy == "error":
                raise error
            return "ROLLBACK", error
        return "ROLLBACK", None


def _warning(sqlstate: str, message: str) -> PgError:
    return PgError(sqlstate, message, severity="WARNING")
