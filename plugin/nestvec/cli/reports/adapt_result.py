"""What ``nestvec adapt`` prints at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from nestvec.terminal.tables import print_json, print_table
from nestvec_exporters.train import Adapted
from nestvec_exporters.train.captions import AdaptedTowers
from nestvec_exporters.train.result import ON_OLD

_DIRECTIONS = ("alike", "across")
"""Queries and documents leave at the same exit; queries at an exit, documents at full depth."""


def print_text_result(adapted: Adapted, folder: Path, *, as_json: bool) -> None:
    """The figures; ends the command with 130 after an interruption."""
    exits = f" --exits {','.join(map(str, adapted.layers[1:]))}" if adapted.layers[1:] else ""
    rows = [row for pair in _exit_figures(adapted) for row in pair]
    _print_result(adapted, folder, ("exit", rows), as_json=as_json, export_options=exits)


def print_caption_result(adapted: AdaptedTowers, folder: Path, *, as_json: bool) -> None:
    """The figures; ends the command with 130 after an interruption."""
    comparison = adapted.comparison
    rows = [
        row
        for direction, after in comparison.after.items()
        for row in _before_after(direction, comparison.before[direction], after, adapted.dims)
    ]
    _print_result(adapted, folder, ("direction", rows), as_json=as_json)


def _exit_figures(adapted: Adapted) -> Iterator[tuple[list[str], list[str]]]:
    """Two rows for each pair of exits; ``3→6``: queries leave after layer 3, documents after layer 6.

    Of a compatible result, two more: the old encoder's queries among its stored vectors, and the new ones'.
    """
    depth = adapted.layers[0]
    before, after = adapted.comparison.before, adapted.comparison.after
    for direction in _DIRECTIONS:
        for layer, figures in after[direction].items():
            exits = str(layer) if direction == "alike" else f"{layer}→{depth}"
            yield _before_after(exits, before[direction][layer], figures, adapted.dims)
    for layer, figures in after.get(ON_OLD, {}).items():
        yield _before_after("on old vectors", before[ON_OLD][layer], figures, adapted.dims)


def _before_after(
    name: str, before: Mapping[int, float], after: Mapping[int, float], dims: tuple[int, ...]
) -> tuple[list[str], list[str]]:
    return (
        [name, "before", *(f"{before[dim]:.3f}" for dim in dims)],
        ["", "after", *(f"{after[dim]:.3f}" for dim in dims)],
    )


def _print_result(
    adapted: Adapted | AdaptedTowers,
    folder: Path,
    table: tuple[str, list[list[str]]],
    *,
    as_json: bool,
    export_options: str = "",
) -> None:
    progress, data = adapted.progress, adapted.data
    if as_json:
        record: dict[str, Any] = adapted.record()
        print_json({"path": str(folder), "finished": progress.finished, **record})
    elif progress.finished:
        name, rows = table
        title = f"{adapted.comparison.figure} over {data.held_out} held-out rows, by dims"
        print_table([name, "", *map(str, adapted.dims)], rows, title=title)
        click.echo(f"{folder}: {data.rows} rows, {progress.steps} steps, {progress.seconds:.0f} s")
        click.echo(f"Next: nestvec export {folder} --to models{export_options}")
        old = adapted.compatible_with if isinstance(adapted, Adapted) else None
        if old is not None:
            click.echo(f"Then: nestvec bridge {old.name} NAME --sample TEXTS, to serve it as {old.name}")
    if not progress.finished:
        click.echo("Stopped. To continue, run the same command again (without --force).", err=True)
        sys.exit(130)
