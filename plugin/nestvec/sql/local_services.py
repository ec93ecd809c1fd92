"""The embedding services that a connection runs in this process, where none answers at their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from nestvec.milvus.catalog import Table
from nestvec.service.in_process import compare_encoders, serve_in_process

_Compared = tuple[str, str, tuple[str | None, ...]]
"""A service, a collection, and the fingerprints that it recorded: it may be created again."""


def _compared(address: str, table: Table) -> _Compared:
    return address, table.name, tuple(embedding.config.fingerprint for embedding in table.embeddings)


def _is_unguarded(address: str, table: Table) -> bool:
    """Whether Milvus requests vectors of a table from a service without naming their encoder: it is compared
    before each statement then."""
    return any(column.service == address and not column.is_guarded for column in table.embeddings)


@dataclass
class LocalServices:
    """The services that a session runs in this process, where none answers at their addresses."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _addresses: set[str] = field(default_factory=set)
    _compared: set[_Compared] = field(default_factory=set)
    """Services with the collections whose encoders were compared with theirs."""

    _lock: Lock = field(default_factory=Lock)

    def missing(self, addresses: Iterable[str], tables: Sequence[Table] = ()) -> list[str]:
        """The addresses for which none was started yet, or not compared with the encoders of a table."""
        return [
            address
            for address in addresses
            if address not in self._addresses
            or any(
                address in table.services
                and (_compared(address, table) not in self._compared or _is_unguarded(address, table))
                for table in tables
            )
        ]

    def start(self, addresses: Iterable[str], models: Path | None, tables: Sequence[Table] = ()) -> None:
        """Start those that are missing, from a model repository, and compare their encoders with the tables'.

        Raises ServiceUnreachable, ServiceRefused; those before the one that is at fault keep running.
        """
        # Statements of one connection may run concurrently: the first one starts what all of them need.
        with self._lock:
            for address in self.missing(addresses, tables):
                if models is None or address in self._addresses:
                    compare_encoders([address], tables)
                else:
                    self._stack.enter_context(serve_in_process([address], models, tables=tables))
                self._addresses.add(address)
                self._compared.update(_compared(address, table) for table in tables)

    def close(self) -> None:
        """Stop all of them."""
        self._stack.close()
        self._addresses.clear()
        self._compared.clear()
