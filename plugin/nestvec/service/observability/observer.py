"""What the embedder reports of its work, and what is known of the request that it works for."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class BatchRun:
    """One batch of an engine."""

    encoder: str
    texts: int
    tokens: int
    """Tokens without padding."""
    padded: int
    """Tokens with padding."""
    queue_seconds: float
    """How long its oldest input waited."""
    inference_seconds: float
    failed: bool = False
    exit: int = 0
    """The layer that it stopped after, 0 for the deepest."""


class Observer(Protocol):
    """Observes an embedder. Called on its event loop: must be quick and must not raise."""

    def batch_finished(self, run: BatchRun) -> None:
        """A batch left the engine, or failed in it."""

    def texts_requested(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        """The texts of a request: new to the engine, in flight for another request, or cached."""

    def queue_changed(self, encoder: str, texts: int) -> None:
        """``texts`` texts of an encoder now wait for the engine. Called on the engine's threads too."""

    def texts_truncated(self, encoder: str, texts: int) -> None:
        """``texts`` texts of a request were truncated."""


class NullObserver:
    """An observer that ignores everything."""

    def batch_finished(self, run: BatchRun) -> None: ...

    def texts_requested(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None: ...

    def queue_changed(self, encoder: str, texts: int) -> None: ...

    def texts_truncated(self, encoder: str, texts: int) -> None: ...


@dataclass
class RequestRecord:
    """What is known of one HTTP request."""

    method: str
    path: str
    """Safe to print."""
    route: str = ""
    """The path as the service declares it, with its parameters' names; empty before it is known."""
    encoder: str = ""
    texts: int = 0
    trace_id: str = ""
    status: int = 0
    """0 until it is answered."""
    seconds: float = 0.0


_current_request: ContextVar[RequestRecord | None] = ContextVar("nestvec_request", default=None)


def current_request() -> RequestRecord | None:
    """The record of the request that the caller works for, None outside of requests."""
    return _current_request.get()


def set_current_request(record: RequestRecord) -> None:
    """Make ``record`` that of the current task's request."""
    _current_request.set(record)


class CompositeObserver:
    """Passes everything on to several observers, and records on the current request what it asks for."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = [observer for observer in observers if type(observer) is not NullObserver]

    def batch_finished(self, run: BatchRun) -> None:
        for observer in self._observers:
            observer.batch_finished(run)

    def texts_requested(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        record = current_request()
        if record is not None:
            record.encoder = encoder
            record.texts += fresh + shared + remembered
        for observer in self._observers:
            observer.texts_requested(encoder, fresh=fresh, shared=shared, remembered=remembered)

    def queue_changed(self, encoder: str, texts: int) -> None:
        for observer in self._observers:
            observer.queue_changed(encoder, texts)

    def texts_truncated(self, encoder: str, texts: int) -> None:
        for observer in self._observers:
            observer.texts_truncated(encoder, texts)
