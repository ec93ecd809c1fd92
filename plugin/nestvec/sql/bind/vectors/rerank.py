"""``RERANK BY 'encoder' WITH (candidates = 50, column = body)``: reorders the nearest rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, LexicalColumn
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.rankers import (
    BoostRanker,
    Boosts,
    DecayRanker,
    bind_boost,
    bind_decay,
)
from nestvec.sql.bind.vectors.ranking import FusedRanking, Ranking
from nestvec.sql.bind.vectors.targets import EmbeddedText, check_text, text_constant
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.dialect import Boost, Rerank
from nestvec.sql.parse.source import identifier_name

_MAX_CANDIDATES: Final = 1_000
"""Pairs that a cross-encoder reads for one query: more take minutes."""

_MAX_SCORED: Final = 16_384
"""Rows whose scores DECAY and BOOST change: what one search of Milvus returns."""

_MODEL_OPTIONS: Final = ("column", "query", "service")
_BOOST_OPTIONS: Final = ("boost_mode", "function_mode")
_OPTIONS: Final = ("candidates", *_MODEL_OPTIONS, *_BOOST_OPTIONS)
_MODES: Final = ("multiply", "sum")
_WRITE = "Write RERANK BY 'encoder' WITH (candidates = 50, column = text_column, query = 'text')."

_SIMILARITIES: Final = ("COSINE", "IP", "BM25")
"""Metrics whose scores are larger for nearer rows."""


@dataclass(frozen=True)
class ModelReranker:
    """A cross-encoder that scores the candidates against a query."""

    service: str
    encoder: str
    column: str
    """The text column of the candidates that is scored."""
    query: str
    nullable: bool = False
    """Whether the text column may be null."""


@dataclass(frozen=True)
class RerankClause:
    """What changes the scores of the candidates, in this order."""

    boosts: Boosts | None = None
    """Weights of the rows that match conditions."""
    model: ModelReranker | None = None
    """The encoder whose scores replace those of the search."""
    decays: tuple[DecayRanker, ...] = ()
    """Factors that the scores are multiplied by."""
    candidates: int | None = None
    """How many candidates there are, of each part for a fused ranking; None leaves it to the planner."""


@dataclass(frozen=True)
class _Rankers:
    """The rankers of a clause by their kinds, bound as far as they do not depend on its options."""

    boosts: tuple[BoostRanker, ...] = ()
    encoder: str = ""
    decays: tuple[DecayRanker, ...] = ()


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
    rankers = _bind_rankers(scope, node)
    if rankers.boosts:
        _check_boosted(scope, ranking, node)
    options = _options(scope, node, rankers)
    return RerankClause(
        boosts=_boosts(scope, rankers.boosts, options),
        model=_model(scope, rankers.encoder, options, ranking, node),
        decays=rankers.decays,
        candidates=_candidates(
            scope, options.get("candidates"), _MAX_CANDIDATES if rankers.encoder else _MAX_SCORED
        ),
    )


def _bind_rankers(scope: Scope, node: Rerank) -> _Rankers:
    """The rankers of the clause: boosts first, then an encoder, then decays."""
    source = scope.source
    boosts: list[BoostRanker] = []
    decays: list[DecayRanker] = []
    encoder = ""
    for ranker in node.args.get("rankers") or ():
        if isinstance(ranker, Boost):
            if encoder or decays:
                raise source.not_supported(
                    "BOOST after another ranker", ranker, "Milvus boosts the search itself: write it first."
                )
            boosts.append(bind_boost(scope, ranker))
        elif isinstance(ranker, exp.Anonymous):
            if str(ranker.this).upper() != "DECAY":
                raise source.unknown_name(
                    "there is no such ranker", str(ranker.this)[:40], ranker,
                    "Available: DECAY, BOOST, or the name of an encoder in single quotes.",
                )  # fmt: skip
            decays.append(bind_decay(scope, ranker))
        elif encoder or decays:
            second = "a second encoder" if encoder else "an encoder after DECAY"
            raise source.not_supported(
                f"{second} in RERANK BY", ranker, "Its scores would replace all others: write one, first."
            )
        else:
            encoder = text_constant(scope, ranker) or ""
    if not (boosts or decays or encoder):
        raise source.syntax_error(
            "RERANK BY needs the name of an encoder, DECAY(…) or BOOST(…)", node, _WRITE
        )
    return _Rankers(tuple(boosts), encoder, tuple(decays))


def _check_boosted(scope: Scope, ranking: Ranking, node: exp.Expr) -> None:
    """Raise SqlNotSupported for a ranking whose scores Milvus does not boost, or in the wrong direction."""
    if isinstance(ranking, FusedRanking):
        raise scope.source.not_supported(
            "BOOST with RRF or WEIGHTED", node,
            "Milvus ignores boosts in a hybrid search: order by one distance.",
        )  # fmt: skip
    if ranking.metric not in _SIMILARITIES:
        raise scope.source.not_supported(
            f"BOOST with a ranking by {ranking.metric}", node,
            "Milvus multiplies the distance, so that a weight above 1 demotes: rank by <=>, <#> or <@>.",
        )  # fmt: skip


def _options(scope: Scope, node: Rerank, rankers: _Rankers) -> dict[str, exp.Expr]:
    """The options after WITH that these rankers have."""
    others = (*(() if rankers.encoder else _MODEL_OPTIONS), *(() if rankers.boosts else _BOOST_OPTIONS))
    offered = [name for name in _OPTIONS if name not in others]
    options: dict[str, exp.Expr] = {}
    for option in node.expressions:
        name, value = _option(scope, option, offered)
        if name in options:
            raise scope.source.syntax_error(f"{name} occurs twice", option, "Write each option once.")
        options[name] = value
    return options


def _boosts(scope: Scope, boosts: tuple[BoostRanker, ...], options: dict[str, exp.Expr]) -> Boosts | None:
    if not boosts:
        return None
    return Boosts(boosts, _mode(scope, options.get("boost_mode")), _mode(scope, options.get("function_mode")))


def _mode(scope: Scope, node: exp.Expr | None) -> str:
    if node is None:
        return _MODES[0]
    mode = (text_constant(scope, node) or "").lower()
    if mode not in _MODES:
        raise scope.source.type_mismatch(
            "a mode is 'multiply' or 'sum'", mode or construct_name(node), node, "Write one of them."
        )
    return mode


def _model(
    scope: Scope, encoder: str, options: dict[str, exp.Expr], ranking: Ranking, node: exp.Expr
) -> ModelReranker | None:
    if not encoder:
        return None
    embeddings = (scope.table.embedding(part.column) for part in _parts(ranking))
    service = next((filled.service for filled in embeddings if filled is not None), scope.context.service)
    column = _column(scope, options.get("column"), ranking, node)
    return ModelReranker(
        service=_service(scope, options, service),
        encoder=encoder,
        column=column.name,
        query=_query(scope, options.get("query"), ranking, node),
        nullable=column.nullable,
    )


def _parts(ranking: Ranking) -> tuple[DistanceRanking, ...]:
    return ranking.parts if isinstance(ranking, FusedRanking) else (ranking,)


def _option(scope: Scope, node: exp.Expr, offered: Sequence[str]) -> tuple[str, exp.Expr]:
    if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
        raise scope.source.syntax_error("an option is NAME = VALUE", node, _WRITE)
    name = identifier_name(node.this.this)
    if name not in offered:
        raise scope.source.unknown_name(
            "RERANK BY has no such option", name, node, f"Available: {', '.join(offered)}."
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


def _candidates(scope: Scope, node: exp.Expr | None, most: int) -> int | None:
    if node is None:
        return None
    value = scope.constant(node)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise scope.source.type_mismatch(
        f"candidates takes an integer from 1 to {most:,}", str(value)[:40], node, _WRITE
    )
