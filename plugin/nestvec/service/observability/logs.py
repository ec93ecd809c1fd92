"""The service's log: text for people, or JSON lines for programs. It never contains texts, keys or bodies."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final, Literal

from asgi_correlation_id import correlation_id
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from nestvec.service.observability.observer import RequestRecord, current_request
from nestvec.service.observability.repeats import RepeatFilter
from nestvec.service.observability.stderr import capture_stderr, log_uncaught_exceptions
from nestvec_schemas.errors import NestvecError

LogFormat = Literal["text", "json"]

_access = logging.getLogger("nestvec.access")

_FIELD_NAMES: Final = {
    "asctime": "time",
    "levelname": "level",
    "name": "logger",
    "message": "message",
    "exc_info": "exception",
}
"""The record's attributes by their names in JSON."""

_ACCESS_FIELDS: Final = "access"
"""The record's attribute that holds the further fields of an access line."""


_UVICORN_COLORS: Final = "color_message"
"""The record's attribute in which uvicorn repeats a message with terminal colours."""


class JsonFormatter(OrjsonFormatter):
    """A record as one JSON object: time, level, logger, message, and the request it belongs to."""

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields=_FIELD_NAMES,
            reserved_attrs=[*RESERVED_ATTRS, _ACCESS_FIELDS, _UVICORN_COLORS],
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data["level"] = record.levelname.lower()
        if (request_id := correlation_id.get()) is not None:
            log_data["request_id"] = request_id
        request = current_request()
        if request is not None and request.trace_id:
            log_data["trace_id"] = request.trace_id
        log_data |= getattr(record, _ACCESS_FIELDS, {})
        for name, value in log_data.items():
            if isinstance(value, str):  # a lone surrogate cannot be encoded as UTF-8
                log_data[name] = value.encode("utf-8", "backslashreplace").decode()


class TextFormatter(logging.Formatter):
    """A record as a line, with the id of the request it belongs to."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line, request_id = super().formatMessage(record), correlation_id.get()
        return line if request_id is None else f"{line} [{request_id}]"


_FORMATTERS: Final[dict[LogFormat, type[logging.Formatter]]] = {"text": TextFormatter, "json": JsonFormatter}


def set_log_format(log_format: LogFormat) -> None:
    """Have every handler of the root logger write in this format, and one line a second for one cause."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_FORMATTERS[log_format]())
        if not any(isinstance(part, RepeatFilter) for part in handler.filters):
            handler.addFilter(RepeatFilter(handler))


def flush_log() -> None:
    """Write what the handlers of the root logger have left out so far, as a number."""
    for handler in logging.getLogger().handlers:
        for part in handler.filters:
            if isinstance(part, RepeatFilter):
                part.flush()


@contextmanager
def service_log(log_format: LogFormat) -> Iterator[None]:
    """Write the log of a process in this format; in JSON, also what libraries write to standard error."""
    set_log_format(log_format)
    logging.captureWarnings(True)  # decoders of images warn of every damaged tag
    try:
        with _everything_logged() if log_format == "json" else nullcontext():
            yield
    finally:
        flush_log()


@contextmanager
def _everything_logged() -> Iterator[None]:
    """Log what is written to standard error, and what the block raises, which becomes a SystemExit."""
    log_uncaught_exceptions()
    end = capture_stderr()
    logger = logging.getLogger("nestvec")
    try:
        yield
    except NestvecError as error:
        logger.critical("%s", error)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        logger.critical("interrupted")
        raise SystemExit(130) from None
    except Exception:
        logger.critical("the service failed", exc_info=True)
        raise SystemExit(1) from None
    finally:
        end()


def log_access(request: RequestRecord) -> None:
    """Log one line, at level INFO, for a request that is over."""
    if not _access.isEnabledFor(logging.INFO):
        return
    milliseconds = round(request.seconds * 1000, 2)
    fields: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "encoder": request.encoder,
        "texts": request.texts,
        "ms": milliseconds,
    }
    _access.info(
        "%s %s %s, %d texts, %.2f ms",
        request.method,
        request.path,
        request.status or "dropped",
        request.texts,
        milliseconds,
        extra={_ACCESS_FIELDS: fields},
    )
