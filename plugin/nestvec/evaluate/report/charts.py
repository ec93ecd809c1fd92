"""The report's charts, each drawn on matplotlib axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator, PercentFormatter

from nestvec.evaluate.metrics.concept_depth import TERCILES, ConceptDepth
from nestvec.evaluate.report.recommendation import RETENTION_TARGET, Recommendation, as_float, knee
from nestvec.evaluate.report.svg import CARD, GRID, INK, MUTED, SERIES, SMALL, add_legend
from nestvec.evaluate.rows import ResultRow

Draw = Callable[[Axes], None]
"""What puts one chart on its axes."""

_FORM_COLOURS: Final = {"float": 0, "int8": 1, "binary": 2, "shortlist": 3, "sparse": 0}


@dataclass(frozen=True)
class PlotData:
    """The rows that the charts draw, and which of them are the reference's."""

    rows: Sequence[ResultRow]
    """Those of one dataset, or of the mean over all."""

    encoder: str
    """The reference's name, with which the others are compared."""

    precision: str
    """The reference's weights."""

    deepest_exit: int
    """The reference's last layer."""

    full_dim: int
    """The dims of the reference's full-length vectors."""

    form: str = "float"
    """The form of the reference's full-length vectors: float, or sparse."""

    def where(self, **equal: object) -> list[ResultRow]:
        """The reference encoder's rows with these values, the shortest first."""
        equal = {"encoder": self.encoder, "precision": self.precision} | equal
        rows = [row for row in self.rows if all(row[name] == value for name, value in equal.items())]
        return sorted(rows, key=lambda row: as_float(row, "dim"))

    def symmetric(self, **equal: object) -> list[ResultRow]:
        """The same at the deepest exit of both queries and documents."""
        return self.where(exit=self.deepest_exit, query_exit=self.deepest_exit, **equal)

    @property
    def nestings(self) -> list[str]:
        """Those of the reference encoder: its own first, ``plain`` last."""
        nestings = dict.fromkeys(str(row["nesting"]) for row in self.where())
        return sorted(nestings, key=lambda name: name == "plain")


def draw_quality_by_bytes(data: PlotData, recommendation: Recommendation | None, axes: Axes) -> None:
    """Kept nDCG@10 against the bytes of a vector that are searched, a line per form."""
    native = data.nestings[0]
    for form, at in _FORM_COLOURS.items():
        rows = data.symmetric(form=form, nesting=native)
        if rows:
            rescored = " (rescored)" if rows[0]["rescore_dim"] is not None else ""
            _line(axes, rows, SERIES[at], form + rescored, interval=True)
            if form == data.form:
                _mark_knee(axes, rows)
    plain = data.symmetric(form="float", nesting="plain") if native != "plain" else []
    if plain:
        _line(axes, plain, MUTED, "float, plain", dashed=True)
    for at, (label, rows) in enumerate(_other_encoders(data).items()):
        _line(axes, rows, SERIES[4 + at % 2], f"{label}, {rows[0]['form']}", dashed=at > 1)
    _mark_reranked(axes, data)
    if recommendation is not None:
        _circle(axes, recommendation)
    _byte_axis(axes)
    _mark_target(axes)
    axes.set_xlabel("bytes per vector that a search reads")
    axes.set_ylabel("nDCG@10 kept")
    add_legend(axes, columns=2)


def _circle(axes: Axes, recommendation: Recommendation) -> None:
    recommended = (recommendation.stored, recommendation.searched)
    for row in {id(row): row for row in recommended}.values():
        if row["exit"] == row["query_exit"]:
            place = as_float(row, "bytes"), as_float(row, "kept")
            axes.plot(*place, "o", ms=14, mfc="none", mec=INK, mew=1.4, zorder=5)


def _mark_reranked(axes: Axes, data: PlotData) -> None:
    """Full-length rankings after reranking: at the same bytes, a mark each."""
    rows = [row for row in data.rows if row["form"] == "reranked"]
    for at, row in enumerate(rows):
        label = f"{row['encoder']}, first {row['candidates']} by {row['reranker']}"
        place = as_float(row, "bytes"), as_float(row, "kept")
        axes.plot(*place, "D", color=SERIES[at % len(SERIES)], mec=CARD, label=label, zorder=4)


def _other_encoders(data: PlotData) -> dict[str, list[ResultRow]]:
    """Float or sparse rows, at their deepest exits, of the encoders that are not the reference."""
    by_label: dict[str, list[ResultRow]] = {}
    for row in data.rows:
        if row["form"] not in ("float", "sparse") or row["exit"] != row["query_exit"]:
            continue
        if (row["encoder"], row["precision"]) != (data.encoder, data.precision):
            by_label.setdefault(f"{row['encoder']} ({row['precision']})", []).append(row)
    return {label: _native(_deepest(rows)) for label, rows in by_label.items()}


def _deepest(rows: Sequence[ResultRow]) -> list[ResultRow]:
    exit = max(as_float(row, "exit") for row in rows)
    return [row for row in rows if row["exit"] == exit]


def _native(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Those of the vectors that the encoder gives, the shortest first."""
    native = [row for row in rows if row["nesting"] != "plain"] or rows
    return sorted(native, key=lambda row: as_float(row, "dim"))


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
    style: dict[str, Any] = {"linestyle": "--" if dashed else "-", "mec": CARD, "mew": 1.2, "zorder": 3}
    axes.plot(x, y, marker="o", color=colour, label=label, **style)
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
            bbox={"facecolor": CARD, "edgecolor": "none", "pad": 2},
            textcoords="offset points",
            color=INK,
            fontsize=SMALL,
            arrowprops={"arrowstyle": "-", "color": MUTED, "shrinkB": 4},
        )


def _byte_axis(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", visible=False)
    axes.margins(x=0.04)


def _dim_axis(axes: Axes, dims: Sequence[float]) -> None:
    """A logarithmic axis with a tick at each of the dims."""
    _byte_axis(axes)
    axes.set_xticks(dims, [f"{dim:g}" for dim in dims])
    axes.set_xlabel("dims")


def _mark_target(axes: Axes) -> None:
    """A dotted line at the retention of a recommended setting; a percent axis without repeated ticks."""
    axes.axhline(RETENTION_TARGET, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
    axes.annotate(
        f"{RETENTION_TARGET:.0%}",
        (1, RETENTION_TARGET),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        color=MUTED,
        fontsize=SMALL,
        annotation_clip=False,
    )
    # Without a number of decimals, the formatter takes as many as the ticks need to differ.
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def draw_quality_by_document_time(data: PlotData, axes: Axes) -> None:
    """Kept nDCG@10 against the encoder's time per document; queries leave at the same exit."""
    for colour, label, rows in _full_length_by_encoder(data):
        same = [row for row in rows if row["exit"] == row["query_exit"]]
        _exits(axes, same, "ms_per_text", "exit", colour, label)
    axes.set_title("Documents and queries leave at the exit")
    _time_axis(axes, "encoder time per document (ms)")


def draw_quality_by_query_time(data: PlotData, axes: Axes) -> None:
    """Kept nDCG@10 against the encoder's time per query; documents leave at the deepest exit."""
    for colour, label, rows in _full_length_by_encoder(data):
        _exits(axes, _deepest(rows), "ms_per_query", "query_exit", colour, label)
    axes.set_title("Queries leave at the exit, documents at the last")
    _time_axis(axes, "encoder time per query (ms)")


def _full_length_by_encoder(data: PlotData) -> list[tuple[str, str, list[ResultRow]]]:
    """The colour, label and full-length float rows of each encoder, as it gives them."""
    nested = len(data.nestings) > 1
    by_label: dict[str, list[ResultRow]] = {}
    for row in data.rows:
        before_rotation = nested and row["nesting"] == "plain" and row["encoder"] == data.encoder
        if row["form"] == "float" and row["dim"] == data.full_dim and not before_rotation:
            by_label.setdefault(f"{row['encoder']} ({row['precision']})", []).append(row)
    return [(SERIES[at % len(SERIES)], label, rows) for at, (label, rows) in enumerate(by_label.items())]


def _time_axis(axes: Axes, label: str) -> None:
    _mark_target(axes)
    axes.set_xlim(left=0)
    axes.margins(x=0.1, y=0.15)
    axes.set_xlabel(label)
    axes.set_ylabel("nDCG@10 kept")
    if len(axes.get_lines()) > 2:
        add_legend(axes, columns=2)


def _exits(axes: Axes, rows: Sequence[ResultRow], time: str, exit: str, colour: str, label: str) -> None:
    ordered = sorted(rows, key=lambda row: as_float(row, exit))
    x, y = [as_float(row, time) for row in ordered], [as_float(row, "kept") for row in ordered]
    axes.plot(x, y, marker="o", color=colour, label=label, mec=CARD, mew=1.2, zorder=3)
    for row, left, top in zip(ordered, x, y, strict=True):
        style: dict[str, Any] = {"ha": "right", "fontsize": SMALL, "color": MUTED}
        axes.annotate(f"exit {row[exit]}", (left, top), xytext=(-9, 4), textcoords="offset points", **style)


def draw_kept_by_dim(data: PlotData, axes: Axes) -> None:
    """Kept nDCG@10 at each dim, or number of weights: as the encoder gives the vectors, and plain."""
    nestings = data.nestings
    width = 0.72 / len(nestings)
    dims = [as_float(row, "dim") for row in data.symmetric(form=data.form, nesting=nestings[0])][::-1]
    for at, nesting in enumerate(nestings):
        rows = data.symmetric(form=data.form, nesting=nesting)[::-1]
        places = [index + (at - (len(nestings) - 1) / 2) * width for index in range(len(rows))]
        heights = [as_float(row, "kept") for row in rows]
        errors = [
            [max(0.0, as_float(row, "kept") - as_float(row, "kept_low")) for row in rows],
            [max(0.0, as_float(row, "kept_high") - as_float(row, "kept")) for row in rows],
        ]
        plain = nesting == "plain" and len(nestings) > 1
        style: dict[str, Any] = {"color": GRID if plain else SERIES[0], "label": nesting}
        axes.bar(
            places, heights, width * 0.92, yerr=errors, error_kw={"ecolor": MUTED, "elinewidth": 1}, **style
        )
        _label_bars(axes, places, heights, INK if plain else CARD, upright=len(nestings) * len(dims) > 8)
    axes.set_xticks(range(len(dims)), [f"{dim:g}" for dim in dims])
    axes.grid(axis="x", visible=False)
    _mark_target(axes)
    axes.set_xlabel("dims" if data.form == "float" else "weights kept per document, at most")
    axes.set_ylabel("nDCG@10 kept")
    if len(nestings) > 1:
        add_legend(axes, columns=2)


def _label_bars(
    axes: Axes, places: Sequence[float], heights: Sequence[float], colour: str, *, upright: bool
) -> None:
    for place, height in zip(places, heights, strict=True):
        share = f"{height:.1%}" if 0.995 <= height < 1 else f"{height:.0%}"
        style: dict[str, Any] = {"rotation": 90 if upright else 0, "fontsize": 9, "color": colour}
        axes.annotate(share, (place, 0.02), ha="center", va="bottom", **style)


def draw_mean_cosine(data: PlotData, axes: Axes) -> None:
    """The mean cosine of random pairs of documents at each dim."""
    for nesting, rows, style in _isotropy_lines(data):
        dims = [as_float(row, "dim") for row in rows]
        axes.plot(dims, [as_float(row, "mean_cosine") for row in rows], label=nesting, **style)
        _dim_axis(axes, dims)
    axes.set_title("Mean cosine of random pairs (0: isotropic)")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if len(data.nestings) > 1:
        add_legend(axes, columns=2)


def draw_effective_rank(data: PlotData, axes: Axes) -> None:
    """The effective rank of the documents at each dim, as a share of the dims."""
    for nesting, rows, style in _isotropy_lines(data):
        dims = [as_float(row, "dim") for row in rows]
        shares = [as_float(row, "effective_rank") / as_float(row, "dim") for row in rows]
        axes.plot(dims, shares, label=nesting, **style)
        _dim_axis(axes, dims)
    axes.set_title("Effective rank, as a share of the dims")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(0, 1.02)
    if len(data.nestings) > 1:
        add_legend(axes, columns=2)


def _isotropy_lines(data: PlotData) -> list[tuple[str, list[ResultRow], dict[str, Any]]]:
    lines: list[tuple[str, list[ResultRow], dict[str, Any]]] = []
    for at, nesting in enumerate(data.nestings):
        plain = nesting == "plain" and len(data.nestings) > 1
        style = {
            "marker": "o",
            "mec": CARD,
            "mew": 1.2,
            "color": MUTED if plain else SERIES[at],
            "linestyle": "--" if plain else "-",
        }
        lines.append((nesting, data.symmetric(form="float", nesting=nesting), style))
    return lines


def draw_concept_depth(depth: ConceptDepth, axes: Axes) -> None:
    """For each tercile of difficulty, the share of queries for which each exit is the shallowest."""
    exits = sorted(depth.shares[TERCILES[0]])
    for row, tercile in enumerate(reversed(TERCILES)):
        left = 0.0
        for at, exit in enumerate(exits):
            share = depth.shares[tercile][exit]
            opacity = 0.25 + 0.75 * at / max(1, len(exits) - 1)
            label = f"exit {exit}" if row == 0 else None
            axes.barh(row, share, left=left, height=0.62, color=SERIES[0], alpha=opacity, label=label)
            if share >= 0.08:
                style: dict[str, Any] = {"color": CARD if opacity > 0.6 else INK, "fontsize": SMALL}
                axes.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center", **style)
            left += share
    axes.set_yticks(range(len(TERCILES)), list(reversed(TERCILES)))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0, 1)
    axes.grid(visible=False)
    axes.set_xlabel("share of queries for which this exit is the shallowest that suffices")
    add_legend(axes, columns=min(5, len(exits)))
