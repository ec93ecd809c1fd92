"""``nestvec evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.completion import complete_encoders
from nestvec.cli.options import (
    MilvusArgs,
    args_command,
    encoder_option,
    integers,
    models_option,
    option,
    option_group,
    optional_milvus_options,
)
from nestvec.cli.ray_options import RayPoolArgs, ray_pool_options

if TYPE_CHECKING:
    from nestvec.evaluate.evaluation import Evaluation
    from nestvec.evaluate.search.exact import OpenIndex
    from nestvec.evaluate.search.forms import Form
    from nestvec.evaluate.variants import EncoderVariant
    from nestvec.evaluate.vectors.window_work import RunWindows
    from nestvec_schemas.manifest import Precision

_FORMS: tuple[Form, ...] = ("float", "int8", "binary", "shortlist")
_PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "int4-weights")
_DEPTH = 50


@dataclass(frozen=True)
class VariantArgs:
    """Which encoders and vectors are measured; None is what an encoder offers."""

    encoder: tuple[str, ...]
    queries_encoder: str | None
    models: Path
    precision: tuple[Precision, ...]
    dims: tuple[int, ...] | None
    exits: tuple[int, ...] | None
    forms: tuple[Form, ...]
    top: tuple[int, ...] | None
    prompt_name: str | None
    query_prompt_name: str | None


@dataclass(frozen=True)
class SearchArgs:
    """How vectors are searched and reranked."""

    through: Literal["exact", "milvus"]

    milvus: MilvusArgs
    """Without an address, a temporary Milvus Lite database."""

    candidates: int
    rerank: tuple[str, ...]
    depth: int | None
    seed: int


@dataclass(frozen=True)
class OutputArgs:
    """Where results go."""

    json: str | None
    report: Path | None
    cache: Path | None


@dataclass(frozen=True)
class EvaluateArgs:
    """The command's arguments."""

    data: tuple[Path, ...]
    languages: tuple[str, ...]
    variants: VariantArgs
    search: SearchArgs
    ray: RayPoolArgs
    output: OutputArgs


def _split(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _words(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    from nestvec_schemas.errors import nearest

    choices = {"forms": _FORMS, "precision": _PRECISIONS}[param.name or ""]
    words = _split(ctx, param, value)
    for word in words:
        if word not in choices:
            raise click.BadParameter(
                f"'{word}' is not one of {', '.join(choices)}.{nearest(word, choices)}", ctx, param
            )
    return words


@click.command("evaluate", cls=args_command(EvaluateArgs), short_help=COMMANDS["evaluate"].short_help)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@option_group("Encoders", encoder_option("--encoder", required=True, help="Encoder to measure (repeatable)."))
@models_option
@option_group(
    "Encoders",
    option(
        "--queries-encoder",
        metavar="NAME",
        shell_complete=complete_encoders,
        help="Measure the encoders of the same space once more, with queries by this one: a bridge, such as "
        "bge.as.minilm.",
    ),
    option(
        "--precision",
        callback=_words,
        default="",
        metavar="PRECISION,…",
        show_default=False,
        help="Measure the same encoders with fp32, fp16 or int8 weights as well.",
    ),
)
@option_group(
    "Vectors",
    option(
        "--dims",
        callback=integers,
        metavar="DIM,DIM,…",
        show_default="those of the encoder",
        help="Lengths of vectors, descending.",
    ),
    option(
        "--exits",
        callback=integers,
        metavar="LAYER,LAYER,…",
        show_default="those of the encoder",
        help="Layers after which the encoder stops.",
    ),
    option(
        "--forms",
        callback=_words,
        default=",".join(_FORMS),
        metavar="FORM,…",
        help="Forms of the vectors. binary and shortlist are rescored at full length.",
    ),
    option(
        "--top",
        callback=integers,
        metavar="TOP,TOP,…",
        show_default="all",
        help="For sparse encoders: how many of the largest weights a document keeps, descending.",
    ),
    option(
        "--prompt-name",
        metavar="NAME",
        show_default="the encoder's own",
        help="Prompt before documents, and before queries unless --query-prompt-name names another.",
    ),
    option(
        "--query-prompt-name",
        metavar="NAME",
        show_default="the encoder's own",
        help="Prompt before queries.",
    ),
)
@option_group(
    "Search",
    option(
        "--through",
        type=click.Choice(["exact", "milvus"]),
        default="exact",
        help="exact: compute every similarity. milvus: search a real Milvus, that at --uri or a temporary "
        "Milvus Lite database.",
    ),
    option(
        "--candidates",
        type=click.IntRange(1, 10_000),
        default=100,
        help="Documents found by short vectors that are rescored at full length.",
    ),
    encoder_option(
        "--rerank",
        help="Rerank the first documents of a full-length ranking with this cross-encoder or "
        "late-interaction encoder (repeatable).",
    ),
    option(
        "--depth",
        type=click.IntRange(1, 1000),
        show_default=str(_DEPTH),
        help="Documents that --rerank scores.",
    ),
    option("--seed", type=click.IntRange(0), default=0, help="Random seed of the confidence intervals."),
)
@option_group(
    "Data",
    option(
        "--languages",
        callback=_split,
        default="",
        metavar="LANGUAGE,…",
        show_default="the dataset's own",
        help="For captioned images: measure these languages as well, by the names in captions, or all.",
    ),
)
@optional_milvus_options
@ray_pool_options("Encode", "whose machines have the folders of --models and of images")
@option_group(
    "Output",
    option("--json", metavar="FILE", help="Write the rows as JSON; - is standard output."),
    option(
        "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML page with charts."
    ),
    option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="NESTVEC_CACHE",
        show_default="~/.cache/nestvec",
        help="Folder that keeps vectors for the next run.",
    ),
)
def command(args: EvaluateArgs) -> None:
    """Measure how much of an encoder's quality each length, exit, precision and form of its vectors keeps.

    DATA are folders in BEIR's layout (corpus.jsonl, queries.jsonl and qrels/test.tsv), or of captioned
    images (pairs.jsonl with _id, image and caption), which are searched in both directions: images by
    text and captions by image. A sparse encoder is measured with all its weights, and with only the largest
    ones (--top). --rerank adds the ranking of each encoder after reranking. An interrupted run
    continues where it stopped; no vector is computed twice.

    \b
    Examples:
      nestvec evaluate scifact --encoder minilm --dims 384,128,64 \\
        --report report.html
      nestvec evaluate stamps --encoder images --languages de,fr,ja
      nestvec evaluate cranfield --encoder minilm --encoder splade \\
        --top 128,64 --rerank cross
      nestvec evaluate scifact --encoder minilm --queries-encoder bge.as.minilm
    """
    args.ray.prepare()
    from nestvec.evaluate.evaluation import evaluate, open_datasets
    from nestvec.evaluate.outcomes import EvaluateOptions
    from nestvec.evaluate.report.output import check_writable
    from nestvec.evaluate.variants import RequestedSizes, choose_reranker, choose_variants, with_queries_by
    from nestvec.evaluate.vectors.sources import Backend
    from nestvec.terminal.progress import progress
    from nestvec_schemas.embedding_config import EmbeddingConfig
    from nestvec_schemas.extras import require_packages

    encoders, search, output = args.variants, args.search, args.output
    if search.depth is not None and not search.rerank:
        raise click.UsageError("--depth needs --rerank: add it, or omit --depth.")
    require_packages("evaluating", ("pytrec_eval", "matplotlib", "jinja2", "onnxruntime"), "evaluate")
    for path in (output.report, output.json if output.json != "-" else None):
        check_writable(path)
    prompts = EmbeddingConfig(prompt=encoders.prompt_name, query_prompt=encoders.query_prompt_name)
    sizes = RequestedSizes(encoders.dims, encoders.exits, encoders.top, prompts)
    # Workers have working folders of their own.
    models = encoders.models.absolute()
    variants = choose_variants(models, encoders.encoder, encoders.precision, sizes)
    if encoders.queries_encoder is not None:
        variants = with_queries_by(models, encoders.queries_encoder, variants, prompts)
    rerankers = [choose_reranker(encoders.models, name) for name in dict.fromkeys(search.rerank)]
    datasets = open_datasets(args.data, args.languages)
    rerank_depth = (search.depth or _DEPTH) if rerankers else 0
    options = EvaluateOptions(encoders.forms or _FORMS, search.candidates, search.seed, rerank_depth)
    with _indexes(search) as open_index, _windows(args.ray) as run_windows:
        cache = output.cache or default_cache()
        backend = Backend(
            _open_encoder, open_index, cache, progress, through=search.through, run_windows=run_windows
        )
        evaluation = evaluate(datasets, variants, options, backend, rerankers)
    _write(evaluation, output)
    for note in evaluation.notes:
        click.echo(note, err=True)


def _write(evaluation: Evaluation, output: OutputArgs) -> None:
    from nestvec.cli.reports.evaluate_table import print_evaluation
    from nestvec.evaluate.report.output import write_rows
    from nestvec.evaluate.report.page import write_page
    from nestvec.evaluate.report.recommendation import recommendation_sentence

    if output.json:
        write_rows(evaluation.rows, output.json)
    if output.report:
        write_page(evaluation, output.report)
    if output.json != "-":
        print_evaluation(evaluation)
        click.echo(recommendation_sentence(evaluation.rows))


def default_cache() -> Path:
    """Where vectors are kept unless --cache says otherwise (XDG base directories)."""
    import os

    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nestvec"


def _open_encoder(variant: EncoderVariant) -> Any:
    from functools import partial

    from nestvec.engines.onnx import OnnxEngine

    name = variant.manifest.name
    return partial(OnnxEngine({name: variant.folder}).run_now, name)


@contextmanager
def _windows(args: RayPoolArgs) -> Iterator[RunWindows]:
    """What encodes the texts that are not cached."""
    from nestvec.evaluate.vectors.window_work import run_here

    with args.pool() as pool:
        if pool is None:
            yield run_here
        else:
            from nestvec.bulk.windows import RayWindows

            yield RayWindows(pool)


@contextmanager
def _indexes(search: SearchArgs) -> Iterator[OpenIndex]:
    from nestvec.evaluate.evaluation import exact_index

    if search.through == "exact":
        yield exact_index
        return
    import signal

    from nestvec.evaluate.search.milvus_backend import milvus_indexes

    # The temporary collections are dropped, whatever ends the command.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        milvus = search.milvus
        with milvus_indexes(
            milvus.uri or None, milvus.token, database=milvus.database, settings=milvus.settings
        ) as open_index:
            yield open_index
    finally:
        signal.signal(signal.SIGTERM, before)
