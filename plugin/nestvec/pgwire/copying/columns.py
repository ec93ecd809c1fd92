"""Names of columns in COPY: its list, its header, and the columns of FORCE_QUOTE and the like."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.pgwire.errors import PgError


def folded_names(text: str) -> tuple[str, str]:
    """A name of a statement as PostgreSQL folds it, and as it is written."""
    return (text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()), text


def forced_positions(forced: Sequence[str], names: Sequence[str]) -> frozenset[int]:
    """The positions of an option's columns among those of a COPY. Raises PgError for another column."""
    if tuple(forced) == ("*",):
        return frozenset(range(len(names)))
    positions = set[int]()
    for text in forced:
        name = next((name for name in folded_names(text) if name in names), None)
        if name is None:
            raise PgError(
                "42703", f"column {text[:100]} is not in this COPY", hint=f"Available: {', '.join(names)}."
            )
        positions.add(names.index(name))
    return frozenset(positions)


def check_header(fields: Sequence[bytes | None], names: Sequence[str], null: str) -> None:
    """Raise PgError unless a header has exactly the names of the columns."""
    if len(fields) != len(names):
        raise PgError(
            "22P04", f"wrong number of fields in header line: got {len(fields)}, expected {len(names)}"
        )
    for number, (header, name) in enumerate(zip(fields, names, strict=True), 1):
        if header is None or header.decode(errors="replace") != name:
            shown = (
                f'null value ("{null}")' if header is None else f'"{header[:100].decode(errors="replace")}"'
            )
            raise PgError(
                "22P04",
                f'column name mismatch in header line field {number}: got {shown}, expected "{name}"',
            )
