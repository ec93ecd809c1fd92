"""Highlights: what Milvus is sent for HIGHLIGHT, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymilvus import LexicalHighlighter

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.highlight import Highlight
from nestvec.sql.session import Session
from nestvec_schemas.errors import StoreRefused

_SINCE: Final = (2, 6, 8)
"""Older servers ignore the highlighter of a search."""

_BETWEEN: Final = " ... "
"""Between fragments, as in PostgreSQL's ``ts_headline``."""


def highlighter_of(session: Session, highlight: Highlight) -> Steps[Any]:
    """pymilvus's highlighter. Raises StoreRefused for a server without one."""
    version = yield from session.server_version()
    if version.lite or version.before(_SINCE):
        raise _without_highlights(version.text)
    options: dict[str, Any] = {
        name: [value] if isinstance(value, str) else value for name, value in highlight.options
    }
    if highlight.words:
        options["highlight_query"] = [
            {"type": "TextMatch", "field": highlight.column, "text": highlight.words}
        ]
    return LexicalHighlighter(highlight_search_text=True, **options)


def with_highlights(
    highlight: Highlight, hits: Sequence[Any], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The rows with their highlights; NULL for a row without a marked word.

    Raises StoreRefused if the server returned none.
    """
    marked: list[Mapping[str, Any]] = []
    for hit, row in zip(hits, rows, strict=True):
        fields = hit.get("highlight")
        if fields is None:
            raise _without_highlights("no highlight in its answer")
        answer = fields.get(highlight.column) or ()
        fragments = answer.get("fragments") if isinstance(answer, Mapping) else answer
        marked.append({**row, highlight.name: _BETWEEN.join(fragments) if fragments else None})
    return marked


def _without_highlights(server: str) -> StoreRefused:
    return StoreRefused(
        "HIGHLIGHT needs Milvus 2.6.8 or later, and Milvus Lite does not support it",
        value=server,
        next_step="Upgrade Milvus, or omit it.",
    )
