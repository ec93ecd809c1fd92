"""The tables that ``nestvec evaluate`` prints: one per dataset, encoder and precision."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.evaluate.evaluation import Evaluation
from nestvec.evaluate.report.recommendation import as_float
from nestvec.evaluate.rows import ResultRow
from nestvec.terminal.tables import print_table

_SETTING = ("nesting", "dim", "exit", "form")
_TEXT_METRICS = ("nDCG@10", "95%", "kept", "R@100", "MRR@10")
_IMAGE_METRICS = ("R@1", "R@5", "R@10", "95%", "kept")
_COST = ("bytes", "ms")


def print_evaluation(evaluation: Evaluation) -> None:
    """Print all rows, grouped."""
    groups: dict[tuple[object, ...], list[ResultRow]] = {}
    for row in evaluation.rows:
        groups.setdefault((row["dataset"], row["encoder"], row["precision"], row["queries"]), []).append(row)
    for (dataset, encoder, precision, queries), rows in groups.items():
        title = f"{dataset}, {queries} queries: {encoder}, {precision} weights"
        metrics = _IMAGE_METRICS if rows[0]["direction"] else _TEXT_METRICS
        print_table((*_SETTING, *metrics, *_COST), [_cells(row) for row in rows], title)


def _cells(row: ResultRow) -> Sequence[object]:
    same = row["exit"] == row["query_exit"]
    return (
        row["nesting"],
        row["dim"],
        str(row["exit"]) if same else f"{row['query_exit']}→{row['exit']}",
        row["form"] if row["reranker"] is None else f"by {row['reranker']}",
        *(_image_metrics(row) if row["direction"] else _text_metrics(row)),
        row["bytes"],
        f"{as_float(row, 'ms_per_text'):.1f}",
    )


def _text_metrics(row: ResultRow) -> Sequence[object]:
    others = (f"{as_float(row, name):.3f}" for name in ("kept", "recall@100", "mrr@10"))
    return (f"{as_float(row, 'ndcg@10'):.4f}", _interval(row, "ndcg@10"), *others)


def _image_metrics(row: ResultRow) -> Sequence[object]:
    hit_rates = (f"{as_float(row, name):.3f}" for name in ("r@1", "r@5", "r@10"))
    return (*hit_rates, _interval(row, "r@10"), f"{as_float(row, 'kept'):.3f}")


def _interval(row: ResultRow, metric: str) -> str:
    low, high = as_float(row, f"{metric}_low"), as_float(row, f"{metric}_high")
    return f"{low:.2f}–{high:.2f}".replace("0.", ".")
