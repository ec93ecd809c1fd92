"""BEGIN and COMMIT, which change nothing, and ROLLBACK, which would have to."""

from __future__ import annotations

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import Parsed
from nestvec.sql.parse.source import stray_parts
from nestvec.sql.session import Session


def run_transaction(session: Session, parsed: Parsed, params: Params) -> Steps[StatementResult]:
    """BEGIN, COMMIT, ROLLBACK, which raises SqlNotSupported: what has run is in Milvus."""
    yield from ()
    source, tree = parsed.source, parsed.tree
    if isinstance(tree, exp.Rollback):
        raise source.not_supported(
            "ROLLBACK", 0, "Milvus has no transactions: what ran stays. Undo it by statements of its own."
        )
    for part in stray_parts(tree, ("this",)):
        raise source.not_supported(f"{part.upper()} of a transaction", 0, "Write BEGIN or COMMIT alone.")
    return StatementResult(tag="COMMIT" if isinstance(tree, exp.Commit) else "BEGIN")
