"""What the embedder tells of its work, for metrics and traces to listen to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class BatchRun:
    """One engine batch: ``tokens`` without padding, ``padded`` with it; waited and ran in seconds.

    ``exit`` is the layer it stopped after, 0 for the deepest.
    """

    encoder: str
    texts: int
    tokens: int
    padded: int
    waited: float
    ran: float
    failed: bool = False
    exit: int = 0


class Observer(Protocol):
    """Listens to an embedder. Called on its event loop: must be quick and must not raise."""

    def batch_ran(self, run: BatchRun) -> None:
        """A batch has passed the engine, or failed there."""

    def texts_asked(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        """A request's texts: new to the engine, in flight for another request, or remembered."""

    def queue_changed(self, encoder: str, texts: int) -> None:
        """So many texts of an encoder wait for the engine."""

    def truncated(self, encoder: str, texts: int) -> None:
        """So many texts of a request were cut."""


class NullObserver:
    """An observer that listens to nothing."""

    def batch_ran(self, run: BatchRun) -> None: ...

    def texts_asked(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None: ...

    def queue_changed(self, encoder: str, texts: int) -> None: ...

    def truncated(self, encoder: str, texts: int) -> None: ...
