"""The service inside a command's own process, for as long as the command needs it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nestvec.client.http import is_loopback
from nestvec.client.service_client import ServiceInfo, fetch_info
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.fingerprints import PresentEncoder, describe_record, precision_note
from nestvec_schemas.bridges.view import bridge_view
from nestvec_schemas.errors import NestvecError, ServiceRefused, ServiceUnreachable
from nestvec_schemas.repository import encoder_names, find_encoder, read_manifest

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder
    from nestvec.service.settings import ServiceSettings

logger = logging.getLogger(__name__)


@contextmanager
def serve_in_process(
    services: Iterable[str],
    models: Path,
    settings: ServiceSettings | None = None,
    tables: Sequence[Table] = (),
) -> Iterator[None]:
    """Keep each of ``services`` running until the block ends, with the encoders of ``tables``.

    A service that answers is used as it is. One on this machine that does not is started in this process with
    the encoders in ``models`` and these ``settings``, and a line on standard error says so. The encoders that
    the collections ``tables`` were created with are compared by their fingerprints, in both cases.

    Raises ServiceUnreachable for a service that does not answer and cannot be replaced, ServiceBusy for one
    that is not ready, ServiceRefused for one whose encoder is another.
    """
    with ExitStack() as started:
        for service in services:
            named = [table for table in tables if service in table.services]
            try:
                info = fetch_info(service, environment_api_key())
            except ServiceUnreachable as error:
                down = _unanswered(service, named, error)
                if not is_loopback(service):
                    raise down from error
                started.enter_context(_start(service, models, settings, tables=named, down=down))
            else:
                _compare(service, named, info)
        yield


def compare_encoders(services: Iterable[str], tables: Sequence[Table]) -> None:
    """Raise ServiceRefused if a service has another encoder than one of ``tables`` was created with.

    Raises ServiceUnreachable, with the collections, for one that does not answer. A service whose encoders
    no collection recorded is not called.
    """
    for service in services:
        named = [table for table in tables if any(_recorded(service, table))]
        if not named:
            continue
        try:
            info = fetch_info(service, environment_api_key())
        except ServiceUnreachable as error:
            raise _unanswered(service, named, error) from error
        _compare(service, named, info)


def check_moved(table: Table, columns: Sequence[EmbeddingColumn], address: str) -> None:
    """Raise ServiceRefused if the service at another address has other encoders than the columns record.

    Raises EncoderNotFound for one that it lacks, ServiceUnreachable.
    """
    info = fetch_info(address, environment_api_key())
    for column in columns:
        info.encoder(column.config.encoder, address)
    moved = [replace(column, endpoint=replace(column.endpoint, service=address)) for column in columns]
    _compare(address, [replace(table, embeddings=tuple(moved))], info)


def replaced_columns(table: Table, services: Iterable[str], models: Path) -> frozenset[str]:
    """The columns whose encoder is another one now than the one that is recorded for them.

    The encoders are those of ``services`` or, where none answers on this machine, those in ``models``, with
    which ``serve_in_process`` would start it. Raises ServiceUnreachable, ServiceBusy, ServiceRefused.
    """
    replaced = set[str]()
    for service in set(services) & set(table.services):
        try:
            present = _served_encoders(fetch_info(service, environment_api_key()))
        except ServiceUnreachable as error:
            down = _unanswered(service, [table], error)
            if not is_loopback(service):
                raise down from error
            try:
                present = _local_encoders(models)
            except NestvecError:
                raise down from error
        replaced |= {column.column for column in _replaced(service, table, present)}
    return frozenset(replaced)


def _compare(service: str, tables: Sequence[Table], info: ServiceInfo) -> None:
    present = _served_encoders(info)
    for table in tables:
        _check_encoders(service, table, present, f"the service at {service}")


_Encoders = Mapping[str, PresentEncoder | None]
"""Encoders by name; None of a service that does not say which they are."""


def _served_encoders(info: ServiceInfo) -> _Encoders:
    return {name: PresentEncoder.of_info(encoder) for name, encoder in info.encoders.items()}


def _recorded(service: str, table: Table) -> list[str | None]:
    """The fingerprints of the encoders of a service that a collection was created with."""
    return [embedding.config.fingerprint for embedding in table.embeddings if embedding.service == service]


def _unanswered(service: str, tables: Sequence[Table], error: ServiceUnreachable) -> ServiceUnreachable:
    """The error about a service that does not answer, with the collections that name it."""
    of = f" of collection {', '.join(table.name for table in tables)}" if tables else ""
    return error.reworded(cause=f"the service at {service}{of} does not answer")


def _replaced(service: str, table: Table, present: _Encoders) -> Iterator[EmbeddingColumn]:
    for column in table.embeddings:
        recorded, now = column.made_by, _encoder_of(column, present)
        if column.service != service or recorded is None or now is None:
            continue
        if not now.makes(recorded):
            yield column


def _encoder_of(column: EmbeddingColumn, present: _Encoders) -> PresentEncoder | None:
    name = column.config.encoder
    # Without a name, a service uses its only encoder.
    return present.get(name) if name else next(iter(present.values()), None)


def _check_encoders(service: str, table: Table, present: _Encoders, where: str) -> None:
    """Raise ServiceRefused if an encoder has another fingerprint than the one that is recorded for a column.

    Collections made by older versions record none, and older services tell none: nothing is compared then.
    """
    for embedding in table.embeddings:
        name, recorded, now = embedding.config.encoder, embedding.made_by, _encoder_of(embedding, present)
        if embedding.service != service or recorded is None or now is None:
            continue
        if not now.makes(recorded):
            raise ServiceRefused(
                f"{where} has another encoder {name!r} than the one that collection {table.name} was created "
                f"with, for {embedding.column}, and their vectors must not mix",
                value=f"fingerprint {now}, not {describe_record(recorded)}",
                next_step=f"Serve the encoder of before as {name}, or this one under a name of its own, and "
                f"embed with it: nestvec collection embed {table.name} --field {embedding.source} "
                f"--encoder NAME{_dims_option(embedding)}.",
            )
        note = precision_note(recorded, now)
        if note is not None:
            logger.warning("%s.%s: %s", table.name, embedding.column, note)


def _dims_option(embedding: EmbeddingColumn) -> str:
    return "" if embedding.config.form == "sparse" else f" --dims {embedding.dim}"


@contextmanager
def _start(
    service: str,
    models: Path,
    settings: ServiceSettings | None,
    *,
    tables: Sequence[Table],
    down: ServiceUnreachable,
) -> Iterator[None]:
    # Importing tokenizers and an engine is slow: only where they are needed.
    from nestvec.service.server import bind, serve_in_thread  # noqa: PLC0415

    parts = urlsplit(service)
    if parts.scheme != "http":
        raise down.reworded(
            cause=f"{down.cause}, and one with TLS cannot be started inside a command",
            next_step="Start it, or register the collection with an http:// address.",
        ) from down
    with ExitStack() as listening:
        try:
            # First, as opening encoders takes long: this fails if a service is about to answer there.
            listener = listening.enter_context(bind(parts.hostname or "127.0.0.1", parts.port or 80))
            _check_local(service, tables, models)
            embedder = _open_embedder(models, settings)
        except NestvecError as error:
            raise down.reworded(
                next_step=f"Start it: nestvec serve --models MODELS. This command cannot start it: {error}"
            ) from error
        names = ", ".join(sorted(embedder.encoders))
        of = f" (of collection {', '.join(table.name for table in tables)})" if tables else ""
        compared = _compared(service, tables)
        sys.stderr.write(
            f"No service at {service}{of}: starting one for this command ({names} from {models}{compared}).\n"
        )
        sys.stderr.flush()
        with serve_in_thread(embedder, listener):
            yield


def _open_embedder(models: Path, settings: ServiceSettings | None) -> Embedder:
    """An embedder of ``models`` that leaves cores to the command. Raises NestvecError."""
    from nestvec.service.server import open_embedder  # noqa: PLC0415
    from nestvec.service.settings import ServiceSettings  # noqa: PLC0415

    settings = settings or ServiceSettings()
    # The command itself, and Milvus Lite, run beside it.
    settings = replace(settings, engine=replace(settings.engine, share_cores=True))
    return open_embedder(models, (), settings)


def _check_local(service: str, tables: Sequence[Table], models: Path) -> None:
    """Raise ServiceRefused if ``models`` has another encoder than a collection was created with.

    Only manifests are read: a command that waits for the service comes here before each wait. Raises
    EncoderNotFound, ManifestCorrupt, ManifestTooNew.
    """
    present = _local_encoders(models)
    for table in tables:
        _check_encoders(service, table, present, str(models))


def _local_encoders(models: Path) -> _Encoders:
    """The encoders in a model repository, by their manifests. Raises as ``read_manifest``."""
    present: dict[str, PresentEncoder | None] = {}
    for name in encoder_names(models):
        own = read_manifest(find_encoder(models, name))
        bridges = own.bridges.maps if own.bridges else ()
        manifests = [own, *(own.output(kind) for kind in own.outputs)]
        manifests += [bridge_view(own, bridge) for bridge in bridges]
        present |= {manifest.name: PresentEncoder.of_manifest(manifest) for manifest in manifests}
    return present


def _compared(service: str, tables: Sequence[Table]) -> str:
    """What is said about the encoders of collections."""
    recorded = [fingerprint for table in tables for fingerprint in _recorded(service, table)]
    if not recorded:
        return ""
    return ", the same encoder" if all(recorded) else "; whether it is the same encoder is not recorded"
