"""What an error means, in the words of Milvus, of Milvus Lite and of the service."""

from __future__ import annotations

import grpc
import pytest
from pymilvus import MilvusException
from pymilvus.exceptions import DataNotMatchException

from nestvec.ingest.write.faults import Fault, classify
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import (
    NestvecError,
    ServiceBusy,
    ServiceRefused,
    ServiceUnreachable,
    StoreRefused,
)

LITE = 'OpenAI API error {}: {{"error":{{"message":"x"}}}}'
GO = 'Call service failed, errs:[{}, {{"error":"x","error_type":"Backend"}}]'
REFUSED = (
    'Call service failed, errs:[Post "http://h:1/embed": dial tcp 1.1.1.1:1: connect: connection refused]'
)


def raised(error: Exception) -> NestvecError:
    """The error that a call of Milvus ends with."""
    with pytest.raises(NestvecError) as caught, milvus_errors("writing"):
        raise error
    return caught.value


def milvus(message: str, code: int = 1, compatible_code: int = 1, **said: bool) -> Fault:
    return classify(raised(MilvusException(code, message, compatible_code, **said)))


@pytest.mark.parametrize("text", [LITE, GO])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("429 Too Many Requests", "transient"),
        ("502 Bad Gateway", "transient"),
        ("503 Service Unavailable", "transient"),
        ("504 Gateway Timeout", "transient"),
        ("400 Bad Request", "rows"),
        ("413 Request Entity Too Large", "rows"),
        ("422 Unprocessable Entity", "rows"),
        ("424 Failed Dependency", "unclear"),
        ("500 Internal Server Error", "unclear"),
        ("401 Unauthorized", "lasting"),
        ("404 Not Found", "lasting"),
    ],
)
def test_the_services_status_inside_an_error_of_milvus(text: str, status: str, kind: str) -> None:
    fault = milvus(text.format(status if text is GO else status[:3]))
    assert (fault.kind, fault.party) == (kind, "service")
    assert fault.fewer_rows == (kind == "transient" or status.startswith("413"))


@pytest.mark.parametrize(
    ("message", "fewer"),
    [
        (REFUSED, False),
        ("OpenAI API connection error: [Errno 111] Connection refused", False),
        ("OpenAI API connection error: [Errno 104] Connection reset by peer", True),
        ("Remote end closed connection without response", True),
        ("[Errno 104] Connection reset by peer", True),
        ("IncompleteRead(7 bytes read, 9 more expected)", True),
        ("timed out", True),
        ("The read operation timed out", True),
        ("context deadline exceeded", True),
        ("Call service failed, read response failed, errs:[unexpected EOF]", True),
    ],
)
def test_a_service_that_milvus_does_not_reach(message: str, fewer: bool) -> None:
    fault = milvus(message, code=65535)
    assert (fault.kind, fault.party, fault.fewer_rows) == ("transient", "service", fewer)


@pytest.mark.parametrize(
    ("message", "before_write"),
    [
        (REFUSED, True),
        (GO.format("504 Gateway Timeout"), True),
        ('Call service failed, errs:[Post "http://h:1/embed": context deadline exceeded]', True),
        ("[Errno 104] Connection reset by peer", True),
        ("context deadline exceeded", False),
        ("read tcp 10.0.0.1:53100: read: connection reset by peer", False),
        ("rpc error: code = Unavailable desc = error reading from server: EOF", False),
        ("Retry run out of 0 retry times, StatusCode.UNAVAILABLE", False),
    ],
)
def test_only_an_error_that_names_the_service_says_that_nothing_is_stored(
    message: str, before_write: bool
) -> None:
    assert milvus(message, code=65535).before_write == before_write


@pytest.mark.parametrize(
    ("message", "code", "compatible"),
    [
        ("Fail connecting to server on h:1, illegal connection params or server unavailable", 2, 1),
        ("[upsert_rows] Retry run out of 0 retry times, StatusCode.UNAVAILABLE, Socket closed", 1, 1),
        ("request is rejected by grpc RateLimiter middleware, please retry later", 8, 49),
        ("quota exceeded[reason=memory quota exceeded]", 9, 53),
        ("service unavailable: internal: Milvus Proxy is not ready yet", 2, 1),
        ("collection on recovering", 106, 1),
    ],
)
def test_a_milvus_that_is_gone_or_full(message: str, code: int, compatible: int) -> None:
    fault = milvus(message, code, compatible)
    assert (fault.kind, fault.party) == ("transient", "Milvus")


@pytest.mark.skipif(not hasattr(MilvusException, "retriable"), reason="pymilvus 2.6 does not pass it on")
def test_what_the_server_calls_retriable() -> None:
    assert milvus("channel not available", 502, 5, retriable=True).kind == "transient"
    assert milvus("no such value", 65535, 1, is_input_error=True).kind == "rows"


def test_a_code_without_further_meaning() -> None:
    assert milvus("something else", 65535, 1).kind == "unclear"


@pytest.mark.parametrize(
    ("message", "code", "compatible"),
    [
        ("VARCHAR field 't' value length 50 exceeds max_length=10", 6, 6),
        ("length of varchar field t exceeds max length, row number: 3", 1100, 5),
    ],
)
def test_values_that_a_column_does_not_take(message: str, code: int, compatible: int) -> None:
    assert milvus(message, code, compatible).kind == "rows"
    assert (
        classify(raised(DataNotMatchException(message="The Input data type is inconsistent"))).kind == "rows"
    )


@pytest.mark.parametrize(
    ("message", "code", "compatible"),
    [
        ("collection not found[database=default][collection=c]", 100, 4),
        ("Collection 'c' does not exist", 4, 4),
        ("PrivilegeUpsert: permission deny to u in the `default` database", 65535, 42),
    ],
)
def test_what_no_attempt_changes(message: str, code: int, compatible: int) -> None:
    fault = milvus(message, code, compatible)
    assert (fault.kind, fault.party) == ("lasting", "Milvus")


def test_the_services_own_errors() -> None:
    busy = ServiceBusy("busy", value="504", next_step="Wait.")
    busy.retry_after = 7
    assert classify(busy) == Fault("transient", "service", "busy: 504", fewer_rows=True, retry_after=7)
    gone = ServiceUnreachable("no service answers", value="Connection refused", next_step="Start it.")
    assert (classify(gone).kind, classify(gone).fewer_rows) == ("transient", False)
    refused = ServiceRefused("refused", next_step="Correct it.")
    assert classify(refused).kind == "lasting"
    refused.status = 422
    assert classify(refused).kind == "rows"
    assert classify(StoreRefused("refused", next_step="Correct it.")).kind == "lasting"


def test_a_connection_that_is_lost() -> None:
    class Lost(grpc.RpcError):  # type: ignore[misc]
        pass

    assert classify(raised(Lost("reset"))) == Fault(
        "transient", "Milvus", "the connection to Milvus was lost while writing: reset"
    )
