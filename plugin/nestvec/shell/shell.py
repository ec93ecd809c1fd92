"""One session of ``nestvec sql``: runs statements and backslash commands, and prints their results."""

from __future__ import annotations

import time

import click

from nestvec.shell.commands import WORDS, run_backslash_command
from nestvec.shell.print_result import print_result, result_summary
from nestvec.shell.result_output import writing_to
from nestvec.shell.state import ShellState
from nestvec.sql import execute


class Shell(ShellState):
    """Runs the pieces of a script one after the other."""

    def run(self, piece: str) -> None:
        """Run a statement or a backslash command, and print its result. Raises NestvecError."""
        command = WORDS.get(piece.strip().rstrip(";").lower(), piece)
        if command.startswith("\\"):
            run_backslash_command(self, command)
            return
        self.last_statement = piece
        started = time.perf_counter()
        result = execute(self.client, piece, self.params or None, session=self.session)
        elapsed = time.perf_counter() - started
        with writing_to(self.output):
            print_result(result, self.output_format, self.expanded, self.output.tuples_only)
        if self.timing:
            click.echo(f"parsed and planned in {(elapsed - result.seconds) * 1000:.1f} ms", err=True)
        if result.tag == "EXPLAIN" and self.output_format == "table":
            # The lines of a plan are not rows, and EXPLAIN ANALYZE prints its own times.
            return
        if self.output.tuples_only and result.columns and not self.timing:
            return
        if self.timing or not result.columns or self.output_format in ("table", "unaligned"):
            click.echo(result_summary(result), err=True)
