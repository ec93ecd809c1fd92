"""The report: one HTML page that needs nothing else, no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from nestvec.evaluate import plots
from nestvec.evaluate.choice import ENOUGH, Choice, choose, describe, headline, number, sentence
from nestvec.evaluate.output import write_whole
from nestvec.evaluate.rows import MEAN, Row
from nestvec.evaluate.run import Evaluation

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


def write_page(found: Evaluation, path: Path) -> None:
    """Write the report, whole or not at all. Raises DatasetUnusable."""
    write_whole(path, page(found))


def page(found: Evaluation) -> str:
    """The report as one HTML document."""
    rows = headline(found.rows)
    main = _main(rows)
    chosen = choose(rows)
    datasets = [name for name in dict.fromkeys(str(row["dataset"]) for row in found.rows) if name != MEAN]
    names = " and ".join(datasets) if len(datasets) < 3 else f"{len(datasets)} datasets"
    title = f"{main.encoder} on {names}"
    body = [
        f"<header><p class=kicker>nestvec evaluate</p><h1>{escape(title)}</h1>"
        f"<p class=answer>{escape(sentence(found.rows))}</p>{_tiles(main, chosen)}</header>",
        *_sections(found, main, chosen),
        _method(found, main),
        _table(found.rows),
    ]
    style = files("nestvec.evaluate").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _main(rows: Sequence[Row]) -> plots.Main:
    """Of the headline's rows, the encoder that the others are compared with: it keeps all of itself."""
    fp32 = [row for row in rows if row["precision"] == "fp32"] or list(rows)
    mine = [row for row in rows if row["encoder"] == fp32[0]["encoder"]]
    return plots.Main(
        rows=rows,
        encoder=str(mine[0]["encoder"]),
        precision=str(mine[0]["precision"]),
        depth=max(int(number(row, "exit")) for row in mine),
        full=max(int(number(row, "dim")) for row in mine),
        form="sparse" if any(row["form"] == "sparse" for row in mine) else "float",
    )


def _tiles(main: plots.Main, chosen: Choice | None) -> str:
    whole = main.where(form=main.form, dim=main.full, exit=main.depth, query_exit=main.depth)[0]
    tiles = [
        (
            "Reference, 100%",
            f"{number(whole, 'ndcg@10'):.4f}",
            f"nDCG@10 of {describe(whole)}: {whole['bytes']:,} bytes",
        )
    ]
    if chosen is not None:
        for label, row, name in (
            (f"Smallest to store at {ENOUGH:.0%}", chosen.stored, "stored_bytes"),
            (f"Smallest to search at {ENOUGH:.0%}", chosen.searched, "bytes"),
        ):
            times = number(whole, "bytes") / number(row, name)
            tiles.append(
                (
                    label,
                    f"{row[name]:,} bytes",
                    f"{describe(row)}: {times:.3g} times less, keeps {number(row, 'kept'):.1%}",
                )
            )
    return (
        "<div class=tiles>"
        + "".join(
            f"<div class=tile><p>{escape(label)}</p><strong>{escape(value)}</strong>"
            f"<p>{escape(about)}</p></div>"
            for label, value, about in tiles
        )
        + "</div>"
    )


def _sections(found: Evaluation, main: plots.Main, chosen: Choice | None) -> list[str]:
    nested = len(main.nestings) > 1
    sections = [
        _section(
            "Quality against bytes",
            "What each form of the vectors keeps of the reference's nDCG@10. Bands are 95% intervals; "
            "rings are the settings named above.",
            plots.drawn(plots.quality_by_bytes, main, chosen, height=4.4, name="bytes"),
        ),
        _time_section(main),
        _section(
            "Kept at each length" + (", plain and nested" if nested else ""),
            "Float vectors cut to their first numbers and normalised, at the deepest exit."
            if main.form == "float"
            else "The largest weights of each document alone; queries keep theirs.",
            plots.drawn(plots.kept_by_dim, main, name="dims"),
        ),
        *(_isotropy(main, nested=nested) if main.form == "float" else ()),
    ]
    for at, ((dataset, encoder), depth) in enumerate(found.depths.items()):
        lost = (
            f" {depth.lost} queries for which the deepest exit finds nothing are left out."
            if depth.lost
            else ""
        )
        sections.append(
            _section(
                f"Concept depth: {encoder} on {dataset}",
                f"{depth.queries} queries by difficulty, which is how little the best relevant document is "
                "ahead of the best other one. An exit suffices where it reaches the deepest exit's nDCG@10, "
                f"documents at the deepest.{lost}",
                plots.drawn(plots.concept_depth, depth, height=2.5, name=f"depth{at}"),
            )
        )
    if not found.depths:
        sections.append("<p class=note>Concept depth needs an encoder with several exits measured.</p>")
    return sections


def _isotropy(main: plots.Main, *, nested: bool) -> list[str]:
    about = "How evenly document vectors fill their space."
    if nested:
        about += (
            " The rotation changes no whole vector's cosines, but puts what tells vectors apart into their "
            "first numbers."
        )
    title = "Isotropy" + (" before and after" if nested else "")
    return [_section(title, about, plots.drawn(plots.isotropy, main, columns=2, name="isotropy"))]


def _time_section(main: plots.Main) -> str:
    floats = [row for row in main.rows if row["form"] == "float" and row["dim"] == main.full]
    passes = {(row["encoder"], row["precision"], row["exit"], row["query_exit"]) for row in floats}
    if len(passes) < 2:
        return "<p class=note>Quality against encoder time needs several exits, precisions or encoders.</p>"
    return _section(
        "Quality against encoder time",
        "Whole float vectors. A pass that leaves at an earlier exit runs fewer layers.",
        plots.drawn(plots.quality_by_time, main, columns=2, name="time"),
    )


def _section(title: str, about: str, svg: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(about)}</p><div class=plot>{svg}</div></section>"


def _method(found: Evaluation, main: plots.Main) -> str:
    through = "every similarity computed" if found.rows[0]["through"] == "exact" else "a real Milvus"
    lines = [
        "nDCG@10 (linear gains), Recall@100 and MRR@10 by trec_eval; intervals by 1,000 bootstrap draws of "
        "the queries, paired for what is kept.",
        f"Searches: {through}. Times are the encoder's alone, in batches, on the machine that ran this.",
        "int8: one scale a vector. binary: signs of the first numbers, Hamming distance, the candidates "
        "scored again by whole float vectors. shortlist: the same after a search of short float vectors. "
        "bytes: searched; stored: with the whole vector where candidates are scored again.",
        *_other_forms(found.rows),
        *_pictures(found.rows),
        *found.notes,
    ]
    return (
        "<section class=method><h2>How it was measured</h2><ul>"
        + "".join(f"<li>{escape(line)}</li>" for line in lines)
        + "</ul></section>"
    )


def _other_forms(rows: Sequence[Row]) -> list[str]:
    forms = {row["form"] for row in rows}
    lines = {
        "sparse": "sparse: every inner product of the weights of words. dim: how many of a document's are "
        "kept at most; bytes: of its weights on average, 8 each.",
        "reranked": "reranked: the first documents of the whole vectors' ranking scored again, the others "
        "behind them as they were. The reranker's time is in ms_per_query of the JSON.",
    }
    return [line for form, line in lines.items() if form in forms]


def _pictures(rows: Sequence[Row]) -> list[str]:
    if not any(row["direction"] for row in rows):
        return []
    return [
        "R@1, R@5, R@10: queries with a right one among the first. Pictures that share a caption are all "
        "right for it, and it is right for each of them."
    ]


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for _, name in _COLUMNS)
    body = "".join("<tr>" + "".join(_cell(row, column) for column, _ in _COLUMNS) + "</tr>\n" for row in rows)
    return (
        f"<section class=rows><h2>All settings</h2><div class=scroll><table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _cell(row: Row, column: str) -> str:
    if column == "kept":
        share = number(row, "kept")
        good = " good" if share >= ENOUGH else ""
        width = max(0.0, min(1.0, share))
        return f'<td class="number kept{good}" style="--share:{width:.3f}">{share:.1%}</td>'
    if column == "interval":
        return f"<td class=number>{number(row, 'ndcg@10_low'):.3f}–{number(row, 'ndcg@10_high'):.3f}</td>"
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
