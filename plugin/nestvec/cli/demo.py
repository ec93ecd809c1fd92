"""``nestvec demo`` and ``nestvec demo images``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import json_option, models_option

if TYPE_CHECKING:
    from nestvec.demo.text_demo import DemoReport


@click.group(invoke_without_command=True, short_help=COMMANDS["demo"].short_help)
@click.option("--uri", default="demo.db", show_default=True, help="Milvus Lite database to fill.")
@models_option
@json_option
@click.pass_context
def command(ctx: click.Context, uri: str, models: Path, as_json: bool) -> None:
    """Run the whole way once, offline, on the machine's own texts.

    Exports all-MiniLM-L6-v2, starts the service, creates a Milvus Lite collection whose 64- and
    384-dim fields the server fills, ingests the docstrings of Python's standard library, and answers
    three questions at each dim. A second run reuses what exists.

    nestvec demo images does the same with pictures.
    """
    if ctx.invoked_subcommand is not None:
        return
    from nestvec.demo import text_demo
    from nestvec.terminal.tables import print_json

    report = text_demo.run(uri, models, lambda line: click.echo(line, err=True))
    if as_json:
        print_json(asdict(report))
        return
    _print(report)
    query, serve = text_demo.next_commands(uri, models, report.service)
    click.echo(f"\nGo on with:\n  {query}\n  {serve}")


@command.command()
@click.argument("questions", nargs=-1, metavar="[QUESTION]…")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="With pictures to search (repeatable). Default: icons of a package, and the system's pictures.",
)
@click.option("--uri", default="pictures.db", show_default=True, help="Milvus Lite database to fill.")
@models_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for contact-sheet.png and contact-sheet.html. Default: this one.",
)
@json_option
def images(
    questions: tuple[str, ...], folders: tuple[Path, ...], uri: str, models: Path, to: Path, as_json: bool
) -> None:
    """Find the machine's own pictures by text, offline, and show them on a contact sheet.

    Exports all-MiniLM-L6-v2 with EfficientNet-Lite0 as its image tower: what the classifier sees, said in
    words and read by the text encoder, so that no training is needed. Starts the service, creates a Milvus
    Lite collection with the pictures' addresses, which the server fetches and embeds, and asks each
    QUESTION in SQL. A second run reuses what exists.

    \b
    Example:
      nestvec demo images "a dog" "a sailing boat" --folder ~/Pictures
    """
    from nestvec.demo import image_demo
    from nestvec.terminal.tables import print_json

    options = image_demo.ImageDemoOptions(uri, models, folders, questions, to)
    sheet = image_demo.run(options, lambda line: click.echo(line, err=True))
    if as_json:
        matches = {
            strip.question: [{"picture": str(match.path), "score": match.score} for match in strip.matches]
            for strip in sheet.strips
        }
        files = {"png": str(sheet.png), "html": str(sheet.html)}
        print_json({"pictures": sheet.pictures, "found": matches, "seconds": sheet.seconds, **files})
        return
    for strip in sheet.strips:
        click.echo(
            f"{strip.question}: {', '.join(f'{match.path.stem} {match.score:.2f}' for match in strip.matches)}"
        )
    click.echo(
        f"\n{sheet.png} and {sheet.html} show them. {sheet.pictures:,} pictures, {sheet.seconds:.1f} s."
    )


def _print(report: DemoReport) -> None:
    from nestvec.terminal.tables import print_table

    for answer in report.answers:
        click.echo(f"\n{answer.statement};")
        rows = [(hit.rank, hit.score, hit.name, hit.first_line) for hit in answer.hits]
        print_table(("rank", "score", "name", "first line"), rows)
        size = report.bytes_per_vector[answer.dim]
        click.echo(f"{answer.dim} dims, {size:,} bytes a vector, {answer.seconds * 1000:.0f} ms")
    shared = sum(report.agreement) / len(report.agreement)
    short, full = sorted(report.bytes_per_vector)
    timings = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    click.echo(
        f"\n{short} and {full} dims agree on {shared:.0%} of the best ten, at "
        f"{report.bytes_per_vector[short]:,} and {report.bytes_per_vector[full]:,} bytes a vector."
        f"\n{report.rows:,} rows. Time: {timings}."
    )
