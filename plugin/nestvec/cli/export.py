"""``nestvec export``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.checkpoint_options.export import (
    EncoderArgs,
    ExportArgs,
    encoder_options,
    merging_options,
    nesting_options,
    source_options,
    target_options,
    triton_options,
    trust_options,
)
from nestvec.cli.options import (
    PromptArgs,
    args_command,
    json_option,
    optional_milvus_options,
    prompt_options,
)
from nestvec.cli.ray_options import RayPoolArgs, ray_pool_options

if TYPE_CHECKING:
    from nestvec_exporters import ExportOptions, Overrides
    from nestvec_exporters.merge import Merge
    from nestvec_exporters.nesting.sampling import RunBatches
    from nestvec_exporters.training_data import TrainingData
    from nestvec_schemas.samples.sample import Sample

_NAME_LENGTH = 64


@click.command("export", cls=args_command(ExportArgs), short_help=COMMANDS["export"].short_help)
@click.argument("checkpoint", required=False)
@source_options
@target_options
@encoder_options
@prompt_options
@nesting_options
@merging_options
@triton_options
@trust_options
@optional_milvus_options
@ray_pool_options("Embed the texts of --rotate and --exits", "which get the graph from this command")
@json_option
def command(args: ExportArgs) -> None:
    """Export CHECKPOINT, a local folder or a Hugging Face id, to a Triton model repository.

    CHECKPOINT may also be a file of word vectors: GloVe's or fastText's text (.txt, .vec) or word2vec's
    binary (.bin). The vectors of words are averaged; --pooling sif gives rare words more weight.

    What a service would give is compared with the checkpoint's own library. If they differ by more than the
    precision allows, nothing is written.

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
    args.nesting.ray.prepare()
    if args.nesting.ray.ray is not None and args.nesting.rotate is None and args.nesting.exits is None:
        raise click.UsageError("--ray needs --rotate or --exits, whose texts the encoder embeds.")
    from nestvec.cli.reports.declarations import print_declarations
    from nestvec.cli.reports.export_report import print_export
    from nestvec.service.verification import open_served
    from nestvec.terminal.interrupts import reraise_interrupt
    from nestvec.terminal.progress import stages
    from nestvec_exporters import Listener, export

    options = _options(args)
    if args.trust.explain:
        print_declarations(options, as_json=args.target.json)
        return
    with _batches(args.nesting.ray) as run_batches, reraise_interrupt() as check, stages() as shown:

        def stage(name: str) -> None:
            check()
            shown.stage(name)

        manifest = export(options, Listener(stage, shown.step), open_served, run_batches)
    print_export(manifest, args.target.to, as_json=args.target.json, fitted=args.merging.fit is not None)


@contextmanager
def _batches(args: RayPoolArgs) -> Iterator[RunBatches | None]:
    """What embeds the sample; None for this process."""
    with args.pool() as pool:
        if pool is None:
            yield None
        else:
            from nestvec.bulk.graph_batches import RayBatches

            yield RayBatches(pool)


def _options(args: ExportArgs) -> ExportOptions:
    from nestvec_exporters import ExportOptions

    merge = _merge(args)
    return ExportOptions(
        checkpoint="" if merge else args.checkpoint or "",
        models=args.target.to,
        name=args.target.name or (merged_name(merge) if merge else default_name(args.checkpoint or "")),
        precision=args.encoder.precision,
        fuse=args.encoder.fuse,
        dims=args.encoder.dims,
        max_tokens=args.encoder.max_tokens,
        force=args.target.force,
        format=args.triton.format,
        gpus=args.triton.gpus or (),
        accelerate=args.triton.tensorrt,
        backend=args.triton.triton_backend,
        instances=args.triton.triton_instances,
        rotation=args.nesting.rotation if args.nesting.rotate else None,
        exits=args.nesting.exits or (),
        sample=_sample(args),
        calibration=_calibration(args),
        queries=_queries(args),
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


def _calibration(args: ExportArgs) -> Sample | None:
    """The texts to calibrate on, if a file has them; a usage error where nothing is calibrated."""
    from nestvec.datasets.samples import SampleOptions, read_file_sample

    file = args.encoder.calibrate
    if file is None:
        return None
    if args.encoder.precision in ("fp32", "fp16", "int8-dynamic"):
        raise click.UsageError("--calibrate needs --precision int8, int8-weights or int4-weights.")
    options = SampleOptions(args.nesting.sample_column, args.nesting.sample_size, args.nesting.seed)
    return read_file_sample(file, options)


def _sample(args: ExportArgs) -> Sample | None:
    """The sample to fit on; exits without --rotate are fitted on this machine's own texts."""
    from nestvec.datasets.samples import DEMO, SampleOptions, SampleStore, read_sample

    source = args.nesting.rotate or (DEMO if args.nesting.exits else None)
    if source is None:
        return None
    nesting, milvus = args.nesting, args.milvus
    options = SampleOptions(nesting.sample_column, nesting.sample_size, nesting.seed)
    store = SampleStore(milvus.uri, milvus.token, milvus.database, milvus.settings)
    return read_sample(source, options, store)


def _queries(args: ExportArgs) -> Sample | None:
    """The real queries to fit a rotation on."""
    from nestvec.datasets.samples import read_query_log

    nesting = args.nesting
    if nesting.queries is None:
        return None
    if nesting.rotate is None:
        raise click.UsageError("--queries needs --rotate: a rotation is fitted on both.")
    if nesting.rotation == "pca":
        raise click.UsageError("--queries needs --rotation learned: principal axes are of the texts alone.")
    return read_query_log(nesting.queries, nesting.sample_size, nesting.seed)


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
