"""Types of parameters by PostgreSQL's rules, which integration_tests compares with a real PostgreSQL."""

from __future__ import annotations

import pytest

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.inference.statements import ParameterTypes
from nestvec.sql.analysis.signatures import choose, common_type, signatures
from nestvec.sql.parse.parse import parse
from nestvec.sqltypes import oids


def types_of(statement: str, *declared: int) -> list[str]:
    inferred = ParameterTypes((), declared).infer(parse(statement).tree)
    return [oids.BY_OID[oid].name for oid in inferred]


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "expected"),
    [
        ("operators", "*", ("interval", "unknown"), ("interval", "float8")),
        ("operators", "=", ("varchar", "unknown"), ("text", "text")),
        ("operators", "||", ("_int4", "unknown"), ("_int4", "_int4")),
        ("functions", "lpad", ("unknown", "unknown", "unknown"), ("text", "int4", "text")),
        ("functions", "array_append", ("_int4", "unknown"), ("_int4", "int4")),
        ("functions", "concat_ws", ("unknown", "text", "text"), ("text", "", "")),
    ],
)
def test_an_unknown_argument_has_the_type_of_its_place(
    kind: str, name: str, arguments: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    chosen = choose(signatures(kind, name), arguments)
    assert chosen is not None
    assert chosen.arguments == expected


@pytest.mark.parametrize("arguments", [("unknown", "unknown"), ("text", "int4")])
def test_what_is_not_clear_is_not_chosen(arguments: tuple[str, ...]) -> None:
    assert choose(signatures("operators", "+"), arguments) is None


def test_the_common_type_of_several() -> None:
    assert common_type(["unknown", "int4", "numeric"]) == "numeric"
    assert common_type(["unknown", "unknown"]) == "unknown"
    assert common_type(["int4", "text"]) == ""


def test_a_declared_type_stays() -> None:
    assert types_of("SELECT $1 + $2", oids.INT2) == ["int2", "int2"]


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("SELECT $2::int", "42P18"),
        ("SELECT $1 IS NULL", "42P18"),
        ("SELECT $1 + $2", "42725"),
        ("SELECT 1 = $1 OR 'a'::text = $1", "42883"),
        ("SELECT $1 FROM t WHERE 1 = $1", "42P08"),
    ],
)
def test_a_parameter_without_a_type_or_with_two_is_refused(statement: str, sqlstate: str) -> None:
    with pytest.raises(PgError) as raised:
        types_of(statement)
    assert raised.value.sqlstate == sqlstate


def test_a_deep_expression_is_left_to_its_execution() -> None:
    assert types_of("SELECT " + "+".join(["$1::int", *["1"] * 400])) in (["int4"], ["text"])
