"""``nestvec evaluate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, integers, models_option

if TYPE_CHECKING:
    from nestvec.evaluate.evaluation import Evaluation
    from nestvec.evaluate.search.exact import OpenIndex
    from nestvec.evaluate.rows import ResultRow
    from nestvec.evaluate.variants import EncoderVariant

_FORMS = ("float", "int8", "binary", "shortlist")
_PRECISIONS = ("fp32", "fp16", "int8")
_SETTING = ("nesting", "dim", "exit", "form")
_TEXTS = ("nDCG@10", "95%", "kept", "R@100", "MRR@10")
_PICTURES = ("R@1", "R@5", "R@10", "95%", "kept")
_COST = ("bytes", "ms")
_DEPTH = 50


@dataclass(frozen=True)
class EvaluateArgs:
    """The command's arguments."""

    data: tuple[Path, ...]
    encoder: tuple[str, ...]
    models: Path
    dims: tuple[int, ...] | None
    exits: tuple[int, ...] | None
    precision: tuple[Any, ...]
    forms: tuple[Any, ...]
    through: str
    uri: str | None
    token: str = field(repr=False)
    candidates: int
    top: tuple[int, ...] | None
    rerank: tuple[str, ...]
    depth: int | None
    languages: tuple[str, ...]
    json_file: str | None
    report: Path | None
    cache: Path | None
    seed: int


def _split(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _words(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    from nestvec_schemas.errors import nearest

    choices = {"forms": _FORMS, "precision": _PRECISIONS}[param.name or ""]
    words = _split(ctx, param, value)
    for word in words:
        if word not in choices:
            raise click.BadParameter(
                f"'{word}' is none of {', '.join(choices)}.{nearest(word, choices)}", ctx, param
            )
    return words


@click.command(cls=args_command(EvaluateArgs), short_help=COMMANDS["evaluate"].short_help)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--encoder", required=True, multiple=True, help="An encoder of the repository; may be repeated."
)
@models_option
@click.option(
    "--dims", callback=integers, metavar="DIM,DIM,…", help="Descending. Default: those it was exported with."
)
@click.option("--exits", callback=integers, metavar="EXIT,EXIT,…", help="Default: all that it has.")
@click.option(
    "--precision",
    callback=_words,
    default="",
    metavar="PRECISION,…",
    help="Measure beside each encoder the one of the same source with weights of fp32, fp16 or int8.",
)
@click.option(
    "--forms",
    callback=_words,
    default=",".join(_FORMS),
    show_default=True,
    help="Of the vectors. binary and shortlist are scored again at full length.",
)
@click.option(
    "--through",
    type=click.Choice(["exact", "milvus"]),
    default="exact",
    show_default=True,
    help="Search by computing every similarity, or in a real Milvus.",
)
@click.option("--uri", envvar="NESTVEC_URI", help="The Milvus. Default: a temporary Milvus Lite database.")
@click.option("--token", default="", envvar="NESTVEC_TOKEN", help="Milvus token, or USER:PASSWORD.")
@click.option(
    "--candidates",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Documents that a short search hands on to be scored at full length.",
)
@click.option(
    "--top",
    callback=integers,
    metavar="TOP,TOP,…",
    help="Of sparse encoders: keep so many of the largest weights of a document, descending. Default: all.",
)
@click.option(
    "--rerank",
    multiple=True,
    metavar="ENCODER",
    help="Score the first documents of a whole vector's ranking again by this cross-encoder or "
    "late-interaction encoder; may be repeated.",
)
@click.option(
    "--depth", type=click.IntRange(1, 1000), help=f"How many documents --rerank scores.  [default: {_DEPTH}]"
)
@click.option(
    "--languages",
    callback=_split,
    default="",
    metavar="LANGUAGE,…",
    help="Of captions: measure these too, as captions names them, or all. Default: a set's own alone.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML page with plots."
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="NESTVEC_CACHE",
    help="Where vectors are kept, for the next run too. Default: ~/.cache/nestvec.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the intervals.")
def command(args: EvaluateArgs) -> None:
    """Measure what each length, exit, precision and form of an encoder's vectors keeps of its quality.

    DATA are folders in BEIR's layout (corpus.jsonl, queries.jsonl and qrels/test.tsv), or of pictures with
    captions (pairs.jsonl with _id, image and caption), which are searched both ways: pictures by text, and
    captions by picture. Of a sparse encoder all weights of words are measured, and the largest alone
    (--top); --rerank adds what scoring the first documents again makes of each encoder's ranking. An
    interrupted run goes on where it stopped; the same vectors are never computed twice.

    \b
    Examples:
      nestvec evaluate scifact --encoder minilm --dims 384,128,64 --report report.html
      nestvec evaluate stamps --encoder pictures --languages de,fr,ja
      nestvec evaluate cranfield --encoder minilm --encoder splade --top 128,64 --rerank cross
    """
    from nestvec.evaluate.evaluation import evaluate, open_datasets
    from nestvec.evaluate.outcomes import EvaluateOptions
    from nestvec.evaluate.report.output import check_writable, write_rows
    from nestvec.evaluate.report.recommendation import recommendation_sentence
    from nestvec.evaluate.variants import RequestedSizes, choose_reranker, choose_variants
    from nestvec.evaluate.vectors.sources import Backend
    from nestvec.terminal.progress import progress
    from nestvec_schemas.extras import require_packages

    if args.depth is not None and not args.rerank:
        raise click.UsageError("--depth is how many documents --rerank scores: name an encoder there.")
    require_packages("evaluating", ("pytrec_eval", "matplotlib", "onnxruntime"), "evaluate")
    for path in (args.report, args.json_file if args.json_file != "-" else None):
        check_writable(path)
    sizes = RequestedSizes(args.dims, args.exits, args.top)
    subjects = choose_variants(args.models, args.encoder, args.precision, sizes)
    rerankers = [choose_reranker(args.models, name) for name in dict.fromkeys(args.rerank)]
    datasets = open_datasets(args.data, args.languages)
    depth = (args.depth or _DEPTH) if rerankers else 0
    options = EvaluateOptions(args.forms or _FORMS, args.candidates, args.seed, depth)
    cache = args.cache or default_cache()
    with _indexes(args) as open_index:
        means = Backend(_open_run, open_index, cache, progress, args.through)
        evaluation = evaluate(datasets, subjects, options, means, rerankers)
    if args.json_file:
        write_rows(evaluation.rows, args.json_file)
    if args.report:
        from nestvec.evaluate.report.page import write_page

        write_page(evaluation, args.report)
    if args.json_file != "-":
        _print(evaluation)
        click.echo(recommendation_sentence(evaluation.rows))
    for note in evaluation.notes:
        click.echo(note, err=True)


def default_cache() -> Path:
    """Where vectors are kept unless --cache says otherwise (XDG base directories)."""
    import os

    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nestvec"


def _open_run(subject: EncoderVariant) -> Any:
    from functools import partial

    from nestvec.engines.onnx import OnnxEngine

    name = subject.manifest.name
    return partial(OnnxEngine({name: subject.folder}).run_now, name)


@contextmanager
def _indexes(args: EvaluateArgs) -> Iterator[OpenIndex]:
    from nestvec.evaluate.evaluation import exact_index

    if args.through == "exact":
        yield exact_index
        return
    import signal

    from nestvec.evaluate.search.milvus_backend import milvus_indexes

    # The temporary collections go whatever ends the command.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with milvus_indexes(args.uri, args.token) as open_index:
            yield open_index
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(evaluation: Evaluation) -> None:
    from nestvec.terminal.tables import print_table

    groups: dict[tuple[object, ...], list[ResultRow]] = {}
    for row in evaluation.rows:
        groups.setdefault((row["dataset"], row["encoder"], row["precision"], row["queries"]), []).append(row)
    for (dataset, encoder, precision, queries), rows in groups.items():
        title = f"{dataset}, {queries} queries: {encoder}, {precision} weights"
        measures = _PICTURES if rows[0]["direction"] else _TEXTS
        print_table((*_SETTING, *measures, *_COST), [_cells(row) for row in rows], title)


def _of_texts(row: ResultRow) -> Sequence[object]:

    from nestvec.evaluate.report.recommendation import as_float

    return (
        row["ndcg@10"],
        _interval(row, "ndcg@10"),
        *(f"{as_float(row, name):.3f}" for name in ("kept", "recall@100", "mrr@10")),
    )


def _of_pictures(row: ResultRow) -> Sequence[object]:

    from nestvec.evaluate.report.recommendation import as_float

    hit_rates = (f"{as_float(row, name):.3f}" for name in ("r@1", "r@5", "r@10"))
    return (*hit_rates, _interval(row, "r@10"), f"{as_float(row, 'kept'):.3f}")


def _interval(row: ResultRow, measure: str) -> str:

    from nestvec.evaluate.report.recommendation import as_float

    return f"{as_float(row, f'{measure}_low'):.2f}–{as_float(row, f'{measure}_high'):.2f}".replace("0.", ".")


def _cells(row: ResultRow) -> Sequence[object]:

    from nestvec.evaluate.report.recommendation import as_float

    same = row["exit"] == row["query_exit"]
    return (
        row["nesting"],
        row["dim"],
        str(row["exit"]) if same else f"{row['query_exit']}→{row['exit']}",
        row["form"] if row["reranker"] is None else f"by {row['reranker']}",
        *(_of_pictures(row) if row["direction"] else _of_texts(row)),
        row["bytes"],
        f"{as_float(row, 'ms_per_text'):.1f}",
    )
