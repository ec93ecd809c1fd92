"""What a failed write means: wait and try again, look for the row that it is about, or stop.

The service's errors reach nestvec itself, or inside the text of an error of Milvus. The texts are those of
Milvus Lite 3.2 (``milvus_lite/embedding/openai_provider.py``) and of Milvus 2.6 and 3.0
(``internal/util/function/models/common.go``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import grpc
from pymilvus import MilvusException
from pymilvus.exceptions import (
    DataNotMatchException,
    DataTypeNotMatchException,
    ParamError,
)

from nestvec.milvus.pymilvus_features import is_input_error, is_retriable
from nestvec_schemas.errors import (
    NestvecError,
    ServiceBusy,
    ServiceRefused,
    ServiceUnreachable,
    StoreRefused,
    StoreUnreachable,
)

FaultKind = Literal["transient", "rows", "unclear", "lasting"]
"""``transient``: the same request may succeed later. ``rows``: some of its rows are refused. ``unclear``: it
is tried again, then treated as ``rows``. ``lasting``: no request will succeed."""

Party = Literal["service", "Milvus"]


@dataclass(frozen=True)
class Fault:
    """What a failed request means."""

    kind: FaultKind

    party: Party
    """Who failed."""

    reason: str
    """What it said."""

    fewer_rows: bool = False
    """Whether a smaller request is more likely to succeed."""

    retry_after: float | None = None
    """Seconds after which to try again, if the service said so."""

    unnamed: bool = False
    """Whether Milvus did not say that it is the service: its own parts fail with the same words."""

    absent: bool = False
    """Whether the service is not there at all: nothing was sent, and ``reason`` is all that is to be said."""

    @property
    def before_write(self) -> bool:
        """Whether Milvus certainly stored nothing: it embeds before it writes."""
        return self.party == "service" and not self.unnamed


_SERVICE_STATUS: Final = re.compile(
    r"(?:OpenAI API error (?P<lite>\d{3})\b|errs:\[(?P<milvus>\d{3}) )", re.IGNORECASE
)
"""The status with which the service answered Milvus."""

_SERVICE_LOST: Final = re.compile(
    r"OpenAI API connection error|Remote end closed connection|IncompleteRead\(|read operation timed out"
    r"|^timed out$|\[Errno \d+\] Connection reset|call service failed|embedding failed",
    re.IGNORECASE,
)
"""The service did not answer Milvus, or not in time."""

_SOMEBODY_LOST: Final = re.compile(
    r"context deadline exceeded|connection reset by peer|connection refused|\bEOF\b", re.IGNORECASE
)
"""The same, as a rule; but the parts of a Milvus server write this of one another too."""

_NOT_SENT: Final = re.compile(r"refused|no route|name or service|lookup", re.IGNORECASE)
"""The service does not run: a smaller request is no better."""

_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 502, 503, 504})
_ROW_STATUSES: Final = frozenset({400, 413, 422})
_UNCLEAR_STATUSES: Final = frozenset({424, 500})

_MILVUS_TRANSIENT: Final = frozenset({2, 3, 4, 6, 8, 9, 11, 12, 103, 106, 202})
"""Codes of a Milvus server that starts, stops, recovers, or is overloaded or over its limits
(``pkg/util/merr``)."""

_MILVUS_ROW_CODES: Final = frozenset({6, 1100, 1801, 1804})
"""Codes for values that a column does not take; 6 is Milvus Lite's IllegalArgument."""

_MILVUS_LASTING: Final = frozenset({4, 100, 101, 200, 700, 800, 1400, 1401})
"""Codes for a collection, partition or database that is not there, and for missing rights."""

_LASTING_TEXT: Final = re.compile(
    r"not found|permission deny|permission denied|auth check|unauthenticated", re.IGNORECASE
)
_UNAVAILABLE_TEXT: Final = re.compile(
    r"fail connecting to server|StatusCode\.(?:UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED|UNKNOWN|INTERNAL)"
    r"|closed channel|service unavailable|not ready|rate limit|quota",
    re.IGNORECASE,
)
_ROW_ERRORS: Final = (DataNotMatchException, DataTypeNotMatchException, ParamError)


def classify(error: NestvecError) -> Fault:
    """What an error of a write or of an embedding request means."""
    if isinstance(error, ServiceBusy):
        return Fault("transient", "service", _text(error), fewer_rows=True, retry_after=error.retry_after)
    if isinstance(error, ServiceUnreachable) and isinstance(error.__cause__, ServiceRefused):
        # It cannot be started in this process, whose encoder is another one.
        return Fault("lasting", "service", _text(error))
    if isinstance(error, ServiceUnreachable):
        return Fault("transient", "service", _text(error), fewer_rows=not _NOT_SENT.search(_text(error)))
    if isinstance(error, ServiceRefused):
        return _service_fault(error.status or 0, _text(error))
    cause = error.__cause__
    if isinstance(cause, MilvusException) and isinstance(error, StoreRefused | StoreUnreachable):
        return _milvus_fault(cause)
    if isinstance(error, StoreUnreachable) or isinstance(cause, grpc.RpcError):
        return Fault("transient", "Milvus", _text(error))
    return Fault("lasting", "Milvus", _text(error))


def _milvus_fault(error: MilvusException) -> Fault:
    message = str(error.message)
    status = _SERVICE_STATUS.search(message)
    if status:
        return _service_fault(int(status["lite"] or status["milvus"]), message)
    if isinstance(error, _ROW_ERRORS):
        return Fault("rows", "Milvus", message)
    if _UNAVAILABLE_TEXT.search(message) or isinstance(error.code, grpc.StatusCode):
        return Fault("transient", "Milvus", message)
    named = _SERVICE_LOST.search(message)
    if named or _SOMEBODY_LOST.search(message):
        fewer_rows = not _NOT_SENT.search(message)
        return Fault("transient", "service", message, fewer_rows=fewer_rows, unnamed=not named)
    return Fault(_kind_of_code(error, message), "Milvus", message)


def _kind_of_code(error: MilvusException, message: str) -> FaultKind:
    # Milvus Lite sends codes of both of Milvus's lists: 4 and 6 are its own only beside these texts.
    lite = error.code == error.compatible_code
    if _LASTING_TEXT.search(message) or (error.code in _MILVUS_LASTING and (lite or error.code >= 100)):
        return "lasting"
    if is_retriable(error) or (error.code in _MILVUS_TRANSIENT and not lite):
        return "transient"
    if is_input_error(error) or error.code in _MILVUS_ROW_CODES:
        return "rows"
    return "unclear"


def _service_fault(status: int, text: str) -> Fault:
    if status in _TRANSIENT_STATUSES:
        return Fault("transient", "service", text, fewer_rows=True)
    if status in _ROW_STATUSES:
        return Fault("rows", "service", text, fewer_rows=status == 413)
    if status in _UNCLEAR_STATUSES:
        return Fault("unclear", "service", text)
    return Fault("lasting", "service", text)


def _text(error: NestvecError) -> str:
    return error.cause if error.value is None else f"{error.cause}: {error.value}"
