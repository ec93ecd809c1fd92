"""``nestvec bridge``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.completion import complete_encoders
from nestvec.cli.options import (
    MilvusArgs,
    args_command,
    column_names,
    json_option,
    option,
    option_group,
    optional_milvus_options,
)

if TYPE_CHECKING:
    from nestvec.bridge.build import BuiltBridge
    from nestvec.bridge.joint import BuiltJoint
    from nestvec_schemas.samples.sample import Sample


@dataclass(frozen=True)
class FittingArgs:
    """What to fit on."""

    sample: str | None
    pairs: Path | None
    columns: tuple[str, ...] | None
    sample_column: str | None
    sample_size: int
    queries: Path | None
    seed: int


@dataclass(frozen=True)
class BridgeArgs:
    """The command's arguments."""

    old: str
    new: str
    to: Path
    fitting: FittingArgs
    milvus: MilvusArgs
    json: bool


@click.command("bridge", cls=args_command(BridgeArgs), short_help=COMMANDS["bridge"].short_help)
@click.argument("old", shell_complete=complete_encoders)
@click.argument("new", shell_complete=complete_encoders)
@option_group(
    "Encoders",
    option(
        "--to",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("models"),
        envvar="NESTVEC_MODELS",
        help="Model repository of both encoders.",
    ),
)
@option_group(
    "Texts",
    option(
        "--sample",
        metavar="SAMPLE",
        help="Texts like those that are stored: a file (txt, JSONL, CSV, Parquet), a collection of the "
        "Milvus at --uri, or demo (this machine's own texts).",
    ),
    option(
        "--pairs",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Instead of SAMPLE, where OLD embeds images: a file with the paths of images and their "
        "captions (JSONL, CSV, Parquet), as adapt --captions reads it.",
    ),
    option(
        "--columns",
        callback=column_names,
        metavar="NAME,NAME,…",
        show_default="the usual names",
        help="Columns of --pairs: the image's, then those of captions.",
    ),
    option("--sample-column", help="Column of SAMPLE that holds the texts.", show_default="the likeliest"),
    option("--sample-size", type=click.IntRange(1, 100_000), default=4000, help="Texts or images to sample."),
    option(
        "--queries",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Real queries, such as a log: a file as SAMPLE may be. Fitted on as well as sentences and "
        "keywords of SAMPLE, and measured by instead of them.",
    ),
    option("--seed", type=click.IntRange(min=0), default=0, help="Random seed."),
)
@optional_milvus_options
@json_option
def command(args: BridgeArgs) -> None:
    """Let a new encoder search the vectors that an old one made.

    A map from NEW's space into OLD's is fitted on a few thousand texts, without labels, and becomes a head of
    NEW's graph. A service then has another encoder, NEW.as.OLD, also as ?encoder=NEW&as=OLD: its vectors have
    OLD's dims and OLD's fingerprint, and may be compared with the vectors that OLD has stored. NEW's own
    vectors do not change. Texts that a request calls queries may have a map of their own; all others have the
    one by which documents are written.

    With --pairs, OLD embeds images and NEW texts: NEW's queries then search the images that OLD has stored.

    \b
    Examples:
      nestvec bridge minilm bge --sample papers.jsonl --to models
      nestvec bridge minilm minilm:2 --sample papers --uri papers.db
      nestvec bridge minilm bge --sample papers.jsonl --queries log.txt
      nestvec bridge lite0 minilm --pairs captions.jsonl
    """
    if (args.fitting.sample is None) == (args.fitting.pairs is None):
        raise click.UsageError("Give either --sample or --pairs.")
    if args.fitting.columns is not None and args.fitting.pairs is None:
        raise click.UsageError("--columns: available only with --pairs.")
    if args.fitting.pairs is not None:
        _bridge_to_images(args, args.fitting.pairs)
        return
    from nestvec.bridge.build import BridgeRequest, build_bridge
    from nestvec.terminal.progress import stages
    from nestvec_exporters.progress import Listener

    request = BridgeRequest(
        args.to, args.old, args.new, _sample(args), _queries(args), seed=args.fitting.seed
    )
    with stages() as shown:
        built = build_bridge(request, Listener(shown.stage, shown.step))
    _print(built, args)


def _bridge_to_images(args: BridgeArgs, pairs: Path) -> None:
    from nestvec.bridge.joint import JointRequest, build_joint_space
    from nestvec.terminal.progress import stages
    from nestvec_exporters.progress import Listener

    fitting = args.fitting
    unsuitable = {"--sample-column": fitting.sample_column, "--queries": fitting.queries}
    for name, value in unsuitable.items():
        if value is not None:
            raise click.UsageError(f"{name}: available only with --sample.")
    request = JointRequest(
        args.to, args.old, args.new, pairs, fitting.columns, size=fitting.sample_size, seed=fitting.seed
    )
    with stages() as shown:
        built = build_joint_space(request, Listener(shown.stage, shown.step))
    _print_joint(built, args)


def _sample(args: BridgeArgs) -> Sample:
    from nestvec.datasets.samples import SampleOptions, SampleStore, read_sample

    milvus, fitting = args.milvus, args.fitting
    options = SampleOptions(fitting.sample_column, fitting.sample_size, fitting.seed)
    return read_sample(
        fitting.sample or "", options, SampleStore(milvus.uri, milvus.token, milvus.database, milvus.settings)
    )


def _queries(args: BridgeArgs) -> Sample | None:
    from nestvec.datasets.samples import read_query_log

    fitting = args.fitting
    if fitting.queries is None:
        return None
    return read_query_log(fitting.queries, fitting.sample_size, fitting.seed)


def _print(built: BuiltBridge, args: BridgeArgs) -> None:
    from nestvec.terminal.tables import print_json, print_table

    bridge = built.bridge
    if args.json:
        print_json({"name": built.name, "bridge": bridge.model_dump(mode="json")})
        return
    columns = {"old vectors": bridge.quality, "half through the bridge": bridge.mixed_quality}
    if bridge.unstated_quality:
        columns["old vectors, queries of no role"] = bridge.unstated_quality
    rows = [(dim, *(f"{figures[dim]:.3f}" for figures in columns.values())) for dim in bridge.quality]
    click.echo(
        f"{built.name}: {bridge.method}, fitted on {bridge.texts} texts of {bridge.sample}\n"
        f"nDCG@10 of {built.fit.held_out} held-out queries, relative to {args.old} on its own vectors:"
    )
    print_table((f"dims of {args.old}", *columns), rows)
    click.echo(f"Next: nestvec serve --models {args.to}, then ?encoder={args.new}&as={args.old}")


def _print_joint(built: BuiltJoint, args: BridgeArgs) -> None:
    from nestvec.terminal.tables import print_json, print_table

    bridge = built.bridge
    if args.json:
        print_json({"name": built.name, "bridge": bridge.model_dump(mode="json")})
        return
    images = bridge.held_out_images
    rows = [(str(rank), f"{share:.3f}", f"{rank / images:.3f}") for rank, share in bridge.recall.items()]
    click.echo(
        f"{built.name}: {bridge.method}, fitted on {bridge.texts} images of {bridge.sample}\n"
        f"Held-out captions that have their image among the k nearest of {images} held-out images:"
    )
    print_table(("k", "recall", "by chance"), rows)
    click.echo(f"Next: nestvec serve --models {args.to}, then ?encoder={args.new}&as={args.old}")
