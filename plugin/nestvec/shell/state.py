"""The state of one session of ``nestvec sql``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from nestvec.shell.print_result import OutputFormat
from nestvec.shell.psql_tables import PrintOptions
from nestvec.sql import Session, StatementResult
from nestvec.terminal.tables import Expanded
from nestvec_schemas.errors import NestvecError


@dataclass
class ResultOutput:
    """Where results go, and what is printed around their rows."""

    path: Path | None = None
    """The file that ``\\o`` appends results to; None for standard output."""
    options: PrintOptions = field(default_factory=PrintOptions)
    pager: bool = False
    """Whether a result that is higher than the terminal is shown in a pager."""
    quiet: bool = False
    """Print no counts, times and tags on standard error."""

    @property
    def tuples_only(self) -> bool:
        """Leave out names of columns and counts of rows."""
        return self.options.tuples_only


@dataclass
class Branch:
    """One ``\\if`` that has no ``\\endif`` yet."""

    outer: bool
    """Whether what is around it runs."""
    active: bool = False
    """Whether the branch at hand runs."""
    matched: bool = False
    """Whether a branch of it ran already."""
    after_else: bool = False


@dataclass
class ScriptState:
    """How far the statements of a session are."""

    last_statement: str = ""
    """The statement that ``\\g``, ``\\gx``, ``\\watch`` and ``\\e`` mean."""
    last_error: NestvecError | None = None
    branches: list[Branch] = field(default_factory=list)
    """Each ``\\if`` without an ``\\endif``, the innermost last."""


@dataclass
class ShellState:
    """What a session runs statements with, and how it prints their results."""

    client: MilvusClient
    session: Session
    output_format: OutputFormat = "table"
    timing: bool = False
    """Print how long parsing and planning took."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values of the statements' parameters, by name."""
    expanded: Expanded = "auto"
    """Whether tables print a line per column instead of a line per row."""
    done: bool = False
    """Whether the session ends."""
    output: ResultOutput = field(default_factory=ResultOutput)
    address: str = ""
    """The address of Milvus, for ``\\conninfo``."""
    script: ScriptState = field(default_factory=ScriptState)
    """How far statements are."""

    def run(self, piece: str) -> None:
        """Run a statement or a backslash command, and print its result. Raises NestvecError."""
        raise NotImplementedError

    def query(self, statement: str) -> StatementResult:
        """The result of a statement, which becomes the last one. Raises NestvecError."""
        raise NotImplementedError
