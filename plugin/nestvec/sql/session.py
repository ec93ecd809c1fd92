"""What a connection remembers between statements: collections, settings, what is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from pymilvus.client.types import LoadState
from sqlglot import exp

from nestvec.ingest.image_check import seeing
from nestvec.milvus.catalog import Embedding, Table, table_steps
from nestvec.milvus.steps import Job, Steps, call
from nestvec.service.in_process import running
from nestvec.sql.parse.source import Source, folded
from nestvec.sql.plan.remembered import PlanCache
from nestvec.sql.settings import SessionSettings
from nestvec_schemas.errors import CollectionNotFound, SqlUnknownName, nearest


@dataclass
class Session:
    """State of one connection. ``tables`` holds collections as they were last read, by the name asked for.

    A remembered collection may have changed since (``outdated``). ``defaults`` are the settings as they were
    at first, to which RESET returns. Statements may run at a time, so nothing here is of one statement.
    """

    settings: SessionSettings = field(default_factory=SessionSettings)
    tables: dict[str, Table] = field(default_factory=dict)
    plan_cache: PlanCache = field(default_factory=PlanCache)
    _loaded: set[str] = field(default_factory=set)
    _image_embeddings: dict[str, tuple[Embedding, ...]] = field(default_factory=dict)
    _partitions: dict[str, set[str]] = field(default_factory=dict)
    _lite: bool | None = None
    _service_stack: ExitStack = field(default_factory=ExitStack)
    _running_services: set[str] = field(default_factory=set)
    _start_lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.defaults = self.settings

    def table(self, source: Source, node: exp.Table) -> Steps[Table]:
        """The collection that a node names, as PostgreSQL reads names. Raises SqlUnknownName, StoreError."""
        cached = self.cached_table(node)
        if cached is not None:
            return cached
        quoted, lower = str(node.this.this), folded(node.this)
        for name in dict.fromkeys((lower, quoted)):
            try:
                self.tables[name] = yield from table_steps(name)
            except CollectionNotFound:
                continue
            return self.tables[name]
        names = sorted((yield call("listing the collections", "list_collections")))
        available = f"There: {', '.join(names)}." if names else "The database is empty."
        raise source.unknown_name(
            "there is no collection of this name", lower, node, available + nearest(lower, names)
        )

    def cached_table(self, node: exp.Table) -> Table | None:
        """The collection that a node names, where it is remembered."""
        return self.tables.get(folded(node.this)) or self.tables.get(str(node.this.this))

    def forget(self, *names: str) -> None:
        """Read these collections anew when they are next asked for, whatever alias they go by."""
        stale_keys = [one for one, table in self.tables.items() if one in names or table.name in names]
        for one in stale_keys:
            name = self.tables.pop(one).name
            self._loaded.discard(name)
            self._partitions.pop(name, None)
            self._image_embeddings.pop(name, None)

    def refresh_changed(self, tree: exp.Expr, remembered: Collection[str]) -> Steps[bool]:
        """Read again those collections of ``tree`` that were ``remembered``: whether any has changed."""
        identifiers = [one.this for one in tree.find_all(exp.Table) if isinstance(one.this, exp.Identifier)]
        named = {name for one in identifiers for name in (folded(one), str(one.this))}
        before = {name: self.tables[name] for name in named.intersection(remembered) if name in self.tables}
        self.forget(*before)
        changed = False
        for name, table in before.items():
            try:
                self.tables[name] = yield from table_steps(name)
            except CollectionNotFound:
                changed = True
            else:
                changed |= self.tables[name] != table
        return changed

    def ensure_served(self, services: Iterable[str]) -> Steps[None]:
        """Have these services answer, where the settings say from which models they may be run here."""
        models = self.settings.models
        missing = [service for service in services if service not in self._running_services]
        if models is None or not missing:
            return
        yield Job(lambda client: self._start_services(missing, models))

    def image_embeddings(self, table: Table) -> Steps[tuple[Embedding, ...]]:
        """The table's embeddings whose encoders read pictures, as they were first asked for; none where the
        service's own setting counts."""
        if self.settings.on_error == "service":
            return ()
        if table.embeddings and table.name not in self._image_embeddings:
            self._image_embeddings[table.name] = yield Job(lambda client: seeing(table))
        return self._image_embeddings.get(table.name, ())

    def _start_services(self, services: Iterable[str], models: Path) -> None:
        # Statements of one connection may run at a time; the first of them starts what they all need.
        with self._start_lock:
            missing = [service for service in services if service not in self._running_services]
            self._service_stack.enter_context(running(missing, models))
            self._running_services.update(missing)

    def close(self) -> None:
        """End the services that were brought up here."""
        self._service_stack.close()
        self._running_services.clear()

    def is_lite(self) -> Steps[bool]:
        """Whether the server is Milvus Lite."""
        if self._lite is None:
            version = yield call("asking for the server's version", "get_server_version")
            self._lite = "lite" in str(version).lower()
        return self._lite

    def ensure_loaded(self, collection: str) -> Steps[None]:
        """Load a collection of Milvus Lite, which opens with none loaded; a server's are its operator's.

        Raises SqlUnknownName where it lacks a partition that reads are to look in: Lite would find nothing.
        """
        yield from self._check_partitions(collection)
        if collection in self._loaded:
            return
        doing = f"loading collection {collection}"
        state = yield call(doing, "get_load_state", collection)
        if state["state"] == LoadState.NotLoad and (yield from self.is_lite()):
            yield call(doing, "load_collection", collection)
        self._loaded.add(collection)

    def _check_partitions(self, collection: str) -> Steps[None]:
        selected = self.settings.partitions
        if not set(selected) - self._partitions.get(collection, set()):
            return
        existing = yield call(f"listing the partitions of {collection}", "list_partitions", collection)
        self._partitions[collection] = set(existing)
        missing = next((name for name in selected if name not in existing), None)
        if missing is not None:
            raise SqlUnknownName(
                f"{collection} has no partition of this name",
                value=missing,
                next_step=f"SET nestvec.partitions to some of: {', '.join(existing)}.{nearest(missing, existing)}",
            )

    def search_params(self, limit: int) -> dict[str, Any]:
        """How widely a search for ``limit`` rows looks, among its ``search_params``."""
        settings, widths = self.settings, dict[str, int]()
        if settings.ef_search:
            # Milvus refuses fewer candidates than rows.
            widths["ef"] = max(settings.ef_search, limit)
        if settings.probes:
            widths["nprobe"] = settings.probes
        return {"params": widths} if widths else {}

    def read_options(self) -> dict[str, Any]:
        """What every read is asked with."""
        settings = self.settings
        options: dict[str, Any] = {"consistency_level": settings.consistency} if settings.consistency else {}
        return options | ({"partition_names": list(settings.partitions)} if settings.partitions else {})
