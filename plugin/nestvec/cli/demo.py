"""``nestvec demo`` and ``nestvec demo images``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import (
    GroupedGroup,
    args_command,
    json_option,
    models_option,
    option,
    option_group,
)

if TYPE_CHECKING:
    from nestvec.demo.text_demo import DemoReport


@click.group("demo", cls=GroupedGroup, invoke_without_command=True, short_help=COMMANDS["demo"].short_help)
@option_group("Milvus", option("--uri", default="demo.db", help="Milvus Lite database to fill."))
@models_option
@json_option
@click.pass_context
def command(ctx: click.Context, uri: str, models: Path, json: bool) -> None:
    """Run everything once, offline, on texts from this machine.

    Exports all-MiniLM-L6-v2, starts the service, creates a Milvus Lite collection whose 64-dim and 384-dim
    fields the server fills, ingests the docstrings of Python's standard library, and answers three questions
    at each dim. A second run reuses what exists.

    nestvec demo images does the same with images.

    \b
    Example:
      nestvec demo --uri demo.db
    """
    if ctx.invoked_subcommand is not None:
        return
    from nestvec.demo import text_demo
    from nestvec.terminal.tables import print_json

    report = text_demo.run_text_demo(uri, models, lambda line: click.echo(line, err=True))
    if json:
        print_json(asdict(report))
        return
    _print(report)
    query, serve = text_demo.next_commands(uri, models, report.service)
    click.echo(f"\nNext:\n  {query}\n  {serve}")


@dataclass(frozen=True)
class ImageDemoArgs:
    """The arguments of ``nestvec demo images``."""

    questions: tuple[str, ...]
    folder: tuple[Path, ...]
    uri: str
    models: Path
    to: Path
    json: bool


@command.command("images", cls=args_command(ImageDemoArgs), short_help="Find images on this machine by text.")
@click.argument("questions", nargs=-1, metavar="[QUESTION]…")
@option_group(
    "Images",
    option(
        "--folder",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        show_default="icons of a Python package and the system's images",
        help="Folder of images to search (repeatable).",
    ),
)
@option_group("Milvus", option("--uri", default="images.db", help="Milvus Lite database to fill."))
@models_option
@option_group(
    "Output",
    option(
        "--to",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(),
        show_default="the current one",
        help="Folder for contact-sheet.png and contact-sheet.html.",
    ),
)
@json_option
def images(args: ImageDemoArgs) -> None:
    """Find images on this machine by text, offline, and show them on a contact sheet.

    Exports all-MiniLM-L6-v2 with EfficientNet-Lite0 as its image tower: an image's vector is the text
    encoder's vector of the classes that the classifier sees, so that no training is needed. Starts the
    service, creates a Milvus Lite collection with the addresses of the images, which the server fetches and
    embeds, and asks each QUESTION in SQL. A second run reuses what exists.

    \b
    Example:
      nestvec demo images "a dog" "a sailing boat" --folder ~/Pictures
    """
    from nestvec.demo import image_demo
    from nestvec.terminal.tables import print_json

    options = image_demo.ImageDemoOptions(
        uri=args.uri, models=args.models, folders=args.folder, questions=args.questions, to=args.to
    )
    report = image_demo.run_image_demo(options, lambda line: click.echo(line, err=True))
    if args.json:
        by_question = {
            strip.question: [{"image": str(match.path), "score": match.score} for match in strip.matches]
            for strip in report.strips
        }
        files = {"png": str(report.png), "html": str(report.html)}
        print_json({"images": report.images, "found": by_question, "seconds": report.seconds, **files})
        return
    for strip in report.strips:
        matches = ", ".join(f"{match.path.stem} {match.score:.2f}" for match in strip.matches)
        click.echo(f"{strip.question}: {matches}")
    click.echo(
        f"\n{report.png} and {report.html} show them. {report.images:,} images, {report.seconds:.1f} s."
    )


def _print(report: DemoReport) -> None:
    from nestvec.terminal.tables import print_table

    for answer in report.answers:
        click.echo(f"\n{answer.statement};")
        rows = [(hit.rank, hit.score, hit.name, hit.first_line) for hit in answer.hits]
        print_table(("rank", "score", "name", "first line"), rows)
        size = report.bytes_per_vector[answer.dim]
        click.echo(f"{answer.dim} dims, {size:,} bytes per vector, {answer.seconds * 1000:.0f} ms")
    shared = sum(report.agreement) / len(report.agreement)
    short, full = sorted(report.bytes_per_vector)
    timings = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    click.echo(
        f"\n{short} and {full} dims agree on {shared:.0%} of the ten best, at "
        f"{report.bytes_per_vector[short]:,} and {report.bytes_per_vector[full]:,} bytes per vector."
        f"\n{report.rows:,} rows. Time: {timings}."
    )
