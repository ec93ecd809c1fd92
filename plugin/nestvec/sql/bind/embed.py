"""``EMBED('text', 'encoder', exit => 3)``: by whom, and at which exit, a text is embedded as a query."""

from __future__ import annotations

from sqlglot import exp

from nestvec.catalog import Column, Embedding
from nestvec.service.client import Coding
from nestvec.service.names import named, parted
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.targets import Embedded, bare, check_text, given_text
from nestvec.sql.language.source import folded
from nestvec.sql.language.words import words
from nestvec_schemas.errors import ExitNotOffered

_WRITE = "Write EMBED('text'), or EMBED('text', 'encoder', exit => 3)."


def is_embed(node: exp.Expr) -> bool:
    """Whether a node is a call of EMBED."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() == "EMBED"


def query_coding(scope: Scope, column: Column, node: exp.Expr) -> Coding:
    """Who embeds a query for the column. Raises SqlTypeMismatch where no service fills it."""
    return _coding(_filling(scope, column, node), column)


def bind_embed(scope: Scope, column: Column, node: exp.Expr) -> Embedded:
    """A call of EMBED, for a column. Raises SqlSyntaxError, SqlTypeMismatch, SqlNotSupported."""
    text, encoder, exit = _arguments(scope, node)
    embedding = scope.table.embedding(column.name)
    if embedding is None:
        if encoder is None:
            _filling(scope, column, node)
        return Embedded(text, Coding(scope.around.service, named(encoder or "", exit), column.dim or 0))
    own = embedding.endpoint
    if encoder not in (None, own.encoder):
        raise scope.source.type_mismatch(
            f"column {column.name} holds vectors of {own.encoder}, which others are not comparable with",
            encoder,
            node,
            f"Write EMBED('text'), or name {own.encoder}.",
        )
    return Embedded(
        text, Coding(own.service, named(own.encoder, own.exit if exit is None else exit), embedding.dim)
    )


def own_text(scope: Scope, column: Column, node: exp.Expr) -> str | None:
    """The text of an EMBED that does what Milvus does with the text alone; None for another node."""
    embedding = scope.table.embedding(column.name)
    if not is_embed(node) or embedding is None:
        return None
    found = bind_embed(scope, column, node)
    return found.text if found.coding == _coding(embedding, column) else None


def _coding(embedding: Embedding, column: Column) -> Coding:
    return Coding(embedding.endpoint.service, embedding.endpoint.name, embedding.dim)


def _filling(scope: Scope, column: Column, node: exp.Expr) -> Embedding:
    embedding = scope.table.embedding(column.name)
    if embedding is None:
        filled = ", ".join(one.column for one in scope.table.embeddings) or "none"
        raise scope.source.type_mismatch(
            f"no nestvec service embeds texts for column {column.name}",
            words(node),
            node,
            f"Name the encoder (EMBED('text', 'encoder')), or use a column that is embedded: {filled}.",
        )
    return embedding


def _arguments(scope: Scope, node: exp.Expr) -> tuple[str, str | None, int | None]:
    """Text, encoder and exit. ``'minilm@3'`` names both of the latter."""
    source = scope.source
    plain = [one for one in node.expressions if not isinstance(one, exp.Kwarg)]
    if not 1 <= len(plain) <= 2:
        raise source.syntax_error(f"EMBED takes one or two texts, not {len(plain)}", node, _WRITE)
    texts = [given_text(scope, bare(one)) for one in plain]
    for one, text in zip(plain, texts, strict=True):
        if text is None:
            raise source.not_supported(f"EMBED of {words(bare(one))}", one, _WRITE)
    try:
        encoder, exit = parted(str(texts[1])) if len(texts) == 2 else (None, None)
    except ExitNotOffered as error:
        raise source.type_mismatch(str(error.cause), str(texts[1]), plain[1], _WRITE) from error
    for one in node.expressions:
        if isinstance(one, exp.Kwarg):
            exit = _exit(scope, one)
    return check_text(scope, str(texts[0]), plain[0]), encoder, exit


def _exit(scope: Scope, node: exp.Kwarg) -> int:
    source, value = scope.source, node.args["expression"]
    if folded(node.this) != "exit":
        raise source.unknown_name("EMBED has no such option", folded(node.this), node, "It has exit.")
    if isinstance(value, exp.Literal) and not value.is_string and str(value.this).isdecimal():
        layer = int(str(value.this)[:9])
        if layer:
            return layer
    raise source.type_mismatch("an exit is a layer's number", words(value), value, "Write exit => 3.")
