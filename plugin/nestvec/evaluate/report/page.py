"""The report: one HTML page that needs nothing else, no network and no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nestvec.evaluate.evaluation import Evaluation
from nestvec.evaluate.report import charts
from nestvec.evaluate.report.charts import PlotData
from nestvec.evaluate.report.method import method_lines
from nestvec.evaluate.report.output import write_atomically
from nestvec.evaluate.report.recommendation import (
    RETENTION_TARGET,
    Recommendation,
    as_float,
    describe_setting,
    headline_rows,
    recommend,
    recommendation_sentence,
)
from nestvec.evaluate.report.settings_table import settings_table
from nestvec.evaluate.report.svg import render_svg
from nestvec.evaluate.rows import MEAN, ResultRow


@dataclass(frozen=True)
class Tile:
    """A figure at the head of the page."""

    label: str
    value: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading, what its charts show, and the charts as SVG elements."""

    title: str
    caption: str
    charts: tuple[Markup, ...]


def write_page(evaluation: Evaluation, path: Path) -> None:
    """Write the report, completely or not at all. Raises DatasetUnusable."""
    write_atomically(path, render_page(evaluation))


def render_page(evaluation: Evaluation) -> str:
    """The report as one HTML document."""
    rows = headline_rows(evaluation.rows)
    data, recommendation = _plot_data(rows), recommend(rows)
    folder = files("nestvec.evaluate.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(folder.joinpath("page.html.j2").read_text("utf-8"))
    columns, table = settings_table(evaluation.rows)
    return template.render(
        title=_title(data.encoder, evaluation.rows),
        style=Markup(folder.joinpath("page.css").read_text("utf-8")),  # noqa: S704 - a file of this package
        answer=recommendation_sentence(evaluation.rows),
        tiles=list(_tiles(data, recommendation)),
        sections=[*_sections(data, recommendation), *_concept_depths(evaluation)],
        notes=list(_notes(data, evaluation)),
        method=[*method_lines(evaluation.rows), *evaluation.notes],
        columns=columns,
        table=table,
    )


def _title(encoder: str, rows: Sequence[ResultRow]) -> str:
    datasets = [name for name in dict.fromkeys(str(row["dataset"]) for row in rows) if name != MEAN]
    names = " and ".join(datasets) if len(datasets) < 3 else f"{len(datasets)} datasets"
    return f"{encoder} on {names}"


def _plot_data(rows: Sequence[ResultRow]) -> PlotData:
    """The headline's rows; the reference is the encoder that keeps all of its own quality."""
    fp32 = [row for row in rows if row["precision"] == "fp32"] or list(rows)
    own = [row for row in rows if row["encoder"] == fp32[0]["encoder"]]
    return PlotData(
        rows=rows,
        encoder=str(own[0]["encoder"]),
        precision=str(own[0]["precision"]),
        deepest_exit=max(int(as_float(row, "exit")) for row in own),
        full_dim=max(int(as_float(row, "dim")) for row in own),
        form="sparse" if any(row["form"] == "sparse" for row in own) else "float",
    )


def _tiles(data: PlotData, recommendation: Recommendation | None) -> Iterator[Tile]:
    reference = data.symmetric(form=data.form, dim=data.full_dim)[0]
    yield Tile(
        "Reference, 100%",
        f"{as_float(reference, 'ndcg@10'):.4f}",
        f"nDCG@10 of {describe_setting(reference)}: {reference['bytes']:,} bytes",
    )
    if recommendation is None:
        return
    for label, row, size in (
        (f"Smallest to store at {RETENTION_TARGET:.0%}", recommendation.stored, "stored_bytes"),
        (f"Smallest to search at {RETENTION_TARGET:.0%}", recommendation.searched, "bytes"),
    ):
        times = as_float(reference, "bytes") / as_float(row, size)
        retention = f"keeps {as_float(row, 'kept'):.1%}"
        yield Tile(
            label, f"{row[size]:,} bytes", f"{describe_setting(row)}: {times:.3g} times smaller, {retention}"
        )


def _sections(data: PlotData, recommendation: Recommendation | None) -> Iterator[Section]:
    nested = len(data.nestings) > 1
    yield Section(
        "Quality against bytes",
        "How much of the reference's nDCG@10 each form of the vectors keeps. Bands are 95% confidence "
        "intervals; rings mark the settings named above.",
        (_chart("bytes", partial(charts.draw_quality_by_bytes, data, recommendation), height=4.2),),
    )
    if _has_several_passes(data):
        yield Section(
            "Quality against encoder time",
            "Full-length float vectors. A pass that leaves at an earlier exit runs fewer layers.",
            (
                _chart("document-time", partial(charts.draw_quality_by_document_time, data)),
                _chart("query-time", partial(charts.draw_quality_by_query_time, data)),
            ),
        )
    yield Section(
        "Kept at each length" + (", plain and nested" if nested else ""),
        "Float vectors truncated to their first numbers and normalised, at the deepest exit."
        if data.form == "float"
        else "Only the largest weights of each document; queries keep all of theirs.",
        (_chart("dims", partial(charts.draw_kept_by_dim, data)),),
    )
    if data.form == "float":
        yield Section(
            "Isotropy" + (" before and after the rotation" if nested else ""),
            "How evenly document vectors fill their space."
            + (
                " The rotation changes no cosine between full-length vectors, but moves what distinguishes "
                "vectors into their first numbers."
                if nested
                else ""
            ),
            (
                _chart("cosine", partial(charts.draw_mean_cosine, data)),
                _chart("rank", partial(charts.draw_effective_rank, data)),
            ),
        )


def _concept_depths(evaluation: Evaluation) -> Iterator[Section]:
    for number, ((dataset, encoder), depth) in enumerate(evaluation.depths.items()):
        failed = f" {depth.failed} queries that it fails are left out." if depth.failed else ""
        yield Section(
            f"Concept depth: {encoder} on {dataset}",
            f"{depth.queries} queries by difficulty, which is how little the best relevant document is ahead "
            "of the best other one. An exit suffices if it reaches the deepest exit's nDCG@10, with "
            f"documents at the deepest.{failed}",
            (_chart(f"depth{number}", partial(charts.draw_concept_depth, depth), height=2.6),),
        )


def _notes(data: PlotData, evaluation: Evaluation) -> Iterator[str]:
    if not _has_several_passes(data):
        yield "Quality against encoder time needs several exits, precisions or encoders."
    if not evaluation.depths:
        yield "Concept depth needs an encoder with several exits."


def _has_several_passes(data: PlotData) -> bool:
    floats = [row for row in data.rows if row["form"] == "float" and row["dim"] == data.full_dim]
    passes = {(row["encoder"], row["precision"], row["exit"], row["query_exit"]) for row in floats}
    return len(passes) > 1


def _chart(name: str, draw: charts.Draw, height: float = 3.6) -> Markup:
    return Markup(render_svg(name, draw, height))  # noqa: S704 - matplotlib escapes its texts
