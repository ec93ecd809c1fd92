"""CREATE TABLE, and CREATE INDEX by its own file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.client.offers import check_dim, check_exit, check_expert, check_kind
from nestvec.client.service_client import ask_info
from nestvec.collections import lifecycle
from nestvec.milvus.providers import base_url, environment_key
from nestvec.milvus.steps import Job, Steps, call
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.definition.columns import Draft
from nestvec.sql.bind.definition.generated import Embed
from nestvec.sql.bind.definition.table import Definition, bind_definition
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.completeness import check_read
from nestvec.sql.parse.parse import Parsed
from nestvec.sql.parse.source import Place, Source, stray_parts
from nestvec.sql.session import Session
from nestvec.sql.settings import DEFAULT_SERVICE
from nestvec.sql.statements.ddl.index import run_create_index
from nestvec.sql.statements.tables import plain_table
from nestvec_schemas.errors import EncoderError, EncoderNotFound, SpecError


def run_create(session: Session, parsed: Parsed, params: Params) -> Steps[StatementResult]:
    """CREATE TABLE or CREATE INDEX. Raises SqlError, StoreError, ServiceError."""
    source, tree = parsed.source, parsed.tree
    kind = str(tree.args.get("kind") or "").upper()
    if kind == "INDEX":
        return (yield from run_create_index(session, parsed, params))
    if kind != "TABLE":
        raise source.not_supported(f"CREATE {kind}", 0, "Write CREATE TABLE or CREATE INDEX.")
    if tree.args.get("replace"):
        raise source.not_supported("CREATE OR REPLACE TABLE", 0, "DROP TABLE IF EXISTS it first.")
    for part in stray_parts(tree, ("this", "kind", "exists", "properties")):
        construct = "CREATE TABLE AS" if part == "expression" else part.upper()
        raise source.not_supported(
            f"{construct} in CREATE TABLE",
            tree.args[part] if isinstance(tree.args[part], exp.Expr) else 0,
            "Write CREATE TABLE name (columns).",
        )
    return (yield from _create_table(session, parsed, params))


def _create_table(session: Session, parsed: Parsed, params: Params) -> Steps[StatementResult]:
    source, tree = parsed.source, parsed.tree
    schema = tree.this
    name = plain_table(source, schema.this if isinstance(schema, exp.Schema) else schema)
    if not isinstance(tree, exp.Create):
        raise source.not_supported("this CREATE", 0, "Write CREATE TABLE name (columns).")
    definition = bind_definition(source, tree, params, session.settings.service or DEFAULT_SERVICE)
    check_read(source, tree)
    if (yield call(f"looking for collection {name}", "has_collection", name)):
        if tree.args.get("exists"):
            return StatementResult(tag="CREATE TABLE")
        raise source.type_mismatch(
            "there is a collection of this name already",
            name,
            schema.this,
            "Drop it, or write IF NOT EXISTS.",
        )
    yield from session.ensure_served(definition.spec.services)

    def create(client: MilvusClient) -> None:
        _check_offers(source, definition)
        lifecycle.create(client, definition.spec)

    yield Job(create)
    session.forget(name)
    return StatementResult(tag="CREATE TABLE")


def _check_offers(source: Source, definition: Definition) -> None:
    """What the encoders offer, asked before anything is made, so that an error has a place."""
    for draft, spec in zip(definition.embeds, definition.spec.embeddings, strict=True):
        embed = draft.made
        if not isinstance(embed, Embed):
            continue
        key = environment_key()
        with _located_errors(source, embed.named):
            address = base_url(definition.spec.service_of(spec))
            info = ask_info(address, key.api_key if key else None).encoder(embed.encoder, address)
        with _located_errors(source, draft.place):
            check_kind(spec.form, embed.encoder, info)
        if draft.type.dim is not None:
            with _located_errors(source, _dim_place(source, draft)):
                check_dim(draft.type.dim, embed.encoder, info)
        with _located_errors(source, embed.layer):
            check_exit(embed.exit, embed.encoder, info)
        with _located_errors(source, embed.router):
            check_expert(embed.expert, embed.encoder, info)


def _dim_place(source: Source, draft: Draft) -> int:
    """Where the number in VECTOR(n) stands."""
    return next(
        (token.start for token in source.tokens if token.start > draft.place and token.text.isdecimal()), 0
    )


@contextmanager
def _located_errors(source: Source, at: Place) -> Iterator[None]:
    """The errors of an encoder or its service, with their place in the statement."""
    try:
        yield
    except EncoderNotFound as error:
        raise source.unknown_name(error.cause, str(error.value), at, error.next_step) from error
    except (EncoderError, SpecError) as error:
        raise source.type_mismatch(error.cause, error.value, at, error.next_step) from error
