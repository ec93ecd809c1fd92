"""What an operator does to a running service: reload it, and switch aliases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context

from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.catalog.reload import EncoderChanges, Reloader
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.api_keys import ApiKeys
from nestvec.service.operation.declared_options import changed_options
from nestvec.service.operation.live_settings import apply_settings
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import NestvecError, ServiceError

logger = logging.getLogger(__name__)


class Operations:
    """Changes a service while it answers. Belongs to one event loop, between ``start`` and ``close``."""

    def __init__(
        self,
        embedder: Embedder,
        keys: Sequence[ApiKeys] = (),
    ) -> None:
        """``keys`` are reread, too."""
        self._embedder, self._keys = embedder, keys
        self._last_declared = embedder.declared()
        self.on_settings: list[Callable[[ServiceSettings], None]] = []
        """Called with other settings when they are taken up."""
        self.files: dict[str, Callable[[], None]] = {}
        """Read files again, by what they hold. They raise NestvecError, and what was read before remains."""
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._requested = False
        self._task: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[EncoderChanges]] = set()

    def start(self) -> None:
        """Accept requests to reload on the running loop; one that came earlier is carried out now."""
        self._loop = asyncio.get_running_loop()
        if self._requested:
            self._start_reload()

    async def close(self) -> None:
        """Stop reloading."""
        self._loop = None
        tasks = [task for task in (self._task, *self._reloads) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def aliases(self) -> Mapping[str, str]:
        """The aliases now, with the encoder of each."""
        return self._embedder.encoders.aliases

    async def reload(self) -> EncoderChanges:
        """Read keys, files, options and encoders again. What cannot be read stays as it was, and is reported.

        Aliases that were switched at run time stay, unless the config file declares others than before.
        Raises ServiceError if the service cannot reload, two encoders have one name or one is larger than the
        memory budget, AliasInvalid, and then no encoder and no option has changed. Once begun, it is carried
        out even if the caller is cancelled.
        """
        reloader = self._embedder.reloader
        if reloader is None:
            raise ServiceError(
                "this service cannot reload its encoders", next_step="Run nestvec serve, or restart it."
            )
        task = asyncio.create_task(self._reload(reloader), name="nestvec-reload-work", context=Context())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        return await asyncio.shield(task)

    async def _reload(self, reloader: Reloader) -> EncoderChanges:
        async with self._lock:
            failed: dict[str, NestvecError] = {}
            for keys in self._keys:
                _collect_error(failed, "keys", keys.reload)
            for name, read in self.files.items():
                _collect_error(failed, name, read)
            before = declared = self._last_declared

            def read_declared() -> None:
                nonlocal declared
                declared = self._embedder.declared()

            _collect_error(failed, "config", read_declared)
            aliases = self._embedder.encoders.aliases
            if declared.aliases != before.aliases:
                aliases = declared.aliases
            settings = self._embedder.settings
            # Before the encoders: a new one may need a larger budget, and one that goes does not count.
            self._apply(declared.settings, reloader.remaining(declared.encoders))
            try:
                changes = await reloader.reload(aliases, declared.encoders)
            except NestvecError:
                self._apply(settings)
                raise
            self._last_declared = declared
            changes.failed |= failed
            changes.options = changed_options(before, declared)
            changes.needs_restart = list(declared.needs_restart)
            _log_options(changes)
            return changes

    def _apply(
        self, settings: ServiceSettings | None, instances: Sequence[EncoderInstance] | None = None
    ) -> None:
        """Take up settings if they are others. Raises ServiceError, and then nothing has changed."""
        if settings is None or settings == self._embedder.settings:
            return
        apply_settings(self._embedder, settings, instances)
        for apply in self.on_settings:
            apply(settings)

    async def switch_aliases(self, changes: Mapping[str, str | None]) -> Mapping[str, str]:
        """Set aliases, or remove those whose encoder is None, all at once; returns all that there are then.

        Raises AliasInvalid, and then nothing has changed.
        """
        async with self._lock:
            catalog = self._embedder.encoders
            aliases = {**catalog.aliases, **changes}
            catalog.set_aliases({alias: name for alias, name in aliases.items() if name is not None})
            for alias, name in changes.items():
                logger.warning("alias %s %s", alias, f"stands for {name}" if name else "removed")
            return {alias: name for alias, name in aliases.items() if name is not None}

    def request_reload(self) -> None:
        """Have the loop reload soon. For signal handlers."""
        self._requested = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._start_reload)

    def _start_reload(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._reload_and_log(), name="nestvec-reload", context=Context())

    async def _reload_and_log(self) -> None:
        # Again, if another request came in the meantime: it may be about files that were read before it.
        while self._requested:
            self._requested = False
            try:
                changes = await self.reload()
            except NestvecError as error:
                logger.error("not reloaded: %s", error)
            except Exception:
                logger.exception("not reloaded")
            else:
                logger.warning(
                    "reloaded: %d encoders added, %d replaced, %d removed, %d failed",
                    *map(len, (changes.added, changes.replaced, changes.removed, changes.failed)),
                )


def _log_options(changes: EncoderChanges) -> None:
    for name in changes.options:
        logger.warning("option %s changed", name)
    for name in changes.needs_restart:
        logger.warning("option %s has changed too, and needs a restart", name)


def _collect_error(failed: dict[str, NestvecError], name: str, read: Callable[[], object]) -> None:
    try:
        read()
    except NestvecError as error:
        failed[name] = error
        logger.error("%s were not reloaded: %s", name, error)
