"""BEGIN and COMMIT, which do nothing, and ROLLBACK, which is an error."""

from __future__ import annotations

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session


def run_transaction(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """BEGIN and COMMIT do nothing; ROLLBACK raises SqlNotSupported: Milvus has no transactions."""
    yield from ()
    source, tree = parsed.source, parsed.tree
    if isinstance(tree, exp.Rollback):
        raise source.not_supported(
            "ROLLBACK", 0, "Milvus has no transactions: undo the changes with further statements."
        )
    for part in stray_parts(tree, ("this",)):
        raise source.not_supported(f"{part.upper()} of a transaction", 0, "Write BEGIN or COMMIT alone.")
    return StatementResult(tag="COMMIT" if isinstance(tree, exp.Commit) else "BEGIN")
