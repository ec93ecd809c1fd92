"""What a connection keeps between statements: settings, collections, plans, running services."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymilvus.client.types import LoadState
from sqlglot import exp

from nestvec.collections.stored_views import readable_views
from nestvec.ingest.image_check import image_columns
from nestvec.ingest.write.patience import Patience, Waiting, wait_for_service
from nestvec.ingest.write.waiting_lines import WaitingLines
from nestvec.milvus.catalog import LOCKS_COLLECTION, EmbeddingColumn, Table, table_steps
from nestvec.milvus.process_changes import PROCESS_CHANGES, TABLE_SECONDS
from nestvec.milvus.server_version import ServerVersion, parse_version
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.local_services import LocalServices
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.parse.view_errors import view_error
from nestvec.sql.plan.cache import PlanCache
from nestvec.sql.schema_changes import MAPPED_SECONDS, depends_on_columns, is_described
from nestvec.sql.search_cache import SearchCache
from nestvec.sql.settings import SessionSettings
from nestvec_schemas.errors import CollectionNotFound, SqlUnknownName, StoreError, nearest

logger = logging.getLogger(__name__)

_MAX_NOTICES: Final = 256


@dataclass
class WriteState:
    """What a session has changed, and who else may."""

    shared: bool = True
    """Whether other processes may write to the same Milvus; none can to a ``.db`` that this one opened."""
    changes: int = 0
    """Statements that changed something since the last COMMIT."""
    settings_before_local: SessionSettings | None = None
    """What the settings are again after COMMIT or ROLLBACK; None unless SET LOCAL changed one."""
    savepoints: list[tuple[str, int]] = field(default_factory=list)
    """The names of the savepoints, each with the changes that were made before it."""


@dataclass(frozen=True)
class PreparedStatement:
    """A statement that PREPARE keeps."""

    text: str
    types: tuple[str, ...] = ()
    """The types of its parameters, as PREPARE names them."""


@dataclass
class CallerData:
    """What statements may read besides collections."""

    tables: dict[str, Any] = field(default_factory=dict)
    """Arrow tables by name; they hide collections of the same name."""
    postgres: dict[str, str] = field(default_factory=dict, repr=False)
    """Connection strings of PostgreSQL servers, by the first part of server.schema.table."""
    files: bool = True
    """Whether statements may read and write files of this machine: read_parquet('…'), COPY."""
    prepared: dict[str, PreparedStatement] = field(default_factory=dict)
    """The statements of PREPARE, by their names."""


@dataclass
class Notices:
    """What is told once about how statements run."""

    _texts: set[str] = field(default_factory=set)
    _pending: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Tell it, unless it was told before; a warning of this module's logger."""
        if text in self._texts or len(self._texts) >= _MAX_NOTICES:
            return
        self._texts.add(text)
        self._pending.append(text)
        logger.warning("%s", text)

    def take(self) -> tuple[str, ...]:
        """The notices since the last call, for a client that shows them."""
        pending, self._pending = tuple(self._pending), []
        return pending


@dataclass
class CollectionFacts:
    """What was read of collections once, by their names."""

    image_embeddings: dict[str, tuple[EmbeddingColumn, ...]] = field(default_factory=dict)
    """The embeddings whose encoders read images."""
    partitions: dict[str, set[str]] = field(default_factory=dict)
    """The names of the partitions."""
    searches: SearchCache = field(default_factory=SearchCache)
    """What searches are chosen by."""
    read_at: dict[str, tuple[Table, float]] = field(default_factory=dict)
    """When each table of the session was read, by the names that statements use."""
    compared_at: dict[str, float] = field(default_factory=dict)
    """When the columns of a table were last compared with those in Milvus."""
    process_changes: int = field(default_factory=lambda: PROCESS_CHANGES.count)
    """The changes of this process that the session knows of."""
    notices: Notices = field(default_factory=Notices)
    """What was told about how they are searched."""


@dataclass
class Session:
    """State of one connection, whose statements may run concurrently: nothing here belongs to one of them."""

    settings: SessionSettings = field(default_factory=SessionSettings)
    tables: dict[str, Table] = field(default_factory=dict)
    """Collections as they were last read, by the names that statements use; see ``refresh_changed``."""
    caller: CallerData = field(default_factory=CallerData)
    plan_cache: PlanCache = field(default_factory=PlanCache)
    waiting: Callable[[Waiting], None] = field(default_factory=lambda: WaitingLines(logger.warning))
    """Called before each wait of a write for a service or a Milvus that does not respond."""
    writes: WriteState = field(default_factory=WriteState)
    """What is to know of the changes that statements make."""
    _services: LocalServices = field(default_factory=LocalServices)
    _loaded: set[str] = field(default_factory=set)
    _facts: CollectionFacts = field(default_factory=CollectionFacts)
    _version: ServerVersion | None = None

    def __post_init__(self) -> None:
        self.defaults = self.settings
        """The initial settings, which RESET restores."""

    @property
    def search_cache(self) -> SearchCache:
        """What searches are chosen by, as it was read last."""
        return self._facts.searches

    @property
    def notices(self) -> Notices:
        """What is told once about how statements run."""
        return self._facts.notices

    def table(self, source: SourceText, node: exp.Table) -> Steps[Table]:
        """The collection that a node names, folded as in PostgreSQL. Raises SqlUnknownName, StoreError."""
        cached = self.cached_table(node)
        if cached is not None:
            return cached
        quoted, lower = str(node.this.this), identifier_name(node.this)
        for name in dict.fromkeys((lower, quoted)):
            try:
                table = yield from table_steps(name)
            except CollectionNotFound:
                continue
            self._facts.read_at[name] = (table, self.search_cache.clock())
            self.tables[name] = table
            return table
        if lower in (yield from readable_views()):
            raise view_error(source, node, lower)
        listed = yield call("listing the collections", "list_collections")
        names = sorted(set(listed) - {LOCKS_COLLECTION})
        available = f"Available: {', '.join(names)}." if names else "The database is empty."
        raise source.unknown_name(
            "there is no collection of this name", lower, node, available + nearest(lower, names)
        )

    def collection(self, name: str) -> Table | None:
        """A collection by its name in Milvus, where the session holds it."""
        table = self.tables.get(name)
        if table is not None and table.name == name:
            return table
        return next((table for table in self.tables.values() if table.name == name), None)

    def cached_table(self, node: exp.Table) -> Table | None:
        """The collection that a node names, where the session holds it."""
        return self.tables.get(identifier_name(node.this)) or self.tables.get(str(node.this.this))

    def forget(self, *names: str) -> None:
        """Read these collections again on their next use, under any alias."""
        stale_keys = [key for key, table in self.tables.items() if key in names or table.name in names]
        for key in stale_keys:
            name = self.tables.pop(key).name
            self._loaded.discard(name)
            self._facts.partitions.pop(name, None)
            self.search_cache.forget(name)
            self._facts.image_embeddings.pop(name, None)

    def refresh_aged(self, tree: exp.Expr, *, compare: bool = False) -> Steps[None]:
        """Read the collections of a statement again that were read ``TABLE_SECONDS`` ago, or whose encoder is
        being upgraded, or after another session of this process changed something.

        Another process may have given one another index, or another collection its name: Milvus refuses
        some statements then, but not all that would be planned wrongly. Vectors of the encoder of before
        would be compared with those of the new one, if they are as long. Where the meaning of a statement
        depends on which columns there are, or with ``compare``, they are compared with those in Milvus.
        """
        now, read_at, aged = self.search_cache.clock(), self._facts.read_at, list[str]()
        if self._facts.process_changes != PROCESS_CHANGES.count:
            self._facts.process_changes = PROCESS_CHANGES.count
            read_at.update({name: (table, -math.inf) for name, table in self.tables.items()})
        compared = list(self.tables) if compare or (self.tables and depends_on_columns(tree)) else []
        for name, table in list(self.tables.items()):
            before, since = read_at.get(name, (None, now))
            if before is not table:
                read_at[name] = (table, now)
                since = now
            if now - since >= TABLE_SECONDS or (
                table.embeddings and any(item.upgrade is not None for item in table.embeddings)
            ):
                aged.append(name)
            elif table.mapped and now - self._facts.compared_at.get(name, since) >= MAPPED_SECONDS:
                compared.append(name)
        if not aged and not compared:
            return
        for name in named_tables(tree).intersection((*aged, *compared)):
            before = self.tables.get(name)
            if before is None:
                continue
            if name not in aged:
                yield from self._compare_columns(name, before)
            elif (yield from self._reread(name, before)):
                read_at[name] = (before, now)

    def _compare_columns(self, name: str, before: Table) -> Steps[None]:
        """Read a collection again if its columns are not what they were."""
        try:
            described = yield call(f"reading collection {name}", "describe_collection", name)
        except StoreError:
            # The statement meets it too, and may wait for Milvus.
            return
        self._facts.compared_at[name] = self.search_cache.clock()
        if not is_described(before, described):
            yield from self._reread(name, before)

    def note_schema_change(self) -> None:
        """Have the other sessions of this process read their collections again."""
        if PROCESS_CHANGES.add() == self._facts.process_changes:
            self._facts.process_changes += 1

    def _reread(self, name: str, before: Table) -> Steps[bool]:
        """Whether a collection is what it was; the session forgets it, or holds the new one, if it is not."""
        try:
            table = yield from table_steps(name)
        except CollectionNotFound:
            self.forget(name)
            return False
        except StoreError:
            # The statement meets it too, and may wait for Milvus.
            return False
        if table == before:
            return True
        self.forget(name)
        self._facts.read_at[name] = (table, self.search_cache.clock())
        self.tables[name] = table
        return False

    def refresh_changed(self, tree: exp.Expr, remembered: Collection[str]) -> Steps[bool]:
        """Read the ``remembered`` collections of a statement again; whether any has changed."""
        named = named_tables(tree)
        before = {name: self.tables[name] for name in named.intersection(remembered) if name in self.tables}
        self.forget(*before)
        changed = False
        for name, table in before.items():
            try:
                self.tables[name] = yield from table_steps(name)
            except CollectionNotFound:
                changed = True
            else:
                self._facts.read_at[name] = (self.tables[name], self.search_cache.clock())
                changed |= self.tables[name] != table
        return changed

    def patience(self) -> Patience:
        """How long one statement that writes waits, as ``nestvec.retry_seconds`` says."""
        return Patience(self.settings.retry_seconds, waiting=self.waiting)

    def ensure_served(self, services: Iterable[str], patience: Patience | None = None) -> Steps[None]:
        """Start these services if none answers and the settings have a model repository for it.

        One that is not there is waited for with ``patience``, or else an error at once. Raises
        ServiceUnreachable, ServiceRefused for a service with another encoder than a collection's.
        """
        models, tables = self.settings.models, list(self.tables.values())
        missing = self._services.missing(services, tables)
        if missing:
            start = partial(self._services.start, missing, models, tables)
            # Nothing is locked during the waits: other statements fail or succeed meanwhile.
            wait = start if patience is None else partial(wait_for_service, patience, start)
            yield BlockingCall(lambda client: wait())

    def image_embeddings(self, table: Table) -> Steps[tuple[EmbeddingColumn, ...]]:
        """The embeddings whose encoders read images; none if ``nestvec.on_error`` is ``zero``."""
        if self.settings.on_error == "zero":
            return ()
        if table.embeddings and table.name not in self._facts.image_embeddings:
            self._facts.image_embeddings[table.name] = yield BlockingCall(lambda client: image_columns(table))
        return self._facts.image_embeddings.get(table.name, ())

    def close(self) -> None:
        """Stop the services that this session started."""
        self._services.close()

    def is_lite(self) -> Steps[bool]:
        """Whether the server is Milvus Lite."""
        return (yield from self.server_version()).lite

    def server_version(self) -> Steps[ServerVersion]:
        """The version of the server, asked once."""
        if self._version is None:
            text = yield call("reading the server's version", "get_server_version")
            self._version = parse_version(str(text))
        return self._version

    def ensure_loaded(self, collection: str) -> Steps[None]:
        """Load a collection that is not loaded: Milvus Lite opens with none, and any client may release one.

        Raises SqlUnknownName for a partition of the settings that is missing: Lite would find nothing.
        """
        if self.settings.partitions:
            yield from self._check_partitions(collection)
        if collection in self._loaded:
            return
        doing = f"loading collection {collection}"
        state = yield call(doing, "get_load_state", collection)
        if state["state"] == LoadState.NotLoad:
            yield call(doing, "load_collection", collection)
        self._loaded.add(collection)

    def _check_partitions(self, collection: str) -> Steps[None]:
        selected = self.settings.partitions
        if not set(selected) - self._facts.partitions.get(collection, set()):
            return
        existing = yield call(f"listing the partitions of {collection}", "list_partitions", collection)
        self._facts.partitions[collection] = set(existing)
        missing = next((name for name in selected if name not in existing), None)
        if missing is not None:
            raise SqlUnknownName(
                f"{collection} has no partition of this name",
                value=missing,
                next_step=f"Available: {', '.join(existing)}.{nearest(missing, existing)}",
            )

    def read_options(self) -> dict[str, Any]:
        """Arguments of every read: consistency and partitions."""
        settings = self.settings
        options: dict[str, Any] = {"consistency_level": settings.consistency} if settings.consistency else {}
        return options | ({"partition_names": list(settings.partitions)} if settings.partitions else {})


def named_tables(tree: exp.Expr) -> set[str]:
    """The names of tables in a statement, folded and as they are written."""
    nodes = [node.this for node in tree.find_all(exp.Table) if isinstance(node.this, exp.Identifier)]
    return {name for node in nodes for name in (identifier_name(node), str(node.this))}
