"""The state of one session of ``nestvec sql``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from nestvec.shell.print_result import OutputFormat
from nestvec.sql import Session
from nestvec.terminal.tables import Expanded


@dataclass
class ResultOutput:
    """Where results go, and what is printed around their rows."""

    path: Path | None = None
    """The file that ``\\o`` appends results to; None for standard output."""
    tuples_only: bool = False
    """Leave out names of columns and counts of rows."""
    pager: bool = False
    """Whether a result that is higher than the terminal is shown in a pager."""


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
    last_statement: str = ""
    """The statement that ``\\g``, ``\\gx``, ``\\watch`` and ``\\e`` mean."""
    address: str = ""
    """The address of Milvus, for ``\\conninfo``."""

    def run(self, piece: str) -> None:
        """Run a statement or a backslash command, and print its result. Raises NestvecError."""
        raise NotImplementedError
