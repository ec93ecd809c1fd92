"""The report: one HTML page that needs nothing else, no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from nestvec.evaluate.evaluation import Evaluation
from nestvec.evaluate.report import plots
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
from nestvec.evaluate.rows import MEAN, ResultRow

_COLUMNS = (
    ("dataset", "dataset"),
    ("encoder", "encoder"),
    ("precision", "weights"),
    ("nesting", "nesting"),
    ("form", "form"),
    ("reranker", "by"),
    ("dim", "dim"),
    ("exit", "exit"),
    ("ndcg@10", "nDCG@10"),
    ("interval", "95%"),
    ("kept", "kept"),
    ("recall@100", "R@100"),
    ("mrr@10", "MRR@10"),
    ("r@1", "R@1"),
    ("r@5", "R@5"),
    ("r@10", "R@10"),
    ("bytes", "bytes"),
    ("stored_bytes", "stored"),
    ("ms_per_text", "ms"),
)


def write_page(evaluation: Evaluation, path: Path) -> None:
    """Write the report, whole or not at all. Raises DatasetUnusable."""
    write_atomically(path, render_page(evaluation))


def render_page(evaluation: Evaluation) -> str:
    """The report as one HTML document."""
    rows = headline_rows(evaluation.rows)
    data = _main(rows)
    chosen = recommend(rows)
    datasets = [
        name for name in dict.fromkeys(str(row["dataset"]) for row in evaluation.rows) if name != MEAN
    ]
    names = " and ".join(datasets) if len(datasets) < 3 else f"{len(datasets)} datasets"
    title = f"{data.encoder} on {names}"
    body = [
        f"<header><p class=kicker>nestvec evaluate</p><h1>{escape(title)}</h1>"
        f"<p class=answer>{escape(recommendation_sentence(evaluation.rows))}</p>{_tiles(data, chosen)}</header>",
        *_sections(evaluation, data, chosen),
        _method(evaluation, data),
        _table(evaluation.rows),
    ]
    style = files("nestvec.evaluate.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _main(rows: Sequence[ResultRow]) -> plots.PlotData:
    """Of the headline's rows, the encoder that the others are compared with: it keeps all of itself."""
    fp32 = [row for row in rows if row["precision"] == "fp32"] or list(rows)
    mine = [row for row in rows if row["encoder"] == fp32[0]["encoder"]]
    return plots.PlotData(
        rows=rows,
        encoder=str(mine[0]["encoder"]),
        precision=str(mine[0]["precision"]),
        deepest_exit=max(int(as_float(row, "exit")) for row in mine),
        full_dim=max(int(as_float(row, "dim")) for row in mine),
        form="sparse" if any(row["form"] == "sparse" for row in mine) else "float",
    )


def _tiles(data: plots.PlotData, chosen: Recommendation | None) -> str:
    whole = data.where(
        form=data.form, dim=data.full_dim, exit=data.deepest_exit, query_exit=data.deepest_exit
    )[0]
    tiles = [
        (
            "Reference, 100%",
            f"{as_float(whole, 'ndcg@10'):.4f}",
            f"nDCG@10 of {describe_setting(whole)}: {whole['bytes']:,} bytes",
        )
    ]
    if chosen is not None:
        for label, row, name in (
            (f"Smallest to store at {RETENTION_TARGET:.0%}", chosen.stored, "stored_bytes"),
            (f"Smallest to search at {RETENTION_TARGET:.0%}", chosen.searched, "bytes"),
        ):
            times = as_float(whole, "bytes") / as_float(row, name)
            tiles.append(
                (
                    label,
                    f"{row[name]:,} bytes",
                    f"{describe_setting(row)}: {times:.3g} times less, keeps {as_float(row, 'kept'):.1%}",
                )
            )
    return (
        "<div class=tiles>"
        + "".join(
            f"<div class=tile><p>{escape(label)}</p><strong>{escape(value)}</strong>"
            f"<p>{escape(caption)}</p></div>"
            for label, value, caption in tiles
        )
        + "</div>"
    )


def _sections(evaluation: Evaluation, data: plots.PlotData, chosen: Recommendation | None) -> list[str]:
    nested = len(data.nestings) > 1
    sections = [
        _section(
            "Quality against bytes",
            "What each form of the vectors keeps of the reference's nDCG@10. Bands are 95% intervals; "
            "rings are the settings named above.",
            plots.render_svg(plots.draw_quality_by_bytes, data, chosen, height=4.4, name="bytes"),
        ),
        _time_section(data),
        _section(
            "Kept at each length" + (", plain and nested" if nested else ""),
            "Float vectors cut to their first numbers and normalised, at the deepest exit."
            if data.form == "float"
            else "The largest weights of each document alone; queries keep theirs.",
            plots.render_svg(plots.draw_kept_by_dim, data, name="dims"),
        ),
        *(_isotropy(data, nested=nested) if data.form == "float" else ()),
    ]
    for at, ((dataset, encoder), depth) in enumerate(evaluation.depths.items()):
        lost = (
            f" {depth.failed} queries for which the deepest exit finds nothing are left out."
            if depth.failed
            else ""
        )
        sections.append(
            _section(
                f"Concept depth: {encoder} on {dataset}",
                f"{depth.queries} queries by difficulty, which is how little the best relevant document is "
                "ahead of the best other one. An exit suffices where it reaches the deepest exit's nDCG@10, "
                f"documents at the deepest.{lost}",
                plots.render_svg(plots.draw_concept_depth, depth, height=2.5, name=f"depth{at}"),
            )
        )
    if not evaluation.depths:
        sections.append("<p class=note>Concept depth needs an encoder with several exits measured.</p>")
    return sections


def _isotropy(data: plots.PlotData, *, nested: bool) -> list[str]:
    caption = "How evenly document vectors fill their space."
    if nested:
        caption += (
            " The rotation changes no whole vector's cosines, but puts what tells vectors apart into their "
            "first numbers."
        )
    title = "Isotropy" + (" before and after" if nested else "")
    return [_section(title, caption, plots.render_svg(plots.draw_isotropy, data, columns=2, name="isotropy"))]


def _time_section(data: plots.PlotData) -> str:
    floats = [row for row in data.rows if row["form"] == "float" and row["dim"] == data.full_dim]
    passes = {(row["encoder"], row["precision"], row["exit"], row["query_exit"]) for row in floats}
    if len(passes) < 2:
        return "<p class=note>Quality against encoder time needs several exits, precisions or encoders.</p>"
    return _section(
        "Quality against encoder time",
        "Whole float vectors. A pass that leaves at an earlier exit runs fewer layers.",
        plots.render_svg(plots.draw_quality_by_time, data, columns=2, name="time"),
    )


def _section(title: str, caption: str, svg: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(caption)}</p><div class=plot>{svg}</div></section>"


def _method(evaluation: Evaluation, data: plots.PlotData) -> str:
    through = "every similarity computed" if evaluation.rows[0]["through"] == "exact" else "a real Milvus"
    lines = [
        "nDCG@10 (linear gains), Recall@100 and MRR@10 by trec_eval; intervals by 1,000 bootstrap draws of "
        "the queries, paired for what is kept.",
        f"Searches: {through}. Times are the encoder's alone, in batches, on the machine that ran this.",
        "int8: one scale a vector. binary: signs of the first numbers, Hamming distance, the candidates "
        "scored again by whole float vectors. shortlist: the same after a search of short float vectors. "
        "bytes: searched; stored: with the whole vector where candidates are scored again.",
        *_other_forms(evaluation.rows),
        *_pictures(evaluation.rows),
        *evaluation.notes,
    ]
    return (
        "<section class=method><h2>How it was measured</h2><ul>"
        + "".join(f"<li>{escape(line)}</li>" for line in lines)
        + "</ul></section>"
    )


def _other_forms(rows: Sequence[ResultRow]) -> list[str]:
    forms = {row["form"] for row in rows}
    lines = {
        "sparse": "sparse: every inner product of the weights of words. dim: how many of a document's are "
        "kept at most; bytes: of its weights on average, 8 each.",
        "reranked": "reranked: the first documents of the whole vectors' ranking scored again, the others "
        "behind them as they were. The reranker's time is in ms_per_query of the JSON.",
    }
    return [line for form, line in lines.items() if form in forms]


def _pictures(rows: Sequence[ResultRow]) -> list[str]:
    if not any(row["direction"] for row in rows):
        return []
    return [
        "R@1, R@5, R@10: queries with a right one among the first. Pictures that share a caption are all "
        "right for it, and it is right for each of them."
    ]


def _table(rows: Sequence[ResultRow]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for _, name in _COLUMNS)
    body = "".join("<tr>" + "".join(_cell(row, column) for column, _ in _COLUMNS) + "</tr>\n" for row in rows)
    return (
        f"<section class=rows><h2>All settings</h2><div class=scroll><table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _cell(row: ResultRow, column: str) -> str:
    if column == "kept":
        share = as_float(row, "kept")
        good = " good" if share >= RETENTION_TARGET else ""
        width = max(0.0, min(1.0, share))
        return f'<td class="number kept{good}" style="--share:{width:.3f}">{share:.1%}</td>'
    if column == "interval":
        return f"<td class=number>{as_float(row, 'ndcg@10_low'):.3f}–{as_float(row, 'ndcg@10_high'):.3f}</td>"
    if column == "exit" and row["exit"] != row["query_exit"]:
        return f"<td class=number>{row['query_exit']} → {row['exit']}</td>"
    value = row[column]
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return (
            f"<td class=number>{value:.1f}</td>"
            if column == "ms_per_text"
            else f"<td class=number>{value:.4f}</td>"
        )
    return f"<td class=number>{value:,}</td>" if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
