"""Tables of the caller, which statements read by name beside collections."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from nestvec.dbapi.errors import interface_error
from nestvec.sql.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

_WRITE: Final = "Pass an Arrow table, a data frame of pandas or Polars, or a dict of columns."


def register_table(session: Session, name: str, data: Any) -> None:
    """Let statements read ``data`` as the table ``name``. Raises InterfaceError if it is not a table."""
    if not name or not isinstance(name, str) or "\0" in name:
        raise interface_error("a table needs a name", "Pass a name such as 'ratings'.")
    session.caller.tables = {**session.caller.tables, name: _as_arrow(data)}


def unregister_table(session: Session, name: str) -> None:
    """Forget a table of the caller. Raises InterfaceError if there is none of this name."""
    if name not in session.caller.tables:
        names = ", ".join(session.caller.tables) or "none"
        raise interface_error("there is no registered table of this name", f"Registered: {names}.")
    session.caller.tables = {key: table for key, table in session.caller.tables.items() if key != name}


def attach_server(session: Session, name: str, address: str) -> None:
    """Let statements read the tables of a PostgreSQL server. Raises InterfaceError."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or name == "public":
        raise interface_error("a server needs a name in lower case", "Pass a name such as 'shop'.")
    if not isinstance(address, str) or "\0" in address:
        raise interface_error("a server needs a connection string", "Pass host=… dbname=… user=…, or a URI.")
    session.caller.postgres = {**session.caller.postgres, name: address}


def _as_arrow(data: Any) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415

    try:
        if isinstance(data, pa.Table):
            return data
        if type(data).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(data, preserve_index=False)
        if hasattr(data, "to_arrow"):
            return pa.table(data.to_arrow())
        return pa.table(data)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise interface_error(f"{type(data).__name__} is not a table", _WRITE) from error
