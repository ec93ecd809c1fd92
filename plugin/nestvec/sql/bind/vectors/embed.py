"""``EMBED('text', 'encoder', exit => 3, expert => 'biomed')``: by whom a text is embedded as a query."""

from __future__ import annotations

from sqlglot import exp

from nestvec.client.http import Coding
from nestvec.milvus.catalog import Column, Embedding
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.targets import Embedded, bare, check_text, given_text
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.source import folded
from nestvec_schemas.errors import ExitNotOffered, nearest
from nestvec_schemas.manifest import EXPERT_NAME
from nestvec_schemas.model_name import Named, named, parted

_WRITE = "Write EMBED('text'), or EMBED('text', 'encoder', exit => 3, expert => 'biomed')."
_OPTIONS = ("exit", "expert")


def is_embed(node: exp.Expr) -> bool:
    """Whether a node is a call of EMBED."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() == "EMBED"


def query_coding(scope: Scope, column: Column, node: exp.Expr) -> Coding:
    """Who embeds a query for the column. Raises SqlTypeMismatch where no service fills it."""
    return _coding(_filling(scope, column, node), column)


def bind_embed(scope: Scope, column: Column, node: exp.Expr) -> Embedded:
    """A call of EMBED, for a column. Raises SqlSyntaxError, SqlTypeMismatch, SqlNotSupported."""
    text, (encoder, exit, expert) = _arguments(scope, node)
    embedding = scope.table.embedding(column.name)
    if embedding is None:
        if not encoder:
            _filling(scope, column, node)
        return Embedded(text, Coding(scope.around.service, named(encoder, exit, expert), column.dim or 0))
    own = embedding.endpoint
    if encoder not in ("", own.encoder) or expert not in (None, own.expert):
        raise scope.source.type_mismatch(
            f"column {column.name} holds vectors of {embedding.maker}, which others are not comparable with",
            named(encoder or own.encoder, None, expert),
            node,
            f"Write EMBED('text'), or name {embedding.maker}.",
        )
    model = named(own.encoder, own.exit if exit is None else exit, own.expert)
    return Embedded(text, Coding(own.service, model, embedding.dim))


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


def _arguments(scope: Scope, node: exp.Expr) -> tuple[str, Named]:
    """The text, and by whom it is embedded, with an empty encoder where none is named: ``'minilm@biomed@3'``
    names all there is."""
    source = scope.source
    plain = [one for one in node.expressions if not isinstance(one, exp.Kwarg)]
    if not 1 <= len(plain) <= 2:
        raise source.syntax_error(f"EMBED takes one or two texts, not {len(plain)}", node, _WRITE)
    texts = [given_text(scope, bare(one)) for one in plain]
    for one, text in zip(plain, texts, strict=True):
        if text is None:
            raise source.not_supported(f"EMBED of {words(bare(one))}", one, _WRITE)
    try:
        chosen = parted(str(texts[1])) if len(texts) == 2 else Named("")
    except ExitNotOffered as error:
        raise source.type_mismatch(str(error.cause), str(texts[1]), plain[1], _WRITE) from error
    for one in node.expressions:
        if isinstance(one, exp.Kwarg):
            option = folded(one.this)
            if option not in _OPTIONS:
                offered = f"It has {' and '.join(_OPTIONS)}.{nearest(option, _OPTIONS)}"
                raise source.unknown_name("EMBED has no such option", option, one, offered)
            if option == "exit":
                chosen = chosen._replace(exit=_exit(scope, one))
            else:
                chosen = chosen._replace(expert=_expert(scope, one))
    return check_text(scope, str(texts[0]), plain[0]), chosen


def _expert(scope: Scope, node: exp.Kwarg) -> str:
    value = node.args["expression"]
    text = given_text(scope, bare(value))
    if text is None or not EXPERT_NAME.fullmatch(str(text)):
        raise scope.source.type_mismatch(
            "an expert is named by a text", words(value), value, "Write expert => 'biomed'."
        )
    return str(text)


def _exit(scope: Scope, node: exp.Kwarg) -> int:
    source, value = scope.source, node.args["expression"]
    if isinstance(value, exp.Literal) and not value.is_string and str(value.this).isdecimal():
        layer = int(str(value.this)[:9])
        if layer:
            return layer
    raise source.type_mismatch("an exit is a layer's number", words(value), value, "Write exit => 3.")
