"""``RERANK BY 'encoder' WITH (candidates = 50, column = body)``: reorders the nearest rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, LexicalColumn
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.ranking import FusedRanking, Ranking
from nestvec.sql.bind.vectors.targets import EmbeddedText, check_text, text_constant
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.dialect import Rerank
from nestvec.sql.parse.source import identifier_name

_MAX_CANDIDATES: Final = 1_000
"""Pairs that a cross-encoder reads for one query: more take minutes."""

_OPTIONS: Final = ("candidates", "column", "query", "service")
_WRITE = "Write RERANK BY 'encoder' WITH (candidates = 50, column = text_column, query = 'text')."


@dataclass(frozen=True)
class RerankClause:
    """A cross-encoder that scores the candidates against a query."""

    service: str
    encoder: str
    column: str
    """The text column of the candidates that is scored."""
    query: str
    candidates: int | None = None
    """How many candidates there are, of each part for a fused ranking; None leaves it to the planner."""
    nullable: bool = False
    """Whether the text column may be null."""


def bind_rerank(scope: Scope, order: exp.Expr | None, ranking: Ranking | None) -> RerankClause | None:
    """RERANK BY after the keys of ORDER BY; None without it. Raises the errors of ``bind_query``."""
    node = order.args.get("rerank") if order is not None else None
    if not isinstance(node, Rerank):
        return None
    source = scope.source
    if not isinstance(ranking, (DistanceRanking, FusedRanking)):
        raise source.not_supported(
            "RERANK BY without a distance in ORDER BY", node, "Order by a distance first."
        )
    encoder = text_constant(scope, node.this) if node.this is not None else None
    if not encoder:
        raise source.syntax_error("RERANK BY needs the name of an encoder", node, _WRITE)
    options = dict(_option(scope, option) for option in node.expressions)
    embeddings = (scope.table.embedding(part.column) for part in _parts(ranking))
    service = next((filled.service for filled in embeddings if filled is not None), scope.context.service)
    column = _column(scope, options.get("column"), ranking, node)
    return RerankClause(
        service=_service(scope, options, service),
        encoder=encoder,
        column=column.name,
        query=_query(scope, options.get("query"), ranking, node),
        candidates=_candidates(scope, options.get("candidates")),
        nullable=column.nullable,
    )


def _parts(ranking: Ranking) -> tuple[DistanceRanking, ...]:
    return ranking.parts if isinstance(ranking, FusedRanking) else (ranking,)


def _option(scope: Scope, node: exp.Expr) -> tuple[str, exp.Expr]:
    if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
        raise scope.source.syntax_error("an option is NAME = VALUE", node, _WRITE)
    name = identifier_name(node.this.this)
    if name not in _OPTIONS:
        raise scope.source.unknown_name(
            "RERANK BY has no such option", name, node, f"Available: {', '.join(_OPTIONS)}."
        )
    return name, node.args["expression"]


def _service(scope: Scope, options: dict[str, exp.Expr], default: str) -> str:
    if "service" not in options:
        return default
    address = text_constant(scope, options["service"])
    if address is None or not address.startswith(("http://", "https://")):
        raise scope.source.type_mismatch(
            "a service is a URL",
            construct_name(options["service"]),
            options["service"],
            "Write 'http://HOST:PORT'.",
        )
    return address.rstrip("/")


def _column(scope: Scope, node: exp.Expr | None, ranking: Ranking, clause: exp.Expr) -> Column:
    """The text column to score: the one named, or the one that the ranked vectors are computed from."""
    if isinstance(node, exp.Column):
        named_column = scope.column(node)
        if named_column.type in STRINGS:
            return named_column
        raise scope.source.type_mismatch(
            f"column {named_column.name} is not text", named_column.type, node, "Name a text column."
        )
    if node is not None:
        raise scope.source.syntax_error("column takes a column name", node, _WRITE)
    filled_columns: list[EmbeddingColumn | LexicalColumn] = [*scope.table.embeddings, *scope.table.lexical]
    ranked = {part.column for part in _parts(ranking)}
    sources = {filled.source for filled in filled_columns if filled.column in ranked}
    column = scope.table.column(sources.pop()) if len(sources) == 1 else None
    if column is None:
        raise scope.source.syntax_error(
            "RERANK BY does not say which text to score", clause, "Add column = NAME."
        )
    return column


def _query(scope: Scope, node: exp.Expr | None, ranking: Ranking, clause: exp.Expr) -> str:
    """The query to score with: the one named, or the text of the ranking."""
    if node is not None:
        text = text_constant(scope, node)
        if text is None:
            raise scope.source.type_mismatch("query takes a string", construct_name(node), node, _WRITE)
        return check_text(scope, text, node)
    targets = {
        part.target.text if isinstance(part.target, EmbeddedText) else part.target for part in _parts(ranking)
    }
    target = targets.pop() if len(targets) == 1 else None
    if not isinstance(target, str):
        raise scope.source.syntax_error(
            "RERANK BY does not say which query to score with", clause, "Add query = 'text'."
        )
    return target


def _candidates(scope: Scope, node: exp.Expr | None) -> int | None:
    if node is None:
        return None
    value = scope.constant(node)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_CANDIDATES:
        return value
    raise scope.source.type_mismatch(
        f"candidates takes an integer from 1 to {_MAX_CANDIDATES:,}", str(value)[:40], node, _WRITE
    )
