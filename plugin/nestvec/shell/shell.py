"""One session of ``nestvec sql``: what it runs, and how it shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click
from pymilvus import MilvusClient

from nestvec.shell.show import Form, said, show
from nestvec.sql import Session, execute


@dataclass
class Shell:
    """``given`` are the values of parameters by name; ``done`` says that the session is to end."""

    client: MilvusClient
    session: Session
    form: Form = "table"
    timing: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)
    done: bool = False

    def run(self, piece: str) -> None:
        """Run a statement or a backslash command, and print what comes of it. Raises NestvecError."""
        if piece.startswith("\\"):
            from nestvec.shell.commands import run_command  # noqa: PLC0415 - its rows run on a Shell

            run_command(self, piece)
            return
        started = time.perf_counter()
        answer = execute(self.client, piece, self.given or None, session=self.session)
        whole = time.perf_counter() - started
        show(answer, self.form)
        if self.timing:
            click.echo(f"read and planned in {(whole - answer.seconds) * 1000:.1f} ms", err=True)
        if answer.tag == "EXPLAIN" and self.form == "table":
            # Lines of a plan are no rows, and it says itself how long it took.
            return
        if self.timing or not answer.columns or self.form in ("table", "expanded"):
            click.echo(said(answer), err=True)
