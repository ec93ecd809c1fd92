"""PREPARE, EXECUTE and DEALLOCATE: statements that a connection keeps under names."""

from __future__ import annotations

from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.analysis.casts import known_oid
from nestvec.sql.bind.params import PARAMETER_NODES, Params, parameter_name
from nestvec.sql.parse.parse import ParsedStatement, parse
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.result import StatementResult
from nestvec.sql.session import PreparedStatement, Session
from nestvec.sql.statements.select import select_rows

_MAX_PREPARED: Final = 2_000
_BODIES: Final = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete)


def run_prepare(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """PREPARE, and DEALLOCATE. Raises SqlSyntaxError, and SqlUnknownName for no such statement."""
    yield from ()
    source, tree = parsed.source, parsed.tree
    name, statements = identifier_name(tree.expression), session.caller.prepared
    if tree.name == "DEALLOCATE":
        if name == "all" and not tree.expression.args.get("quoted"):
            statements.clear()
            return StatementResult(tag="DEALLOCATE ALL")
        prepared_statement(session, source, tree.expression)
        del statements[name]
        return StatementResult(tag="DEALLOCATE")
    if name in statements:
        raise source.syntax_error(
            f'prepared statement "{name}" already exists', tree.expression, f"Write DEALLOCATE {name} first."
        )
    if len(statements) >= _MAX_PREPARED:
        raise source.not_supported(
            f"more than {_MAX_PREPARED:,} prepared statements", tree.expression, "DEALLOCATE some."
        )
    body = parse(tree.args["body"])
    if not isinstance(body.tree, _BODIES) or body.explain_tokens:
        raise source.syntax_error(
            "PREPARE takes SELECT, VALUES, INSERT, UPDATE or DELETE", tree.expression, "Run it as it is."
        )
    types = tuple(tree.args["items"])
    for type_ in types:
        cast = parse(f"SELECT CAST(NULL AS {type_})").tree.find(exp.Cast)
        if cast is None or (not known_oid(cast.args["to"]) and type_.lower() != "unknown"):
            raise source.unknown_name("there is no such type", type_, tree.expression, "Name a type.")
    statements[name] = PreparedStatement(tree.args["body"], types)
    return StatementResult(tag="PREPARE")


def run_execute(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """EXECUTE: the result is that of the statement that was prepared. Raises what it raises."""
    from nestvec.sql.statements import execute_steps  # noqa: PLC0415 - it runs this one, too

    statement = prepared_statement(session, parsed.source, parsed.tree.expression)
    values = yield from execute_values(session, parsed, params)
    return (yield from execute_steps(session, statement.text, values))


def prepared_statement(session: Session, source: SourceText, name: exp.Expr) -> PreparedStatement:
    """The statement of a name. Raises SqlUnknownName."""
    statement = session.caller.prepared.get(identifier_name(name))
    if statement is None:
        shown = f'prepared statement "{identifier_name(name)[:100]}" does not exist'
        raise source.unknown_name(shown, name.name, name, "Write PREPARE name AS … first.")
    return statement


def execute_values(session: Session, parsed: ParsedStatement, params: Params) -> Steps[list[Any]]:
    """The values that EXECUTE gives, of the types that PREPARE names. Raises SqlError."""
    source, tree = parsed.source, parsed.tree
    statement = prepared_statement(session, source, tree.expression)
    items: list[str] = tree.args["items"]
    count = max(len(statement.types), _parameter_count(statement.text))
    if len(items) != count:
        name = identifier_name(tree.expression)
        raise source.syntax_error(
            f'wrong number of parameters for prepared statement "{name}": it takes {count}',
            tree.expression,
            f"Write {count} values.",
        )
    if not items:
        return []
    types = [*statement.types, *("",) * (len(items) - len(statement.types))]
    listed = ", ".join(
        f"CAST(({item}) AS {type_}) AS p{at}"
        if type_ and type_.lower() != "unknown"
        else f"({item}) AS p{at}"
        for at, (item, type_) in enumerate(zip(items, types, strict=True))
    )
    query = parse(f"SELECT {listed}")
    result = yield from select_rows(session, query.source, query.tree, params)
    return list(result.rows[0])


def _parameter_count(text: str) -> int:
    names = (parameter_name(node) or "" for node in parse(text).tree.find_all(*PARAMETER_NODES))
    return max((int(name) for name in names if name.isdecimal()), default=0)
