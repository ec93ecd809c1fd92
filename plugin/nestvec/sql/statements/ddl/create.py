"""CREATE TABLE; CREATE INDEX has its own file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import base_url, environment_api_key
from nestvec.collections import lifecycle
from nestvec.collections.limits import check_limits
from nestvec.milvus.server_version import TAKES_OWN_IDS, read_version
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.ddl.columns import ColumnDraft
from nestvec.sql.bind.ddl.generated import EmbedColumn
from nestvec.sql.bind.ddl.table import TEMPORARY_STEP, TableDefinition, bind_definition
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import Position, SourceText, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.settings import DEFAULT_SERVICE
from nestvec.sql.statements.ddl.defaults import default_properties
from nestvec.sql.statements.ddl.index import run_create_index
from nestvec.sql.statements.tables import plain_table
from nestvec.sql.statements.views import refuse_view, run_create_view
from nestvec_schemas.capabilities import CHECKS
from nestvec_schemas.errors import EncoderError, EncoderNotFound, SpecError


def run_create(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """CREATE TABLE or CREATE INDEX. Raises SqlError, StoreError, ServiceError."""
    source, tree = parsed.source, parsed.tree
    kind = str(tree.args.get("kind") or "").upper()
    if kind == "INDEX":
        return (yield from run_create_index(session, parsed, params))
    if kind == "VIEW":
        return (yield from run_create_view(session, parsed, params))
    if kind != "TABLE":
        raise source.not_supported(f"CREATE {kind}", 0, "Write CREATE TABLE or CREATE INDEX.")
    if tree.args.get("replace"):
        raise source.not_supported("CREATE OR REPLACE TABLE", 0, "Write DROP TABLE IF EXISTS first.")
    if tree.args.get("expression") is not None:
        return (yield from _create_as(session, parsed, params))
    for part in stray_parts(tree, ("this", "kind", "exists", "properties")):
        raise source.not_supported(
            f"{part.upper()} in CREATE TABLE",
            tree.args[part] if isinstance(tree.args[part], exp.Expr) else 0,
            "Write CREATE TABLE name (columns).",
        )
    return (yield from _create_table(session, parsed, params))


def _create_as(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    properties = parsed.tree.args.get("properties")
    options = [] if properties is None else properties.expressions
    if any(isinstance(each, exp.TemporaryProperty) for each in options):
        raise parsed.source.not_supported("a temporary table", 0, TEMPORARY_STEP)
    read = ("properties",) if all(isinstance(each, exp.UnloggedProperty) for each in options) else ()
    for part in stray_parts(parsed.tree, ("this", "kind", "exists", "expression", *read)):
        raise parsed.source.not_supported(
            f"{part.upper()} in CREATE TABLE AS", 0, "Write CREATE TABLE name AS SELECT …."
        )
    # DuckDB is loaded by the statements that need it.
    from nestvec.sql.statements.ddl.create_as import run_create_as  # noqa: PLC0415

    return (yield from run_create_as(session, parsed, params))


def _create_table(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    source, tree = parsed.source, parsed.tree
    schema = tree.this
    name = plain_table(source, schema.this if isinstance(schema, exp.Schema) else schema)
    if not isinstance(tree, exp.Create):
        raise source.not_supported("this CREATE", 0, "Write CREATE TABLE name (columns).")
    definition = bind_definition(source, tree, params, session.settings.service or DEFAULT_SERVICE)
    check_consumed(source, tree)
    if (yield call(f"looking for collection {name}", "has_collection", name)):
        if tree.args.get("exists"):
            return StatementResult(tag="CREATE TABLE")
        raise source.type_mismatch(
            "a collection of this name already exists",
            name,
            schema.this,
            "Drop it, or write IF NOT EXISTS.",
        )
    yield from refuse_view(session, source, schema.this, name)
    defaults = yield from default_properties(session, source, definition.defaults)
    yield from session.ensure_served(definition.spec.services)

    def create(client: MilvusClient) -> None:
        _check_offers(source, definition)
        with _located_errors(source, schema):
            check_limits(definition.spec, read_version(client))
        settings = {**_settings(client, definition), **defaults}
        lifecycle.create_collection(client, definition.spec, settings, definition.columns)

    yield BlockingCall(create)
    session.forget(name)
    return StatementResult(tag="CREATE TABLE")


def _settings(client: MilvusClient, definition: TableDefinition) -> dict[str, str]:
    """The property by which a row of a BIGSERIAL table may have an id of its own, where Milvus has it."""
    if not any(field.auto_id for field in definition.spec.fields.values()):
        return {}
    version = read_version(client)
    return {"allow_insert_auto_id": "true"} if version.lite or version.at_least(TAKES_OWN_IDS) else {}


def _check_offers(source: SourceText, definition: TableDefinition) -> None:
    """Check what the encoders offer before anything is created, so that an error points to its place."""
    for draft, spec in zip(definition.embeds, definition.spec.embeddings, strict=True):
        embed = draft.function
        if not isinstance(embed, EmbedColumn):
            continue
        (config,) = spec.configs
        with _located_errors(source, embed.nodes["encoder"]):
            address = base_url(definition.spec.service_of(spec))
            info = fetch_info(address, environment_api_key()).encoder(config.encoder, address)
        type_positions = {"form": draft.type_position, "dim": _dim_place(source, draft)}
        for attribute, check in CHECKS.items():
            with _located_errors(source, type_positions.get(attribute, embed.nodes.get(attribute))):
                check(config, info)


def _dim_place(source: SourceText, draft: ColumnDraft) -> int:
    """The position of the number in VECTOR(n)."""
    return next(
        (
            token.start
            for token in source.tokens
            if token.start > draft.type_position and token.text.isdecimal()
        ),
        0,
    )


@contextmanager
def _located_errors(source: SourceText, at: Position) -> Iterator[None]:
    """Raise the errors of an encoder or its service with their place in the statement."""
    try:
        yield
    except EncoderNotFound as error:
        raise source.unknown_name(error.cause, str(error.value), at, error.next_step) from error
    except (EncoderError, SpecError) as error:
        raise source.type_mismatch(error.cause, error.value, at, error.next_step) from error
