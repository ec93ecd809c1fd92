"""The options of COPY, as in PostgreSQL, and those of ``nestvec ingest``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from sqlglot import exp

from nestvec.datasets.readers import FORMATS, ReadOptions, open_source
from nestvec.ingest import IngestOptions
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.catalog import Table
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec_schemas.errors import IngestError, nearest

Header = Literal["true", "false", "match"]

_TRUE: Final = ("true", "on", "1", "yes")
_FALSE: Final = ("false", "off", "0", "no")

WITHOUT_FORMAT: Final = dict.fromkeys(("CSV", "TEXT", "BINARY"), "Write WITH (FORMAT csv, HEADER).")
"""What is to be written instead of the options that PostgreSQL before 9.0 had."""


@dataclass(frozen=True)
class CopyOptions:
    """The options of one COPY."""

    format: str | None = None
    header: Header = "true"
    cells: ReadOptions = ReadOptions()  # noqa: RUF009 - frozen
    """How the file is read, apart from its header."""

    renamed: tuple[tuple[str, str], ...] = ()
    """Columns of the file with the table's columns that they fill."""

    ignore_extra: bool = False
    restart: bool = False
    rejects: Path | None = None

    def reading(self, table: Table, selected: tuple[str, ...] | None) -> ReadOptions:
        """How the file is read: without a header, its columns are those selected, else those of the table."""
        return replace(self.cells, columns=_names(table, selected) if self.header == "false" else None)

    def columns(self, selected: tuple[str, ...] | None) -> ColumnMap:
        """Which columns of the file fill which columns of the table."""
        return ColumnMap(dict(self.renamed), selected, self.ignore_extra)

    def check_header(
        self, path: Path, options: IngestOptions, table: Table, selected: tuple[str, ...] | None
    ) -> None:
        """Raise IngestError if the header must match the columns, and does not."""
        if self.header != "match":
            return
        header, names = open_source(path, options.kind, options.reading).columns, _names(table, selected)
        if header != names:
            raise IngestError(
                f"the header of {path} does not match the columns",
                value=", ".join(header or ("no header",)),
                next_step=f"Write {', '.join(names)}, or omit HEADER match.",
            )


def _names(table: Table, selected: tuple[str, ...] | None) -> tuple[str, ...]:
    return selected or tuple(column.name for column in row_schema(table).expected)


def parse_options(scope: Scope, nodes: Sequence[exp.Expr]) -> CopyOptions:
    """The options of a statement. Raises SqlError, which points at the option, and FileUnreadable."""
    values: dict[str, Any] = {}
    for node in nodes:
        name = str(node.this.name).upper()
        parse = _OPTIONS.get(name)
        if parse is None:
            available = f"Available: {', '.join(_OPTIONS)}.{nearest(name, _OPTIONS)}"
            instead = WITHOUT_FORMAT.get(name, available)
            raise scope.source.unknown_name("COPY has no option of this name", name, node, instead)
        if name in values:
            raise scope.source.syntax_error(f"{name} occurs twice", node, "Write each option once.")
        values[name] = parse(scope, node, name)
    return CopyOptions(
        format=values.get("FORMAT"),
        header=values.get("HEADER", "true"),
        cells=ReadOptions(
            delimiter=values.get("DELIMITER"),
            quote=values.get("QUOTE", '"'),
            escape=values.get("ESCAPE"),
            encoding=values.get("ENCODING"),
            nulls=values.get("NULL", ()),
            limit=values.get("ROW_LIMIT"),
        ),
        renamed=values.get("MAP", ()),
        ignore_extra=values.get("IGNORE_EXTRA", False),
        restart=values.get("RESTART", False),
        rejects=Path(values["REJECTS"]) if "REJECTS" in values else None,
    )


def _constant(scope: Scope, node: exp.Expr | None) -> object:
    if isinstance(node, exp.ByteString):
        return str(node.this)
    return scope.constant(node) if isinstance(node, (exp.Literal, *PARAMETER_NODES)) else None


def _text(scope: Scope, node: exp.Expr, name: str) -> str:
    """A text in quotes, or a parameter."""
    value = _constant(scope, node.args.get("expression"))
    if not isinstance(value, str):
        raise scope.source.syntax_error(f"{name} takes a text in quotes", node, f"Write {name} '…'.")
    return value


def _texts(scope: Scope, node: exp.Expr, name: str) -> tuple[str, ...]:
    """A text, or several in parentheses."""
    expression = node.args.get("expression")
    if not isinstance(expression, (exp.Tuple, exp.Paren)):
        return (_text(scope, node, name),)
    items = expression.expressions if isinstance(expression, exp.Tuple) else [expression.this]
    texts = tuple(_constant(scope, item) for item in items)
    if not all(isinstance(text, str) for text in texts):
        raise scope.source.syntax_error(f"{name} takes texts in quotes", node, f"Write {name} ('…', '…').")
    return tuple(str(text) for text in texts)


def _word(scope: Scope, node: exp.Expr) -> str | None:
    """A word without quotes, or a text, in lower case; None if the option has no value."""
    expression = node.args.get("expression")
    if expression is None:
        return None
    constant = _constant(scope, expression)
    return str(constant if constant is not None else expression.name or expression.sql()).lower()


def _format(scope: Scope, node: exp.Expr, name: str) -> str:
    word = _word(scope, node) or ""
    if word not in FORMATS:
        raise scope.source.unknown_name(
            "unknown format", word, node, f"Available: {', '.join(FORMATS)}.{nearest(word, FORMATS)}"
        )
    return word


def _flag(scope: Scope, node: exp.Expr, name: str) -> bool:
    word = _word(scope, node)
    if word is not None and word not in (*_TRUE, *_FALSE):
        raise scope.source.syntax_error(f"{name} is true or false", node, f"Write {name} or {name} false.")
    return word not in _FALSE


def _header(scope: Scope, node: exp.Expr, name: str) -> Header:
    if _word(scope, node) == "match":
        return "match"
    return "true" if _flag(scope, node, name) else "false"


def _map(scope: Scope, node: exp.Expr, name: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for text in _texts(scope, node, name):
        source, equals, target = text.partition("=")
        if not (source and equals and target) or source in dict(pairs):
            raise scope.source.syntax_error(
                "MAP takes texts such as 'Titel=title'", node, "Name each column of the file once."
            )
        pairs.append((source, target))
    return tuple(pairs)


def _limit(scope: Scope, node: exp.Expr, name: str) -> int:
    value = _constant(scope, node.args.get("expression"))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise scope.source.syntax_error(f"{name} takes a number of rows", node, f"Write {name} 1000.")
    return value


_OPTIONS: Final[dict[str, Callable[[Scope, exp.Expr, str], Any]]] = {
    "FORMAT": _format,
    "HEADER": _header,
    "DELIMITER": _text,
    "NULL": _texts,
    "QUOTE": _text,
    "ESCAPE": _text,
    "ENCODING": _text,
    "MAP": _map,
    "IGNORE_EXTRA": _flag,
    "ROW_LIMIT": _limit,
    "REJECTS": _text,
    "RESTART": _flag,
}
