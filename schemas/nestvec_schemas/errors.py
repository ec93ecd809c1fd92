"""The errors that nestvec raises on purpose.

NestvecError
├── CheckpointError             a checkpoint cannot be exported
│   ├── CheckpointNotFound
│   ├── CheckpointUnsupported
│   ├── EncoderExists
│   └── VerificationFailed
├── EncoderError                an exported encoder cannot be used as requested
│   ├── EncoderNotFound
│   ├── ManifestCorrupt
│   ├── ManifestTooNew
│   ├── DimNotOffered
│   ├── ExitNotOffered
│   ├── ExpertNotOffered
│   ├── PromptNotOffered
│   └── AliasInvalid            another name for an encoder cannot be used
├── DatasetError                data to train on, or to measure with, cannot be used
│   ├── SampleUnusable          too few texts, or too similar ones, to fit a rotation or a map
│   ├── TrainingDataUnusable    pairs, triplets or texts to train on
│   ├── TrainingFailed          a training run failed, or differs from the one to resume
│   └── DatasetUnusable         a folder of a corpus, queries and relevance judgements
├── RequestError                a request to the service is wrong
│   ├── PathUnknown
│   ├── MethodNotAllowed        the path has other methods
│   ├── HostNotAllowed          the service does not answer to the name in the Host header
│   ├── BodyNotJson
│   ├── BodyInvalid
│   ├── BodyTooLarge
│   ├── BodyTooSlow
│   ├── BodyTypeUnsupported     the body is compressed, or not declared as JSON in UTF-8
│   ├── EmptyInput
│   ├── InputTooLong
│   ├── TooManyInputs
│   ├── Unauthorized
│   ├── NotOffered              no encoder of the service supports this path
│   ├── ImageRefused            the service may not fetch from an image's address
│   ├── ImageUnreachable        an image cannot be fetched from its address
│   └── ImageUnreadable         what was fetched is not an image that can be embedded
├── EngineError                 the engine failed on a batch
│   ├── EngineUnavailable
│   └── DeadlineExceeded
├── Overloaded                  the service is at capacity
├── ServiceError                the service cannot be started or reached
│   ├── ServiceUnreachable
│   ├── ServiceBusy             the same request may succeed later
│   ├── ServiceRefused
│   └── PortInUse
├── StoreError                  Milvus cannot be used as requested
│   ├── StoreUnreachable
│   ├── StoreInUse
│   ├── StoreRefused
│   ├── StoreUnknown
│   ├── CollectionNotFound
│   ├── CollectionExists
│   └── CollectionRetired       a collection of before a change, which readers do not use any more
├── SpecError                   a collection spec is wrong
├── IngestError                 a file cannot be ingested
│   ├── FileUnreadable
│   ├── JournalMismatch
│   └── RowRejected             one row cannot be stored
└── SqlError                    a statement cannot be run; the error points into it
    ├── SqlSyntaxError
    ├── SqlUnknownName
    ├── SqlTypeMismatch
    │   ├── SqlDataError        a value is out of range, or is not of its type
    │   └── SqlNullViolation    NULL in a column that may not be NULL
    ├── SqlKeyExists            a row with this primary key exists
    └── SqlNotSupported

Each error says three things: the cause, the value, and the next step. The CLI exits with ``exit_code``; the
service maps the classes to statuses in ``nestvec.service.api.error_codes``.
"""

from __future__ import annotations

from nestvec_schemas.base_error import ABSENT
from nestvec_schemas.base_error import NestvecError as NestvecError
from nestvec_schemas.message_text import nearest as nearest
from nestvec_schemas.message_text import with_caret as with_caret


class CheckpointError(NestvecError):
    """A checkpoint cannot be exported."""


class CheckpointNotFound(CheckpointError):
    """Neither a folder with a checkpoint nor the id of one on Hugging Face that can be fetched."""


class CheckpointUnsupported(CheckpointError):
    """The checkpoint exists, but its architecture, modules or pooling cannot be exported."""


class EncoderExists(CheckpointError):
    """The target folder already contains an encoder."""


class VerificationFailed(CheckpointError):
    """The exported graph's vectors differ too much from the checkpoint's."""


class EncoderError(NestvecError):
    """An exported encoder cannot be used as requested."""


class EncoderNotFound(EncoderError):
    """The folder or the service has no encoder of this name."""


class ManifestCorrupt(EncoderError):
    """The manifest, or a file that it lists, is damaged."""


class ManifestTooNew(EncoderError):
    """A later version of nestvec wrote the manifest."""


class DimNotOffered(EncoderError):
    """The encoder has no vectors of this many dims."""


class ExitNotOffered(EncoderError):
    """The encoder has no exit after this layer."""


class ExpertNotOffered(EncoderError):
    """The encoder has no expert of this name."""


class PromptNotOffered(EncoderError):
    """The encoder has no prompt of this name."""


class AliasInvalid(EncoderError):
    """Another name for an encoder is malformed, taken, or stands for nothing."""


class DatasetError(NestvecError):
    """Data to train on, or to measure with, cannot be used."""


class SampleUnusable(DatasetError):
    """There are too few texts, or they are too similar, to fit a rotation or a map."""


class TrainingDataUnusable(DatasetError):
    """The pairs, triplets or texts to train on cannot be used."""


class TrainingFailed(DatasetError):
    """A training run failed, or differs from the one to resume."""


class DatasetUnusable(DatasetError):
    """A folder of a corpus, queries and relevance judgements cannot be used to measure an encoder."""


class RequestError(NestvecError):
    """A request to the service is wrong."""


class PathUnknown(RequestError):
    """The service has nothing at this path."""


class MethodNotAllowed(RequestError):
    """The service has this path, but not with this method."""

    allowed: tuple[str, ...] = ()
    """The methods that it has."""


class HostNotAllowed(RequestError):
    """The service does not answer to the name in the Host header."""


class BodyNotJson(RequestError):
    """The body is not JSON."""


class BodyInvalid(RequestError):
    """The body is JSON of the wrong shape."""


class BodyTooLarge(RequestError):
    """The body has more bytes than the service accepts."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class BodyTypeUnsupported(RequestError):
    """The body is compressed, or not declared as JSON in UTF-8."""


class EmptyInput(RequestError):
    """There is nothing to embed."""


class InputTooLong(RequestError):
    """A text has more tokens than the encoder accepts, and the request forbids truncation; or texts or token
    ids are longer than the service accepts."""


class TooManyInputs(RequestError):
    """A request has more texts than the service accepts."""


class Unauthorized(RequestError):
    """The request has no API key, or a wrong one."""


class NotOffered(RequestError):
    """No encoder of the service supports this path."""


class ImageRefused(RequestError):
    """The service may not fetch from an image's address."""


class ImageUnreachable(RequestError):
    """An image cannot be fetched from its address, or not within the limits."""


class ImageUnreadable(RequestError):
    """What was fetched, or sent, is not an image that can be embedded."""


class EngineError(NestvecError):
    """The engine failed on a batch, or its output cannot be used."""


class EngineUnavailable(EngineError):
    """The engine does not respond, or does not have the encoder."""


class DeadlineExceeded(EngineError):
    """The request's time is over."""

    retry_after = 1
    """Seconds after which to try again."""


class Overloaded(NestvecError):
    """The service is at capacity."""

    retry_after = 1
    """Seconds after which to try again."""


class ServiceError(NestvecError):
    """The service cannot be started or reached."""


class ServiceUnreachable(ServiceError):
    """Nothing responds at the service's address."""


class ServiceBusy(ServiceError):
    """The service is overloaded, restarts, or did not answer in time: the same request may succeed later."""

    retry_after: float | None = None
    """Seconds after which the service asks to try again; None if it does not say."""


class ServiceRefused(ServiceError):
    """The service responded with an error."""

    status: int | None = None
    """The response's status; None if the response itself is wrong."""


class PortInUse(ServiceError):
    """Another program listens on the port."""


class StoreError(NestvecError):
    """Milvus cannot be used as requested."""


class StoreUnreachable(StoreError):
    """No Milvus server responds at the address."""

    may_pass: bool = False
    """Whether it may respond later: nothing listens there now, or the host does not answer."""


class StoreInUse(StoreError):
    """Another process has the Milvus Lite database open."""


class StoreRefused(StoreError):
    """Milvus responded with an error."""


class StoreUnknown(StoreError):
    """The kind of Milvus that a schema is for is ambiguous or unknown."""


class CollectionNotFound(StoreError):
    """There is no collection of this name."""


class CollectionExists(StoreError):
    """A collection of this name already exists."""


class CollectionRetired(StoreError):
    """The collection is that of before a change: who reads does not see what is written to it."""


class SpecError(NestvecError):
    """A collection spec is wrong."""


class IngestError(NestvecError):
    """A file cannot be ingested."""


class FileUnreadable(IngestError):
    """The file is missing, of an unknown kind, or malformed."""


class JournalMismatch(IngestError):
    """The journal of an interrupted ingest belongs to another file or collection."""


class RowRejected(IngestError):
    """One row cannot be stored; the others can."""


class SqlError(NestvecError):
    """A statement cannot be run."""

    statement: str
    """The statement; empty if the error does not point into one."""

    position: int | None
    """Offset in the statement of what is wrong; None if that is not known."""

    def __init__(
        self,
        cause: str,
        *,
        next_step: str,
        value: object = ABSENT,
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
        return f"{text}\n{with_caret(self.statement, self.position)}"


class SqlSyntaxError(SqlError):
    """The statement does not parse."""


class SqlUnknownName(SqlError):
    """There is no such table, column or other name."""


class SqlTypeMismatch(SqlError):
    """A value or an operator does not fit the column."""


class SqlDataError(SqlTypeMismatch):
    """A value is out of range or not of its type, or a division is by zero."""


class SqlNullViolation(SqlTypeMismatch):
    """NULL in a column that may not be NULL."""


class SqlKeyExists(SqlError):
    """A row with this primary key exists, or is in the statement twice."""


class SqlNotSupported(SqlError):
    """Valid SQL that nestvec does not support."""
