"""``HIGHLIGHT(body, pre => '<b>', post => '</b>')``: the words of a search by words, marked in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.rankers import bind_options
from nestvec.sql.bind.vectors.ranking import Ranking, RerankScore
from nestvec.sql.bind.vectors.targets import check_text, text_constant
from nestvec.sql.parse.construct_names import construct_name

_FORM: Final = "Write HIGHLIGHT(text_column) beside ORDER BY text_column <@> 'words' LIMIT n."
_TAGS: Final = {"pre": "pre_tags", "post": "post_tags"}
_NUMBERS: Final = {
    "size": ("fragment_size", 1),
    "fragments": ("num_of_fragments", 1),
    "before": ("fragment_offset", 0),
}
"""Milvus's parameters, and their smallest values, by the names of the options."""
_MAX_NUMBER: Final = 65_535
_MAX_TAG: Final = 256


@dataclass(frozen=True)
class Highlight:
    """Fragments of a text column with the words of the search marked, by Milvus."""

    column: str
    words: str = ""
    """Further words to mark; empty for those of the search."""
    options: tuple[tuple[str, str | int], ...] = ()
    """Milvus's parameters by their names."""

    @property
    def name(self) -> str:
        """Where a row has it."""
        return f"highlight of {self.column}"


def is_highlight(node: exp.Expr) -> bool:
    """Whether a node is a call of HIGHLIGHT."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() == "HIGHLIGHT"


def bind_highlight(scope: Scope, node: exp.Expr, ranking: Ranking | RerankScore | None) -> Highlight:
    """Bind a call. Raises SqlNotSupported beside any other ranking than one by the words of the column."""
    source = scope.source
    if not isinstance(ranking, DistanceRanking) or ranking.metric != "BM25":
        reason = (
            "without ORDER BY the words of a text" if ranking is None else "with another ranking than <@>"
        )
        raise source.not_supported(f"HIGHLIGHT {reason}", node, _FORM)
    positional = [argument for argument in node.expressions if not isinstance(argument, exp.Kwarg)]
    if not 1 <= len(positional) <= 2 or not isinstance(positional[0], exp.Column):
        raise source.syntax_error("HIGHLIGHT takes a text column, and further words", node, _FORM)
    column = scope.column(positional[0])
    sources = [entry.source for entry in scope.table.lexical if entry.column == ranking.column]
    if column.name not in sources:
        raise source.type_mismatch(
            f"the rows are not ranked by the words of {column.name}", column.name, positional[0],
            f"Name {', '.join(sources)}.",
        )  # fmt: skip
    words = ""
    if len(positional) > 1:
        words = check_text(scope, text_constant(scope, positional[1]) or "", positional[1])
    return Highlight(column.name, words, _options(scope, node))


def _options(scope: Scope, node: exp.Expr) -> tuple[tuple[str, str | int], ...]:
    options: list[tuple[str, str | int]] = []
    offered = (*_TAGS, *_NUMBERS)
    for name, value in bind_options(scope, "HIGHLIGHT", node.expressions, offered).items():
        if name in _TAGS:
            tag = text_constant(scope, value)
            if tag is None or len(tag) > _MAX_TAG:
                raise scope.source.type_mismatch(
                    f"{name} takes a text", construct_name(value), value, f"At most {_MAX_TAG} characters."
                )
            options.append((_TAGS[name], tag))
            continue
        key, least = _NUMBERS[name]
        number = scope.constant(value)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= _MAX_NUMBER:
            raise scope.source.type_mismatch(
                f"{name} takes an integer from {least} to {_MAX_NUMBER:,}", str(number)[:40], value, _FORM
            )
        options.append((key, number))
    return tuple(options)
