"""``EMBED('text', 'encoder', exit => 3, expert => 'biomed', prompt => 'sts')``: how a query is embedded."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from nestvec.client.http import EmbeddingRequest
from nestvec.milvus.catalog import Column, EmbeddingColumn
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.targets import EmbeddedText, check_text, text_constant
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, without_parens
from nestvec_schemas.embedding_config import VECTOR_FORMS, EmbeddingConfig
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, PromptNotOffered, nearest
from nestvec_schemas.manifest import EXPERT_NAME
from nestvec_schemas.model_name import format_model_name, parse_model_name

_WRITE = "Write EMBED('text'), or EMBED('text', 'encoder', exit => 3, expert => 'biomed', prompt => 'sts')."
_OPTIONS = ("exit", "expert", "prompt")


_NOTHING_CHOSEN = EmbeddingConfig()


def is_embed(node: exp.Expr) -> bool:
    """Whether a node is a call of EMBED."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() == "EMBED"


def query_request(scope: Scope, column: Column, node: exp.Expr) -> EmbeddingRequest:
    """How a query for the column is embedded. Raises SqlTypeMismatch if no service fills it."""
    return request_for(_required_embedding(scope, column, node))


def bind_embed(scope: Scope, column: Column, node: exp.Expr) -> EmbeddedText:
    """Bind a call of EMBED for a column. Raises SqlSyntaxError, SqlTypeMismatch, SqlNotSupported."""
    text, chosen = _arguments(scope, node)
    embedding = scope.table.embedding(column.name)
    if embedding is None:
        if not chosen.encoder:
            _required_embedding(scope, column, node)
        config = replace(chosen, dim=column.dim, form=VECTOR_FORMS.get(column.type, "float"))
        config = replace(config, query_prompt=_query_prompt(chosen))
        return EmbeddedText(text, EmbeddingRequest(scope.context.service, config))
    own = embedding.config
    if chosen.encoder not in ("", own.encoder) or chosen.expert not in (None, own.expert):
        raise scope.source.type_mismatch(
            f"column {column.name} holds vectors of {embedding.encoder_name}, "
            "which are not comparable with others",
            format_model_name(EmbeddingConfig(chosen.encoder or own.encoder, expert=chosen.expert)),
            node,
            f"Write EMBED('text'), or name {embedding.encoder_name}.",
        )
    request = request_for(embedding)
    exit = own.exit if chosen.exit is None else chosen.exit
    prompt = _query_prompt(chosen, request.config)
    config = replace(request.config, exit=exit, query_prompt=prompt)
    has_role = request.has_role or prompt != own.query_prompt
    return EmbeddedText(text, replace(request, config=config, has_role=has_role))


def _query_prompt(chosen: EmbeddingConfig, own: EmbeddingConfig = _NOTHING_CHOSEN) -> str | None:
    """The name of the prompt before a query: the chosen one, unless it is the column's own anyway."""
    name = chosen.query_prompt if chosen.prompt is None else chosen.prompt
    return own.query_prompt if name is None or name == own.prompt_name("query") else name


def check_same_space(
    source: SourceText, left: EmbeddingColumn | None, right: EmbeddingColumn | None, at: exp.Expr | int
) -> None:
    """Raise SqlTypeMismatch for a distance between columns of two encoders, which says nothing. None is a
    column whose vectors nestvec does not know the encoder of."""
    if left is None or right is None:
        return
    fingerprints = left.config.fingerprint, right.config.fingerprint
    # Without a record the names decide; an empty one is the only encoder of a service.
    names = {left.config.encoder, right.config.encoder} - {""}
    if len(names if None in fingerprints else {*fingerprints}) > 1:
        raise source.type_mismatch(
            f"column {left.column} holds vectors of {left.encoder_name}, which are not comparable with those "
            f"of {right.encoder_name}",
            right.column,
            at,
            "Compare columns of one encoder.",
        )


def server_embedded_text(scope: Scope, column: Column, node: exp.Expr) -> str | None:
    """The text of an EMBED that Milvus's own function for the column computes; None for another node."""
    embedding = scope.table.embedding(column.name)
    if not is_embed(node) or embedding is None or embedding.query_bridge is not None:
        return None
    embedded = bind_embed(scope, column, node)
    return embedded.text if embedded.request == request_for(embedding) else None


def request_for(embedding: EmbeddingColumn) -> EmbeddingRequest:
    """How a query for a column that a service fills is embedded, as Milvus would request it; by the bridge
    while its encoder is upgraded."""
    # Only documents are reduced to their largest weights.
    config = replace(embedding.config, top=None)
    if embedding.query_bridge is not None:
        # It was fitted on queries with the new encoder's prompt.
        return EmbeddingRequest(embedding.service, replace(config, encoder=embedding.query_bridge))
    return EmbeddingRequest(embedding.service, config, embedding.endpoint.sends_prompts)


def _required_embedding(scope: Scope, column: Column, node: exp.Expr) -> EmbeddingColumn:
    embedding = scope.table.embedding(column.name)
    if embedding is None:
        filled = ", ".join(candidate.column for candidate in scope.table.embeddings) or "none"
        raise scope.source.type_mismatch(
            f"no nestvec service embeds text for column {column.name}",
            construct_name(node),
            node,
            f"Name the encoder (EMBED('text', 'encoder')), or use an embedded column: {filled}.",
        )
    return embedding


def _arguments(scope: Scope, node: exp.Expr) -> tuple[str, EmbeddingConfig]:
    """The text, and how it is embedded; the encoder is empty if none is named."""
    source = scope.source
    plain = [argument for argument in node.expressions if not isinstance(argument, exp.Kwarg)]
    if not 1 <= len(plain) <= 2:
        raise source.syntax_error(f"EMBED takes one or two strings, not {len(plain)}", node, _WRITE)
    texts = [text_constant(scope, without_parens(argument)) for argument in plain]
    for argument, text in zip(plain, texts, strict=True):
        if text is None:
            raise source.not_supported(
                f"EMBED of {construct_name(without_parens(argument))}", argument, _WRITE
            )
    try:
        chosen = parse_model_name(str(texts[1])) if len(texts) == 2 else _NOTHING_CHOSEN
    except (DimNotOffered, ExitNotOffered, PromptNotOffered) as error:
        raise source.type_mismatch(str(error.cause), str(texts[1]), plain[1], _WRITE) from error
    if chosen.dim is not None:
        raise source.type_mismatch("the column says how many dims it has", str(texts[1]), plain[1], _WRITE)
    for argument in node.expressions:
        if isinstance(argument, exp.Kwarg):
            option = identifier_name(argument.this)
            if option not in _OPTIONS:
                offered = f"Available: {', '.join(_OPTIONS)}.{nearest(option, _OPTIONS)}"
                raise source.unknown_name("EMBED has no such option", option, argument, offered)
            if option == "exit":
                chosen = replace(chosen, exit=_exit(scope, argument))
            elif option == "prompt":
                chosen = replace(chosen, prompt=_prompt(scope, argument))
            else:
                chosen = replace(chosen, expert=_expert(scope, argument))
    return check_text(scope, str(texts[0]), plain[0]), chosen


def _expert(scope: Scope, node: exp.Kwarg) -> str:
    value = node.args["expression"]
    text = text_constant(scope, without_parens(value))
    if text is None or not EXPERT_NAME.fullmatch(str(text)):
        raise scope.source.type_mismatch(
            "an expert name consists of letters, digits, '_' and '-', and starts with a letter",
            text or construct_name(value),
            value,
            "Write expert => 'biomed'.",
        )
    return str(text)


def _prompt(scope: Scope, node: exp.Kwarg) -> str:
    value = node.args["expression"]
    text = text_constant(scope, without_parens(value))
    if text is None:
        raise scope.source.type_mismatch(
            "a prompt is named by a string", construct_name(value), value, "Write prompt => 'sts'."
        )
    return str(text)


def _exit(scope: Scope, node: exp.Kwarg) -> int:
    source, value = scope.source, node.args["expression"]
    if isinstance(value, exp.Literal) and not value.is_string and str(value.this).isdecimal():
        layer = int(str(value.this)[:9])
        if layer:
            return layer
    raise source.type_mismatch("an exit is a layer number", construct_name(value), value, "Write exit => 3.")
