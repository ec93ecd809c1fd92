"""``nestvec export``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, integers, json_option, name_value_pairs, optional_store_options

if TYPE_CHECKING:
    from nestvec_exporters import Overrides
    from nestvec_exporters.merge import Merge
    from nestvec_exporters.options import Format
    from nestvec_exporters.training_data import TrainingData
    from nestvec_schemas.manifest import Precision, RotationMethod
    from nestvec_schemas.samples.sample import Sample

_NAME_LENGTH = 64


@dataclass(frozen=True)
class ExportArgs:
    """The command's arguments; a name of None is made from the checkpoint's."""

    checkpoint: str | None
    models: Path
    name: str | None
    precision: Precision
    dims: tuple[int, ...] | None
    max_tokens: int | None
    force: bool
    format: Format
    gpus: tuple[int, ...] | None
    accelerate: bool
    rotate: str | None
    rotation: RotationMethod
    exits: tuple[int, ...] | None
    sample_column: str | None
    sample_size: int
    seed: int
    pooling: str | None
    bidirectional: bool
    frames: int
    image_checkpoint: str | None
    query_prompt: str | None
    document_prompt: str | None
    layout: str | None
    experts: dict[str, str]
    merge: str | None
    names: dict[str, str]
    fit: Path | None
    fit_steps: int
    uri: str
    token: str = field(repr=False)
    database: str
    as_json: bool


@click.command(cls=args_command(ExportArgs), short_help=COMMANDS["export"].short_help)
@click.argument("checkpoint", required=False)
@click.option(
    "--to",
    "models",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    help="The model repository: a folder, made where it is absent.",
)
@click.option("--name", help="The encoder's name. Default: the checkpoint's, in lower case.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16: half the size, for GPUs. int8: a quarter, faster on a CPU, a little less exact.",
)
@click.option(
    "--dims",
    callback=integers,
    metavar="DIM,DIM,…",
    help="The prefixes to offer. Default: powers of two down to 32.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    help="Texts longer than this are cut. Default: what the checkpoint says.",
)
@click.option(
    "--format",
    type=click.Choice(["onnx", "tensorrt"]),
    default="onnx",
    show_default=True,
    help="tensorrt: with a TensorRT plan for Triton, built where TensorRT is installed.",
)
@click.option(
    "--gpus",
    callback=integers,
    metavar="GPU,GPU,…",
    help="The GPUs that Triton runs it on. Default: all that there are, else the CPU.",
)
@click.option(
    "--tensorrt", "accelerate", is_flag=True, help="Have Triton's ONNX Runtime run it through TensorRT."
)
@click.option(
    "--rotate",
    metavar="SAMPLE",
    help="Make prefixes better: fit a rotation on the encoder's vectors of these texts. SAMPLE is a file "
    "(txt, JSONL, CSV, Parquet), a collection of the Milvus at --uri, or demo (this machine's own texts).",
)
@click.option(
    "--rotation",
    type=click.Choice(["learned", "pca"]),
    default="learned",
    show_default=True,
    help="How it is fitted: learned keeps more at short dims, pca takes a second.",
)
@click.option(
    "--exits",
    callback=integers,
    metavar="LAYER,LAYER,…",
    help="Layers to stop after as well, for cheaper vectors in the same space; fitted on SAMPLE too.",
)
@click.option("--sample-column", help="The column of SAMPLE that holds the texts. Default: the likeliest.")
@click.option(
    "--sample-size", type=click.IntRange(1, 100_000), default=4000, show_default=True, help="Texts to draw."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="What is drawn by.")
@click.option(
    "--pooling",
    metavar="NAME",
    help="How token vectors become one: mean, cls, lasttoken, …; tokens: they stay apart, for late "
    "interaction; splade: weights of words. Default: what the checkpoint says.",
)
@click.option("--bidirectional", is_flag=True, help="A decoder's attention without its causal mask.")
@click.option(
    "--frames", type=click.IntRange(1, 64), default=1, show_default=True, help="Pictures that make one input."
)
@click.option(
    "--image-checkpoint",
    metavar="CLASSIFIER",
    help="A classifier of pictures: texts then find pictures by its classes' names, without training.",
)
@click.option("--query-prompt", metavar="TEXT", help="Put before queries. Default: what the checkpoint says.")
@click.option("--document-prompt", metavar="TEXT", help="Put before documents. Default: the checkpoint's.")
@click.option(
    "--layout",
    metavar="TEXT",
    help="How a chat model is shown a picture and a text: the picture's token and {text}. Default: its chat "
    "template.",
)
@click.option(
    "--expert",
    "experts",
    multiple=True,
    callback=name_value_pairs,
    metavar="NAME=CHECKPOINT",
    help="Another set of weights for the same encoder, fine-tuned for a domain. Whoever asks chooses it by "
    "expert=NAME; no router does (repeatable).",
)
@click.option(
    "--merge",
    metavar="EXPRESSION",
    help="Checkpoints added up, for example base+0.4*A-0.2*B: differences from the first, with a coefficient "
    "each, or one a layer: base+[0.1,0.2,0.3]*A. CHECKPOINT, where it is given, is called base.",
)
@click.option(
    "--with",
    "names",
    multiple=True,
    callback=name_value_pairs,
    metavar="NAME=CHECKPOINT",
    help="What a name in EXPRESSION stands for (repeatable); any other is a folder or a Hugging Face id.",
)
@click.option(
    "--fit",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Find the coefficients of --merge, one a layer, on pairs (query and document) or texts of this "
    "file; those of EXPRESSION are where it begins.",
)
@click.option(
    "--fit-steps", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Steps of --fit."
)
@click.option("--force", is_flag=True, help="Replace an encoder of this name.")
@optional_store_options
@json_option
def command(args: ExportArgs) -> None:
    """Export CHECKPOINT, a local folder or a Hugging Face id, to a Triton model repository.

    It may be a file of word vectors too: GloVe's or fastText's text (.txt, .vec), word2vec's binary (.bin).
    Words are averaged then; --pooling sif weighs rare ones more.

    The exported vectors are compared with the checkpoint's own on real sentences; where they differ by
    more than the precision allows, nothing is written.

    --rotate changes no cosine between whole vectors; it makes their first numbers say more, so that a
    vector of 64 dims finds what it found with many more. It needs no labels, and nobody who uses the
    encoder notices.

    \b
    Examples:
      nestvec export sentence-transformers/all-MiniLM-L6-v2 --to models --name minilm --dims 384,128,64
      nestvec export CHECKPOINT --to models --name minilm --rotate papers.jsonl --exits 2,3,4
      nestvec export CHECKPOINT --to models --name minilm --rotate papers --uri papers.db
      nestvec export CHECKPOINT --to models --merge 'base+0.4*A-0.2*B' --with A=biomed --with B=legal
      nestvec export CHECKPOINT --merge base+0.5*A+0.5*B --with A=biomed --with B=legal --fit pairs.jsonl
    """
    from nestvec.cli.export_report import print_export
    from nestvec.terminal.interrupts import reraise_interrupt
    from nestvec.terminal.progress import stages
    from nestvec_exporters import ExportOptions, Listener, export

    merge = _merge(args)
    options = ExportOptions(
        checkpoint="" if merge else args.checkpoint or "",
        models=args.models,
        name=args.name or (merged_name(merge) if merge else default_name(args.checkpoint or "")),
        precision=args.precision,
        dims=args.dims,
        max_tokens=args.max_tokens,
        force=args.force,
        format=args.format,
        gpus=args.gpus or (),
        accelerate=args.accelerate,
        rotation=args.rotation if args.rotate else None,
        exits=args.exits or (),
        sample=_sample(args),
        seed=args.seed,
        overrides=_overrides(args),
        experts=args.experts,
        merge=merge,
    )
    with reraise_interrupt() as check, stages() as shown:

        def stage(name: str) -> None:
            check()
            shown.stage(name)

        manifest = export(options, Listener(stage, shown.step))
    print_export(manifest, args.models, as_json=args.as_json, fitted=args.fit is not None)


def _overrides(args: ExportArgs) -> Overrides:
    from nestvec_exporters import Overrides

    return Overrides(
        pooling=args.pooling,
        bidirectional=args.bidirectional,
        frames=args.frames,
        image_checkpoint=args.image_checkpoint,
        query_prompt=args.query_prompt,
        document_prompt=args.document_prompt,
        layout=args.layout,
    )


def _merge(args: ExportArgs) -> Merge | None:
    """What to merge; a usage error where there is neither that nor a checkpoint, or two that are ``base``."""
    from nestvec_exporters.merge import BASE, CoefficientFit, Merge

    if args.merge is None:
        if args.fit is not None:
            raise click.UsageError("--fit finds the coefficients of --merge, and there is none.")
        if args.checkpoint is None:
            raise click.UsageError("Missing argument 'CHECKPOINT' (or --merge EXPRESSION).")
        if args.names:
            raise click.UsageError("--with names what stands in --merge, and there is none.")
        return None
    fit = None if args.fit is None else CoefficientFit(_fitted_on(args.fit), args.fit_steps, seed=args.seed)
    if args.checkpoint is None:
        return Merge(args.merge, args.names, fit)
    if BASE in args.names:
        raise click.UsageError(f"CHECKPOINT is called {BASE} in --merge: leave one of them away.")
    return Merge(args.merge, {BASE: args.checkpoint, **args.names}, fit)


def _fitted_on(path: Path) -> TrainingData:
    """The rows of a file, as pairs where it has columns of such."""
    from nestvec.datasets.training_texts import TrainingColumns, detect_kind, read_rows
    from nestvec_exporters.training_data import TrainingData

    kind = detect_kind(path)
    return TrainingData(path.name, kind, read_rows(path, kind, TrainingColumns()).rows)


def _sample(args: ExportArgs) -> Sample | None:
    """What to fit on: as asked; exits alone are mapped by this machine's own texts."""
    from nestvec.datasets.samples import DEMO, SampleOptions, SampleStore, read_sample

    source = args.rotate or (DEMO if args.exits else None)
    if source is None:
        return None
    draw = SampleOptions(args.sample_column, args.sample_size, args.seed)
    return read_sample(source, draw, SampleStore(args.uri, args.token, args.database))


def default_name(checkpoint: str) -> str:
    """An encoder's name from a path or id: its last part in lower case, with ``-`` for what may not be.

    Of a file, without its ending."""
    path = Path(checkpoint)
    last = path.stem if path.is_file() else path.name or path.resolve().name
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("._-")[:_NAME_LENGTH] or "encoder"


def merged_name(merge: Merge) -> str:
    """An encoder's name from a merge: its base's, with ``-merged``."""
    ending = "-merged"
    return f"{default_name(merge.base)[: _NAME_LENGTH - len(ending)]}{ending}"
