"""Deliver a batch whatever happens meanwhile: retried, split, and without the rows that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Final

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.faults import Fault, classify
from nestvec.ingest.write.patience import Patience
from nestvec_schemas.errors import NestvecError, RowRejected

UNCLEAR_ATTEMPTS: Final = 3
"""Attempts at a request whose error does not say what it is about, before its rows are tried apart."""

MAX_FIRST_REFUSALS: Final = 3
"""Rows that may be refused one by one before any row is accepted: more, and it is not about the rows."""

MAX_REFUSALS: Final = 256
"""Rows in sequence that may be refused one by one, once some were accepted."""

Operation = Callable[[RowBatch], RowBatch]
"""Carries a batch out, and returns it as the next step takes it. Raises NestvecError."""


class Delivery:
    """Carries out one operation on batches until each of their rows is done or rejected.

    Threads may share it. ``repeatable``: carrying out a batch twice does no harm. ``accepted``: rows of the
    same source were accepted before.
    """

    def __init__(
        self,
        operation: Operation,
        size: BatchSize,
        patience: Patience,
        *,
        repeatable: bool = True,
        accepted: bool = False,
    ) -> None:
        self._operation, self._size, self._patience = operation, size, patience
        self._repeatable = repeatable
        self._lock = Lock()
        self._accepted = accepted
        self._refusals = 0

    def deliver(self, batch: RowBatch) -> Iterator[RowBatch]:
        """The parts of ``batch``, in order, each after it was carried out.

        Raises the error of a lasting fault, ServiceUnreachable or StoreUnreachable after too long a time,
        StopRequested. The parts that were not returned are not done then, apart from one that may have been.
        """
        course = _Course(batch)
        while course.pending:
            self._patience.check()
            part = course.next_part(self._size.rows)
            if not self._repeatable:
                # One request says what becomes of the refused rows before it, too.
                part, course.deferred = course.with_deferred(part), []
            try:
                done = self._operation(part)
            except NestvecError as error:
                self._failed(course, part, error)
            else:
                self._succeeded(bool(part.rows))
                yield from self._resolve(course)
                course.succeeded(part)
                yield done
        if course.deferred:
            self._check_refusals(course)
            yield from self._resolve(course)

    def abort(self) -> None:
        """End every wait of every thread."""
        self._patience.aborted = True

    def _failed(self, course: _Course, part: RowBatch, error: NestvecError) -> None:
        """Decide what follows a failure. Raises ``error`` if no request will succeed."""
        fault = classify(error)
        if fault.kind == "lasting":
            raise error
        if fault.kind == "transient" or not course.is_refusal(fault):
            if fault.fewer_rows:
                self._size.failed(len(part.rows))
            course.pending.append(part)
            self._patience.wait(fault, error)
        elif len(part.rows) > 1:
            first, second = part.split(len(part.rows) // 2)
            course.pending += [second, first]
        else:
            if fault.kind == "unclear" and not self._repeatable:
                raise error
            self._count_refusal(error)
            course.defer(part if fault.kind == "unclear" else _rejected(part, error), error)

    def _succeeded(self, wrote: bool) -> None:
        if not wrote:
            return
        self._patience.succeeded()
        self._size.succeeded()
        with self._lock:
            self._accepted, self._refusals = True, 0

    def _count_refusal(self, error: NestvecError) -> None:
        """Note a row that was refused by itself. Raises its error if that is not about the row."""
        with self._lock:
            self._refusals += 1
            if self._refusals > (MAX_REFUSALS if self._accepted else MAX_FIRST_REFUSALS):
                raise error

    def _check_refusals(self, course: _Course) -> None:
        """Raise the error of the last rows if nothing says that it is about them."""
        if course.error is None:
            return
        if not course.has_suspects:
            with self._lock:
                if self._accepted:
                    return
            raise course.error
        # The disk may be full, or the server may have lost its engine: are other rows still accepted?
        if course.accepted is None:
            raise course.error
        try:
            self._operation(course.accepted)
        except NestvecError:
            raise course.error from None

    def _resolve(self, course: _Course) -> Iterator[RowBatch]:
        """The rows that were held, now that others were accepted after them."""
        deferred, course.deferred = course.deferred, []
        for part in deferred:
            yield self._try_again(part) if part.rows else part

    def _try_again(self, part: RowBatch) -> RowBatch:
        """One row, carried out after all, or rejected if it fails as often as a request may."""
        attempts = 0
        while True:
            self._patience.check()
            try:
                return self._operation(part)
            except NestvecError as error:
                fault = classify(error)
                if fault.kind == "lasting":
                    raise
                attempts += fault.kind != "transient"
                if fault.kind == "rows" or attempts >= UNCLEAR_ATTEMPTS:
                    return _rejected(part, error)
                self._patience.wait(fault, error)


class _Course:
    """What remains of a batch, and what was refused since the last success."""

    def __init__(self, batch: RowBatch) -> None:
        self.pending = [batch]
        self.deferred: list[RowBatch] = []
        """The rows just before what is pending: rejected, or suspected because their error did not say what
        it is about. They wait until a row is accepted after them."""

        self.error: NestvecError | None = None
        """Of the last of them."""

        self.accepted: RowBatch | None = None
        """The last part that was accepted."""

        self._attempts, self._enough = 0, UNCLEAR_ATTEMPTS

    @property
    def has_suspects(self) -> bool:
        """Whether a row is held that is not rejected yet."""
        return any(part.rows for part in self.deferred)

    def next_part(self, max_rows: int) -> RowBatch:
        """The next rows, at most ``max_rows`` of them."""
        part = self.pending.pop()
        if len(part.rows) > max_rows:
            part, rest = part.split(max_rows)
            self.pending.append(rest)
        return part

    def with_deferred(self, part: RowBatch) -> RowBatch:
        """A part with what is held before it."""
        for before in reversed(self.deferred):
            part = before.followed_by(part)
        return part

    def is_refusal(self, fault: Fault) -> bool:
        """Whether a failure is about the rows: an error that does not say so was seen often enough."""
        self._attempts += 1
        if fault.kind == "unclear" and self._attempts < self._enough:
            return False
        # The parts of the batch are not tried as often each.
        self._attempts, self._enough = 0, 1
        return True

    def defer(self, part: RowBatch, error: NestvecError) -> None:
        """Keep a row that was refused until another is accepted."""
        self.deferred.append(part)
        self.error = error

    def succeeded(self, part: RowBatch) -> None:
        """Note that a part was carried out."""
        self._attempts = 0
        if part.rows:
            self.accepted, self.error = part, None


def _rejected(part: RowBatch, error: NestvecError) -> RowBatch:
    """A part with its one row rejected."""
    value = {} if error.value is None else {"value": error.value}
    return part.without({0: RowRejected(error.cause, next_step=error.next_step, **value)})
