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

from nestvec.catalog import Embedding, Table, table_steps
from nestvec.embedded import running
from nestvec.ingest.seeing import seeing
from nestvec.sql.language.source import Source, folded
from nestvec.sql.plan.remembered import Plans
from nestvec.sql.settings import Settings
from nestvec.steps import Job, Steps, call
from nestvec_schemas.errors import CollectionNotFound, SqlUnknownName, nearest


@dataclass
class Session:
    """State of one connection. ``tables`` holds collections as they were last read, by the name asked for.

    A remembered collection may have changed since (``outdated``). ``defaults`` are the settings as they were
    at first, to which RESET returns. Statements may run at a time, so nothing here is of one statement.
    """

    settings: Settings = field(default_factory=Settings)
    tables: dict[str, Table] = field(default_factory=dict)
    plans: Plans = field(default_factory=Plans)
    _loaded: set[str] = field(default_factory=set)
    _seeing: dict[str, tuple[Embedding, ...]] = field(default_factory=dict)
    _partitions: dict[str, set[str]] = field(default_factory=dict)
    _lite: bool | None = None
    _serving: ExitStack = field(default_factory=ExitStack)
    _served: set[str] = field(default_factory=set)
    _starting: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.defaults = self.settings

    def table(self, source: Source, node: exp.Table) -> Steps[Table]:
        """The collection that a node names, as PostgreSQL reads names. Raises SqlUnknownName, StoreError."""
        known = self.known(node)
        if known is not None:
            return known
        written, lower = str(node.this.this), folded(node.this)
        for name in dict.fromkeys((lower, written)):
            try:
                self.tables[name] = yield from table_steps(name)
            except CollectionNotFound:
                continue
            return self.tables[name]
        names = sorted((yield call("listing the collections", "list_collections")))
        there = f"There: {', '.join(names)}." if names else "The database is empty."
        raise source.unknown_name(
            "there is no collection of this name", lower, node, there + nearest(lower, names)
        )

    def known(self, node: exp.Table) -> Table | None:
        """The collection that a node names, where it is remembered."""
        return self.tables.get(folded(node.this)) or self.tables.get(str(node.this.this))

    def forget(self, *names: str) -> None:
        """Read these collections anew when they are next asked for, whatever alias they go by."""
        gone = [one for one, table in self.tables.items() if one in names or table.name in names]
        for one in gone:
            name = self.tables.pop(one).name
            self._loaded.discard(name)
            self._partitions.pop(name, None)
            self._seeing.pop(name, None)

    def outdated(self, tree: exp.Expr, remembered: Collection[str]) -> Steps[bool]:
        """Read again those collections of ``tree`` that were ``remembered``: whether any has changed."""
        written = [one.this for one in tree.find_all(exp.Table) if isinstance(one.this, exp.Identifier)]
        named = {name for one in written for name in (folded(one), str(one.this))}
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

    def served(self, services: Iterable[str]) -> Steps[None]:
        """Have these services answer, where the settings say from which models they may be run here."""
        models = self.settings.models
        wanted = [one for one in services if one not in self._served]
        if models is None or not wanted:
            return
        yield Job(lambda client: self._serve(wanted, models))

    def seeing(self, table: Table) -> Steps[tuple[Embedding, ...]]:
        """The table's embeddings whose encoders read pictures, as they were first asked for; none where the
        service's own setting counts."""
        if self.settings.on_error == "service":
            return ()
        if table.embeddings and table.name not in self._seeing:
            self._seeing[table.name] = yield Job(lambda client: seeing(table))
        return self._seeing.get(table.name, ())

    def _serve(self, services: Iterable[str], models: Path) -> None:
        # Statements of one connection may run at a time; the first of them starts what they all need.
        with self._starting:
            wanted = [one for one in services if one not in self._served]
            self._serving.enter_context(running(wanted, models))
            self._served.update(wanted)

    def close(self) -> None:
        """End the services that were brought up here."""
        self._serving.close()
        self._served.clear()

    def lite(self) -> Steps[bool]:
        """Whether the server is Milvus Lite."""
        if self._lite is None:
            version = yield call("asking for the server's version", "get_server_version")
            self._lite = "lite" in str(version).lower()
        return self._lite

    def loaded(self, collection: str) -> Steps[None]:
        """Load a collection of Milvus Lite, which opens with none loaded; a server's are its operator's.

        Raises SqlUnknownName where it lacks a partition that reads are to look in: Lite would find nothing.
        """
        yield from self._check_partitions(collection)
        if collection in self._loaded:
            return
        doing = f"loading collection {collection}"
        state = yield call(doing, "get_load_state", collection)
        if state["state"] == LoadState.NotLoad and (yield from self.lite()):
            yield call(doing, "load_collection", collection)
        self._loaded.add(collection)

    def _check_partitions(self, collection: str) -> Steps[None]:
        wanted = self.settings.partitions
        if not set(wanted) - self._partitions.get(collection, set()):
            return
        there = yield call(f"listing the partitions of {collection}", "list_partitions", collection)
        self._partitions[collection] = set(there)
        missing = next((name for name in wanted if name not in there), None)
        if missing is not None:
            raise SqlUnknownName(
                f"{collection} has no partition of this name",
                value=missing,
                next_step=f"SET nestvec.partitions to some of: {', '.join(there)}.{nearest(missing, there)}",
            )

    def searching(self, limit: int) -> dict[str, Any]:
        """How widely a search for ``limit`` rows looks, among its ``search_params``."""
        settings, widths = self.settings, dict[str, int]()
        if settings.ef_search:
            # Milvus refuses fewer candidates than rows.
            widths["ef"] = max(settings.ef_search, limit)
        if settings.probes:
            widths["nprobe"] = settings.probes
        return {"params": widths} if widths else {}

    def reading(self) -> dict[str, Any]:
        """What every read is asked with."""
        settings = self.settings
        asked: dict[str, Any] = {"consistency_level": settings.consistency} if settings.consistency else {}
        return asked | ({"partition_names": list(settings.partitions)} if settings.partitions else {})
