"""A chart as an SVG element whose colours are the page's, so that it fits light and dark mode."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, GRID, CARD = "#0102a1", "#0102a2", "#0102a3", "#0102a4"
SERIES: Final = ("#0102b1", "#0102b2", "#0102b3", "#0102b4", "#0102b5", "#0102b6")
"""Placeholders: each is replaced by a CSS variable of the page once the SVG is written."""

SMALL: Final = 9.5
"""Points of annotations and legends."""

_WIDTH: Final = 5.6
"""Inches. A page of 420 pixels shows this width at its natural size, so that the text stays readable."""

_VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    CARD: "var(--card)",
    **{colour: f"var(--c{at})" for at, colour in enumerate(SERIES, start=1)},
}
_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": SMALL,
    "lines.linewidth": 2.0,
    "lines.markersize": 6.0,
}


def render_svg(name: str, draw: Callable[[Axes], None], height: float = 3.6) -> str:
    """What ``draw`` puts on the axes, as an SVG element ``height`` inches high.

    The same input gives the same bytes; ``name`` distinguishes its ids from those of other plots of the page.
    """
    style: Any = _STYLE | {"svg.hashsalt": name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return _with_unique_ids(svg, name)


def add_legend(axes: Axes, columns: int) -> None:
    """A legend above the axes, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, borderaxespad=0.2)


def _with_unique_ids(svg: str, name: str) -> str:
    """Ids prefixed with the plot's name, because several SVGs share a page; no size, no metadata."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
