"""``nestvec adapt``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec.cli import COMMANDS
from nestvec.cli.adapt_captions import CaptionArgs, caption_options
from nestvec.cli.options import args_command, integers, json_option
from nestvec.terminal.interrupts import stop_on_signal

if TYPE_CHECKING:
    from nestvec.datasets.training_texts import Kind
    from nestvec.terminal.progress import Stages
    from nestvec_exporters.progress import Listener
    from nestvec_exporters.train import Adapted

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class AdaptArgs(CaptionArgs):
    """The command's arguments."""

    checkpoint: str
    to: Path
    pairs: Path | None
    triplets: Path | None
    texts: Path | None
    columns: tuple[str, ...] | None
    scores: str | None
    teacher: str | None
    dims: tuple[int, ...] | None
    exits: tuple[int, ...] | None
    epochs: float | None
    steps: int | None
    minutes: float | None
    batch: int | None
    learning_rate: float | None
    max_tokens: int | None
    seed: int
    near: bool
    resume: bool
    force: bool
    as_json: bool

    def file(self) -> tuple[Kind, Path] | None:
        """The one file of texts that was given, None where it is one of captions.

        Raises a usage error where it is none or several, or an option does not go with it.
        """
        texts: dict[Kind, Path | None] = {"pairs": self.pairs, "triplets": self.triplets, "texts": self.texts}
        sources = [(kind, path) for kind, path in texts.items() if path]
        if len(sources) + (self.captions is not None) != 1:
            raise click.UsageError("Give one of --texts, --pairs, --triplets and --captions.")
        unsuitable = self.names
        if self.captions is not None:
            unsuitable = [f"--{name}" for name in ("exits", "scores", "teacher") if getattr(self, name)]
        if unsuitable:
            alone = "texts alone" if self.captions is not None else "--captions"
            raise click.UsageError(f"{', '.join(unsuitable)}: for {alone}.")
        return sources[0] if sources else None

    def common(self) -> dict[str, Any]:
        """What both ways of training are asked for, by the names of their options; what was not said is not
        there."""
        from nestvec_exporters.train import TrainingLength

        names = (
            "checkpoint",
            "to",
            "dims",
            "batch",
            "learning_rate",
            "max_tokens",
            "seed",
            "resume",
            "force",
        )
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        lengths = (self.epochs, self.steps, self.minutes)
        return options | ({"length": TrainingLength(*lengths)} if any(limit is not None for limit in lengths) else {})


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``title,text`` as names."""
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(","))
    if not all(names):
        raise click.BadParameter("a name is empty. Write them as query,document.", ctx, param)
    return names


@click.command(cls=args_command(AdaptArgs), short_help=COMMANDS["adapt"].short_help)
@click.argument("checkpoint")
@click.option(
    "--to", type=click.Path(path_type=Path), required=True, help="The folder to write the new checkpoint to."
)
@click.option("--texts", type=_FILE, help="Texts without labels: learn from the checkpoint's own vectors.")
@click.option("--pairs", type=_FILE, help="Queries, each with a document that answers it.")
@click.option("--triplets", type=_FILE, help="The same, each with a document that does not answer it too.")
@caption_options
@click.option(
    "--columns",
    callback=_names,
    metavar="NAME,NAME,…",
    help="The columns that hold the texts, in that order; with --texts they are joined, with --captions the "
    "picture's is the first.  "
    "[default: the usual names]",
)
@click.option("--scores", metavar="NAME", help="A column with a teacher's score of each pair or triplet.")
@click.option("--teacher", metavar="CHECKPOINT", help="A cross-encoder that scores the pairs or triplets.")
@click.option(
    "--dims",
    callback=integers,
    metavar="DIM,DIM,…",
    help="Prefixes to train beside the whole vector.  [default: 256,128,64,32]",
)
@click.option("--exits", callback=integers, metavar="LAYER,LAYER,…", help="Layers to train as exits as well.")
@click.option(
    "--epochs",
    type=click.FloatRange(0, min_open=True),
    help="Passes over the data.  [default: 3, of captions 10]",
)
@click.option("--steps", type=click.IntRange(1), help="Instead: this many steps.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Instead: as much as fits in this.")
@click.option("--batch", type=click.IntRange(8, 4096), help="Rows in a step.  [default: 32, of captions 64]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, 1, min_open=True),
    help="AdamW's at its highest: it rises for a moment, then falls to nothing.  "
    "[default: 3e-4, of captions 1e-3]",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(8),
    help="Texts are cut here while they are trained on; the result takes as long ones as before.  "
    "[default: 128, of captions 64]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="All chance is drawn by it."
)
@click.option(
    "--hard-negatives/--no-hard-negatives",
    "near",
    default=True,
    show_default=True,
    help="Batches of texts that are near one another.",
)
@click.option("--resume", is_flag=True, help="Fail unless there is an interrupted run to go on with.")
@click.option("--force", is_flag=True, help="Begin anew, and replace what adapt made at --to.")
@json_option
def command(args: AdaptArgs) -> None:
    """Train CHECKPOINT so that its short vectors, and with --exits its early layers, keep its quality.

    FILE is JSONL, CSV or Parquet; a .txt of a text a line for --texts. A corpus.jsonl of BEIR works as it
    is. With --captions each row names a picture by its path and has one caption or more, in lists or in
    several columns: CHECKPOINT (CLIP, SigLIP and their like) learns them, or a text encoder with an
    --image-checkpoint beside it becomes one. After an interruption the same command goes on where it
    stopped. A part of the rows is held out, and the weights that do best on it are kept; export the result
    as any checkpoint.

    \b
    Examples:
      nestvec adapt sentence-transformers/all-MiniLM-L6-v2 --to nested --texts corpus.jsonl --exits 2,3,4
      nestvec adapt CHECKPOINT --to nested --pairs clicks.parquet --columns query,document --minutes 15
      nestvec adapt CHECKPOINT --image-checkpoint CLASSIFIER --to clip --captions pairs.jsonl --image-blocks 5
    """
    from nestvec.cli import adapt_captions
    from nestvec.terminal.progress import stages

    file = args.file()
    if file is None:
        with stages() as shown, stop_on_signal("this step") as stop:
            pair = adapt_captions.train_captions(
                args, args.columns, args.common(), _listener(shown, stop), stop
            )
        adapt_captions.print_captions_result(pair, args.to, as_json=args.as_json)
        return
    _report(_train(args, *file), args)


def _train(args: AdaptArgs, kind: Kind, path: Path) -> Adapted:
    from nestvec.datasets.training_texts import TrainingColumns, read_rows
    from nestvec.terminal.progress import stages
    from nestvec_exporters.train import AdaptOptions, TrainingData, adapt

    options = AdaptOptions(**args.common(), exits=args.exits or (), near=args.near, teacher=args.teacher)
    read = read_rows(path, kind, TrainingColumns(args.columns, args.scores))
    data = TrainingData(path.name, kind, read.rows, read.scores)
    with stages() as shown, stop_on_signal("this step") as stop:
        return adapt(options, data, _listener(shown, stop), stop)


def _listener(shown: Stages, stop: Callable[[], bool]) -> Listener:
    """Shows the stages; ends the command at once where it is to stop before training has begun."""
    from nestvec_exporters.progress import Listener

    stage = ""

    def begin(name: str) -> None:
        nonlocal stage
        stage = name
        shown.stage(name)

    def step(done: int, total: int) -> None:
        shown.step(done, total)
        if stage != "training" and stop():
            raise KeyboardInterrupt

    return Listener(begin, step)


def _report(adapted: Adapted, args: AdaptArgs) -> None:
    """The figures; ends the command with 130 where it was stopped."""
    from nestvec.terminal.tables import print_json, print_table

    if args.as_json:
        print_json({"path": str(args.to), "finished": adapted.finished, **adapted.record()})
    elif adapted.finished:
        print_table(
            ["queries at exit", "documents at exit", *map(str, adapted.dims)],
            [list(row) for row in _table(adapted)],
            title=f"{adapted.figure} over {adapted.held_out} held-out rows, before → after, by dims",
        )
        click.echo(f"{args.to}: {adapted.rows} rows, {adapted.steps} steps, {adapted.seconds:.0f} s")
        exits = f" --exits {','.join(map(str, adapted.layers[1:]))}" if adapted.layers[1:] else ""
        click.echo(f"Next: nestvec export {args.to} --to models{exits}")
    if not adapted.finished:
        click.echo("Stopped. The same command goes on from there.", err=True)
        sys.exit(130)


def _table(adapted: Adapted) -> Iterator[tuple[str, ...]]:
    depth = adapted.layers[0]
    for direction in ("alike", "across"):
        for layer, after in adapted.after[direction].items():
            before = adapted.before[direction][layer]
            cells = (f"{before[dim]:.3f} → {after[dim]:.3f}" for dim in adapted.dims)
            yield str(layer), str(layer if direction == "alike" else depth), *cells
