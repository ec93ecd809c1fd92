"""Charts that can be read: no axis repeats a tick, and no legend covers data."""

from __future__ import annotations

from functools import partial

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.evaluation import exact_index
from nestvec.evaluate.measure_dense import measure_dense
from nestvec.evaluate.outcomes import EvaluateOptions
from nestvec.evaluate.report import charts
from nestvec.evaluate.report.charts import PlotData
from nestvec.evaluate.report.recommendation import recommend
from nestvec.evaluate.rows import ResultRow, make_rows
from nestvec.evaluate.search.forms import FORMS

from ..conftest import Fake

CHARTS = {
    "bytes": charts.draw_quality_by_bytes,
    "document time": charts.draw_quality_by_document_time,
    "query time": charts.draw_quality_by_query_time,
    "dims": charts.draw_kept_by_dim,
    "cosine": charts.draw_mean_cosine,
    "rank": charts.draw_effective_rank,
}


@pytest.fixture
def rows(dataset: Dataset, fake: Fake) -> list[ResultRow]:
    found = measure_dense(
        dataset, fake.subject, fake.source, exact_index, EvaluateOptions(FORMS, 20), lambda done: None
    )
    return make_rows({"small": (dataset, found.outcomes)}, seed=0, through="exact")


def drawn(name: str, data: PlotData) -> Figure:
    draw = CHARTS[name]
    if name == "bytes":
        draw = partial(draw, recommendation=recommend(data.rows))
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    draw(data, axes=figure.subplots())  # type: ignore[operator]
    figure.draw_without_rendering()
    return figure


def squeezed(rows: list[ResultRow]) -> list[ResultRow]:
    """The same with what is kept between 99.0 and 99.5 %, where whole percents would repeat."""
    return [
        row | {name: 0.99 + 0.005 * float(str(row[name])) for name in ("kept", "kept_low", "kept_high")}
        for row in rows
    ]


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("narrow", [False, True])
def test_no_axis_repeats_a_tick(name: str, narrow: bool, rows: list[ResultRow]) -> None:
    data = PlotData(squeezed(rows) if narrow else rows, "tiny", "fp32", deepest_exit=4, full_dim=16)
    (axes,) = drawn(name, data).axes
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        labels = [label.get_text() for place, label in ticks if low <= place <= high]
        assert len(labels) == len(set(labels)), labels


@pytest.mark.parametrize("name", CHARTS)
def test_no_legend_covers_the_axes(name: str, rows: list[ResultRow]) -> None:
    # A second encoder gives every chart of encoders a legend.
    others = [row | {"encoder": "other"} for row in rows]
    figure = drawn(name, PlotData([*rows, *others], "tiny", "fp32", deepest_exit=4, full_dim=16))
    (axes,) = figure.axes
    assert axes.get_legend() is None
    assert len(figure.legends) == 1
    assert not figure.legends[0].get_window_extent().overlaps(axes.get_window_extent())
