"""Completion: keywords, tables, columns, encoders and settings that may follow the cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from pymilvus import MilvusClient

from nestvec.collections import lifecycle
from nestvec.milvus.catalog import read_table
from nestvec.shell.commands import BACKSLASH_COMMANDS
from nestvec.shell.split import split_script
from nestvec.sql.parse.parse import STATEMENTS
from nestvec.sql.settings import SETTINGS
from nestvec_schemas.errors import NestvecError

_WORDS: Final = """
    ADD ALL ALWAYS ANALYZE AND AS ASC BETWEEN BIGINT BOOLEAN BY COLUMN CONFLICT COUNT DESC DISTINCT DO
    DOUBLE EMBED EXISTS FALSE FROM GENERATED GROUP HAVING IF IN INDEX INDEXES INT INTO IS JSONB KEY LIKE
    LIMIT NOT NOTHING NULL OFFSET ON OR ORDER PRIMARY REAL RERANK SET STORED TABLE TABLES TEXT TRUE UPDATE
    USING VALUES VARCHAR VECTOR WHERE WITH"""
KEYWORDS: Final = tuple(sorted({*STATEMENTS, *_WORDS.split()}))

_MAX_UNNAMED_TABLES: Final = 20
"""Tables whose columns are offered before the statement names one."""

_WORD: Final = re.compile(r"[\\\w?]*$")
_DOTTED: Final = re.compile(r"(\w+)\.\w*$")
_TABLE_NEXT: Final = re.compile(
    r"(?:\b(?:from|join|into|update|table|describe|analyze|truncate|copy)|\\d[ti]?|\\dims|\\copy)\s+\w*$",
    re.I,
)
_SETTING_NEXT: Final = re.compile(r"^\s*(?:set|show|reset)\s+([\w.]*)$", re.I)
_ENCODER_NEXT: Final = re.compile(r"\b(?:embed\s*\([^()]*,|rerank\s+by)\s*'(\w*)$", re.I)


@dataclass
class NameCatalog:
    """Names in the database; read on first use, and again after ``forget``."""

    client: MilvusClient
    _columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _encoders: set[str] = field(default_factory=set)
    _tables: tuple[str, ...] | None = None

    def forget(self) -> None:
        """Read everything again on the next use."""
        self._tables = None
        self._columns, self._encoders = {}, set()

    @property
    def tables(self) -> tuple[str, ...]:
        """The collections; empty if Milvus does not answer."""
        if self._tables is None:
            try:
                self._tables = tuple(lifecycle.collection_names(self.client))
            except NestvecError:
                return ()
        return self._tables

    def columns(self, tables: Iterable[str]) -> list[str]:
        """The columns of these tables, each name once."""
        for table in tables:
            self._read(table)
        return list(dict.fromkeys(name for table in tables for name in self._columns.get(table, ())))

    def encoders(self) -> list[str]:
        """The encoders of all embedded columns."""
        for table in self.tables:
            self._read(table)
        return sorted(self._encoders)

    def _read(self, name: str) -> None:
        if name in self._columns:
            return
        try:
            table = read_table(self.client, name)
        except NestvecError:
            return
        self._columns[name] = tuple(column.name for column in table.columns)
        self._encoders.update(embedding.config.encoder for embedding in table.embeddings)


class SqlCompleter(Completer):
    """Completes statements and backslash commands."""

    def __init__(self, names: NameCatalog) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """The completions at the cursor, the most likely first."""
        before = split_script(document.text_before_cursor).rest or document.text_before_cursor.lstrip()
        if before.startswith("\\") and " " not in before:
            yield from _completions(
                before, {name: row.description for name, row in BACKSLASH_COMMANDS.items()}
            )
            return
        setting = _SETTING_NEXT.match(before)
        if setting:
            yield from _completions(setting[1], {name: row.description for name, row in SETTINGS.items()})
        encoder = _ENCODER_NEXT.search(before)
        if encoder:
            yield from _completions(encoder[1], dict.fromkeys(self._names.encoders(), "encoder"))
            return
        if before.count("'") % 2:
            return
        word = _WORD.search(before)
        yield from _completions(word[0] if word else "", self._candidates(before, document.text))

    def _candidates(self, before: str, text: str) -> dict[str, str]:
        tables = dict.fromkeys(self._names.tables, "table")
        if _TABLE_NEXT.search(before):
            return tables
        words = {word.lower() for word in re.findall(r"\w+", text)}
        named = [table for table in tables if table.lower() in words]
        # Before FROM is written, any table may be meant.
        columns = dict.fromkeys(self._names.columns(named or list(tables)[:_MAX_UNNAMED_TABLES]), "column")
        if _DOTTED.search(before):
            return columns
        return {**columns, **dict.fromkeys(KEYWORDS, ""), **tables}


def _completions(word: str, offered: dict[str, str]) -> Iterator[Completion]:
    prefix = word.lower()
    for name, description in offered.items():
        if name.lower().startswith(prefix) and (word or description):
            # Keywords follow the case of what was typed.
            text = name.lower() if not description and word.islower() else name
            yield Completion(text, start_position=-len(word), display_meta=description)
