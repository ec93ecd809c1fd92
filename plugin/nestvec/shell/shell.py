"""One session of ``nestvec sql``: what it runs, and how it shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click
from pymilvus import MilvusClient

from nestvec.shell.show import OutputFormat, print_result, result_summary
from nestvec.sql import Session, execute


@dataclass
class Shell:
    """``given`` are the values of parameters by name; ``done`` says that the session is to end."""

    client: MilvusClient
    session: Session
    output_format: OutputFormat = "table"
    timing: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    done: bool = False

    def run(self, piece: str) -> None:
        """Run a statement or a backslash command, and print what comes of it. Raises NestvecError."""
        from nestvec.shell.commands import run_backslash_command  # noqa: PLC0415

        if piece.startswith("\\"):
            run_backslash_command(self, piece)
            return
        started = time.perf_counter()
        answer = execute(self.client, piece, self.params or None, session=self.session)
        elapsed = time.perf_counter() - started
        print_result(answer, self.output_format)
        if self.timing:
            click.echo(f"read and planned in {(elapsed - answer.seconds) * 1000:.1f} ms", err=True)
        if answer.tag == "EXPLAIN" and self.output_format == "table":
            # Lines of a plan are no rows, and it says itself how long it took.
            return
        if self.timing or not answer.columns or self.output_format in ("table", "expanded"):
            click.echo(result_summary(answer), err=True)
