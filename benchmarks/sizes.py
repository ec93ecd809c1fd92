"""Quality by size, as a plot and a short table, from the rows of ``nestvec evaluate --json``.

nestvec evaluate scifact cranfield --encoder minilm-rotated … --json benchmarks/results/sizes.json
python benchmarks/sizes.py benchmarks/results/sizes.json --plot benchmarks/results/sizes.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]

STYLES = {
    "plain": ("#8a8f98", "--", "as it comes"),
    "rotated": ("#2f6fd0", "-", "rotated, no labels"),
    "trained": ("#2f7d43", "-", "adapted, then rotated"),
}


def curves(rows: list[Row], trained: frozenset[str]) -> dict[str, dict[int, float]]:
    """The share kept by float vectors at the deepest exit, by nesting and dim."""
    by_kind: dict[str, dict[int, float]] = {}
    deepest = {name: max(row["exit"] for row in rows if row["encoder"] == name) for name in encoders(rows)}
    for row in rows:
        full_depth = row["exit"] == row["query_exit"] == deepest[row["encoder"]]
        if row["form"] != "float" or not full_depth or row["precision"] != "fp32":
            continue
        kind = row["nesting"]
        if row["encoder"] in trained:
            kind = "trained" if kind != "plain" else None
        if kind is not None:
            by_kind.setdefault(kind, {})[row["dim"]] = row["kept"]
    return by_kind


def encoders(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["encoder"] for row in rows))


def plot(by_kind: dict[str, dict[int, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.2))
    for kind, (colour, line, label) in STYLES.items():
        dims = sorted(by_kind.get(kind, {}))
        shares = [100 * by_kind[kind][dim] for dim in dims]
        axes.plot(dims, shares, line, color=colour, marker="o", label=label)
    axes.axhline(99, color="#555", linewidth=1, linestyle=":")
    axes.set_xscale("log", base=2)
    ticks = sorted({dim for shares_by_dim in by_kind.values() for dim in shares_by_dim})
    axes.set_xticks(ticks, [f"{dim}\n{4 * dim:,} B" for dim in ticks])
    axes.minorticks_off()
    axes.set_xlabel("dims and bytes of a vector")
    axes.set_ylabel("nDCG@10 kept, %")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--dataset", default="mean")
    parser.add_argument("--trained", nargs="*", default=[], help="encoders of an adapted checkpoint")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = [row for row in json.loads(options.rows.read_text()) if row["dataset"] == options.dataset]
    by_kind = curves(rows, frozenset(options.trained))
    for kind, shares in by_kind.items():
        print(f"{kind:>8}", *(f"{dim}: {shares[dim]:.3f}" for dim in sorted(shares, reverse=True)), sep="  ")
    if options.plot:
        plot(by_kind, options.plot)


if __name__ == "__main__":
    main()
