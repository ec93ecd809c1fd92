"""``nestvec adapt``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli import COMMANDS
from nestvec.cli.checkpoint_options.captions import CAPTION_OPTIONS, CaptionArgs
from nestvec.cli.options import args_command, column_names, integers, json_option, option, option_group
from nestvec.terminal.interrupts import stop_on_signal

if TYPE_CHECKING:
    from nestvec.datasets.training_texts import Kind
    from nestvec.terminal.progress import Stages
    from nestvec_exporters.progress import Listener
    from nestvec_exporters.train.linear.compatible import OldEncoder
    from nestvec_exporters.train.options import Hyperparameters, TrainedPart

T = TypeVar("T")

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class DataArgs:
    """What to train on."""

    texts: Path | None
    pairs: Path | None
    triplets: Path | None
    captions: Path | None
    columns: tuple[str, ...] | None
    scores: str | None
    teacher: str | None


@dataclass(frozen=True)
class TrainingArgs:
    """How to train; None is the default, which differs between a map, an encoder and captions."""

    train: TrainedPart | None

    epochs: float | None
    steps: int | None
    minutes: float | None
    batch: int | None
    learning_rate: float | None
    max_tokens: int | None
    hard_negatives: bool
    compatible_with: Path | None
    seed: int

    def over(self, defaults: Hyperparameters) -> Hyperparameters:
        """``defaults`` with the options that were given."""
        from nestvec_exporters.train import TrainingLength

        limited = any(limit is not None for limit in (self.epochs, self.steps, self.minutes))
        return replace(
            defaults,
            length=TrainingLength(self.epochs, self.steps, self.minutes) if limited else defaults.length,
            batch=_or(self.batch, defaults.batch),
            learning_rate=_or(self.learning_rate, defaults.learning_rate),
            max_tokens=_or(self.max_tokens, defaults.max_tokens),
            seed=self.seed,
        )


@dataclass(frozen=True)
class AdaptArgs:
    """The command's arguments."""

    checkpoint: str
    to: Path
    data: DataArgs
    dims: tuple[int, ...] | None
    exits: tuple[int, ...] | None
    training: TrainingArgs
    images: CaptionArgs
    resume: bool
    force: bool
    json: bool

    def text_file(self) -> tuple[Kind, Path] | None:
        """The file of texts and its kind; None if the file has captions.

        Raises a usage error unless there is exactly one file, and for an option that does not fit it.
        """
        data = self.data
        texts: dict[Kind, Path | None] = {"pairs": data.pairs, "triplets": data.triplets, "texts": data.texts}
        files = [(kind, path) for kind, path in texts.items() if path]
        if len(files) + (data.captions is not None) != 1:
            raise click.UsageError("Give exactly one of --texts, --pairs, --triplets and --captions.")
        if data.captions is None:
            unsuitable = self.images.option_names()
        else:
            only_for_texts = {
                "--train": self.training.train,
                "--exits": self.exits,
                "--compatible-with": self.training.compatible_with,
                "--scores": data.scores,
                "--teacher": data.teacher,
            }
            unsuitable = [name for name, value in only_for_texts.items() if value]
        if unsuitable:
            use = "with --captions" if data.captions is None else "without --captions"
            raise click.UsageError(f"{', '.join(unsuitable)}: available only {use}.")
        return files[0] if files else None

    def part(self) -> TrainedPart:
        """What to train on texts: by default a map, unless an option needs the encoder to be trained."""
        needs_encoder = self.exits or self.data.scores or self.data.teacher
        return self.training.train or ("encoder" if needs_encoder else "map")


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


@click.command("adapt", cls=args_command(AdaptArgs), short_help=COMMANDS["adapt"].short_help)
@click.argument("checkpoint")
@option_group(
    "Data",
    option("--texts", type=_FILE, help="Texts without labels: learn from the checkpoint's own vectors."),
    option("--pairs", type=_FILE, help="Queries, each with a document that answers it."),
    option("--triplets", type=_FILE, help="The same, each with a document that does not answer it as well."),
    option("--captions", type=_FILE, help="Images with captions: learn to find each by the other."),
    option(
        "--columns",
        callback=column_names,
        metavar="NAME,NAME,…",
        show_default="the usual names",
        help="Columns of the texts, in this order. With --texts they are joined; with --captions the image's "
        "comes first.",
    ),
    option("--scores", metavar="NAME", help="Column with a teacher's scores for the pairs or triplets."),
    option("--teacher", metavar="CHECKPOINT", help="Cross-encoder that scores the pairs or triplets."),
)
@option_group(
    "Vectors",
    option(
        "--dims",
        callback=integers,
        metavar="DIM,DIM,…",
        show_default="256,128,64,32",
        help="Lengths to train besides the full vector.",
    ),
    option("--exits", callback=integers, metavar="LAYER,LAYER,…", help="Layers to train as exits."),
    option(
        "--compatible-with",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="OLD",
        help="Train a map whose vectors search those that OLD has stored, an exported encoder of the same "
        "length, such as models/minilm.",
    ),
)
@option_group(
    "Training",
    option(
        "--train",
        type=click.Choice(["map", "encoder"]),
        show_default="map; encoder with --exits, --scores or --teacher",
        help="What to train: a linear map of the vectors, which takes minutes, or the encoder.",
    ),
    option(
        "--epochs",
        type=click.FloatRange(0, min_open=True),
        show_default="400 steps for a map; 3; 10 for captions",
        help="Passes over the data.",
    ),
    option("--steps", type=click.IntRange(1), help="Number of steps, instead of epochs."),
    option(
        "--minutes", type=click.FloatRange(0, min_open=True), help="Minutes of training, instead of epochs."
    ),
    option(
        "--batch",
        type=click.IntRange(8, 4096),
        show_default="160 for a map; 32; 64 for captions",
        help="Rows per step.",
    ),
    option(
        "--learning-rate",
        type=click.FloatRange(0, 1, min_open=True),
        show_default="1e-3 for a map and captions; 3e-4",
        help="Highest learning rate of AdamW, after a short warm-up; it decays to 0.",
    ),
    option(
        "--max-tokens",
        type=click.IntRange(8),
        show_default="256 for a map; 128; 64 for captions",
        help="Truncate training texts to this many tokens. The result still takes longer texts.",
    ),
    option(
        "--hard-negatives/--no-hard-negatives",
        default=True,
        help="Form batches of similar texts, to train an encoder.",
    ),
    option("--seed", type=click.IntRange(0), default=0, help="Random seed."),
)
@CAPTION_OPTIONS
@option_group(
    "Output",
    option("--to", type=click.Path(path_type=Path), required=True, help="Folder of the new checkpoint."),
    option("--resume", is_flag=True, help="Fail unless there is an interrupted run to resume."),
    option("--force", is_flag=True, help="Discard an interrupted run; replace an adapted checkpoint."),
)
@json_option
def command(args: AdaptArgs) -> None:
    """Train CHECKPOINT so that its short vectors, and with --exits its early layers, keep its quality.

    By default only a linear map of the vectors is trained, in minutes; with --exits or --train encoder, the
    encoder itself.

    A file is JSONL, CSV or Parquet; for --texts also a .txt with a text per line. BEIR's corpus.jsonl
    works as it is. With --captions, each row has the path of an image and one or more captions, in lists
    or in several columns. CHECKPOINT (CLIP, SigLIP and similar) learns from them, or a text encoder
    becomes a dual encoder together with --image-checkpoint. After an interruption, the same command
    continues where it stopped. Some rows are held out, and the weights that do best on them are kept.
    Export the result like any checkpoint.

    \b
    Examples:
      nestvec adapt sentence-transformers/all-MiniLM-L6-v2 --to nested \\
        --texts corpus.jsonl
      nestvec adapt CHECKPOINT --to nested --texts corpus.jsonl --exits 2,3,4
      nestvec adapt CHECKPOINT --to nested --pairs clicks.parquet \\
        --columns query,document --minutes 15
      nestvec adapt CHECKPOINT --to clip --captions pairs.jsonl \\
        --image-checkpoint CLASSIFIER --image-blocks 5
    """
    text_file = args.text_file()
    if text_file is None:
        _adapt_captions(args)
    else:
        _adapt_texts(args, *text_file)


def _adapt_texts(args: AdaptArgs, kind: Kind, path: Path) -> None:
    from nestvec.cli.reports.adapt_result import print_text_result
    from nestvec.datasets.training_texts import TrainingColumns, read_rows
    from nestvec.terminal.progress import stages
    from nestvec_exporters.train import AdaptOptions, Hyperparameters, RunOutput, TrainingData, adapt
    from nestvec_exporters.train.options import LINEAR_MAP

    part = args.part()
    options = AdaptOptions(
        args.checkpoint,
        RunOutput(args.to, args.resume, args.force),
        dims=args.dims,
        exits=args.exits or (),
        hyperparameters=args.training.over(LINEAR_MAP if part == "map" else Hyperparameters()),
        hard_negatives=args.training.hard_negatives,
        teacher=args.data.teacher,
        part=part,
        compatible_with=_old_encoder(args.training.compatible_with),
    )
    rows = read_rows(path, kind, TrainingColumns(args.data.columns, args.data.scores))
    data = TrainingData(path.name, kind, rows.rows, rows.scores)
    with stages() as shown, stop_on_signal("this step") as stop:
        adapted = adapt(options, data, _listener(shown, stop), stop)
    print_text_result(adapted, args.to, as_json=args.json)


def _old_encoder(path: Path | None) -> OldEncoder | None:
    if path is None:
        return None
    from nestvec.bridge.old_encoder import old_encoder

    return old_encoder(path)


def _adapt_captions(args: AdaptArgs) -> None:
    from nestvec.cli.reports.adapt_result import print_caption_result
    from nestvec.datasets.captions import open_image, read_captions
    from nestvec.terminal.progress import stages
    from nestvec_exporters.train import RunOutput
    from nestvec_exporters.train.captions import CaptionData, CaptionOptions, adapt_captions

    defaults = CaptionOptions(args.checkpoint, RunOutput(args.to, args.resume, args.force), dims=args.dims)
    trained = replace(defaults, hyperparameters=args.training.over(defaults.hyperparameters))
    options = args.images.over(trained)
    assert args.data.captions is not None  # noqa: S101 - text_file has checked it
    rows = read_captions(args.data.captions, args.data.columns, args.images.only)
    data = CaptionData(args.data.captions.name, rows.images, rows.captions, open_image)
    with stages() as shown, stop_on_signal("this step") as stop:
        adapted = adapt_captions(options, data, _listener(shown, stop), stop)
    print_caption_result(adapted, args.to, as_json=args.json)


def _listener(shown: Stages, stop: Callable[[], bool]) -> Listener:
    """Shows the stages; interrupts the command if it is to stop before training begins."""
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
