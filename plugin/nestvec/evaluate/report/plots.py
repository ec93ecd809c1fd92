"""The report's plots, as SVG whose colours are the page's, so that they are right in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator, PercentFormatter

from nestvec.evaluate.metrics.concept_depth import TERCILES, ConceptDepth
from nestvec.evaluate.report.recommendation import RETENTION_TARGET, Recommendation, as_float, knee
from nestvec.evaluate.rows import ResultRow

_INK, _MUTED, _GRID, _PAPER = "#0102a1", "#0102a2", "#0102a3", "#0102a4"
_SERIES = ("#0102b1", "#0102b2", "#0102b3", "#0102b4", "#0102b5", "#0102b6")
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--grid)",
    _PAPER: "var(--card)",
    **{colour: f"var(--c{at})" for at, colour in enumerate(_SERIES, start=1)},
}
"""Colours that stand for the page's variables until the SVG is written."""

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 2.0,
    "lines.markersize": 6.0,
}

_FORMS: Final = {"float": 0, "int8": 1, "binary": 2, "shortlist": 3, "sparse": 0}


@dataclass(frozen=True)
class PlotData:
    """The rows that plots draw: ``rows`` of the headline, ``encoder`` and ``precision`` those of the
    reference, ``depth`` its deepest exit, ``full`` its dim and ``form`` what its whole vectors have."""

    rows: Sequence[ResultRow]
    encoder: str
    precision: str
    deepest_exit: int
    full_dim: int
    form: str = "float"

    def where(self, **equal: object) -> list[ResultRow]:
        """The reference encoder's rows with these values, the shortest first."""
        equal = {"encoder": self.encoder, "precision": self.precision} | equal
        rows = [row for row in self.rows if all(row[name] == value for name, value in equal.items())]
        return sorted(rows, key=lambda row: as_float(row, "dim"))

    @property
    def nestings(self) -> list[str]:
        """Those of the reference encoder: what it gives first, ``plain`` last."""
        nestings = dict.fromkeys(str(row["nesting"]) for row in self.where())
        return sorted(nestings, key=lambda name: name == "plain")


def render_svg(
    draw: Callable[..., None], *arguments: object, columns: int = 1, height: float = 3.6, name: str
) -> str:
    """What ``draw`` draws on ``columns`` axes, as an SVG element. The same input gives the same bytes."""
    style: Any = _STYLE | {"svg.hashsalt": name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.2, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, columns, squeeze=False)[0]
        draw(*arguments, *axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return _unique(svg, name)


def _unique(svg: str, name: str) -> str:
    """Ids with the plot's name in front, because several SVGs share a page; no size, no metadata."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)


def draw_quality_by_bytes(data: PlotData, chosen: Recommendation | None, axes: Axes) -> None:
    """Kept nDCG@10 against the bytes of a vector that are searched, a line a form."""
    native = data.nestings[0]
    for form, at in _FORMS.items():
        rows = _symmetric(data, form=form, nesting=native)
        if rows:
            again = " (scored again)" if rows[0]["rescore_dim"] is not None else ""
            _line(axes, rows, _SERIES[at], form + again, interval=True)
            if form == data.form:
                _mark_knee(axes, rows)
    plain = _symmetric(data, form="float", nesting="plain") if native != "plain" else []
    if plain:
        _line(axes, plain, _MUTED, "float, plain", dashed=True)
    for at, (label, rows) in enumerate(_others(data).items()):
        _line(axes, rows, _SERIES[4 + at % 2], f"{label}, {rows[0]['form']}", dashed=at > 1)
    _mark_reranked(axes, data)
    if chosen is not None:
        for row in {id(chosen.stored): chosen.stored, id(chosen.searched): chosen.searched}.values():
            if row["exit"] == row["query_exit"]:
                axes.plot(
                    as_float(row, "bytes"),
                    as_float(row, "kept"),
                    "o",
                    ms=14,
                    mfc="none",
                    mec=_INK,
                    mew=1.4,
                    zorder=5,
                )
    _byte_axis(axes, data)
    _mark_target(axes)
    axes.set_xlabel("bytes of one vector that a search goes through")
    axes.set_ylabel("nDCG@10 kept")
    # Above: curves of several forms leave no corner free.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=4, borderaxespad=0, fontsize=9.5)


def _mark_reranked(axes: Axes, data: PlotData) -> None:
    """What rerankers make of whole vectors' rankings: at the same bytes, a mark each."""
    rows = [row for row in data.rows if row["form"] == "reranked"]
    for at, row in enumerate(rows):
        label = f"{row['encoder']}, first {row['candidates']} by {row['reranker']}"
        place = as_float(row, "bytes"), as_float(row, "kept")
        axes.plot(*place, "D", color=_SERIES[at % len(_SERIES)], mec=_PAPER, label=label, zorder=4)


def _symmetric(data: PlotData, **equal: object) -> list[ResultRow]:
    return data.where(exit=data.deepest_exit, query_exit=data.deepest_exit, **equal)


def _others(data: PlotData) -> dict[str, list[ResultRow]]:
    """Float or sparse rows, at their deepest exits, of the encoders that are not the reference's."""
    by_label: dict[str, list[ResultRow]] = {}
    for row in data.rows:
        if row["form"] not in ("float", "sparse") or row["exit"] != row["query_exit"]:
            continue
        if (row["encoder"], row["precision"]) != (data.encoder, data.precision):
            by_label.setdefault(f"{row['encoder']} ({row['precision']})", []).append(row)
    deepest = {
        label: [row for row in rows if row["exit"] == max(as_float(one, "exit") for one in rows)]
        for label, rows in by_label.items()
    }
    native = {
        label: [row for row in rows if row["nesting"] != "plain"] or rows for label, rows in deepest.items()
    }
    return {label: sorted(rows, key=lambda row: as_float(row, "dim")) for label, rows in native.items()}


def _line(
    axes: Axes,
    rows: Sequence[ResultRow],
    colour: str,
    label: str,
    *,
    interval: bool = False,
    dashed: bool = False,
) -> None:
    x = [as_float(row, "bytes") for row in rows]
    y = [as_float(row, "kept") for row in rows]
    axes.plot(
        x,
        y,
        marker="o",
        color=colour,
        label=label,
        linestyle="--" if dashed else "-",
        mec=_PAPER,
        mew=1.2,
        zorder=3,
    )
    if interval:
        low = [as_float(row, "kept_low") for row in rows]
        high = [as_float(row, "kept_high") for row in rows]
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)


def _mark_knee(axes: Axes, rows: Sequence[ResultRow]) -> None:
    at = knee([as_float(row, "bytes") for row in rows], [as_float(row, "kept") for row in rows])
    if at is not None:
        row = rows[at]
        axes.annotate(
            f"knee: {row['dim']} {'words' if row['form'] == 'sparse' else 'dims'}",
            (as_float(row, "bytes"), as_float(row, "kept")),
            xytext=(14, -34),
            bbox={"facecolor": _PAPER, "edgecolor": "none", "pad": 2},
            textcoords="offset points",
            color=_INK,
            fontsize=9.5,
            arrowprops={"arrowstyle": "-", "color": _MUTED, "shrinkB": 4},
        )


def _byte_axis(axes: Axes, data: PlotData) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", visible=False)
    axes.margins(x=0.04)


def _mark_target(axes: Axes) -> None:
    axes.axhline(RETENTION_TARGET, color=_MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
    axes.annotate(
        f"{RETENTION_TARGET:.0%}",
        (1, RETENTION_TARGET),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        color=_MUTED,
        fontsize=9.5,
        annotation_clip=False,
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def draw_quality_by_time(data: PlotData, symmetric: Axes, queries: Axes) -> None:
    """Kept nDCG@10 against the encoder's time: of documents and queries, and of queries alone."""
    full_rows = [
        row
        for row in data.rows
        if row["form"] == "float"
        and row["dim"] == data.full_dim
        and not (row["nesting"] == "plain" and row["encoder"] == data.encoder and len(data.nestings) > 1)
    ]
    labels = dict.fromkeys((row["encoder"], row["precision"]) for row in full_rows)
    for colour, (encoder, precision) in zip(_cycle(len(labels)), labels, strict=True):
        mine = [row for row in full_rows if (row["encoder"], row["precision"]) == (encoder, precision)]
        deepest = max(as_float(row, "exit") for row in mine)
        label = f"{encoder} ({precision})"
        same = [row for row in mine if row["exit"] == row["query_exit"]]
        _exits(symmetric, same, "ms_per_text", "exit", colour, label)
        deep = [row for row in mine if row["exit"] == deepest]
        _exits(queries, deep, "ms_per_query", "query_exit", colour, label)
    symmetric.set_title("Documents and queries leave at the exit")
    symmetric.set_xlabel("encoder time of a document (ms)")
    symmetric.set_ylabel("nDCG@10 kept")
    queries.set_title("Queries leave at the exit, documents at the last")
    queries.set_xlabel("encoder time of a query (ms)")
    for axes in (symmetric, queries):
        _mark_target(axes)
        axes.set_xlim(left=0)
        axes.margins(x=0.1, y=0.15)
    if len(labels) > 1:
        symmetric.legend(loc="lower right", fontsize=9.5)


def _cycle(count: int) -> list[str]:
    return [_SERIES[at % len(_SERIES)] for at in range(count)]


def _exits(axes: Axes, rows: Sequence[ResultRow], time: str, exit: str, colour: str, label: str) -> None:
    ordered = sorted(rows, key=lambda row: as_float(row, exit))
    x, y = [as_float(row, time) for row in ordered], [as_float(row, "kept") for row in ordered]
    axes.plot(x, y, marker="o", color=colour, label=label, mec=_PAPER, mew=1.2, zorder=3)
    for row, left, top in zip(ordered, x, y, strict=True):
        axes.annotate(
            f"exit {row[exit]}", (left, top), xytext=(-9, 4), textcoords="offset points", ha="right",
            fontsize=9.5, color=_MUTED,
        )  # fmt: skip


def draw_kept_by_dim(data: PlotData, axes: Axes) -> None:
    """Kept nDCG@10 of floats at each dim, or of so many weights: as the encoder gives them, and plain."""
    nestings = data.nestings
    width = 0.72 / len(nestings)
    dims = [as_float(row, "dim") for row in _symmetric(data, form=data.form, nesting=nestings[0])][::-1]
    for at, nesting in enumerate(nestings):
        rows = _symmetric(data, form=data.form, nesting=nesting)[::-1]
        places = [index + (at - (len(nestings) - 1) / 2) * width for index in range(len(rows))]
        heights = [as_float(row, "kept") for row in rows]
        errors = [
            [max(0.0, as_float(row, "kept") - as_float(row, "kept_low")) for row in rows],
            [max(0.0, as_float(row, "kept_high") - as_float(row, "kept")) for row in rows],
        ]
        plain = nesting == "plain" and len(nestings) > 1
        axes.bar(
            places, heights, width * 0.92, color=_GRID if plain else _SERIES[0], label=nesting, yerr=errors,
            error_kw={"ecolor": _MUTED, "elinewidth": 1},
        )  # fmt: skip
        for place, height in zip(places, heights, strict=True):
            axes.annotate(
                f"{height:.0%}" if height < 0.995 else f"{height:.1%}", (place, 0.02), ha="center",
                fontsize=9, color=_INK if plain else _PAPER,
            )  # fmt: skip
    axes.set_xticks(range(len(dims)), [f"{dim:g}" for dim in dims])
    axes.grid(axis="x", visible=False)
    _mark_target(axes)
    axes.set_xlabel("dims" if data.form == "float" else "weights kept of a document, at most")
    axes.set_ylabel("nDCG@10 kept")
    if len(nestings) > 1:
        axes.legend(loc="upper right", ncols=2, bbox_to_anchor=(1, 1.14), fontsize=9.5)


def draw_isotropy(data: PlotData, cosine: Axes, rank: Axes) -> None:
    """Mean cosine of random pairs, and effective rank as a share of the dims, at each dim."""
    for at, nesting in enumerate(data.nestings):
        rows = _symmetric(data, form="float", nesting=nesting)
        plain = nesting == "plain" and len(data.nestings) > 1
        style: dict[str, Any] = {
            "marker": "o", "mec": _PAPER, "mew": 1.2, "label": nesting,
            "color": _MUTED if plain else _SERIES[at], "linestyle": "--" if plain else "-",
        }  # fmt: skip
        dims = [as_float(row, "dim") for row in rows]
        cosine.plot(dims, [as_float(row, "mean_cosine") for row in rows], **style)
        rank.plot(dims, [as_float(row, "effective_rank") / as_float(row, "dim") for row in rows], **style)
    cosine.set_title("Mean cosine of random pairs (0 is isotropic)")
    rank.set_title("Effective rank, share of the dims")
    rank.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    rank.set_ylim(0, 1.02)
    cosine.set_ylim(bottom=min(0.0, cosine.get_ylim()[0]))
    for axes in (cosine, rank):
        _byte_axis(axes, data)
        axes.set_xlabel("dims")
    cosine.legend(loc="best", fontsize=9.5)


def draw_concept_depth(depth: ConceptDepth, axes: Axes) -> None:
    """For each tercile of difficulty, the share of queries that each exit is the shallowest for."""
    exits = sorted(depth.shares[TERCILES[0]])
    for row, tercile in enumerate(reversed(TERCILES)):
        left = 0.0
        for at, exit in enumerate(exits):
            share = depth.shares[tercile][exit]
            opacity = 0.25 + 0.75 * at / max(1, len(exits) - 1)
            axes.barh(
                row, share, left=left, height=0.62, color=_SERIES[0], alpha=opacity,
                label=f"exit {exit}" if row == 0 else None,
            )  # fmt: skip
            if share >= 0.05:
                colour = _PAPER if opacity > 0.6 else _INK
                axes.text(
                    left + share / 2,
                    row,
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=9.5,
                )
            left += share
    axes.set_yticks(range(len(TERCILES)), list(reversed(TERCILES)))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlim(0, 1)
    axes.grid(visible=False)
    axes.set_xlabel("share of the queries for which this exit is the shallowest that suffices")
    axes.legend(loc="upper left", ncols=len(exits), bbox_to_anchor=(0, 1.2), fontsize=9.5)
