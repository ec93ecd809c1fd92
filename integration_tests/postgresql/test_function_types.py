"""The types of the results of functions: those of PostgreSQL's own catalog, for arguments of every type."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.reports import Report

from nestvec.sql.parse.function_types import function_results
from nestvec.sql.parse.overloads import Overload

_VALUES: Final = {
    "int2": "2::smallint", "int4": "3", "int8": "4::bigint", "float4": "1.5::real",
    "float8": "2.5::double precision", "numeric": "1.25", "text": "'abc'::text", "bpchar": "'ab'::char(3)",
    "bool": "true", "bytea": "'\\x6162'::bytea", "date": "date '2024-01-03'",
    "time": "time '01:02:03'", "timestamp": "timestamp '2024-01-03 04:05:06'",
    "timestamptz": "timestamptz '2024-01-03 04:05:06+00'", "interval": "interval '1 day'",
    "json": "'[1]'::json", "jsonb": "'[1]'::jsonb", "anyelement": "3", "anyarray": "ARRAY[1, 2]",
    "anycompatible": "3", "anycompatiblearray": "ARRAY[1, 2]", "_text": "ARRAY['a', 'b']",
}  # fmt: skip
_NUMBERS: Final = ("int2", "int4", "int8", "float4", "float8", "numeric")

_ACCEPTED: Final = """
abs acos acosh array_append array_cat array_dims array_length array_lower array_ndims
array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string
ascii asin asinh atan atan2 atanh avg bit_and bit_length bit_or bit_xor bool_and bool_or
btrim cardinality cbrt ceil ceiling char_length chr concat concat_ws corr cos cosh cot count covar_pop
covar_samp cume_dist degrees dense_rank div every exp factorial first_value floor format gcd initcap
isfinite json_agg json_array_length json_build_array json_typeof jsonb_agg jsonb_array_elements
jsonb_array_length jsonb_build_array jsonb_pretty jsonb_strip_nulls jsonb_typeof justify_days lag
last_value lcm lead left length ln log log10 lower lpad ltrim make_date make_time make_timestamp max md5
min mod ntile nth_value num_nonnulls num_nulls octet_length percent_rank pi power quote_ident
quote_literal quote_nullable radians random rank regexp_count regexp_like regexp_match regexp_replace
regexp_split_to_array regexp_substr regr_avgx regr_count regr_slope regr_sxx repeat replace reverse
right round row_number rpad rtrim sha256 sign sin sinh split_part sqrt starts_with stddev stddev_pop
stddev_samp string_agg string_to_array strpos substr sum tan tanh to_char to_date to_hex to_json
to_jsonb to_timestamp translate trim_array trunc unnest upper var_pop var_samp variance
""".split()  # noqa: SIM905 - a list of words

TEXTS: Final = Path(__file__).with_name("result_texts.sql").read_text(encoding="utf-8").splitlines()
"""Statements whose results once had other types or digits than PostgreSQL's."""

Connections = tuple[psycopg.Connection, psycopg.Connection]


@pytest.fixture(scope="module")
def connections(
    postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connections]:
    path: Path = tmp_path_factory.mktemp("function_types") / "types.db"
    with (
        run_pg(path) as running,
        postgresql.connect() as oracle,
        psycopg.connect(running.address, autocommit=True) as nestvec,
    ):
        yield oracle, nestvec


def catalog(oracle: psycopg.Connection) -> dict[str, set[tuple[Overload, str]]]:
    """PostgreSQL's functions by their names, each with its kind: f, a for an aggregate, w for a window."""
    functions = dict[str, set[tuple[Overload, str]]]()
    rows = oracle.execute(
        "SELECT proname, prorettype::regtype::oid, prokind::text, array(SELECT typname::text FROM "
        "unnest(proargtypes) WITH ORDINALITY AS a(type, place) JOIN pg_type ON oid = type ORDER BY place), "
        "(SELECT typname::text FROM pg_type WHERE oid = prorettype) "
        "FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
    )
    for name, _, kind, arguments, result in rows:
        functions.setdefault(name, set()).add((Overload(tuple(arguments), result), kind))
    return functions


def test_the_table_of_results_is_postgresqls_catalog(connections: Connections) -> None:
    functions = catalog(connections[0])
    differing = {}
    for name, listed in function_results().items():
        overloads = {overload for overload, _ in functions.get(name, ())}
        if isinstance(listed, str):
            results = {overload.result for overload in overloads if _of_known_types(overload)}
            if results and results != {listed}:
                differing[name] = results
        else:
            missing = set(listed) - overloads
            left_out = {each for each in overloads if _of_known_types(each)} - set(listed)
            if missing or left_out:
                differing[name] = missing | left_out
    assert differing == {}


def _of_known_types(overload: Overload) -> bool:
    if overload.arguments[3:] == ("text",) and overload.result == "timestamptz":
        return False  # generate_series() with a zone, which is not computed
    known = _VALUES.keys() - {"anyelement", "anyarray", "anycompatible", "anycompatiblearray", "_text"}
    return {*overload.arguments, overload.result} <= known


def calls(functions: dict[str, set[tuple[Overload, str]]]) -> list[str]:
    """Calls of the functions with arguments of the types that they take, and of every type of number."""
    written = dict[str, None]()
    for name in _ACCEPTED:
        for overload, kind in sorted(functions[name], key=str):
            lists = [overload.arguments]
            if overload.arguments and set(overload.arguments) <= set(_NUMBERS):
                lists += list(product(_NUMBERS, repeat=min(len(overload.arguments), 2)))
            for arguments in lists:
                if set(arguments) <= _VALUES.keys():
                    values = ", ".join(_VALUES[argument] for argument in arguments)
                    window = " OVER (ORDER BY 1)" if kind == "w" else ""
                    written[f"{name}({values}){window}"] = None
    return list(written)


@pytest.mark.parametrize("statement", TEXTS)
def test_results_have_the_types_and_texts_of_postgresql(connections: Connections, statement: str) -> None:
    answers = []
    for connection in connections:
        cursor = connection.execute(statement.encode())
        result = cursor.pgresult
        assert result is not None
        texts = [[result.get_value(row, at) for at in range(result.nfields)] for row in range(result.ntuples)]
        answers.append(([column.type_code for column in cursor.description or ()], texts))
    assert answers[1] == answers[0]


@pytest.mark.parametrize(
    "statement", ["SELECT DISTINCT '1'::json", "SELECT '1'::json = '1'::json", "SELECT 1 GROUP BY '1'::json"]
)
def test_values_of_json_are_not_compared(connections: Connections, statement: str) -> None:
    for connection in connections:
        with pytest.raises(psycopg.Error, match="json"):
            connection.execute(statement.encode())


def type_of(connection: psycopg.Connection, call: str) -> str:
    """PostgreSQL's name of the type of a call, empty where it is refused."""
    try:
        columns = connection.execute(f"SELECT {call} AS c".encode()).description or ()
    except psycopg.Error:
        return ""
    code = columns[0].type_code
    type_ = connection.adapters.types.get(code)
    return "" if type_ is None else f"{type_.name}{'[]' if type_.array_oid == code else ''}"


def test_calls_have_the_types_of_postgresql(connections: Connections, report: Report) -> None:
    oracle, nestvec = connections
    compared, differing = 0, dict[str, tuple[str, str]]()
    for call in calls(catalog(oracle)):
        types = type_of(oracle, call), type_of(nestvec, call)
        if all(types):
            compared += 1
            if types[0] != types[1]:
                differing[call] = types
    report(f"the types of {compared} calls as PostgreSQL gives them, {len(differing)} differences")
    assert differing == {}
    assert compared > 500
