"""One session of ``nestvec sql``: runs statements and backslash commands, and prints their results."""

from __future__ import annotations

import time

import click

from nestvec.shell.commands import WORDS, run_backslash_command
from nestvec.shell.conditions import COMMANDS as CONDITION_COMMANDS
from nestvec.shell.conditions import is_active
from nestvec.shell.print_result import print_result, result_summary
from nestvec.shell.result_output import writing_to
from nestvec.shell.state import ShellState
from nestvec.shell.variables import interpolate
from nestvec.sql import StatementResult, execute


class Shell(ShellState):
    """Runs the pieces of a script one after the other."""

    def run(self, piece: str) -> None:
        """Run a statement or a backslash command, and print its result. Raises NestvecError."""
        command = WORDS.get(piece.strip().rstrip(";").lower(), piece)
        if not is_active(self) and command.split(maxsplit=1)[0] not in CONDITION_COMMANDS:
            return
        if command.startswith("\\"):
            run_backslash_command(self, command)
            return
        started = time.perf_counter()
        result = self.query(piece)
        elapsed = time.perf_counter() - started
        with writing_to(self.output):
            print_result(result, self.output_format, self.expanded, self.output.options)
        if self.timing:
            click.echo(f"parsed and planned in {(elapsed - result.seconds) * 1000:.1f} ms", err=True)
        if self._is_counted(result):
            click.echo(result_summary(result), err=True)

    def query(self, statement: str) -> StatementResult:
        """The result of a statement, which becomes the last one. Raises NestvecError."""
        self.script.last_statement = statement
        text = interpolate(statement, self.params)
        return execute(self.client, text, self.params or None, session=self.session)

    def _is_counted(self, result: StatementResult) -> bool:
        """Whether rows, times or a tag are printed after a result."""
        if self.timing or not result.columns:
            return self.timing or not self.output.quiet
        if result.tag == "EXPLAIN" or self.output.tuples_only or self.output.quiet:
            # The lines of a plan are not rows, and EXPLAIN ANALYZE prints its own times.
            return False
        return self.output_format == "table"
