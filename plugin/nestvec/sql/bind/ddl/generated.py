"""Generated columns: EMBED(text, 'encoder') and BM25(text)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlglot import exp

from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import identifier_name, stray_parts
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, PromptNotOffered, nearest
from nestvec_schemas.manifest import EXPERT_NAME
from nestvec_schemas.model_name import parse_model_name

_FUNCTIONS: Final = ("EMBED", "BM25")
_BM25_OPTIONS: Final = ("k1", "b", "language", "analyzer", "analyzers", "by")
_ANALYZER_FORM: Final = """Write language => 'english', or analyzer => '{"tokenizer": "standard"}'."""
_ANALYZERS_FORM: Final = """Write analyzers => '{"en": {"type": "english"}, "default": {}}', by => 'lang'."""
_EMBED_FORM = (
    "Write EMBED(text, 'encoder'); optional are exit => layer, expert => 'name', prompt => 'name', "
    "query_prompt => 'name', top => weights and service => 'http://…'."
)


@dataclass(frozen=True)
class EmbedColumn:
    """A column that EMBED fills."""

    source: str
    node: exp.Expr
    """The node of the source column."""

    config: EmbeddingConfig
    """How it is embedded; dim and form follow from the column's type."""

    nodes: Mapping[str, exp.Expr]
    """The node of each attribute of the config that the statement sets."""

    service: str | None = None
    function: str = "EMBED"


@dataclass(frozen=True)
class Bm25Column:
    """A column that BM25 fills."""

    source: str
    node: exp.Expr
    k1: float | None = None
    b: float | None = None
    analyzer: Mapping[str, Any] = field(default_factory=dict)
    """Milvus's ``analyzer_params``."""
    analyzers: Mapping[str, Any] = field(default_factory=dict)
    """Milvus's ``multi_analyzer_params``."""
    function: str = "BM25"


def bind_generated(scope: Scope, node: exp.Expr) -> EmbedColumn | Bm25Column:
    """Bind the expression of GENERATED ALWAYS AS (…) STORED. Raises SqlError."""
    name = str(node.this).upper() if isinstance(node, exp.Anonymous) else ""
    if name not in _FUNCTIONS:
        call_text = str(node.this)[:40] if isinstance(node, exp.Anonymous) else node.sql()[:40]
        raise scope.source.unknown_name(
            "a generated column is computed by EMBED or BM25",
            call_text,
            node,
            f"Write EMBED(text, 'encoder') or BM25(text).{nearest(call_text.upper(), _FUNCTIONS)}",
        )
    plain = [argument for argument in node.expressions if not isinstance(argument, exp.Kwarg)]
    options = _options(scope, node, (*EMBED_ATTRIBUTES, "service") if name == "EMBED" else _BM25_OPTIONS)
    if not plain or not isinstance(plain[0], exp.Column) or stray_parts(plain[0], ("this",)):
        raise scope.source.syntax_error(
            f"{name} takes a column", plain[0] if plain else node, "Name a VARCHAR or TEXT column."
        )
    source_column = identifier_name(plain[0].this)
    if name == "EMBED":
        return _embed(scope, node, plain, options)
    if len(plain) > 1:
        raise scope.source.syntax_error("BM25 takes one column", plain[1], "Write BM25(text).")
    return Bm25Column(
        source_column,
        plain[0],
        _number(scope, options, "k1"),
        _number(scope, options, "b"),
        analyzer=_analyzer(scope, options),
        analyzers=_analyzers(scope, options),
    )


def _embed(
    scope: Scope, node: exp.Expr, plain: Sequence[exp.Expr], options: dict[str, tuple[exp.Expr, Any]]
) -> EmbedColumn:
    if len(plain) != 2:
        raise scope.source.syntax_error(
            "EMBED takes a column and an encoder name", plain[2] if len(plain) > 2 else node, _EMBED_FORM
        )
    encoder = scope.constant(plain[1])
    if not isinstance(encoder, str):
        raise scope.source.type_mismatch("an encoder name is a string", str(encoder), plain[1], _EMBED_FORM)
    try:
        named = parse_model_name(encoder)
    except (DimNotOffered, ExitNotOffered, PromptNotOffered) as error:
        raise scope.source.type_mismatch(error.cause, encoder, plain[1], _EMBED_FORM) from error
    if named.dim is not None:
        raise scope.source.type_mismatch(
            "the type of the column says how many dims it has", encoder, plain[1], _EMBED_FORM
        )
    chosen = {name: (plain[1], value) for name, value in named.attributes().items() if value is not None}
    chosen |= {name: option for name, option in options.items() if name in EMBED_ATTRIBUTES}
    for name, (argument, value) in chosen.items():
        is_valid, rule = EMBED_ATTRIBUTES.get(name, (None, ""))
        if is_valid is not None and not is_valid(value):
            raise scope.source.type_mismatch(rule, str(value), argument, _EMBED_FORM)
    service_node, service = options.get("service", (None, None))
    if service_node is not None and not isinstance(service, str):
        raise scope.source.type_mismatch("a service is a URL", str(service), service_node, _EMBED_FORM)
    return EmbedColumn(
        source=identifier_name(plain[0].this),
        node=plain[0],
        config=EmbeddingConfig(**{name: value for name, (_, value) in chosen.items()}),
        nodes={name: argument for name, (argument, _) in chosen.items()},
        service=service,
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_expert_name(value: object) -> bool:
    return isinstance(value, str) and EXPERT_NAME.fullmatch(value) is not None


EMBED_ATTRIBUTES: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "exit": (_is_integer, "an exit is an integer"),
    "expert": (
        _is_expert_name,
        "an expert name consists of letters, digits, '_' and '-', and starts with a letter",
    ),
    "top": (_is_integer, "top is an integer, the number of weights"),
    "prompt": (_is_string, "a prompt is named by a string"),
    "query_prompt": (_is_string, "a prompt is named by a string"),
}
"""The arguments of EMBED that set an attribute of its config: a check, and the text of its error."""


def _options(scope: Scope, node: exp.Expr, allowed: Sequence[str]) -> dict[str, tuple[exp.Expr, Any]]:
    """The named arguments: the node and the value of each."""
    options: dict[str, tuple[exp.Expr, Any]] = {}
    for argument in node.expressions:
        if not isinstance(argument, exp.Kwarg):
            continue
        name = str(argument.this.name).lower()
        if name not in allowed or name in options:
            repeated = name in allowed
            raise scope.source.unknown_name(
                "this argument is repeated" if repeated else "there is no such argument",
                name,
                argument,
                "Remove one." if repeated else f"Available: {', '.join(allowed)}.{nearest(name, allowed)}",
            )
        value = argument.args["expression"]
        options[name] = (value, scope.constant(value))
    return options


def _number(scope: Scope, options: dict[str, tuple[exp.Expr, Any]], name: str) -> float | None:
    if name not in options:
        return None
    node, value = options[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise scope.source.type_mismatch(f"{name} is a number", str(value), node, f"Write {name} => 0.75.")
    return float(value)


def _analyzer(scope: Scope, options: dict[str, tuple[exp.Expr, Any]]) -> dict[str, Any]:
    """Milvus's settings of the analyzer that a language or JSON names."""
    if "language" in options:
        node, language = options["language"]
        if "analyzer" in options or "analyzers" in options or not isinstance(language, str):
            raise scope.source.type_mismatch(
                "a language is one text, and replaces an analyzer", str(language), node, _ANALYZER_FORM
            )
        return {"type": language.lower()}
    if "analyzer" not in options:
        return {}
    node, value = options["analyzer"]
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return {"type": value}
    return _json_object(scope, value, node, _ANALYZER_FORM)


def _analyzers(scope: Scope, options: dict[str, tuple[exp.Expr, Any]]) -> dict[str, Any]:
    """Milvus's settings of an analyzer for each value of another column."""
    named = [name for name in ("analyzers", "by") if name in options]
    if not named:
        return {}
    node, value = options[named[0]]
    if len(named) == 1 or "analyzer" in options or not isinstance(options["by"][1], str):
        raise scope.source.type_mismatch(
            "analyzers need the column that chooses one of them", named[0], node, _ANALYZERS_FORM
        )
    analyzers = _json_object(scope, value, node, _ANALYZERS_FORM)
    if "default" not in analyzers:
        raise scope.source.type_mismatch(
            "analyzers lack the one that is called default", ", ".join(analyzers), node, _ANALYZERS_FORM
        )
    return {"analyzers": analyzers, "by_field": options["by"][1]}


def _json_object(scope: Scope, value: Any, node: exp.Expr, form: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise scope.source.type_mismatch("this is not a JSON object", str(value)[:40], node, form)
    return parsed
