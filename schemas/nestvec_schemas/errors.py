"""Every error that nestvec raises on purpose.

NestvecError
├── CheckpointError             what was asked to be exported cannot be
│   ├── CheckpointNotFound
│   ├── CheckpointUnsupported
│   ├── EncoderExists
│   └── VerificationFailed
├── EncoderError                an exported encoder cannot be used as asked
│   ├── EncoderNotFound
│   ├── ManifestCorrupt
│   ├── ManifestTooNew
│   ├── DimNotOffered
│   ├── ExitNotOffered
│   └── ExpertNotOffered
├── DataError                   texts to learn from, or to measure with, cannot be used
│   ├── SampleUnusable          too few texts, or too much alike, to fit a rotation or a map on
│   ├── TrainingDataUnusable    pairs, triplets or texts to train on
│   ├── TrainingFailed          a training run went wrong, or is another one than is to be resumed
│   └── DatasetUnusable         a folder of corpus, queries and judgements
├── RequestError                a call to the service is wrong
│   ├── PathUnknown
│   ├── BodyNotJson
│   ├── BodyInvalid
│   ├── BodyTooLarge
│   ├── BodyTooSlow
│   ├── EmptyInput
│   ├── InputTooLong
│   ├── TooManyInputs
│   ├── Unauthorized
│   ├── NotOffered              no encoder here can do what this path is for
│   ├── ImageRefused            a picture's address is one that the service may not fetch from
│   ├── ImageUnreachable        a picture cannot be fetched from its address
│   └── ImageUnreadable         what was fetched is no picture that can be embedded
├── EngineError                 the engine failed on a batch
│   ├── EngineUnavailable
│   └── DeadlineExceeded
├── Overloaded                  the service has as much to do as it takes
├── ServiceError                the service cannot be started or reached
│   ├── ServiceUnreachable
│   ├── ServiceRefused
│   └── PortInUse
├── StoreError                  Milvus cannot be used as asked
│   ├── StoreUnreachable
│   ├── StoreInUse
│   ├── StoreRefused
│   ├── StoreUnknown
│   ├── CollectionNotFound
│   └── CollectionExists
├── SpecError                   a collection spec is wrong
├── IngestError                 a file cannot be ingested
│   ├── FileUnreadable
│   ├── JournalMismatch
│   └── RowRejected             one row of it cannot
└── SqlError                    a statement cannot be run; points into it
    ├── SqlSyntaxError
    ├── SqlUnknownName
    ├── SqlTypeMismatch
    ├── SqlKeyExists            a row with this primary key is there already
    └── SqlNotSupported

Each says three things: the cause, the value that was found, and the next step.
The CLI ends with ``exit_code``; the service maps the classes to statuses in
``nestvec.service.api.error_codes``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 200
_ABSENT = object()


class NestvecError(Exception):
    """The root. ``cause`` is one clause, ``value`` what was found, ``next_step`` what to do."""

    exit_code = 1

    def __init__(self, cause: str, *, next_step: str, value: object = _ABSENT) -> None:
        self.cause = cause
        self.next_step = next_step
        self.value = None if value is _ABSENT else value
        found = "" if value is _ABSENT else f": {_shown(value)}"
        super().__init__(f"{cause}{found}. {next_step}")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def nearest(name: str, offered: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the offered name closest to ``name``, else an empty string."""
    close = difflib.get_close_matches(name, list(offered), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


class CheckpointError(NestvecError):
    """What was asked to be exported cannot be."""


class CheckpointNotFound(CheckpointError):
    """Neither a folder that holds a checkpoint nor a Hugging Face id that can be fetched."""


class CheckpointUnsupported(CheckpointError):
    """The checkpoint is there, but its architecture, modules or pooling cannot be exported."""


class EncoderExists(CheckpointError):
    """The target folder already holds an encoder."""


class VerificationFailed(CheckpointError):
    """The exported graph's vectors are too far from the checkpoint's own."""


class EncoderError(NestvecError):
    """An exported encoder cannot be used as asked."""


class EncoderNotFound(EncoderError):
    """No encoder of this name in the folder or the service."""


class ManifestCorrupt(EncoderError):
    """The manifest, or a file that it lists, is damaged."""


class ManifestTooNew(EncoderError):
    """The manifest was written by a later nestvec."""


class DimNotOffered(EncoderError):
    """The encoder has no vectors of this many dims."""


class ExitNotOffered(EncoderError):
    """The encoder has no exit after this layer."""


class ExpertNotOffered(EncoderError):
    """The encoder has no expert of this name."""


class DataError(NestvecError):
    """Texts to learn from, or to measure with, cannot be used."""


class SampleUnusable(DataError):
    """Too few texts, or too much alike, to fit a rotation or a map on."""


class TrainingDataUnusable(DataError):
    """The pairs, triplets or texts to train on cannot be used."""


class TrainingFailed(DataError):
    """A training run went wrong, or is another one than is to be resumed."""


class DatasetUnusable(DataError):
    """A folder of corpus, queries and judgements cannot be used to measure an encoder."""


class RequestError(NestvecError):
    """A call to the service is wrong."""


class PathUnknown(RequestError):
    """The service has nothing at this path, or not with this method."""


class BodyNotJson(RequestError):
    """The body is not JSON."""


class BodyInvalid(RequestError):
    """The body is JSON of the wrong shape."""


class BodyTooLarge(RequestError):
    """The body has more bytes than the service takes."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class EmptyInput(RequestError):
    """There is nothing to embed."""


class InputTooLong(RequestError):
    """A text has more tokens than the encoder takes, and the request forbids truncation."""


class TooManyInputs(RequestError):
    """More texts in one request than the service takes."""


class Unauthorized(RequestError):
    """The request has no API key, or a wrong one."""


class NotOffered(RequestError):
    """No encoder of the service can do what this path is for."""


class ImageRefused(RequestError):
    """A picture's address is one that the service may not fetch from."""


class ImageUnreachable(RequestError):
    """A picture cannot be fetched from its address, or not within the limits."""


class ImageUnreadable(RequestError):
    """What was fetched, or given, is no picture that can be embedded."""


class EngineError(NestvecError):
    """The engine failed on a batch, or its output is not usable."""


class EngineUnavailable(EngineError):
    """The engine does not answer, or does not hold the encoder."""


class DeadlineExceeded(EngineError):
    """The engine did not answer in time."""


class Overloaded(NestvecError):
    """The service has as much to do as it takes. ``retry_after`` is in seconds."""

    retry_after = 1


class ServiceError(NestvecError):
    """The service cannot be started or reached."""


class ServiceUnreachable(ServiceError):
    """Nothing answers at the service's address."""


class ServiceRefused(ServiceError):
    """The service answered with an error."""


class PortInUse(ServiceError):
    """Another program listens on the port."""


class StoreError(NestvecError):
    """Milvus cannot be used as asked."""


class StoreUnreachable(StoreError):
    """Nothing that speaks Milvus's protocol answers at the address."""


class StoreInUse(StoreError):
    """Another process holds the Milvus Lite database."""


class StoreRefused(StoreError):
    """Milvus answered with an error."""


class StoreUnknown(StoreError):
    """It cannot be told which kind of Milvus a schema is for."""


class CollectionNotFound(StoreError):
    """No collection of this name."""


class CollectionExists(StoreError):
    """A collection of this name is there already."""


class SpecError(NestvecError):
    """A collection spec is wrong."""


class IngestError(NestvecError):
    """A file cannot be ingested."""


class FileUnreadable(IngestError):
    """The file is missing, of an unknown kind, or not readable as what it claims to be."""


class JournalMismatch(IngestError):
    """The journal of an interrupted ingest is of another file or collection."""


class RowRejected(IngestError):
    """One row cannot be stored; the others go on."""


class SqlError(NestvecError):
    """A statement cannot be run. ``position`` is the offset of the culprit in ``statement``."""

    def __init__(
        self,
        cause: str,
        *,
        next_step: str,
        value: object = _ABSENT,
        statement: str = "",
        position: int | None = None,
    ) -> None:
        super().__init__(cause, next_step=next_step, value=value)
        self.statement = statement
        self.position = position

    def __str__(self) -> str:
        text = super().__str__()
        if self.position is None or not self.statement:
            return text
        return f"{text}\n{pointed(self.statement, self.position)}"


def pointed(statement: str, position: int) -> str:
    """The statement's line around ``position``, at most 100 characters, with a caret below."""
    start = statement.rfind("\n", 0, position) + 1
    end = statement.find("\n", position)
    line = statement[start : end if end >= 0 else len(statement)]
    column = position - start
    left = max(0, column - 60)
    return f"  {line[left : left + 100]}\n  {' ' * (column - left)}^"


class SqlSyntaxError(SqlError):
    """The statement does not parse."""


class SqlUnknownName(SqlError):
    """A table or column that is not there."""


class SqlTypeMismatch(SqlError):
    """A value or operator that does not fit the column."""


class SqlKeyExists(SqlError):
    """A row with this primary key is there already, or twice in the statement."""


class SqlNotSupported(SqlError):
    """Valid SQL that nestvec does not do."""
