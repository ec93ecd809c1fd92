"""The service's log: text for people or JSON lines for programs; never texts, keys or bodies."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from nestvec.service.middleware.request_log import RequestRecord, current_request

LogFormat = Literal["text", "json"]

_access = logging.getLogger("nestvec.access")


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, and the request it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        notes = current_request()
        if notes is not None:
            told["request_id"] = notes.request_id
            if notes.trace_id:
                told["trace_id"] = notes.trace_id
        told |= getattr(record, "access", {})
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return _json(told)


class TextFormatter(logging.Formatter):
    """A record as a line, with the id of the request it belongs to."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        notes = current_request()
        line = super().formatMessage(record)
        return f"{line} [{notes.request_id}]" if notes is not None else line


_FORMATS: dict[LogFormat, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def set_log_format(chosen: LogFormat) -> None:
    """Have every handler of the root logger write in this format."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_FORMATS[chosen]())


def log_access(notes: RequestRecord) -> None:
    """One line for a request that is over, at information level."""
    if not _access.isEnabledFor(logging.INFO):
        return
    milliseconds = round(notes.seconds * 1000, 2)
    status = notes.status or "dropped"
    fields: dict[str, Any] = {
        "method": notes.method,
        "path": notes.path,
        "status": notes.status,
        "encoder": notes.encoder,
        "texts": notes.texts,
        "ms": milliseconds,
    }
    _access.info(
        "%s %s %s, %d texts, %.2f ms",
        notes.method,
        notes.path,
        status,
        notes.texts,
        milliseconds,
        extra={"access": fields},
    )


def _json(told: dict[str, Any]) -> str:
    try:
        return orjson.dumps(told).decode()
    except TypeError:  # a lone surrogate, which UTF-8 cannot write
        safe = {
            key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
            for key, value in told.items()
        }
        return orjson.dumps(safe).decode()
