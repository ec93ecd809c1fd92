"""Brings the encoders of a running service in line with its model repository."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nestvec.engines.contract import RemoteEngine, SessionEngine
from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.catalog.repository import ServedRepository
from nestvec_schemas.errors import EngineError, ManifestCorrupt, NestvecError

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder

logger = logging.getLogger(__name__)


@dataclass
class EncoderChanges:
    """What a reload did."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: dict[str, NestvecError] = field(default_factory=dict)
    """Why an encoder stayed as it was, by name."""
    notes: dict[str, str] = field(default_factory=dict)
    """What remains to be done for an encoder, by name."""
    options: list[str] = field(default_factory=list)
    """Options that were taken up with another value."""
    needs_restart: list[str] = field(default_factory=list)
    """Options with another value, which the service takes up when it is started the next time."""


class Reloader:
    """Opens what is new or has other files, then shows all of it to requests at once.

    Requests that have begun keep what they began with, which is released when the last of them ends.
    """

    def __init__(self, embedder: Embedder, repository: ServedRepository, engine: SessionEngine) -> None:
        self._embedder, self._repository, self._engine = embedder, repository, engine
        self._background: set[asyncio.Task[None]] = set()

    async def reload(
        self, aliases: Mapping[str, str], names: tuple[str, ...] | None = None
    ) -> EncoderChanges:
        """Add, replace and remove encoders, and set the aliases. What fails is left as it was.

        ``names`` are the encoders to serve from now on; None for those of before. Raises AliasInvalid,
        ServiceError for two encoders of one name, and then nothing has changed.
        """
        before = None if names is None else self._repository.select(names)
        try:
            return await self._reload(aliases)
        except NestvecError:
            if before is not None:
                self._repository.select(before)
            raise

    def remaining(self, names: tuple[str, ...] | None = None) -> list[EncoderInstance]:
        """The served instances that a reload for these ``names`` would keep or replace."""
        instances = self._embedder.encoders.instances
        before = None if names is None else self._repository.select(names)
        try:
            served = self._repository.names()
        except NestvecError:  # which the reload reports
            return [*instances]
        finally:
            if before is not None:
                self._repository.select(before)
        return [instance for instance in instances if instance.name in served]

    async def _reload(self, aliases: Mapping[str, str]) -> EncoderChanges:
        catalog, changes = self._embedder.encoders, EncoderChanges()
        current = {instance.name: instance for instance in catalog.instances}
        names = self._names(changes)
        if names is None:
            catalog.set_aliases(aliases)
            return changes
        read = await self._read_changed(names, current, changes)
        removed = [instance for name, instance in current.items() if name not in names]
        remaining = {name: instance for name, instance in current.items() if name in names}
        catalog.check([*(remaining | read).values()], aliases)
        new = {name: instance for name, instance in read.items() if name not in current}
        opened = await self._open(new, changes)
        try:
            # A remote engine has one version of a graph: those that are served are replaced last, once
            # nothing can stop the reload any more.
            served = {name: instance for name, instance in read.items() if name not in new}
            catalog.check([*(remaining | served | opened).values()], aliases)
            opened |= await self._open(served, changes)
            for name, instance in opened.items():
                self._embedder.start_instance(instance, current.get(name))
            catalog.replace((remaining | opened).values(), aliases)
        except NestvecError:
            for instance in opened.values():
                self._embedder.retire(instance)
            self._unload_remotely(instance for name, instance in opened.items() if name in new)
            raise
        changes.added = sorted(opened.keys() - current.keys())
        changes.replaced = sorted(opened.keys() & current.keys())
        changes.removed = sorted(instance.name for instance in removed)
        self._unload_remotely(removed)
        _log(changes)
        return changes

    def _names(self, changes: EncoderChanges) -> tuple[str, ...] | None:
        try:
            return self._repository.names()
        except NestvecError as error:
            changes.failed["*"] = error
            logger.error("no encoder was reloaded: %s", error)
            return None

    async def _read_changed(
        self, names: Iterable[str], current: Mapping[str, EncoderInstance], changes: EncoderChanges
    ) -> dict[str, EncoderInstance]:
        """New instances of the encoders that are not served yet, or have other files now; not opened yet."""
        read = {}
        for name in names:
            try:
                before = current.get(name)
                manifest = await asyncio.to_thread(self._repository.manifest, name)
                if before is None or manifest != before.own.manifest:
                    read[name] = await asyncio.to_thread(self._repository.read, name, before)
            except (NestvecError, OSError) as error:
                _note_failure(changes, name, error)
        return read

    async def _open(
        self, instances: Mapping[str, EncoderInstance], changes: EncoderChanges
    ) -> dict[str, EncoderInstance]:
        """Those of ``instances`` that the engine has opened."""
        opened = {}
        for name, instance in instances.items():
            try:
                await self._open_instance(instance, changes)
                opened[name] = instance
            except (NestvecError, OSError) as error:
                _note_failure(changes, name, error)
        return opened

    async def _open_instance(self, instance: EncoderInstance, changes: EncoderChanges) -> None:
        await self._embedder.residency.open_beside(instance)
        if isinstance(self._engine, RemoteEngine):
            try:
                await self._engine.load(instance.name, instance.generation)
            except EngineError as error:
                if not await self._engine.ready(instance.name):
                    self._embedder.residency.retire(instance)
                    raise
                changes.notes[instance.name] = str(error)

    def _unload_remotely(self, removed: Iterable[EncoderInstance]) -> None:
        if isinstance(self._engine, RemoteEngine):
            for instance in removed:
                task = asyncio.create_task(
                    self._unload_when_released(self._engine, instance), context=Context()
                )
                self._background.add(task)
                task.add_done_callback(self._background.discard)

    async def _unload_when_released(self, engine: RemoteEngine, instance: EncoderInstance) -> None:
        await instance.released.wait()
        try:
            await engine.unload(instance.name, tuple(instance.own.manifest.parts))
        except EngineError as error:
            logger.warning("%s", error)


def _note_failure(changes: EncoderChanges, name: str, error: NestvecError | OSError) -> None:
    failure = changes.failed[name] = _as_failure(name, error)
    logger.error("encoder %s was not reloaded: %s", name, failure)


def _as_failure(name: str, error: NestvecError | OSError) -> NestvecError:
    if isinstance(error, NestvecError):
        return error
    return ManifestCorrupt(
        f"the files of {name} cannot be read",
        value=error.strerror or str(error),
        next_step="If they are being replaced, reload once that is done; else export the encoder again.",
    )


def _log(changes: EncoderChanges) -> None:
    for what, names in (
        ("added", changes.added),
        ("replaced", changes.replaced),
        ("removed", changes.removed),
    ):
        for name in names:
            logger.warning("encoder %s %s", name, what)
    for note in changes.notes.values():
        logger.warning("%s", note)
