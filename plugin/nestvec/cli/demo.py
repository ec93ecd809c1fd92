"""``nestvec demo``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import json_option, models_option

if TYPE_CHECKING:
    from nestvec.demo import Report


@click.command(short_help=COMMANDS["demo"].short_help)
@click.option("--uri", default="demo.db", show_default=True, help="Milvus Lite database to fill.")
@models_option
@json_option
def command(uri: str, models: Path, as_json: bool) -> None:
    """Run the whole way once, offline, on the machine's own texts.

    Exports all-MiniLM-L6-v2, starts the service, creates a Milvus Lite collection whose 64- and
    384-dim fields the server fills, ingests the docstrings of Python's standard library, and answers
    three questions at each dim. A second run reuses what exists.
    """
    from nestvec import demo
    from nestvec.cli.output import print_json

    report = demo.run(uri, models, lambda line: click.echo(line, err=True))
    if as_json:
        print_json(asdict(report))
        return
    _print(report)
    query, serve = demo.next_commands(uri, models, report.service)
    click.echo(f"\nGo on with:\n  {query}\n  {serve}")


def _print(report: Report) -> None:
    from nestvec.cli.output import print_table

    for answer in report.answers:
        click.echo(f"\n{answer.statement};")
        rows = [(hit.rank, hit.score, hit.name, hit.first_line) for hit in answer.hits]
        print_table(("rank", "score", "name", "first line"), rows)
        size = report.bytes_per_vector[answer.dim]
        click.echo(f"{answer.dim} dims, {size:,} bytes a vector, {answer.seconds * 1000:.0f} ms")
    shared = sum(report.agreement) / len(report.agreement)
    short, full = sorted(report.bytes_per_vector)
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    click.echo(
        f"\n{short} and {full} dims agree on {shared:.0%} of the best ten, at "
        f"{report.bytes_per_vector[short]:,} and {report.bytes_per_vector[full]:,} bytes a vector."
        f"\n{report.rows:,} rows. Time: {took}."
    )
