"""The state of one session of ``nestvec sql``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymilvus import MilvusClient

from nestvec.shell.print_result import OutputFormat
from nestvec.sql import Session
from nestvec.terminal.tables import Expanded


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
