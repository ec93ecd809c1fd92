"""SET, SHOW and RESET of a connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session, SessionSettings, StatementResult
from nestvec.sql.settings import SETTINGS, IndexSettings
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlSyntaxError, SqlTypeMismatch, SqlUnknownName


def run(session: Session, statement: str, given: Any = None) -> StatementResult:
    """No setting calls Milvus."""
    return drive(cast(MilvusClient, None), execute_steps(session, statement, given))


def one(session: Session, name: str) -> str:
    return str(run(session, f"SHOW {name}").rows[0][0])


@pytest.mark.parametrize(
    ("statement", "given", "name", "shown"),
    [
        ("SET nestvec.recall = 0.9", None, "nestvec.recall", "0.9"),
        ("set NESTVEC.Recall to '1'", None, "nestvec.recall", "1.0"),
        ("SET SESSION nestvec.recall = :share", {"share": 0.5}, "nestvec.recall", "0.5"),
        ("SET nestvec.shortlist = '64:100'", None, "nestvec.shortlist", "64:100"),
        ("SET nestvec.shortlist = OFF;", None, "nestvec.shortlist", "off"),
        ("SET nestvec.service = $1", ["http://10.0.0.1:8080/"], "nestvec.service", "http://10.0.0.1:8080"),
        ("SET nestvec.models = 'some/where'", None, "nestvec.models", "some/where"),
        ("SET nestvec.on_error = zero", None, "nestvec.on_error", "zero"),
        ("SET nestvec.consistency = strong", None, "nestvec.consistency", "Strong"),
        ("SET nestvec.partitions = 'a, b'", None, "nestvec.partitions", "a,b"),
        ("SET hnsw.ef_search = 200", None, "hnsw.ef_search", "200"),
        ("SET ivfflat.probes = $1", [16], "ivfflat.probes", "16"),
        ("SET hnsw.iterative_scan = RELAXED_ORDER", None, "hnsw.iterative_scan", "relaxed_order"),
        ("SET ivfflat.iterative_scan = off", None, "hnsw.iterative_scan", "off"),
        ("SET hnsw.iterative_scan = DEFAULT", None, "hnsw.iterative_scan", "strict_order"),
        ("SET nestvec.partitions = :names", {"names": ["a", "b"]}, "nestvec.partitions", "a,b"),
    ],
)
def test_set_and_show(statement: str, given: Any, name: str, shown: str) -> None:
    session = Session()
    assert run(session, statement, given).tag == "SET"
    assert one(session, name) == shown


def test_reset_and_default_restore_the_initial_settings() -> None:
    session = Session(SessionSettings(models=Path("mine"), recall=0.5))
    for undo in ("SET nestvec.recall = DEFAULT", "RESET nestvec.recall", "RESET ALL"):
        run(session, "SET nestvec.recall = 0.7")
        run(session, undo)
        assert one(session, "nestvec.recall") == "0.5"
    run(session, "SET nestvec.models = ''")
    assert session.settings.models is None
    run(session, "RESET ALL")
    assert session.settings == session.defaults == SessionSettings(models=Path("mine"), recall=0.5)


def test_show_all_has_every_setting() -> None:
    answer = run(Session(), "SHOW ALL")
    assert answer.columns == ("name", "value", "description")
    assert [row[0] for row in answer.rows] == list(SETTINGS)
    plain = set(SessionSettings.__dataclass_fields__) - {"index"}
    of_indexes = {f"index.{name}" for name in IndexSettings.__dataclass_fields__}
    assert {row.field for row in SETTINGS.values()} == plain | of_indexes


def test_reads_follow_the_settings() -> None:
    session = Session()
    assert session.read_options() == {}
    run(session, "SET nestvec.consistency = 'EVENTUALLY'")
    run(session, "SET nestvec.partitions = 'a,b'")
    assert session.read_options() == {"consistency_level": "Eventually", "partition_names": ["a", "b"]}


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("SET recall = 1", SqlUnknownName, "Did you mean 'nestvec.recall'?"),
        ("SHOW nestvec.partition", SqlUnknownName, "Did you mean 'nestvec.partitions'?"),
        ("RESET nothing", SqlUnknownName, "SHOW ALL lists them"),
        ("SET nestvec.recall = 1.01", SqlTypeMismatch, "from 0 to 1"),
        ("SET nestvec.recall = -1", SqlTypeMismatch, "from 0 to 1"),
        ("SET nestvec.recall = nan", SqlTypeMismatch, "from 0 to 1"),
        ("SET nestvec.shortlist = '64'", SqlTypeMismatch, "dim:size"),
        ("SET nestvec.service = 'localhost'", SqlTypeMismatch, "an address"),
        ("SET nestvec.on_error = ignore", SqlTypeMismatch, "one of reject, zero"),
        ("SET nestvec.consistency = weak", SqlTypeMismatch, "strong, bounded, session, eventually"),
        ("SET hnsw.ef_search = -1", SqlTypeMismatch, "whole number from 0"),
        ("SET hnsw.iterative_scan = on", SqlTypeMismatch, "one of off, strict_order, relaxed_order"),
        ("SET ivfflat.probes = 65537", SqlTypeMismatch, "whole number from 0"),
        ("SET nestvec.partitions = 'a,,b'", SqlTypeMismatch, "with commas"),
        ("SET nestvec.recall = 0.5 + 1", SqlSyntaxError, "one value"),
        ("SET nestvec.recall = 1, nestvec.shortlist = off", SqlSyntaxError, "one name and one value"),
        ("SET nestvec.recall", SqlSyntaxError, "one name and one value"),
        ("SET GLOBAL nestvec.recall = 1", SqlNotSupported, "SET GLOBAL"),
        ("SHOW", SqlSyntaxError, "SHOW ALL"),
        ("RESET a b", SqlSyntaxError, "one name"),
    ],
)
def test_refused(statement: str, kind: type[SqlError], says: str) -> None:
    session = Session()
    with pytest.raises(kind, match=says.replace("?", r"\?")) as raised:
        run(session, statement)
    assert raised.value.position is not None
    assert session.settings == SessionSettings()


def test_a_local_setting_ends_with_the_transaction() -> None:
    session = Session()
    run(session, "SET hnsw.ef_search = 50")
    run(session, "BEGIN")
    run(session, "SET LOCAL hnsw.ef_search = 200")
    run(session, "SET LOCAL nestvec.recall = 0.5")
    assert session.settings.index.ef_search == 200
    run(session, "COMMIT")
    assert (session.settings.index.ef_search, session.settings.recall) == (50, 0.99)
    run(session, "BEGIN")
    assert session.settings.index.ef_search == 50


def test_settings_of_postgresql_that_do_nothing_here_are_taken() -> None:
    session = Session()
    run(session, "SET maintenance_work_mem = '8GB'")
    run(session, "SET LOCAL enable_seqscan = off")
    run(session, "RESET maintenance_work_mem")
    assert session.settings == SessionSettings()
