"""What the catalogs show of views: their queries, and the columns that these return."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from nestvec.collections.stored_views import StoredView, readable_views
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.pgwire.outcome import result_fields
from nestvec.pgwire.protocol.responses import Field
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.source import SourceText
from nestvec.sql.session import Session
from nestvec.sql.statements.select import select_rows
from nestvec_schemas.errors import NestvecError


@dataclass(frozen=True)
class ShownView:
    """A view with its columns."""

    name: str
    definition: str
    columns: tuple[Field, ...] = ()
    """None if its query fails: a table of it may be gone."""


class ShownViews:
    """Reads the views of a database; the query of one runs, for no rows, when it or a collection changed."""

    def __init__(self) -> None:
        self._tables: tuple[Table, ...] = ()
        self._views: tuple[ShownView, ...] = ()
        self._columns = dict[tuple[str, StoredView], tuple[Field, ...]]()

    def read(self, session: Session, tables: tuple[Table, ...]) -> Steps[tuple[ShownView, ...]]:
        """The views; those of before while ``tables`` is the very tuple of before."""
        if tables and tables is self._tables:
            return self._views
        earlier = self._columns if tables == self._tables else {}
        stored = yield from readable_views()
        views, columns = list[ShownView](), dict[tuple[str, StoredView], tuple[Field, ...]]()
        for name, view in sorted(stored.items()):
            fields = earlier.get((name, view)) or (yield from _columns(session, name))
            columns[name, view] = fields
            views.append(ShownView(name, view.query, fields))
        self._tables, self._views, self._columns = tables, tuple(views), columns
        return self._views


def _columns(session: Session, name: str) -> Steps[tuple[Field, ...]]:
    table = exp.Table(this=exp.to_identifier(name, quoted=True))
    query = exp.select("*").from_(table).limit(0)
    try:
        return result_fields((yield from select_rows(session, SourceText(""), query, Params())))
    except NestvecError:
        return ()
