"""``nestvec export``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import (
    MilvusArgs,
    PromptArgs,
    args_command,
    integers,
    json_option,
    name_value_pairs,
    option,
    option_group,
    optional_milvus_options,
    prompt_options,
)

if TYPE_CHECKING:
    from nestvec_exporters import Overrides
    from nestvec_exporters.merge import Merge
    from nestvec_exporters.options import GraphFormat
    from nestvec_exporters.source_options import SourceForm
    from nestvec_exporters.training_data import TrainingData
    from nestvec_schemas.manifest import Precision, RotationMethod, VerifyLevel
    from nestvec_schemas.samples.sample import Sample

_NAME_LENGTH = 64


@dataclass(frozen=True)
class TargetArgs:
    """Where the encoder is written."""

    to: Path

    name: str | None
    """None: made from the checkpoint's name."""

    force: bool
    json: bool


@dataclass(frozen=True)
class EncoderArgs:
    """What is exported of the checkpoint; None is what the checkpoint declares."""

    precision: Precision
    dims: tuple[int, ...] | None
    max_tokens: int | None
    pooling: str | None
    bidirectional: bool
    image_checkpoint: str | None
    frames: int
    layout: str | None


@dataclass(frozen=True)
class NestingArgs:
    """What is fitted on a sample of texts."""

    rotate: str | None
    rotation: RotationMethod
    exits: tuple[int, ...] | None
    sample_column: str | None
    sample_size: int
    seed: int


@dataclass(frozen=True)
class MergeArgs:
    """Other weights for the same encoder: added up, or beside its own."""

    merge: str | None

    names: dict[str, str]
    """The checkpoints that names in ``merge`` stand for."""

    fit: Path | None
    fit_steps: int
    expert: dict[str, str]


@dataclass(frozen=True)
class TritonArgs:
    """What only Triton reads."""

    format: GraphFormat
    gpus: tuple[int, ...] | None
    tensorrt: bool


@dataclass(frozen=True)
class TrustArgs:
    """How much of the checkpoint is believed without proof."""

    verify: VerifyLevel
    trust_remote_code: bool

    ignore: tuple[str, ...]
    """Declarations that are known not to matter."""

    explain: bool
    """List what the checkpoint declares, and write nothing."""


@dataclass(frozen=True)
class SourceArgs:
    """What of the checkpoint is read: its weights, or a ready graph."""

    read_from: SourceForm | None
    onnx_file: str | None
    onnx_output: str | None


@dataclass(frozen=True)
class ExportArgs:
    """The command's arguments."""

    checkpoint: str | None
    source: SourceArgs
    target: TargetArgs
    encoder: EncoderArgs
    prompts: PromptArgs
    nesting: NestingArgs
    merging: MergeArgs
    triton: TritonArgs
    trust: TrustArgs
    milvus: MilvusArgs


_CHECKPOINTS = "the checkpoint's"

_SOURCE = option_group(
    "Source",
    option(
        "--from",
        "read_from",
        type=click.Choice(["weights", "onnx"]),
        envvar="NESTVEC_EXPORT_FROM",
        help="onnx: take a ready graph of the checkpoint, which keeps its precision, although it has weights "
        "too; the graph is then compared with them.",
        show_default="its weights if it has safetensors",
    ),
    option(
        "--onnx-file",
        metavar="PATH",
        help="Graph to take of several, within the checkpoint: onnx/model_O2.onnx.",
        show_default="model.onnx",
    ),
    option("--onnx-output", metavar="NAME", help="Output of the graph to take of several."),
)
_TARGET = option_group(
    "Target",
    option(
        "--to",
        type=click.Path(path_type=Path),
        default=Path("models"),
        help="Model repository: a folder, created if it does not exist.",
    ),
    option("--name", help="Name of the encoder.", show_default="the checkpoint's, in lower case"),
    option("--force", is_flag=True, help="Replace an encoder of this name."),
)
_ENCODER = option_group(
    "Encoder",
    option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        help="fp16: half the size, for GPUs. int8: a quarter, faster on a CPU and slightly less accurate.",
    ),
    option(
        "--dims",
        callback=integers,
        metavar="DIM,DIM,…",
        help="Lengths of vectors to offer.",
        show_default="powers of two down to 32",
    ),
    option(
        "--max-tokens",
        type=click.IntRange(min=1),
        help="Truncate texts longer than this.",
        show_default=_CHECKPOINTS,
    ),
    option(
        "--pooling",
        metavar="NAME",
        help="How token vectors become one: mean, cls, lasttoken or another. tokens keeps them all, for late "
        "interaction; splade makes weights of words.",
        show_default=_CHECKPOINTS,
    ),
    option("--bidirectional", is_flag=True, help="Run a decoder without its causal mask."),
    option(
        "--image-checkpoint",
        metavar="CLASSIFIER",
        help="An image classifier: texts find images by the names of its classes, without training.",
    ),
    option("--frames", type=click.IntRange(1, 64), default=1, help="Number of images in one input."),
    option(
        "--layout",
        metavar="TEXT",
        help="How a chat model receives an image and a text: the image's token and {text}.",
        show_default="its chat template",
    ),
)
_NESTING = option_group(
    "Short vectors and early exits",
    option(
        "--rotate",
        metavar="SAMPLE",
        help="Improve short vectors: fit a rotation on the encoder's vectors of these texts. SAMPLE is a "
        "file (txt, JSONL, CSV, Parquet), a collection of the Milvus at --uri, or demo (this machine's own "
        "texts).",
    ),
    option(
        "--rotation",
        type=click.Choice(["learned", "pca"]),
        default="learned",
        help="How to fit it. learned keeps more at short dims; pca takes a second.",
    ),
    option(
        "--exits",
        callback=integers,
        metavar="LAYER,LAYER,…",
        help="Layers to stop after as well, for cheaper vectors in the same space; fitted on SAMPLE too.",
    ),
    option("--sample-column", help="Column of SAMPLE that holds the texts.", show_default="the likeliest"),
    option("--sample-size", type=click.IntRange(1, 100_000), default=4000, help="Texts to sample."),
    option("--seed", type=click.IntRange(min=0), default=0, help="Random seed."),
)
_MERGING = option_group(
    "Merging and experts",
    option(
        "--merge",
        metavar="EXPRESSION",
        help="A sum of checkpoints, for example base+0.4*A-0.2*B: differences from the first, each with a "
        "coefficient, or one per layer: base+[0.1,0.2,0.3]*A. CHECKPOINT, if given, is named base.",
    ),
    option(
        "--with",
        "names",
        multiple=True,
        callback=name_value_pairs,
        envvar="NESTVEC_EXPORT_WITH",
        metavar="NAME=CHECKPOINT",
        help="What a name in EXPRESSION stands for (repeatable); any other is a folder or Hugging Face id.",
    ),
    option(
        "--fit",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Find the coefficients of --merge, one per layer, on the pairs (query and document) or texts in "
        "this file, starting from those in EXPRESSION.",
    ),
    option("--fit-steps", type=click.IntRange(1, 10_000), default=100, help="Steps of --fit."),
    option(
        "--expert",
        multiple=True,
        callback=name_value_pairs,
        metavar="NAME=CHECKPOINT",
        help="Another set of weights for the same encoder, fine-tuned for a domain, that a request selects "
        "with expert=NAME (repeatable).",
    ),
)
_TRITON = option_group(
    "Triton",
    option(
        "--format",
        type=click.Choice(["onnx", "tensorrt"]),
        default="onnx",
        help="tensorrt: add a TensorRT plan, built where TensorRT is installed.",
    ),
    option(
        "--gpus",
        callback=integers,
        metavar="GPU,GPU,…",
        help="GPUs that Triton runs it on.",
        show_default="all, or the CPU if there is none",
    ),
    option("--tensorrt", is_flag=True, help="Run it with TensorRT inside Triton's ONNX Runtime."),
)
_TRUST = option_group(
    "Verification",
    option(
        "--verify",
        type=click.Choice(["full", "quick"]),
        default="full",
        help="full: compare with the checkpoint's own library on every prompt, all lengths, odd characters "
        "and padded batches. quick: fewer texts, none of them long; the manifest says so.",
    ),
    option(
        "--trust-remote-code",
        is_flag=True,
        help="Run Python code that comes with the checkpoint, for this export alone; read it first. The "
        "manifest says so.",
    ),
    option(
        "--ignore",
        multiple=True,
        envvar="NESTVEC_EXPORT_IGNORE",
        metavar="FILE:KEY",
        help="Export although this declaration of the checkpoint is not honoured (repeatable; FILE alone for "
        "all of a file, * for any characters). The manifest says so.",
    ),
    option(
        "--explain",
        is_flag=True,
        help="List everything that the checkpoint declares and what the export makes of it; write nothing.",
    ),
)


@click.command("export", cls=args_command(ExportArgs), short_help=COMMANDS["export"].short_help)
@click.argument("checkpoint", required=False)
@_SOURCE
@_TARGET
@_ENCODER
@prompt_options
@_NESTING
@_MERGING
@_TRITON
@_TRUST
@optional_milvus_options
@json_option
def command(args: ExportArgs) -> None:
    """Export CHECKPOINT, a local folder or a Hugging Face id, to a Triton model repository.

    CHECKPOINT may also be a file of word vectors: GloVe's or fastText's text (.txt, .vec) or word2vec's
    binary (.bin). The vectors of words are averaged; --pooling sif gives rare words more weight.

    The exported vectors are compared with the checkpoint's own on real sentences. If they differ by more than
    the precision allows, nothing is written.

    --rotate leaves every cosine between full-length vectors unchanged and moves what distinguishes them into
    their first numbers, so that 64 dims find what many more found before. It needs no labels.

    \b
    Examples:
      nestvec export sentence-transformers/all-MiniLM-L6-v2 --name minilm
      nestvec export sentence-transformers/all-MiniLM-L6-v2 --from onnx
      nestvec export CHECKPOINT --name minilm --rotate papers.jsonl --exits 2,3,4
      nestvec export CHECKPOINT --name minilm --rotate papers --uri papers.db
      nestvec export CHECKPOINT --merge 'base+0.4*A-0.2*B' \\
        --with A=biomed --with B=legal
      nestvec export CHECKPOINT --merge 'base+0.5*A' --with A=biomed \\
        --fit pairs.jsonl
    """
    from nestvec.cli.declarations import print_declarations
    from nestvec.cli.export_report import print_export
    from nestvec.service.verification import open_served
    from nestvec.terminal.interrupts import reraise_interrupt
    from nestvec.terminal.progress import stages
    from nestvec_exporters import ExportOptions, Listener, export

    merge = _merge(args)
    options = ExportOptions(
        checkpoint="" if merge else args.checkpoint or "",
        models=args.target.to,
        name=args.target.name or (merged_name(merge) if merge else default_name(args.checkpoint or "")),
        precision=args.encoder.precision,
        dims=args.encoder.dims,
        max_tokens=args.encoder.max_tokens,
        force=args.target.force,
        format=args.triton.format,
        gpus=args.triton.gpus or (),
        accelerate=args.triton.tensorrt,
        rotation=args.nesting.rotation if args.nesting.rotate else None,
        exits=args.nesting.exits or (),
        sample=_sample(args),
        seed=args.nesting.seed,
        overrides=_overrides(args.encoder, args.prompts),
        experts=args.merging.expert,
        merge=merge,
        verify=args.trust.verify,
        trust_remote_code=args.trust.trust_remote_code,
        ignore=args.trust.ignore,
        read_from=args.source.read_from,
        onnx_file=args.source.onnx_file,
        onnx_output=args.source.onnx_output,
    )
    if args.trust.explain:
        print_declarations(options, as_json=args.target.json)
        return
    with reraise_interrupt() as check, stages() as shown:

        def stage(name: str) -> None:
            check()
            shown.stage(name)

        manifest = export(options, Listener(stage, shown.step), open_served)
    print_export(manifest, args.target.to, as_json=args.target.json, fitted=args.merging.fit is not None)


def _overrides(args: EncoderArgs, prompts: PromptArgs) -> Overrides:
    from nestvec_exporters import Overrides

    return Overrides(
        pooling=args.pooling,
        bidirectional=args.bidirectional,
        frames=args.frames,
        image_checkpoint=args.image_checkpoint,
        query_prompt=prompts.query_prompt,
        document_prompt=prompts.document_prompt,
        query_prompt_name=prompts.query_prompt_name,
        document_prompt_name=prompts.document_prompt_name,
        more_prompts=prompts.prompt,
        layout=args.layout,
    )


def _merge(args: ExportArgs) -> Merge | None:
    """What to merge; a usage error if that and CHECKPOINT are missing, or if two checkpoints are ``base``."""
    from nestvec_exporters.merge import BASE, CoefficientFit, Merge

    merging = args.merging
    if merging.merge is None:
        if merging.fit is not None:
            raise click.UsageError("--fit needs --merge: it finds the coefficients of EXPRESSION.")
        if args.checkpoint is None:
            raise click.UsageError("Missing argument 'CHECKPOINT' (or --merge EXPRESSION).")
        if merging.names:
            raise click.UsageError("--with needs --merge: it defines a name in EXPRESSION.")
        return None
    rows = None if merging.fit is None else _read_fit_rows(merging.fit)
    fit = None if rows is None else CoefficientFit(rows, merging.fit_steps, seed=args.nesting.seed)
    if args.checkpoint is None:
        return Merge(merging.merge, merging.names, fit)
    if BASE in merging.names:
        raise click.UsageError(f"CHECKPOINT is named {BASE} in --merge: omit CHECKPOINT or --with {BASE}=….")
    return Merge(merging.merge, {BASE: args.checkpoint, **merging.names}, fit)


def _read_fit_rows(path: Path) -> TrainingData:
    """The rows of a file, as pairs if it has columns for them."""
    from nestvec.datasets.training_texts import TrainingColumns, detect_kind, read_rows
    from nestvec_exporters.training_data import TrainingData

    kind = detect_kind(path)
    return TrainingData(path.name, kind, read_rows(path, kind, TrainingColumns()).rows)


def _sample(args: ExportArgs) -> Sample | None:
    """The sample to fit on; exits without --rotate are fitted on this machine's own texts."""
    from nestvec.datasets.samples import DEMO, SampleOptions, SampleStore, read_sample

    source = args.nesting.rotate or (DEMO if args.nesting.exits else None)
    if source is None:
        return None
    nesting, milvus = args.nesting, args.milvus
    options = SampleOptions(nesting.sample_column, nesting.sample_size, nesting.seed)
    return read_sample(source, options, SampleStore(milvus.uri, milvus.token, milvus.database))


def default_name(checkpoint: str) -> str:
    """An encoder's name from a path or id: its last part in lower case, with ``-`` for other characters.

    A file's extension is dropped.
    """
    path = Path(checkpoint)
    last = path.stem if path.is_file() else path.name or path.resolve().name
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("._-")[:_NAME_LENGTH] or "encoder"


def merged_name(merge: Merge) -> str:
    """An encoder's name from a merge: its base's, with ``-merged``."""
    ending = "-merged"
    return f"{default_name(merge.base)[: _NAME_LENGTH - len(ending)]}{ending}"
